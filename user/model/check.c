/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/check.h"

#include <string.h>

static enum check_status worse(enum check_status a, enum check_status b)
{
	return a > b ? a : b;
}

static enum check_status judge_pool(const struct check_result *r, const struct check_limits *l)
{
	if (!r->worst)
		return CHECK_OK;
	if (r->taken >= l->critical || !r->worst->free)
		return CHECK_CRITICAL;
	return r->taken >= l->warning ? CHECK_WARNING : CHECK_OK;
}

static enum check_status judge_leak(const struct check_result *r, const struct check_limits *l)
{
	if (l->leak_critical && r->leak >= l->leak_critical)
		return CHECK_CRITICAL;
	return l->leak_warning && r->leak >= l->leak_warning ? CHECK_WARNING : CHECK_OK;
}

/* The sockets of a namespace stand together. */
static void count_sockets(struct check_result *r, const struct socket_list *sockets)
{
	uint32_t here = 0;

	for (size_t i = 0; i < sockets->nr; i++) {
		const struct tcp_socket *s = &sockets->at[i];

		if (i && s->netns != sockets->at[i - 1].netns)
			here = 0;
		r->established += s->state == SOCKET_ESTABLISHED;
		r->time_wait += s->state == SOCKET_TIME_WAIT;
		r->close_wait += s->state == SOCKET_CLOSE_WAIT;
		here += s->state == SOCKET_CLOSE_WAIT;
		if (here > r->leak) {
			r->leak = here;
			r->leak_netns = s->netns;
		}
	}
}

void check__judge(struct check_result *out, const struct check_limits *limits,
		  const struct port_pools *pools, const struct socket_list *sockets,
		  const struct check_failures *failures, bool incomplete)
{
	enum check_status pool, leak;

	memset(out, 0, sizeof(*out));
	count_sockets(out, sockets);
	if (pools->nr) { /* the worst comes first */
		out->worst = &pools->at[0];
		if (out->worst->capacity)
			out->taken = 1 - (double)out->worst->free / out->worst->capacity;
		else
			out->taken = 1;
	}
	pool = judge_pool(out, limits);
	leak = judge_leak(out, limits);
	out->pool_bad = pool != CHECK_OK;
	out->leak_bad = leak != CHECK_OK;
	out->failures_bad = failures->connects || failures->binds;
	out->status = worse(pool, leak);
	if (out->failures_bad)
		out->status = CHECK_CRITICAL;
	if (out->status == CHECK_OK && incomplete)
		out->status = CHECK_UNKNOWN;
}
