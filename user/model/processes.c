/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/processes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct process *process_table__find(const struct process_table *t, const struct churn_id *id)
{
	struct process *p = t->recent[id->tgid % PROCESSES_RECENT];

	if (p && !memcmp(&p->identity.id, id, sizeof(*id)))
		return p;
	HASH_FIND(hh, t->by_id, id, sizeof(*id), p);
	return p;
}

struct process *process_table__get(struct process_table *t, const struct churn_id *id,
				   const char *comm)
{
	struct process *p = process_table__find(t, id);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->identity.id = *id;
	if (comm)
		memcpy(p->identity.comm, comm, strnlen(comm, CHURN_COMM_LEN));
	HASH_ADD(hh, t->by_id, identity.id, sizeof(p->identity.id), p);
	if (!p->hh.tbl) {
		free(p);
		return NULL;
	}
	DL_APPEND(t->idle, p);
	return p;
}

int process__learn(struct process *p, const struct process_identity *identity)
{
	struct process_identity copy;

	/* Announced again: by now it may have lost its parent or changed its name, and the first
	 * account is the one that its row was made from. */
	if (p->known)
		return process_identity__complete(&p->identity, identity);
	if (process_identity__copy(&copy, identity))
		return -ENOMEM;
	process_identity__clear(&p->identity);
	p->identity = copy;
	p->known = true;
	p->group = NULL;
	return 0;
}

struct process *process_table__victim(const struct process_table *t)
{
	return HASH_COUNT(t->by_id) >= t->max ? t->idle : NULL;
}

void process_table__remove(struct process_table *t, struct process *p)
{
	struct process **recent = &t->recent[p->identity.id.tgid % PROCESSES_RECENT];

	if (*recent == p)
		*recent = NULL;
	DL_DELETE(t->idle, p);
	HASH_DEL(t->by_id, p);
	process_identity__clear(&p->identity);
	free(p);
}

void process_table__clear(struct process_table *t)
{
	struct process *p, *tmp;

	HASH_ITER (hh, t->by_id, p, tmp) {
		HASH_DEL(t->by_id, p);
		process_identity__clear(&p->identity);
		free(p);
	}
	t->idle = NULL;
	memset(t->recent, 0, sizeof(t->recent));
}

void process__hold(struct process_table *t, struct process *p)
{
	if (!p)
		return;
	if (!p->refs++)
		DL_DELETE(t->idle, p);
	t->recent[p->identity.id.tgid % PROCESSES_RECENT] = p;
}

void process__release(struct process_table *t, struct process *p)
{
	if (p && !--p->refs)
		DL_APPEND(t->idle, p);
}

const struct process_identity *process__identity(const struct process *p)
{
	return p && p->known ? &p->identity : NULL;
}
