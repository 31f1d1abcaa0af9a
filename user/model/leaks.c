/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/leaks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

#define RECENT_MS 60000

/* A local port that somebody listens on, whatever the address. */
struct listener_key {
	uint32_t netns;
	uint32_t port;
};

struct listener {
	struct listener_key key;
	struct leak_owner owner;
	UT_hash_handle hh;
};

struct row_key {
	const struct process_identity *process;
	uint32_t netns;
	uint16_t port;
	uint8_t state;
	uint8_t accepted;
	uint8_t addr[16];
};

struct row {
	struct row_key key;
	struct leak leak;
	uint32_t *ages_ms; /* of those whose age is known */
	uint32_t cap;
	struct row *far; /* FIN_WAIT2: whom the latest of them waits for */
	uint32_t place;	 /* among the sorted ones */
	UT_hash_handle hh;
};

/* One end of a connection in CLOSE_WAIT, seen from its peer. */
struct end_key {
	uint8_t local[16], peer[16];
	uint16_t local_port, peer_port;
	uint32_t netns; /* of a loopback, which each has of its own; else 0 */
};

struct end {
	struct end_key key;
	struct row *row;
	UT_hash_handle hh;
};

struct making {
	struct leaks *out;
	uint32_t min_age_ms;
	leak_finder find;
	void *ctx;
	struct listener *listeners;
	struct row *rows;
	struct end *ends;
};

static struct listener *find_listener(const struct making *m, const struct tcp_socket *s)
{
	struct listener_key key = {.netns = s->netns, .port = s->local_port};
	struct listener *l;

	HASH_FIND(hh, m->listeners, &key, sizeof(key), l);
	return l;
}

static int add_listener(struct making *m, const struct tcp_socket *s)
{
	struct listener *l;

	if (find_listener(m, s))
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->key = (struct listener_key){.netns = s->netns, .port = s->local_port};
	m->find(m->ctx, s, &l->owner);
	HASH_ADD(hh, m->listeners, key, sizeof(l->key), l);
	if (!l->hh.tbl) {
		free(l);
		return -ENOMEM;
	}
	return 0;
}

/* Age since the last segment from the peer; false: unknown. */
static bool age_of(const struct tcp_socket *s, uint32_t *ms)
{
	*ms = s->idle_ms;
	return !s->time_wait && s->idle_ms != UINT32_MAX;
}

static struct row *find_row(struct making *m, const struct tcp_socket *s,
			    const struct leak_owner *owner, bool accepted)
{
	struct row_key key;
	struct row *r;

	memset(&key, 0, sizeof(key));
	key.process = owner->process;
	key.netns = s->netns;
	key.port = accepted ? s->local_port : s->peer_port;
	key.state = s->state;
	key.accepted = accepted;
	memcpy(key.addr, accepted ? s->local_addr : s->peer_addr, sizeof(key.addr));
	HASH_FIND(hh, m->rows, &key, sizeof(key), r);
	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	memcpy(&r->key, &key, sizeof(key));
	r->leak = (struct leak){.owner = *owner,
				.netns = key.netns,
				.state = key.state,
				.family = s->family,
				.accepted = accepted,
				.port = key.port,
				.seconds_left = -1,
				.first_socket = LEAK_NO_SOCKET};
	memcpy(r->leak.addr, key.addr, sizeof(key.addr));
	HASH_ADD(hh, m->rows, key, sizeof(r->key), r);
	if (!r->hh.tbl) {
		free(r);
		return NULL;
	}
	return r;
}

static int add_age(struct row *r, uint32_t ms)
{
	struct leak *l = &r->leak;

	if (l->nr_aged == r->cap) {
		uint32_t cap = r->cap ? 2 * r->cap : 16;
		uint32_t *at = realloc(r->ages_ms, cap * sizeof(*at));

		if (!at)
			return -ENOMEM;
		r->ages_ms = at;
		r->cap = cap;
	}
	r->ages_ms[l->nr_aged++] = ms;
	l->oldest_ms = ms > l->oldest_ms ? ms : l->oldest_ms;
	return 0;
}

static void end_key_of(struct end_key *key, const struct tcp_socket *s, bool mirrored)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->local, mirrored ? s->peer_addr : s->local_addr, sizeof(key->local));
	memcpy(key->peer, mirrored ? s->local_addr : s->peer_addr, sizeof(key->peer));
	key->local_port = mirrored ? s->peer_port : s->local_port;
	key->peer_port = mirrored ? s->local_port : s->peer_port;
	key->netns = addr_is_loopback(s->local_addr) ? s->netns : 0;
}

/* The same tuple may be in several namespaces: the first one counts. */
static int add_end(struct making *m, const struct tcp_socket *s, struct row *r)
{
	struct end_key key;
	struct end *e;

	end_key_of(&key, s, false);
	HASH_FIND(hh, m->ends, &key, sizeof(key), e);
	if (e)
		return 0;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->key = key;
	e->row = r;
	HASH_ADD(hh, m->ends, key, sizeof(e->key), e);
	if (!e->hh.tbl) {
		free(e);
		return -ENOMEM;
	}
	return 0;
}

/* Whose CLOSE_WAIT a FIN_WAIT2 waits for, NULL: none on this host. */
static struct row *find_far(const struct making *m, const struct tcp_socket *s)
{
	struct end_key key;
	struct end *e;

	if (s->state != SOCKET_FIN_WAIT2)
		return NULL;
	end_key_of(&key, s, true);
	HASH_FIND(hh, m->ends, &key, sizeof(key), e);
	return e ? e->row : NULL;
}

static int add_socket(struct making *m, const struct tcp_socket *s, uint32_t index)
{
	const struct listener *listener = find_listener(m, s);
	struct row *far = find_far(m, s), *r;
	struct leak_owner owner = {0};
	uint32_t ms;
	bool aged = age_of(s, &ms);
	int err;

	if (aged && ms < m->min_age_ms) {
		m->out->young += s->state == SOCKET_CLOSE_WAIT;
		return 0;
	}
	/* Every close passes through FIN_WAIT2; how long ago a mini-socket did is not known. */
	if (s->state == SOCKET_FIN_WAIT2 && !aged && !far)
		return 0;
	m->find(m->ctx, s, &owner);
	/* In CLOSE_WAIT without a file: it waits in the listener's queue. */
	if (s->state == SOCKET_CLOSE_WAIT && !s->inode && listener)
		owner = listener->owner;
	r = find_row(m, s, &owner, listener != NULL);
	if (!r)
		return -ENOMEM;
	m->out->next_socket[index] = r->leak.first_socket;
	r->leak.first_socket = index;
	r->leak.nr++;
	r->leak.unread += s->rqueue > 1; /* the FIN itself counts as one */
	r->leak.unaccepted += leak_unaccepted(&r->leak, s);
	err = aged ? add_age(r, ms) : 0;
	if (!err && s->state == SOCKET_CLOSE_WAIT)
		return add_end(m, s, r);
	if (far)
		r->far = far;
	return err;
}

static int add_sockets(struct making *m, const struct socket_list *sockets, unsigned int state)
{
	int err = 0;

	for (size_t i = 0; !err && i < sockets->nr; i++) {
		const struct tcp_socket *s = &sockets->at[i];

		if (s->state == state)
			err = state == SOCKET_LISTEN ? add_listener(m, s)
						     : add_socket(m, s, (uint32_t)i);
	}
	return err;
}

/* How fast it grows: those that came in the last minute, or after the oldest, and are still there.
 * Where ages are known by census only, how long the first ones took to come is not known. */
static void judge(struct row *r)
{
	struct leak *l = &r->leak;

	if (l->nr_aged < 2 || !l->oldest_ms)
		return;
	l->recent_ms = l->oldest_ms < RECENT_MS ? l->oldest_ms : RECENT_MS;
	for (uint32_t i = 0; i < l->nr_aged; i++)
		l->recent += r->ages_ms[i] <= l->recent_ms && r->ages_ms[i] < l->oldest_ms;
	if (!l->recent && l->oldest_ms <= RECENT_MS)
		l->recent_ms = 0; /* all as old as the oldest */
	if (!l->recent_ms)
		return;
	l->per_second = l->recent * 1000.0 / l->recent_ms;
}

static int by_process(const void *a, const void *b)
{
	const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;
	uintptr_t p = (uintptr_t)x->key.process, q = (uintptr_t)y->key.process;

	return p < q ? -1 : p > q;
}

static bool takes_files(const struct leak *l)
{
	return l->state == SOCKET_CLOSE_WAIT && l->recent && l->owner.fd_limit;
}

/* All that a process leaks takes of the same files. */
static void judge_process(struct row **rows, uint32_t nr)
{
	double sum = 0;

	for (uint32_t i = 0; i < nr; i++)
		sum += takes_files(&rows[i]->leak) ? rows[i]->leak.per_second : 0;
	for (uint32_t i = 0; i < nr; i++) {
		struct leak *l = &rows[i]->leak;

		l->process_per_second = sum;
		if (takes_files(l))
			l->seconds_left = l->owner.fd_count >= l->owner.fd_limit
						  ? 0
						  : (l->owner.fd_limit - l->owner.fd_count) / sum;
	}
}

static void judge_processes(struct row **rows, uint32_t nr)
{
	uint32_t i, end;

	qsort(rows, nr, sizeof(struct row *), by_process);
	for (i = 0; i < nr; i = end) {
		for (end = i + 1; end < nr && rows[end]->key.process == rows[i]->key.process; end++)
			;
		judge_process(&rows[i], end - i);
	}
}

static int by_number(const void *a, const void *b)
{
	const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;

	if (x->leak.state != y->leak.state)
		return x->leak.state == SOCKET_CLOSE_WAIT ? -1 : 1;
	if (x->leak.nr != y->leak.nr)
		return x->leak.nr < y->leak.nr ? 1 : -1;
	return (x->leak.oldest_ms < y->leak.oldest_ms) - (x->leak.oldest_ms > y->leak.oldest_ms);
}

static int list_rows(struct making *m)
{
	uint32_t nr = HASH_COUNT(m->rows), i = 0;
	struct row **sorted = calloc(nr + 1, sizeof(*sorted)), *r, *tmp;
	struct leak *at = calloc(nr + 1, sizeof(*at));

	if (!sorted || !at) {
		free(sorted);
		free(at);
		return -ENOMEM;
	}
	HASH_ITER (hh, m->rows, r, tmp) {
		judge(r);
		sorted[i++] = r;
	}
	judge_processes(sorted, nr);
	qsort(sorted, nr, sizeof(*sorted), by_number);
	for (i = 0; i < nr; i++)
		sorted[i]->place = i;
	for (i = 0; i < nr; i++) {
		at[i] = sorted[i]->leak;
		if (sorted[i]->far)
			at[i].far = &at[sorted[i]->far->place];
	}
	free(sorted);
	m->out->at = at;
	m->out->nr = nr;
	return 0;
}

static void free_all(struct making *m)
{
	struct listener *l, *next_listener;
	struct row *r, *next_row;
	struct end *e, *next_end;

	HASH_ITER (hh, m->listeners, l, next_listener) {
		HASH_DEL(m->listeners, l);
		free(l);
	}
	HASH_ITER (hh, m->ends, e, next_end) {
		HASH_DEL(m->ends, e);
		free(e);
	}
	HASH_ITER (hh, m->rows, r, next_row) {
		HASH_DEL(m->rows, r);
		free(r->ages_ms);
		free(r);
	}
}

int leaks__make(struct leaks *out, const struct socket_list *sockets, uint32_t min_age_ms,
		leak_finder find, void *ctx)
{
	struct making m = {.out = out, .min_age_ms = min_age_ms, .find = find, .ctx = ctx};
	int err;

	*out = (struct leaks){.next_socket = malloc((sockets->nr + 1) * sizeof(*out->next_socket))};
	err = out->next_socket ? add_sockets(&m, sockets, SOCKET_LISTEN) : -ENOMEM;
	if (!err)
		err = add_sockets(&m, sockets, SOCKET_CLOSE_WAIT);
	if (!err)
		err = add_sockets(&m, sockets, SOCKET_FIN_WAIT2);
	if (!err)
		err = list_rows(&m);
	free_all(&m);
	if (err)
		leaks__clear(out);
	return err;
}

void leaks__clear(struct leaks *l)
{
	free(l->at);
	free(l->next_socket);
	*l = (struct leaks){0};
}
