/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/leak_origins.h"

#include <stdlib.h>
#include <string.h>

#include "user/model/census.h"

static bool is_of_leak(const struct finding_facts *facts, const struct leak *l,
		       const struct tcp_socket *s)
{
	const uint8_t *addr = l->accepted ? s->local_addr : s->peer_addr;
	uint16_t port = l->accepted ? s->local_port : s->peer_port;
	struct leak_owner owner = {0};

	if (!s->time_wait && s->idle_ms < l->min_age_ms) /* UINT32_MAX: not known */
		return false;
	if (s->state != l->state || s->netns != l->netns || port != l->port ||
	    memcmp(addr, l->addr, sizeof(l->addr)))
		return false;
	facts->find_owner(facts->owners, s, &owner);
	return owner.process && l->owner.process &&
	       owner.process->id.tgid == l->owner.process->id.tgid;
}

static void count(struct leak_origins *out, const struct socket_holder *who)
{
	uint32_t k = 0;

	out->traced++;
	out->unseen += who->accepted && !who->accept_seen;
	if (!who->stack)
		return;
	while (k < out->nr && (out->at[k].who.callsite_id != who->callsite_id ||
			       out->at[k].who.process != who->process))
		k++;
	if (k == LEAK_ORIGINS)
		return;
	if (k == out->nr)
		out->at[out->nr++].who = *who;
	out->at[k].nr++;
}

static int by_nr(const void *a, const void *b)
{
	const struct leak_origin *x = a, *y = b;

	return x->nr < y->nr ? 1 : x->nr > y->nr ? -1 : 0;
}

void leak_origins__find(struct leak_origins *out, const struct model *m,
			const struct finding_facts *facts, const struct leak *l)
{
	const struct socket_list *all = facts->sockets;
	struct socket_holder who;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; all && i < all->nr; i++) {
		if (is_of_leak(facts, l, &all->at[i]) && model__whose(m, &all->at[i], &who))
			count(out, &who);
	}
	qsort(out->at, out->nr, sizeof(out->at[0]), by_nr);
}
