/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/census.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/source/netns.h"
#include "user/source/netstat.h"
#include "user/source/sock_diag.h"
#include "user/source/socket_iter.h"
#include "user/source/sockstat.h"
#include "user/source/sysctl.h"

#define NETLINK_TRIES 3
#define RULES_TRIES   2

struct census {
	struct census_options opts;
	struct socket_iter *iter; /* NULL: netlink */
};

/* --- a namespace ------------------------------------------------------------------------------ */

static int read_netlink(struct socket_list *l, const struct sock_diag_query *q)
{
	size_t before = l->nr;
	int err;

	for (int i = 0; i < NETLINK_TRIES; i++) {
		l->nr = before;
		err = sock_diag__read(l, q);
		if (err != -EINTR)
			break;
	}
	return err;
}

/* The young age of a TIME_WAIT: netlink tells what is left of it, and that it began no later. */
static void guess_youth(struct tcp_socket *s, const struct port_rules *r)
{
	uint32_t age_ms = s->timer_ms < TIME_WAIT_MS ? TIME_WAIT_MS - s->timer_ms : 0;

	if (s->state == SOCKET_TIME_WAIT && age_ms < r->reuse_delay_ms)
		s->young_ms = r->reuse_delay_ms - age_ms;
}

static int read_by_netlink(const struct census *c, struct socket_list *l,
			   const struct port_rules *r)
{
	const struct sock_diag_query q = {
		.states = c->opts.states ? c->opts.states : CENSUS_ALL_STATES,
		.netns = r->netns,
		.idle = c->opts.idle,
	};
	size_t first = l->nr;
	int err = read_netlink(l, &q);

	for (size_t i = first; i < l->nr; i++)
		guess_youth(&l->at[i], r);
	return err;
}

/* Sockets that are bound and nothing else: iter/tcp does not know them. */
struct bound_reader {
	pthread_t thread;
	bool started;
	struct sock_diag_query query;
	struct socket_list found;
	int err;
};

/* In the network namespace of the thread that made this one. */
static void *read_bound(void *arg)
{
	struct bound_reader *b = arg;

	b->err = read_netlink(&b->found, &b->query);
	return NULL;
}

/* The kernel looks for them in the table of all binds, those of TIME_WAIT included, which takes a
 * quarter as long as the sockets themselves: at the same time. */
static void start_bound(struct bound_reader *b)
{
	b->started = !pthread_create(&b->thread, NULL, read_bound, b);
	if (!b->started)
		read_bound(b);
}

static int finish_bound(struct bound_reader *b, struct socket_list *l)
{
	int err;

	if (b->started)
		pthread_join(b->thread, NULL);
	err = b->err == -ENOTSUP ? 0 : b->err; /* before 6.8 */
	if (!err)
		err = socket_list__append(l, &b->found);
	socket_list__clear(&b->found);
	return err;
}

/* iter/tcp has no filter by state. */
static void keep_wanted(const struct census *c, struct socket_list *l, size_t first)
{
	size_t kept = first;

	for (size_t i = first; i < l->nr; i++) {
		if (l->at[i].state < 32 && c->opts.states & (1u << l->at[i].state))
			l->at[kept++] = l->at[i];
	}
	l->nr = kept;
}

static int read_by_bpf(const struct census *c, struct socket_list *l, const struct port_rules *r)
{
	struct bound_reader bound = {.query = {.states = SOCK_DIAG_BOUND, .netns = r->netns}};
	bool with_bound = !c->opts.states || c->opts.states & SOCK_DIAG_BOUND;
	size_t first = l->nr;
	int err, bound_err = 0;

	if (with_bound)
		start_bound(&bound);
	err = socket_iter__read(c->iter, l, r->netns, r->reuse_delay_ms);
	if (c->opts.states)
		keep_wanted(c, l, first);
	if (with_bound)
		bound_err = finish_bound(&bound, l);
	return err ? err : bound_err;
}

static int read_sockets(const struct census *c, struct census_result *out,
			const struct port_rules *r)
{
	if (c->iter)
		return read_by_bpf(c, &out->sockets, r);
	return read_by_netlink(c, &out->sockets, r);
}

static bool same_rules(const struct port_rules *a, const struct port_rules *b)
{
	return a->low == b->low && a->high == b->high && a->tw_reuse == b->tw_reuse &&
	       a->reuse_delay_ms == b->reuse_delay_ms && a->timestamps == b->timestamps &&
	       a->max_time_wait == b->max_time_wait &&
	       !memcmp(a->reserved, b->reserved, sizeof(a->reserved));
}

/* The rules as they were before and after the sockets were read: the same, or the census of this
 * namespace speaks of two worlds. */
static int read_consistently(const struct census *c, struct census_result *out,
			     struct census_netns *n)
{
	struct port_rules *rules = realloc(out->rules, (out->nr_rules + 1) * sizeof(*rules));
	struct port_rules before;
	int err;

	if (!rules)
		return -ENOMEM;
	out->rules = rules;
	rules += out->nr_rules;
	sysctl_port_rules(&before, n->inum);
	for (int i = 0; i < RULES_TRIES; i++) {
		out->sockets.nr = n->first;
		err = read_sockets(c, out, &before);
		sysctl_port_rules(rules, n->inum);
		if (err || same_rules(rules, &before))
			break;
		err = -EINTR;
		before = *rules;
	}
	out->nr_rules++;
	return err;
}

static void read_netns(const struct census *c, struct census_result *out, struct census_netns *n)
{
	struct sockstat count;
	int err;

	n->max_time_wait = sysctl_max_time_wait();
	if (c->opts.counters != CENSUS_NO_COUNTERS)
		n->has_overflows = netstat_time_wait_overflows(&n->overflows);
	if (c->opts.counters == CENSUS_COUNTERS_ONLY)
		return;
	if (sockstat_read(&count) && !count.tcp && !count.time_wait) {
		n->outcome = CENSUS_IDLE;
		return;
	}
	err = read_consistently(c, out, n);
	n->nr = out->sockets.nr - n->first;
	n->outcome = err == -EINTR ? CENSUS_PARTIAL : err ? CENSUS_FAILED : CENSUS_READ;
	n->error = -err;
}

static struct census_netns *add_netns(struct census_result *out, const struct netns *from)
{
	struct census_netns *at = realloc(out->netns, (out->nr_netns + 1) * sizeof(*at)), *n;

	if (!at)
		return NULL;
	out->netns = at;
	n = &at[out->nr_netns];
	memset(n, 0, sizeof(*n));
	n->inum = from->inum;
	n->max_time_wait = TIME_WAIT_NO_LIMIT;
	n->pid = from->pid;
	n->first = out->sockets.nr;
	n->path = strdup(from->path);
	if (!n->path)
		return NULL;
	out->nr_netns++;
	return n;
}

/* Our own namespace, which mostly has most of the sockets, while the others are looked for. */
struct own_reader {
	pthread_t thread;
	bool started;
	const struct census *census;
	struct census_result result;
};

static void *read_own(void *arg)
{
	struct own_reader *own = arg;

	read_netns(own->census, &own->result, own->result.netns);
	return NULL;
}

static int start_own(struct own_reader *own, const struct netns *from)
{
	if (!add_netns(&own->result, from))
		return -ENOMEM;
	own->started = !pthread_create(&own->thread, NULL, read_own, own);
	if (!own->started)
		read_own(own);
	return 0;
}

static void finish_own(struct own_reader *own)
{
	if (own->started)
		pthread_join(own->thread, NULL);
}

struct visit {
	const struct census *census;
	struct census_result *out; /* all but our own */
	struct own_reader own;
};

static int visit_other(const struct visit *v, const struct netns *from)
{
	struct census_netns *n = add_netns(v->out, from);
	int err, home;

	if (!n)
		return -ENOMEM;
	err = netns_enter(from, &home);
	if (err) {
		n->outcome = err == -EPERM ? CENSUS_DENIED : CENSUS_FAILED;
		n->error = -err;
	} else {
		read_netns(v->census, v->out, n);
		netns_leave(home);
	}
	return n->error == ENOMEM ? -ENOMEM : 0;
}

static int visit(void *ctx, const struct netns *from)
{
	struct visit *v = ctx;
	uint32_t wanted = v->census->opts.netns;
	int err;

	if (wanted && from->inum != wanted)
		return 0;
	err = from->inum == netns_own() ? start_own(&v->own, from) : visit_other(v, from);
	return err ? err : wanted ? 1 : 0;
}

static int append(struct census_result *to, struct census_result *more)
{
	size_t nr_netns = to->nr_netns + more->nr_netns, nr_rules = to->nr_rules + more->nr_rules;
	struct census_netns *netns = realloc(to->netns, (nr_netns + 1) * sizeof(*netns));
	struct port_rules *rules;

	if (!netns)
		return -ENOMEM;
	to->netns = netns;
	rules = realloc(to->rules, (nr_rules + 1) * sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	to->rules = rules;
	for (size_t i = 0; i < more->nr_rules; i++)
		to->rules[to->nr_rules++] = more->rules[i];
	for (size_t i = 0; i < more->nr_netns; i++) {
		more->netns[i].first += to->sockets.nr;
		to->netns[to->nr_netns++] = more->netns[i];
	}
	more->nr_netns = 0; /* their paths have gone along */
	return socket_list__append(&to->sockets, &more->sockets);
}

/* In whatever order, but the sockets of a namespace together. */
static int join(struct census_result *out, struct census_result *own)
{
	struct census_result more = *own;
	int err;

	if (own->sockets.nr > out->sockets.nr) {
		more = *out;
		*out = *own;
	}
	err = append(out, &more);
	census_result__clear(&more);
	return err;
}

/* --- all of them ------------------------------------------------------------------------------ */

struct census *census__open(const struct census_options *opts)
{
	struct census *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->opts = *opts;
	if (!opts->no_bpf && !opts->idle && opts->counters != CENSUS_COUNTERS_ONLY) {
		c->iter = socket_iter__open();
		if (!c->iter)
			log_debug("census: no iter/tcp (%s): netlink instead", strerror(errno));
	}
	return c;
}

void census__free(struct census *c)
{
	if (!c)
		return;
	socket_iter__free(c->iter);
	free(c);
}

int census__take(struct census *c, struct census_result *out)
{
	struct visit v = {.census = c, .out = out, .own.census = c};
	struct netns_visit search = {.ctx = &v, .visit = visit};
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	int ret, err;

	memset(out, 0, sizeof(*out));
	ret = netns_for_each(&search);
	finish_own(&v.own);
	if (v.own.result.nr_netns && v.own.result.netns->error == ENOMEM)
		ret = -ENOMEM;
	err = join(out, &v.own.result);
	out->backend = c->iter ? CENSUS_BPF : CENSUS_NETLINK;
	out->taken_ns = begin;
	out->hidden = search.hidden;
	out->duration_ns = clock_ns(CLOCK_MONOTONIC) - begin;
	if (ret < 0 || err)
		return ret < 0 ? ret : err;
	return c->opts.netns && !out->nr_netns ? -ENOENT : 0;
}

int census_once(const struct census_options *opts, struct census_result *out)
{
	struct census *c = census__open(opts);
	int err;

	memset(out, 0, sizeof(*out));
	if (!c)
		return -errno;
	err = census__take(c, out);
	census__free(c);
	return err;
}

void census_result__clear(struct census_result *r)
{
	for (size_t i = 0; i < r->nr_netns; i++)
		free(r->netns[i].path);
	free(r->netns);
	free(r->rules);
	socket_list__clear(&r->sockets);
	memset(r, 0, sizeof(*r));
}

void census_result__tally(const struct census_result *r, uint32_t of[CENSUS_OUTCOMES])
{
	memset(of, 0, CENSUS_OUTCOMES * sizeof(*of));
	for (size_t i = 0; i < r->nr_netns; i++)
		of[r->netns[i].outcome]++;
}

const char *census_result__netns_name(const struct census_result *r, uint32_t inum)
{
	if (inum == netns_own())
		return "";
	for (size_t i = 0; i < r->nr_netns; i++) {
		const struct census_netns *n = &r->netns[i];

		if (n->inum == inum && !n->pid)
			return text_base_name(n->path);
	}
	return NULL;
}

bool census_result__is_partial(const struct census_result *r)
{
	uint32_t of[CENSUS_OUTCOMES];

	census_result__tally(r, of);
	return r->hidden || of[CENSUS_PARTIAL] || of[CENSUS_DENIED] || of[CENSUS_FAILED];
}
