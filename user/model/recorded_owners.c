/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/recorded_owners.h"

#include <errno.h>
#include <stdlib.h>

#include "user/base/hash.h"

struct owner {
	uint32_t pid;
	struct process_identity identity;
	UT_hash_handle hh;
};

static struct owner *find(const struct recorded_owners *o, uint32_t pid)
{
	struct owner *owner;

	HASH_FIND(hh, o->by_pid, &pid, sizeof(pid), owner);
	return owner;
}

static void forget(struct recorded_owners *o, struct owner *owner)
{
	HASH_DEL(o->by_pid, owner);
	process_identity__clear(&owner->identity);
	free(owner);
}

void recorded_owners__clear(struct recorded_owners *o)
{
	struct owner *owner, *tmp;

	HASH_ITER (hh, o->by_pid, owner, tmp)
		forget(o, owner);
}

int recorded_owners__put(struct recorded_owners *o, const struct process_identity *p)
{
	struct owner *owner = find(o, p->id.tgid);

	if (owner)
		forget(o, owner);
	owner = calloc(1, sizeof(*owner));
	if (!owner || process_identity__copy(&owner->identity, p)) {
		free(owner);
		return -ENOMEM;
	}
	owner->pid = p->id.tgid;
	HASH_ADD(hh, o->by_pid, pid, sizeof(owner->pid), owner);
	if (owner->hh.tbl)
		return 0;
	process_identity__clear(&owner->identity);
	free(owner);
	return -ENOMEM;
}

const struct process_identity *recorded_owners__find(const struct recorded_owners *o, uint32_t pid)
{
	const struct owner *owner = find(o, pid);

	return owner ? &owner->identity : NULL;
}
