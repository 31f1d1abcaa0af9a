/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses as user space gets them: 16 bytes, IPv4 as ::ffff:a.b.c.d. Declares no map, so that a
 * program which needs none is loaded without. */
#ifndef CHURN_ADDR_H
#define CHURN_ADDR_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define V4_MAPPED bpf_htonl(0x0000ffff)

static __always_inline void addr_from_v4(void *addr, u32 v4)
{
	u32 *word = addr;

	word[0] = 0;
	word[1] = 0;
	word[2] = V4_MAPPED;
	word[3] = v4;
}

static __always_inline bool addr_is_v4(const void *addr)
{
	const u32 *word = addr;

	return !word[0] && !word[1] && word[2] == V4_MAPPED;
}

/* By direct dereference: for typed pointers. */
static __always_inline void addr_from_v6(void *addr, const struct in6_addr *v6)
{
	u32 *word = addr;

	word[0] = v6->in6_u.u6_addr32[0];
	word[1] = v6->in6_u.u6_addr32[1];
	word[2] = v6->in6_u.u6_addr32[2];
	word[3] = v6->in6_u.u6_addr32[3];
}

#endif /* CHURN_ADDR_H */
