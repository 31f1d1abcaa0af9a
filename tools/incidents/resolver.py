#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A local resolver in miniature: DNS over HTTP (RFC 8484, without TLS) and a /health page."""
import argparse
import socketserver
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = struct.pack(">HHHIH4B", 0xC00C, 1, 1, 60, 4, 192, 0, 2, 1)  # A 192.0.2.1 (RFC 5737)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive, for those who want it
    disable_nagle_algorithm = True
    timeout = 30

    def reply(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            self.reply(200, "text/plain", b"ok\n")
        else:
            self.reply(404, "text/plain", b"no such page\n")

    def do_POST(self):
        query = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/dns-query" or len(query) < 12:
            self.reply(400, "text/plain", b"not a DNS query\n")
            return
        header = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
        self.reply(200, "application/dns-message", header + query[12:] + ANSWER)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is no news

    def server_bind(self):
        # HTTPServer would look its own name up.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8053)
    parser.add_argument("--seconds", type=float, default=60, help="end after so long")
    args = parser.parse_args()
    server = Server((args.address, args.port), Handler)
    threading.Timer(args.seconds, server.shutdown).start()
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
