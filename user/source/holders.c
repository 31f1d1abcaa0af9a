/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/holders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/model/hash.h"
#include "user/source/owners.h"
#include "user/source/procfs.h"

struct person {
	uint32_t pid;
	bool known;
	struct process_identity identity;
	UT_hash_handle hh;
};

struct holders {
	struct owners owners;
	struct procfs *procfs;
	struct person *by_pid;
};

struct holders *holders__new(const struct socket_list *sockets)
{
	struct holders *h = calloc(1, sizeof(*h));
	bool files = false;
	int err = 0;

	if (!h)
		return NULL;
	h->procfs = procfs__new();
	if (!h->procfs)
		err = -errno;
	for (size_t i = 0; !files && i < sockets->nr; i++)
		files = sockets->at[i].inode;
	if (!err && files)
		err = owners__scan(&h->owners);
	if (!err)
		return h;
	holders__free(h);
	errno = -err;
	return NULL;
}

void holders__free(struct holders *h)
{
	struct person *p, *tmp;

	if (!h)
		return;
	HASH_ITER (hh, h->by_pid, p, tmp) {
		HASH_DEL(h->by_pid, p);
		process_identity__clear(&p->identity);
		free(p);
	}
	procfs__free(h->procfs);
	owners__clear(&h->owners);
	free(h);
}

void holders__find(void *ctx, const struct tcp_socket *s, struct socket_holder *who)
{
	struct holders *h = ctx;
	const struct owner *o = owners__find(&h->owners, s->inode);
	struct person *p;

	if (!o)
		return;
	HASH_FIND(hh, h->by_pid, &o->pid, sizeof(o->pid), p);
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return;
		p->pid = o->pid;
		p->known = !procfs__identify_pid(h->procfs, o->pid, &p->identity);
		HASH_ADD(hh, h->by_pid, pid, sizeof(p->pid), p);
		if (!p->hh.tbl) {
			process_identity__clear(&p->identity);
			free(p);
			return;
		}
	}
	if (p->known)
		who->process = &p->identity;
}
