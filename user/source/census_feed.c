/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/census_feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/source/census.h"
#include "user/source/holders.h"

#define INTERVAL_NS 5000000000ULL
#define COST_FACTOR 100 /* of the time that the last one took */

struct census_feed {
	struct census_options options;
	struct census *census; /* opened for the first one: loading takes as long as a look */
	struct census_result last;
	struct census_result before; /* the counters, when the trace began */
	bool has_before;
	bool taken; /* and not delivered yet */
	bool complained;
	uint64_t next_ns; /* CLOCK_MONOTONIC */
};

struct census_feed *census_feed__new(uint32_t netns)
{
	struct census_feed *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->options.netns = netns;
	f->options.counters = CENSUS_WITH_COUNTERS;
	f->next_ns = clock_ns(CLOCK_MONOTONIC) + INTERVAL_NS;
	return f;
}

void census_feed__free(struct census_feed *f)
{
	if (!f)
		return;
	census_result__clear(&f->before);
	census_result__clear(&f->last);
	census__free(f->census);
	free(f);
}

void census_feed__start(struct census_feed *f)
{
	struct census_options co = {.counters = CENSUS_COUNTERS_ONLY};

	if (!f)
		return;
	co.netns = f->options.netns;
	census_result__clear(&f->before);
	f->has_before = !census_once(&co, &f->before);
	if (!f->has_before)
		log_debug("the counters of the network namespaces could not be read");
}

bool census_feed__is_due(const struct census_feed *f, uint64_t now_ns)
{
	return f && now_ns >= f->next_ns;
}

static void pace(struct census_feed *f, uint64_t cost_ns)
{
	uint64_t pause = cost_ns * COST_FACTOR;

	f->next_ns = f->last.taken_ns + (pause > INTERVAL_NS ? pause : INTERVAL_NS);
}

int census_feed__take(struct census_feed *f)
{
	int err;

	census_result__clear(&f->last);
	if (!f->census)
		f->census = census__open(&f->options);
	if (!f->census)
		return -errno;
	err = census__take(f->census, &f->last);
	pace(f, f->last.duration_ns);
	f->taken = !err;
	if (err && err != -ENOMEM && !f->complained) {
		log_warn("no census of the sockets: %s", strerror(-err));
		f->complained = true;
	}
	return err == -ENOMEM ? err : 0;
}

/* Looking through the files of all processes takes as long as the census: only if it is needed. */
struct lazy_holders {
	const struct socket_list *sockets;
	struct holders *holders;
	bool failed;
};

static const struct process_identity *find_owner(void *ctx, const struct tcp_socket *s)
{
	struct lazy_holders *l = ctx;

	if (!l->holders && !l->failed) {
		l->holders = holders__new(l->sockets);
		l->failed = !l->holders;
	}
	return l->holders ? holders__process(l->holders, s) : NULL;
}

static const struct census_netns *find_netns(const struct census_result *r, uint32_t inum)
{
	for (size_t i = 0; i < r->nr_netns; i++) {
		if (r->netns[i].inum == inum)
			return &r->netns[i];
	}
	return NULL;
}

/* Since the trace began. One that was not there then has counted from 0 on, and so has one whose
 * counter went back: another namespace of the same number. */
static bool overflows_since(const struct census_feed *f, const struct census_netns *n,
			    uint64_t *out)
{
	const struct census_netns *before = find_netns(&f->before, n->inum);

	*out = n->overflows;
	if (!n->has_overflows || !f->has_before)
		return false;
	if (!before)
		return !census_result__is_partial(&f->before);
	if (before->has_overflows && before->overflows <= n->overflows)
		*out -= before->overflows;
	return before->has_overflows;
}

/* Of those with sockets, and those that had some; nr of them. */
static uint32_t fill_limits(const struct census_feed *f, struct time_wait_limit *out)
{
	const struct census_result *r = &f->last;
	uint32_t nr = 0;

	for (size_t i = 0; i < r->nr_netns; i++) {
		const struct census_netns *n = &r->netns[i];
		struct time_wait_limit l = {.netns = n->inum, .max = n->max_time_wait};

		l.counted = overflows_since(f, n, &l.skipped);
		if (!l.counted)
			l.skipped = 0;
		if (n->nr || l.skipped)
			out[nr++] = l;
	}
	return nr;
}

static int deliver(const struct census_feed *f, const struct sink *sink, bool last)
{
	const struct census_result *r = &f->last;
	struct time_wait_limit *limits = malloc((r->nr_netns + 1) * sizeof(*limits));
	uint32_t *netns = malloc((r->nr_netns + 1) * sizeof(*netns));
	struct lazy_holders holders = {.sockets = &r->sockets};
	struct model_census c = {
		.taken_ns = r->taken_ns,
		.sockets = &r->sockets,
		.rules = r->rules,
		.nr_rules = r->nr_rules,
		.netns = netns,
		.limits = limits,
		.partial = census_result__is_partial(r),
		.pools = last,
		.owner = find_owner,
		.ctx = &holders,
	};
	int err = -ENOMEM;

	if (!netns || !limits)
		goto out;
	c.nr_limits = fill_limits(f, limits);
	for (size_t i = 0; i < r->nr_netns; i++) {
		enum census_outcome o = r->netns[i].outcome;

		if (o == CENSUS_READ || o == CENSUS_IDLE)
			netns[c.nr_netns++] = r->netns[i].inum;
	}
	err = sink->census(sink->ctx, &c);
	holders__free(holders.holders);
out:
	free(limits);
	free(netns);
	return err;
}

int census_feed__deliver(struct census_feed *f, const struct sink *sink, bool last)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	int err;

	if (!f || !f->taken)
		return 0;
	f->taken = false;
	err = deliver(f, sink, last);
	/* A recorder may take longer to write it down than we to look. */
	pace(f, f->last.duration_ns + clock_ns(CLOCK_MONOTONIC) - begin);
	census_result__clear(&f->last); /* 10 MB for 100,000 sockets */
	return err;
}
