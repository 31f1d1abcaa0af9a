/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who holds the sockets of a census now, by their files: identities of processes from /proc. */
#ifndef CHURN_SOURCE_HOLDERS_H
#define CHURN_SOURCE_HOLDERS_H

#include "user/model/port_holders.h"

struct holders;

/* Looks through the files of all processes, if any of the sockets has a file. NULL with errno. */
struct holders *holders__new(const struct socket_list *sockets);
void holders__free(struct holders *h);

/* A port_holder_finder; ctx is the struct holders. A socket that several processes share is the
 * first one's. */
void holders__find(void *ctx, const struct tcp_socket *s, struct socket_holder *who);

#endif /* CHURN_SOURCE_HOLDERS_H */
