/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who holds the sockets of a census now, by their files, and who that is, by /proc. */
#ifndef CHURN_SOURCE_HOLDERS_H
#define CHURN_SOURCE_HOLDERS_H

#include "user/model/leaks.h"
#include "user/model/port_holders.h"

struct holders;

/* Looks through the files of all processes, if any of the sockets has a file. NULL with errno. */
struct holders *holders__new(const struct socket_list *sockets);
void holders__free(struct holders *h);

/* The process whose file a socket is, the first one's where several share it. NULL: none, or not
 * known. Valid as long as `h`. */
const struct process_identity *holders__process(struct holders *h, const struct tcp_socket *s);

/* A port_holder_finder and a leak_finder; ctx is the struct holders. */
void holders__find(void *ctx, const struct tcp_socket *s, struct socket_holder *who);
void holders__find_leak(void *ctx, const struct tcp_socket *s, struct leak_owner *who);

/* Processes whose files we may not see. */
uint32_t holders__hidden(const struct holders *h);

#endif /* CHURN_SOURCE_HOLDERS_H */
