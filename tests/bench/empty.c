/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Attaches two BPF programs that do nothing where tcpchurn attaches its two, and waits: what the
 * kernel takes for calling and measuring programs, whatever is in them.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <unistd.h>

#define HOOK "inet_sock_set_state"
#define NR   2

static int attach_empty(int type_id)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_RAW_TP,
		    .attach_btf_id = (__u32)type_id);
	int prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "empty", "GPL", nothing,
				 sizeof(nothing) / sizeof(nothing[0]), &opts);

	return prog < 0 ? prog : bpf_raw_tracepoint_open(NULL, prog);
}

int main(void)
{
	int type_id = libbpf_find_vmlinux_btf_id(HOOK, BPF_TRACE_RAW_TP);

	for (int i = 0; i < NR; i++) {
		if (type_id <= 0 || attach_empty(type_id) < 0) {
			fprintf(stderr, "empty: cannot attach tp_btf/" HOOK "\n");
			return 1;
		}
	}
	fputs("tracing\n", stderr);
	pause();
	return 0;
}
