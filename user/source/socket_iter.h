/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TCP sockets of a network namespace by a BPF iterator (iter/tcp, since 5.9). */
#ifndef CHURN_SOURCE_SOCKET_ITER_H
#define CHURN_SOURCE_SOCKET_ITER_H

#include <stdint.h>

#include "user/model/socket.h"

struct socket_iter;

/* NULL with errno set: not privileged, or the kernel cannot. Says nothing. */
struct socket_iter *socket_iter__open(void);
void socket_iter__free(struct socket_iter *it);

/*
 * Appends those of the namespace that this thread is in. Sockets that are bound and nothing else
 * are in no table that it walks: they are missing. `reuse_delay_ms` as in struct port_rules.
 * 0 or -errno.
 */
int socket_iter__read(const struct socket_iter *it, struct socket_list *l, uint32_t netns,
		      uint32_t reuse_delay_ms);

#endif /* CHURN_SOURCE_SOCKET_ITER_H */
