/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keeping a connection, in the words of each runtime and client library. */
#include <string.h>

#include "user/base/text.h"
#include "user/model/finding_draft.h"

/* The first row that fits: `exe` starts the base name of the executable, `stack` occurs in a
 * function, file or module of the sample stack; NULL fits all. */
static const struct {
	const char *exe;
	const char *stack;
	const char *fix;
} fixes[] = {
	{"haproxy", NULL,
	 "let HAProxy keep connections to the servers: mode http with http-reuse always (or safe), "
	 "no option httpclose or http-server-close, and servers that keep alive. Where mode tcp it "
	 "must be, each client costs a source port: give it more of them by several "
	 "'server' lines with a 'source' address each, or more addresses of the server"},
	{"nginx", NULL,
	 "let nginx keep connections to the upstream: 'keepalive N' in the upstream block, "
	 "'proxy_http_version 1.1' and 'proxy_set_header Connection \"\"' where it is passed on"},
	{"curl", NULL,
	 "one process per request cannot reuse a connection: give one curl all the URLs (or a "
	 "--config file), or ask from one long-lived process"},
	{"wget", NULL,
	 "one process per request cannot reuse a connection: give one wget all the URLs, or ask "
	 "from one long-lived process"},
	{"python", "/aiohttp/",
	 "keep one aiohttp.ClientSession for the life of the application instead of one for each "
	 "call"},
	{"python", "/httpx/",
	 "keep one httpx.Client (or AsyncClient) for the life of the application; httpx.get() "
	 "makes one for each call"},
	{"python", "/requests/",
	 "keep one requests.Session on the object that lives as long as the process and make every "
	 "request through it; requests.get() makes a session for each call. Read responses to the "
	 "end, else their connections do not go back to the pool"},
	{"python", "/urllib3/",
	 "keep one urllib3.PoolManager for the life of the process and make every request through "
	 "it"},
	{"python", "/http/client.py",
	 "keep one http.client.HTTPConnection and send the next request on it; urllib.request "
	 "cannot: use one requests.Session or urllib3.PoolManager instead"},
	{"python", NULL,
	 "keep one client, for example a requests.Session, on the object that lives as long as the "
	 "process instead of making one inside the function, and make every request through it"},
	{"pypy", NULL,
	 "keep one client, for example a requests.Session, on the object that lives as long as the "
	 "process instead of making one inside the function, and make every request through it"},
	{"node", NULL,
	 "make one http.Agent({keepAlive: true}) (https.Agent for TLS) at module level and pass it "
	 "to every request; before Node.js 19 the default agent does not keep connections alive"},
	{"java", NULL,
	 "keep one client (java.net.http.HttpClient, OkHttp, Apache HttpClient with its pool) for "
	 "the life of the application; with HttpURLConnection read the body to its end and do not "
	 "call disconnect()"},
	{"php", "libcurl",
	 "keep the curl handle (curl_reset() keeps its connection) instead of curl_init() for each "
	 "request"},
	{"php", NULL,
	 "keep the connection over requests: one curl handle in a script, PDO::ATTR_PERSISTENT or "
	 "pfsockopen() over requests of one worker"},
	{"ruby", NULL,
	 "keep one started Net::HTTP object (or net-http-persistent, or Faraday with a persistent "
	 "adapter) and make every request through it"},
	{"perl", NULL,
	 "keep one LWP::UserAgent made with keep_alive => 1, or one HTTP::Tiny object, for the "
	 "life of the process"},
	{NULL, "net/http.",
	 "use one http.Client for the whole program, read each Body to its end and close it, and "
	 "set Transport.MaxIdleConnsPerHost (2 by default) to the number of parallel requests"},
	{NULL, "libcurl",
	 "reuse the easy handle: curl_easy_reset() keeps its connections, "
	 "curl_easy_cleanup() closes them; or let handles share a pool with "
	 "CURL_LOCK_DATA_CONNECT"},
	{NULL, NULL,
	 "open the connection once, keep it where it outlives the single request, and send the "
	 "next request on it; for several at a time, from a pool"},
};

static bool contains(const char *text, const char *part)
{
	return text && strstr(text, part);
}

static bool on_stack(const struct callsite *c, const char *part)
{
	if (!c || !c->stack)
		return false;
	for (uint32_t i = 0; i < c->stack->nr; i++) {
		const struct frame *f = &c->stack->frames[i];

		if (contains(f->function, part) || contains(f->file, part) ||
		    contains(f->module, part))
			return true;
	}
	return false;
}

const char *finding_fix(const struct group *g, const struct callsite *c)
{
	const char *exe = g->sample.exe ? text_base_name(g->sample.exe) : g->sample.comm;
	size_t i = 0;

	/* The last row fits everything. */
	for (; i + 1 < sizeof(fixes) / sizeof(fixes[0]); i++) {
		if (fixes[i].exe && strncmp(exe, fixes[i].exe, strlen(fixes[i].exe)))
			continue;
		if (!fixes[i].stack || on_stack(c, fixes[i].stack))
			break;
	}
	return fixes[i].fix;
}
