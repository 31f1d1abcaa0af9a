/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who holds the sockets of a census, and how many more files that process may open. */
#ifndef CHURN_SOURCE_LEAK_OWNERS_H
#define CHURN_SOURCE_LEAK_OWNERS_H

#include "user/model/leaks.h"

struct leak_owners;

/* Looks through the files of all processes. NULL with errno set. */
struct leak_owners *leak_owners__new(void);
void leak_owners__free(struct leak_owners *o);

/* A leak_finder; ctx is the struct leak_owners. A socket that several processes share is the first
 * one's. */
void leak_owners__find(void *ctx, const struct tcp_socket *s, struct leak_owner *who);

/* Processes whose files we may not see. */
uint32_t leak_owners__hidden(const struct leak_owners *o);

#endif /* CHURN_SOURCE_LEAK_OWNERS_H */
