/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/recorded_leaks.h"

#include <errno.h>
#include <stdlib.h>

#include "user/base/clock.h"
#include "user/base/hash.h"
#include "user/model/recorded_owners.h"

#define FACT_STATES (LEAK_STATES | 1u << SOCKET_SYN_SENT)

/* A socket that was in CLOSE_WAIT in every census since. */
struct waiting {
	uint64_t cookie;
	uint64_t first_ns;
	uint32_t census; /* the last one that had it */
	UT_hash_handle hh;
};

struct recorded_leaks {
	uint32_t min_age_ms;
	uint32_t censuses;
	uint64_t taken_ns; /* of the last one */
	struct waiting *waiting;
	struct socket_list sockets; /* of the last one; the low half of inode is a PID */
	struct recorded_owners owners;
	struct leaks leaks;
	struct finding_facts facts;
	bool known, partial, followed_only;
};

struct recorded_leaks *recorded_leaks__new(uint32_t min_age_ms)
{
	struct recorded_leaks *r = calloc(1, sizeof(*r));

	if (r)
		r->min_age_ms = min_age_ms;
	return r;
}

static void forget(struct recorded_leaks *r, bool all)
{
	struct waiting *w, *tmp;

	HASH_ITER (hh, r->waiting, w, tmp) {
		if (!all && w->census == r->censuses)
			continue;
		HASH_DEL(r->waiting, w);
		free(w);
	}
}

void recorded_leaks__free(struct recorded_leaks *r)
{
	if (!r)
		return;
	forget(r, true);
	recorded_owners__clear(&r->owners);
	leaks__clear(&r->leaks);
	socket_list__clear(&r->sockets);
	free(r);
}

static struct waiting *find_waiting(const struct recorded_leaks *r, uint64_t cookie)
{
	struct waiting *w;

	HASH_FIND(hh, r->waiting, &cookie, sizeof(cookie), w);
	return w;
}

static int note(struct recorded_leaks *r, const struct tcp_socket *s, uint64_t taken_ns)
{
	struct waiting *w = find_waiting(r, s->cookie);

	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return -ENOMEM;
		w->cookie = s->cookie;
		w->first_ns = taken_ns;
		HASH_ADD(hh, r->waiting, cookie, sizeof(w->cookie), w);
		if (!w->hh.tbl) {
			free(w);
			return -ENOMEM;
		}
	}
	w->census = r->censuses;
	return 0;
}

static void find_owner(void *ctx, const struct tcp_socket *s, struct leak_owner *who)
{
	const struct recorded_leaks *r = ctx;

	who->process = recorded_owners__find(&r->owners, (uint32_t)s->inode);
}

static int copy_socket(struct recorded_leaks *r, const struct model_census *c,
		       const struct tcp_socket *from)
{
	const struct process_identity *owner = NULL;
	const struct waiting *w = find_waiting(r, from->cookie);
	struct tcp_socket *s = socket_list__add(&r->sockets);

	if (!s)
		return -ENOMEM;
	*s = *from;
	s->idle_ms = UINT32_MAX;
	if (s->state == SOCKET_CLOSE_WAIT && w)
		s->idle_ms = (c->taken_ns - w->first_ns) / NS_PER_MS;
	if (c->owner && from->inode)
		owner = c->owner(c->ctx, from);
	/* A process has many sockets. */
	if (!owner || recorded_owners__find(&r->owners, owner->id.tgid))
		return 0;
	return recorded_owners__put(&r->owners, owner);
}

static int conclude(struct recorded_leaks *r, const struct model_census *c)
{
	int err = 0;

	for (size_t i = 0; !err && i < c->sockets->nr; i++) {
		if (1u << c->sockets->at[i].state & FACT_STATES)
			err = copy_socket(r, c, &c->sockets->at[i]);
	}
	if (!err)
		err = leaks__make(&r->leaks, &r->sockets, r->min_age_ms, find_owner, r);
	r->facts = (struct finding_facts){.leaks = &r->leaks,
					  .sockets = &r->sockets,
					  .find_owner = find_owner,
					  .owners = r,
					  .followed_only = r->followed_only};
	r->taken_ns = c->taken_ns;
	r->partial = c->partial;
	r->known = !err;
	return err;
}

int recorded_leaks__census(struct recorded_leaks *r, const struct model_census *c)
{
	int err = 0;

	if (c->pools)
		return conclude(r, c);
	r->censuses++;
	for (size_t i = 0; !err && i < c->sockets->nr; i++) {
		const struct tcp_socket *s = &c->sockets->at[i];

		if (s->state == SOCKET_CLOSE_WAIT && s->cookie)
			err = note(r, s, c->taken_ns);
	}
	forget(r, false);
	return err;
}

void recorded_leaks__followed_only(struct recorded_leaks *r)
{
	r->followed_only = true;
}

const struct finding_facts *recorded_leaks__facts(const struct recorded_leaks *r)
{
	return r->known ? &r->facts : NULL;
}

uint64_t recorded_leaks__taken_ns(const struct recorded_leaks *r)
{
	return r->taken_ns;
}

bool recorded_leaks__partial(const struct recorded_leaks *r)
{
	return r->partial;
}
