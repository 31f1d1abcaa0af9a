/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The search for a source port: inet_hash_connect() and inet6_hash_connect(). They run in the
 * connecting process right after CLOSE -> SYN_SENT, whoever asked: connect(2), io_uring, a Fast
 * Open sendto(), the kernel itself. So the state hook knows the port before (0, or an explicit one)
 * and the time, and one look at the return is enough. A kernel where that is not to be had may
 * still show tcp_connect(), which comes next when a port was found.
 */
#ifndef CHURN_SEARCH_H
#define CHURN_SEARCH_H

#include "bpf/table.h"

static __always_inline int search_over(const struct sock *sk, int result, const bool btf)
{
	struct conn_entry entry = {};
	struct conn_state *state;
	u64 took;

	if (!ready || !table_find(&entry, sk, btf))
		return 0;
	state = entry.state;
	if (state->established_ns || state->search_ns)
		return 0;
	took = bpf_ktime_get_ns() - state->open_ns;
	state->search_ns = took < (u32)-1 ? took : (u32)-1;
	state->search = result ?: 1;
	if (!result)
		state->local_port = READ(btf, sk, __sk_common.skc_num);
	return 0;
}

#endif /* CHURN_SEARCH_H */
