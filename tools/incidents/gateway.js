// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A gateway in miniature: passes every request on to the backend.
// usage: node gateway.js LISTEN_PORT BACKEND_ADDRESS BACKEND_PORT SECONDS [--fixed]
'use strict';
const http = require('http');

const [port, address, backendPort, seconds] = process.argv.slice(2);
// What http.request() does without an agent until Node.js 18: a connection for each request.
// --fixed: the agent keeps them.
const agent = new http.Agent({ keepAlive: process.argv.includes('--fixed') });

function forward(request, response) {
	const upstream = http.request(
		{ agent, host: address, port: backendPort, method: request.method, path: request.url },
		(answer) => {
			// Of this connection only, not of the client's (RFC 9110, 7.6.1).
			const { connection, 'keep-alive': keepAlive, ...headers } = answer.headers;
			response.writeHead(answer.statusCode, headers);
			answer.pipe(response);
		});
	upstream.on('error', (error) => {
		response.writeHead(502);
		response.end(error.code + '\n');
	});
	request.pipe(upstream);
}

const server = http.createServer(forward);
server.keepAliveTimeout = 60000;
server.listen(port, '127.0.0.1', 1024, () => console.log('ready'));
setTimeout(() => process.exit(0), seconds * 1000);
