/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The recorder's part for a census: see recording.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"
#include "user/source/record_lines.h"
#include "user/source/recording.h"

#define ALL_PORTS 65536

/* Processes that were told of in this recording. */
struct owner_set {
	struct churn_id id;
	UT_hash_handle hh;
};

/* A socket of the census, and whose file it is. */
struct place {
	const struct tcp_socket *s;
	uint32_t pid;
};

static int compare_addresses(const struct tcp_socket *a, const struct tcp_socket *b)
{
	int diff;

	if (a->netns != b->netns)
		return a->netns < b->netns ? -1 : 1;
	if (a->device != b->device)
		return a->device < b->device ? -1 : 1;
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->peer_port != b->peer_port)
		return a->peer_port < b->peer_port ? -1 : 1;
	diff = memcmp(a->peer_addr, b->peer_addr, sizeof(a->peer_addr));
	return diff ? diff : memcmp(a->local_addr, b->local_addr, sizeof(a->local_addr));
}

static int compare_places(const void *a, const void *b)
{
	const struct tcp_socket *x = ((const struct place *)a)->s;
	const struct tcp_socket *y = ((const struct place *)b)->s;
	int diff = compare_addresses(x, y);

	return diff ? diff : (int)x->local_port - (int)y->local_port;
}

/* "8080-8080,9000-9100" */
static int put_reserved(struct json *j, const struct port_rules *r)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	for (uint32_t port = 1, end; port < ALL_PORTS; port = end + 1) {
		for (end = port; end < ALL_PORTS && r->reserved[end / 64] & 1ULL << end % 64;)
			end++;
		if (end > port)
			fprintf(f, "%s%u-%u", ftell(f) ? "," : "", port, end - 1);
	}
	if (fclose(f)) {
		free(text);
		return -ENOMEM;
	}
	json__string(j, "reserved", text);
	free(text);
	return 0;
}

static int put_rules(struct recorder *r, const struct model_census *c, const struct port_rules *p)
{
	struct json *j = recorder__begin(r, "port_rules", c->taken_ns);
	int err;

	json__object(j, "tcpchurn");
	json__uint(j, "netns", p->netns);
	json__object(j, "port_rules");
	json__uint(j, "low", p->low);
	json__uint(j, "high", p->high);
	json__uint(j, "tw_reuse", p->tw_reuse);
	json__bool(j, "timestamps", p->timestamps);
	json__uint(j, "reuse_delay_ms", p->reuse_delay_ms);
	err = put_reserved(j, p);
	return err ? err : recorder__end(r);
}

static void put_limit(struct json *j, const struct time_wait_limit *l)
{
	const uint64_t numbers[RECORDING_LIMIT_NUMBERS] = {
		[RECORDING_LIMIT_NETNS] = l->netns,
		[RECORDING_LIMIT_MAX] = l->max,
		[RECORDING_LIMIT_COUNTED] = l->counted,
		[RECORDING_LIMIT_SKIPPED] = l->skipped,
	};

	for (int i = 0; i < RECORDING_LIMIT_NUMBERS; i++)
		json__uint(j, NULL, numbers[i]);
}

static int put_census(struct recorder *r, const struct model_census *c)
{
	struct json *j = recorder__begin(r, "census", c->taken_ns);

	json__object(j, "tcpchurn");
	json__object(j, "census");
	json__uint(j, "sockets", c->sockets->nr);
	json__uint(j, "port_rules", c->nr_rules);
	if (c->partial)
		json__bool(j, "partial", true);
	json__array(j, "netns");
	for (uint32_t i = 0; i < c->nr_netns; i++)
		json__uint(j, NULL, c->netns[i]);
	json__close(j);
	json__array(j, "time_wait_limits");
	for (uint32_t i = 0; i < c->nr_limits; i++)
		put_limit(j, &c->limits[i]);
	return recorder__end(r);
}

static void put_socket(struct json *j, const struct place *p)
{
	const struct tcp_socket *s = p->s;
	const uint64_t numbers[RECORDING_NUMBERS] = {
		[RECORDING_PORT] = s->local_port,
		[RECORDING_STATE] = s->state,
		[RECORDING_FLAGS] =
			s->time_wait * RECORDING_TIME_WAIT + s->port_bound * RECORDING_BOUND +
			s->timestamps * RECORDING_TIMESTAMPS + (s->inode ? RECORDING_FILE : 0) +
			(s->range_by_two ? RECORDING_BY_TWO : 0),
		[RECORDING_TIMER_MS] = s->timer_ms,
		[RECORDING_YOUNG_MS] = s->young_ms,
		[RECORDING_COOKIE] = s->cookie,
		[RECORDING_PID] = p->pid,
		[RECORDING_RANGE] = s->range_low | (uint32_t)s->range_high << 16,
	};

	for (int i = 0; i < RECORDING_NUMBERS; i++)
		json__uint(j, NULL, numbers[i]);
}

static int put_sockets(struct recorder *r, const struct model_census *c, const struct place *at,
		       size_t nr)
{
	struct json *j = recorder__begin(r, "sockets", c->taken_ns);
	const struct tcp_socket *s = at->s;

	json__object(j, "network");
	json__string(j, "type", s->family == 6 ? "ipv6" : "ipv4");
	record_address(j, "local", s->local_addr, 0);
	record_address(j, "peer", s->peer_addr, s->peer_port);
	json__close(j);
	json__object(j, "tcpchurn");
	json__uint(j, "netns", s->netns);
	if (s->device)
		json__uint(j, "device", s->device);
	json__array(j, "sockets");
	for (size_t i = 0; i < nr; i++)
		put_socket(j, &at[i]);
	return recorder__end(r);
}

/* Adds it. 1: it is new, 0, or -ENOMEM. */
static int owner_set__add(struct owner_set **set, const struct churn_id *id)
{
	struct owner_set *o;

	HASH_FIND(hh, *set, id, sizeof(*id), o);
	if (o)
		return 0;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->id = *id;
	HASH_ADD(hh, *set, id, sizeof(o->id), o);
	if (o->hh.tbl)
		return 1;
	free(o);
	return -ENOMEM;
}

void owner_set__clear(struct owner_set **set)
{
	struct owner_set *o, *tmp;

	HASH_ITER (hh, *set, o, tmp) {
		HASH_DEL(*set, o);
		free(o);
	}
}

/* Once for each process and recording; a damaged line makes it unknown, not another one. */
static int put_owner(struct recorder *r, const struct model_census *c, struct place *p)
{
	const struct process_identity *owner = NULL;
	int ret;

	if (p->s->inode && c->owner)
		owner = c->owner(c->ctx, p->s);
	if (!owner)
		return 0;
	p->pid = owner->id.tgid;
	ret = owner_set__add(recorder__owners(r), &owner->id);
	if (ret <= 0)
		return ret;
	record_process(recorder__begin(r, "owner", c->taken_ns), owner);
	return recorder__end(r);
}

static int put_all(struct recorder *r, const struct model_census *c, struct place *at)
{
	size_t nr = c->sockets->nr, first = 0, end;
	int err = put_census(r, c);

	for (uint32_t i = 0; !err && i < c->nr_rules; i++)
		err = put_rules(r, c, &c->rules[i]);
	for (size_t i = 0; !err && i < nr; i++) {
		at[i].s = &c->sockets->at[i];
		err = put_owner(r, c, &at[i]);
	}
	if (!err && nr)
		qsort(at, nr, sizeof(*at), compare_places);
	for (; !err && first < nr; first = end) {
		for (end = first; end < nr && end - first < RECORDING_SOCKETS &&
				  !compare_addresses(at[first].s, at[end].s);)
			end++;
		err = put_sockets(r, c, &at[first], end - first);
	}
	return err;
}

int record_census(void *ctx, const struct model_census *c)
{
	struct place *at = calloc(c->sockets->nr + 1, sizeof(*at));
	int err = at ? put_all(ctx, c, at) : -ENOMEM;

	free(at);
	return err;
}
