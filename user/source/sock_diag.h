/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TCP sockets of a network namespace by netlink (sock_diag(7)): needs no privilege, no BPF. */
#ifndef CHURN_SOURCE_SOCK_DIAG_H
#define CHURN_SOURCE_SOCK_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/socket.h"

#define SOCK_DIAG_BOUND (1u << 13) /* TCPF_BOUND_INACTIVE, since 6.8; nothing comes before */

struct sock_diag_query {
	uint32_t states; /* bit (1 << enum socket_state) for each that is wanted */
	uint32_t netns;	 /* what to write into the sockets */
	bool idle;	 /* fill idle_ms: makes the answer five times as long */
};

/*
 * Appends those of the namespace that this thread is in. 0, or -errno: -ENOTSUP when the kernel
 * has no tcp_diag, -EINTR when the sockets changed too much during the dump (NLM_F_DUMP_INTR);
 * then what was read is there, and may miss some.
 */
int sock_diag__read(struct socket_list *l, const struct sock_diag_query *q);

/*
 * Appends what one answer of the kernel holds, a buffer as recv(2) filled it, which need not make
 * sense. *interrupted: it says that the sockets changed meanwhile. 1: more answers are to come;
 * 0: this was the last; or -errno.
 */
int sock_diag__answer(struct socket_list *l, const struct sock_diag_query *q, const void *buf,
		      size_t size, bool *interrupted);

#endif /* CHURN_SOURCE_SOCK_DIAG_H */
