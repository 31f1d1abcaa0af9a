/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/tenants.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A minute, which starts again with each late segment of the peer; before it may come a minute of
 * FIN_WAIT2 (TCP_TIMEWAIT_LEN, tcp_fin_timeout). */
#define KEEP_NS 130000000000ULL

static void forget(struct tenant_table *t, struct process_table *processes, struct tenant *old)
{
	HASH_DEL(t->by_key, old);
	DL_DELETE(t->oldest, old);
	process__release(processes, old->process);
	site__release(old->site);
	free(old);
}

static void key_of_end(struct tenant_key *key, const struct churn_conn *c)
{
	memcpy(key->local_addr, c->local_addr, sizeof(key->local_addr));
	memcpy(key->peer_addr, c->peer_addr, sizeof(key->peer_addr));
	key->local_port = c->local_port;
	key->peer_port = c->peer_port;
	key->netns = c->netns;
}

int tenant_table__add(struct tenant_table *t, struct process_table *processes,
		      const struct churn_end *e, struct process *process, struct site *site)
{
	struct tenant_key key;
	struct tenant *new;

	if (!t->max)
		return 0;
	key_of_end(&key, &e->conn);
	HASH_FIND(hh, t->by_key, &key, sizeof(key), new);
	if (new)
		forget(t, processes, new);
	while (t->oldest &&
	       (HASH_COUNT(t->by_key) >= t->max || t->oldest->ended_ns + KEEP_NS < e->h.ts_ns))
		forget(t, processes, t->oldest);
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->key = key;
	new->cookie = churn_cookie(&e->conn);
	new->ended_ns = e->h.ts_ns;
	HASH_ADD(hh, t->by_key, key, sizeof(new->key), new);
	if (!new->hh.tbl) {
		free(new);
		return -ENOMEM;
	}
	DL_APPEND(t->oldest, new);
	new->process = process;
	new->site = site;
	process__hold(processes, process);
	site__hold(site);
	return 0;
}

const struct tenant *tenant_table__find(const struct tenant_table *t, const struct tcp_socket *s)
{
	struct tenant_key key = {
		.local_port = s->local_port, .peer_port = s->peer_port, .netns = s->netns};
	const struct tenant *found;

	memcpy(key.local_addr, s->local_addr, sizeof(key.local_addr));
	memcpy(key.peer_addr, s->peer_addr, sizeof(key.peer_addr));
	HASH_FIND(hh, t->by_key, &key, sizeof(key), found);
	if (found && found->cookie && s->cookie && found->cookie != s->cookie)
		return NULL;
	return found;
}

void tenant_table__clear(struct tenant_table *t, struct process_table *processes)
{
	while (t->oldest)
		forget(t, processes, t->oldest);
}
