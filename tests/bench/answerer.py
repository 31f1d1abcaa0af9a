# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""answerer.py PROCESSES: sends back a byte on each connection, with a few threads in each of so
many processes on one port, until it is told to end."""
import os
import signal
import socket
import sys
import threading

THREADS = 2


def answer(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(connection.recv(1))
                connection.recv(1)  # the reset
            except ConnectionError:
                pass


def serve(listener):
    for _ in range(THREADS):
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
    signal.pause()


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    children = []
    for _ in range(int(sys.argv[1])):
        children.append(os.fork())
        if not children[-1]:
            serve(listener)
    signal.signal(signal.SIGTERM, lambda *_: None)
    print("ready {}:{}".format(*listener.getsockname()), flush=True)
    signal.pause()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


main()
