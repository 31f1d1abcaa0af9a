/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/replay_census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/recorded_owners.h"
#include "user/source/recording.h"
#include "user/source/replay_fields.h"
#include "user/source/replay_records.h"

#define MAX_RULES   65536
#define MAX_SOCKETS (64u << 20)

/* A census with what it points to. */
struct parts {
	struct model_census census;
	struct socket_list sockets;
	struct port_rules *rules;
	uint32_t *netns;
	struct time_wait_limits limits;
	uint64_t nr_sockets, nr_rules; /* that it has when it is whole */
	bool begun;
};

struct replay_census {
	struct parts now, last;
	struct recorded_owners owners;
};

/* By the PID, which stands in the socket for its file: see fill_socket(). */
static const struct process_identity *find_owner(void *ctx, const struct tcp_socket *s)
{
	const struct replay_census *c = ctx;

	return recorded_owners__find(&c->owners, (uint32_t)s->inode);
}

static void clear_parts(struct parts *p)
{
	socket_list__clear(&p->sockets);
	free(p->rules);
	free(p->netns);
	time_wait_limits__clear(&p->limits);
	memset(p, 0, sizeof(*p));
}

struct replay_census *replay_census__new(void)
{
	return calloc(1, sizeof(struct replay_census));
}

void replay_census__free(struct replay_census *c)
{
	if (!c)
		return;
	recorded_owners__clear(&c->owners);
	clear_parts(&c->now);
	clear_parts(&c->last);
	free(c);
}

int replay_census__owner(struct replay_census *c, const struct process_identity *p)
{
	return recorded_owners__put(&c->owners, p);
}

/* Numbers of an array, which is to be freed. 0, REPLAY_BAD_LINE or -ENOMEM. */
static int take_netns(struct line *l, uint32_t **out, uint32_t *nr)
{
	uint64_t value;
	bool bad = false;
	int it = 0;

	while (line__next_number(l, F_CENSUS_NETNS, &it, &value, &bad)) {
		uint32_t *at = realloc(*out, (*nr + 1) * sizeof(*at));

		if (!at)
			return -ENOMEM;
		*out = at;
		at[(*nr)++] = (uint32_t)value;
	}
	return bad ? REPLAY_BAD_LINE : 0;
}

/* What no kernel could have told makes the line a bad one. */
static int take_limits(struct line *l, struct time_wait_limits *out)
{
	uint64_t n[RECORDING_LIMIT_NUMBERS];
	bool bad = false;
	int it = 0, k = 0, err = 0;

	while (!err && line__next_number(l, F_CENSUS_LIMITS, &it, &n[k], &bad)) {
		if (++k < RECORDING_LIMIT_NUMBERS)
			continue;
		k = 0;
		if (n[RECORDING_LIMIT_NETNS] > UINT32_MAX || n[RECORDING_LIMIT_MAX] > UINT32_MAX ||
		    n[RECORDING_LIMIT_COUNTED] > 1 || out->nr >= MAX_RULES)
			return REPLAY_BAD_LINE;
		err = time_wait_limits__note(
			out, &(struct time_wait_limit){.netns = n[RECORDING_LIMIT_NETNS],
						       .max = n[RECORDING_LIMIT_MAX],
						       .counted = n[RECORDING_LIMIT_COUNTED],
						       .skipped = n[RECORDING_LIMIT_SKIPPED]});
	}
	return err ? err : bad || k ? REPLAY_BAD_LINE : 0;
}

int replay_census__begin(struct replay_census *c, struct line *l, uint64_t taken_ns)
{
	struct parts *p = &c->now;
	int err;

	clear_parts(p);
	p->census = (struct model_census){.taken_ns = taken_ns, .owner = find_owner, .ctx = c};
	if (!line__has(l, F_CENSUS_SOCKETS) || !line__has(l, F_CENSUS_RULES) ||
	    !line__uint(l, F_CENSUS_SOCKETS, MAX_SOCKETS, &p->nr_sockets) ||
	    !line__uint(l, F_CENSUS_RULES, MAX_RULES, &p->nr_rules) ||
	    !line__bool(l, F_CENSUS_PARTIAL, &p->census.partial))
		return REPLAY_BAD_LINE;
	err = take_netns(l, &p->netns, &p->census.nr_netns);
	if (!err)
		err = take_limits(l, &p->limits);
	p->begun = !err;
	return err;
}

int replay_census__rules(struct replay_census *c, struct line *l)
{
	struct parts *p = &c->now;
	uint32_t nr = p->census.nr_rules;
	const struct time_wait_limit *limit;
	struct port_rules *at, *r;
	char *reserved = NULL;

	if (!p->begun || nr >= p->nr_rules)
		return REPLAY_BAD_LINE;
	at = realloc(p->rules, (nr + 1) * sizeof(*at));
	if (!at)
		return -ENOMEM;
	p->rules = at;
	r = &at[nr];
	port_rules__init(r);
	if (!take_u32(l, F_NETNS, &r->netns) || !take_u16(l, F_RANGE_LOW, UINT16_MAX, &r->low) ||
	    !take_u16(l, F_RANGE_HIGH, UINT16_MAX, &r->high) ||
	    !take_u8(l, F_TW_REUSE, &r->tw_reuse) || r->tw_reuse > TW_REUSE_LOOPBACK ||
	    !line__bool(l, F_TIMESTAMPS, &r->timestamps) ||
	    !take_u32(l, F_REUSE_DELAY_MS, &r->reuse_delay_ms) ||
	    !line__string(l, F_RESERVED, &reserved) || r->low > r->high ||
	    (reserved && port_rules__set_reserved(r, reserved)))
		return REPLAY_BAD_LINE;
	limit = time_wait_limits__find(&p->limits, r->netns);
	if (limit)
		r->max_time_wait = limit->max;
	p->census.nr_rules++;
	return 0;
}

/* The numbers of one socket: those that no kernel could have told make the line a bad one. */
static bool fill_socket(struct tcp_socket *s, const uint64_t n[RECORDING_NUMBERS])
{
	uint64_t flags = n[RECORDING_FLAGS];

	if (n[RECORDING_PORT] > UINT16_MAX || n[RECORDING_STATE] >= SOCKET_STATE__COUNT ||
	    flags > RECORDING_ALL_FLAGS || n[RECORDING_TIMER_MS] > UINT32_MAX ||
	    n[RECORDING_YOUNG_MS] > UINT32_MAX || n[RECORDING_PID] > UINT32_MAX ||
	    n[RECORDING_RANGE] > UINT32_MAX)
		return false;
	s->local_port = n[RECORDING_PORT];
	s->state = n[RECORDING_STATE];
	s->time_wait = flags & RECORDING_TIME_WAIT;
	s->port_bound = flags / RECORDING_BOUND % 4 % (SOCKET_YES + 1);
	s->timestamps = flags / RECORDING_TIMESTAMPS % 4 % (SOCKET_YES + 1);
	s->timer_ms = n[RECORDING_TIMER_MS];
	s->young_ms = n[RECORDING_YOUNG_MS];
	s->cookie = n[RECORDING_COOKIE];
	/* There is none in a recording: something that is not 0, with the PID in its low half. */
	s->inode = n[RECORDING_PID] | (flags & RECORDING_FILE ? 1ULL << 32 : 0);
	s->range_low = (uint16_t)n[RECORDING_RANGE];
	s->range_high = n[RECORDING_RANGE] >> 16;
	s->range_by_two = flags & RECORDING_BY_TWO;
	s->idle_ms = UINT32_MAX;
	return true;
}

static int take_sockets(struct parts *p, struct line *l, const struct tcp_socket *common)
{
	uint64_t n[RECORDING_NUMBERS];
	struct tcp_socket *s;
	bool bad = false;
	int it = 0, k = 0;

	while (line__next_number(l, F_SOCKETS, &it, &n[k], &bad)) {
		if (++k < RECORDING_NUMBERS)
			continue;
		k = 0;
		s = p->sockets.nr < p->nr_sockets ? socket_list__add(&p->sockets) : NULL;
		if (!s)
			return p->sockets.nr < p->nr_sockets ? -ENOMEM : REPLAY_BAD_LINE;
		*s = *common;
		if (!fill_socket(s, n))
			return REPLAY_BAD_LINE;
	}
	return bad || k ? REPLAY_BAD_LINE : 0;
}

int replay_census__sockets(struct replay_census *c, struct line *l)
{
	struct tcp_socket common = {.family = 0};
	int err;

	if (!c->now.begun)
		return REPLAY_BAD_LINE;
	if (!line__has(l, F_FAMILY) || !take_u32(l, F_NETNS, &common.netns) ||
	    !take_u32(l, F_DEVICE, &common.device) ||
	    !line__name(l, F_FAMILY, family_from_name, &common.family) ||
	    !take_addr(l, F_LOCAL_ADDR, common.local_addr) ||
	    !take_addr(l, F_PEER_ADDR, common.peer_addr) ||
	    !take_u16(l, F_PEER_PORT, UINT16_MAX, &common.peer_port))
		err = REPLAY_BAD_LINE;
	else
		err = take_sockets(&c->now, l, &common);
	c->now.begun = !err; /* what is left of it is of no use */
	return err;
}

const struct model_census *replay_census__whole(struct replay_census *c)
{
	struct parts *p = &c->now;

	if (!p->begun || p->sockets.nr < p->nr_sockets || p->census.nr_rules < p->nr_rules)
		return NULL;
	clear_parts(&c->last);
	c->last = *p;
	memset(p, 0, sizeof(*p));
	p = &c->last;
	p->census.sockets = &p->sockets;
	p->census.rules = p->rules;
	p->census.netns = p->netns;
	p->census.limits = p->limits.at;
	p->census.nr_limits = p->limits.nr;
	return &p->census;
}

const struct model_census *replay_census__last(struct replay_census *c)
{
	if (!c->last.begun)
		return NULL;
	c->last.census.pools = true;
	return &c->last.census;
}
