/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/prober.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/base/array.h"
#include "user/source/machine.h"

#define KPROBE_PMU "/sys/bus/event_source/devices/kprobe/"
#define UPROBE_PMU "/sys/bus/event_source/devices/uprobe/"
#define NO_FILE	   "/proc/self/fd/-1" /* never */

struct prober {
	struct btf *btf;
};

/* r0 = 0; exit */
static const struct bpf_insn nothing[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	{.code = BPF_JMP | BPF_EXIT},
};

struct prober *prober__new(void)
{
	struct prober *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return NULL;
	p->btf = btf__load_vmlinux_btf();
	if (p->btf)
		return p;
	err = errno;
	free(p);
	errno = err;
	return NULL;
}

void prober__free(struct prober *p)
{
	if (!p)
		return;
	btf__free(p->btf);
	free(p);
}

int prober__nr_args(const struct prober *p, const char *function)
{
	int id = btf__find_by_name_kind(p->btf, function, BTF_KIND_FUNC);
	const struct btf_type *t = id > 0 ? btf__type_by_id(p->btf, id) : NULL;

	t = t ? btf__type_by_id(p->btf, t->type) : NULL;
	return t && btf_is_func_proto(t) ? btf_vlen(t) : -ENOENT;
}

static bool loads(enum bpf_prog_type type, const struct bpf_insn *insns, size_t nr,
		  const struct bpf_prog_load_opts *opts)
{
	int prog = bpf_prog_load(type, "churn_probe", "GPL", insns, nr, opts);

	if (prog < 0)
		return false;
	close(prog);
	return true;
}

bool prober__is_since_5_12(const struct prober *p)
{
	const struct bpf_insn insns[] = {
		/* r6 = the socket */
		{.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_current_task_btf},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_6},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_socket_cookie},
		/* compare r0 with a word of the stack, and swap */
		{.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = -8},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW,
		 .dst_reg = BPF_REG_10,
		 .src_reg = BPF_REG_0,
		 .off = -8,
		 .imm = BPF_CMPXCHG},
		nothing[0],
		nothing[1],
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_RAW_TP,
		    .attach_btf_id = btf__find_by_name_kind(p->btf, "btf_trace_inet_sock_set_state",
							    BTF_KIND_TYPEDEF));

	return loads(BPF_PROG_TYPE_TRACING, insns, ARRAY_SIZE(insns), &opts);
}

bool prober__reads_memory(void)
{
	const struct bpf_insn insns[] = {
		/* to r1 = a word of the stack, r2 = 8 bytes, from r3 = NULL */
		{.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel},
		nothing[0],
		nothing[1],
	};

	return loads(BPF_PROG_TYPE_RAW_TRACEPOINT, insns, ARRAY_SIZE(insns), NULL);
}

static int try_trampoline(const struct prober *p, enum bpf_attach_type type, const char *function)
{
	int id = btf__find_by_name_kind(p->btf, function, BTF_KIND_FUNC);
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = type, .attach_btf_id = id);
	int prog, link, err = 0;

	if (id <= 0)
		return ENOENT;
	prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "churn_probe", "GPL", nothing,
			     ARRAY_SIZE(nothing), &opts);
	if (prog < 0)
		return errno;
	link = bpf_raw_tracepoint_open(NULL, prog);
	if (link < 0)
		err = errno;
	else
		close(link);
	close(prog);
	return err;
}

/* The number in a file of the kprobe PMU ("6", "config:0"); -1: there is none. */
static int read_pmu(const char *name)
{
	FILE *f = fopen(name, "re");
	char line[32] = "", *end;
	const char *digits;
	long value;

	if (!f)
		return -1;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	digits = line + strcspn(line, "0123456789");
	value = strtol(digits, &end, 10);
	return end == digits ? -1 : (int)value;
}

static int try_kprobe(bool at_return, const char *function)
{
	int type = read_pmu(KPROBE_PMU "type");
	int bit = read_pmu(KPROBE_PMU "format/retprobe");
	struct perf_event_attr attr = {.size = sizeof(attr), .type = (uint32_t)type};
	int prog, event, err = 0;

	if (type < 0 || (at_return && bit < 0))
		return ENODEV;
	prog = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "churn_probe", "GPL", nothing,
			     ARRAY_SIZE(nothing), NULL);
	if (prog < 0)
		return errno;
	attr.config = at_return ? 1ULL << bit : 0;
	attr.kprobe_func = (uint64_t)(uintptr_t)function;
	event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0 || ioctl(event, PERF_EVENT_IOC_SET_BPF, prog))
		err = errno;
	if (event >= 0)
		close(event);
	close(prog);
	return err;
}

/*
 * A probe that counts must see every call. Before 6.0 ("bpf: implement sleepable uprobes by
 * chaining gps") the kernel skips its program while another one has been preempted on that CPU.
 */
static bool skips_uprobes(void)
{
	return !machine_is_since(6, 0) && machine_is_preemptible();
}

/* Attaching to a file takes tens of ms; to none, the kernel gets as far as looking for it. */
static int try_uprobe(void)
{
	int type = read_pmu(UPROBE_PMU "type"), event;
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = (uint32_t)type,
		.uprobe_path = (uint64_t)(uintptr_t)NO_FILE,
	};

	if (type < 0)
		return ENODEV;
	if (skips_uprobes())
		return ENOTSUPP;
	event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event >= 0)
		close(event);
	return event >= 0 || errno == ENOENT ? 0 : errno;
}

int prober__try(const struct prober *p, enum attach_by by, const char *function)
{
	switch (by) {
	case BY_FENTRY:
		return try_trampoline(p, BPF_TRACE_FENTRY, function);
	case BY_FEXIT:
		return try_trampoline(p, BPF_TRACE_FEXIT, function);
	case BY_KPROBE:
	case BY_KRETPROBE:
		return try_kprobe(by == BY_KRETPROBE, function);
	case BY_UPROBE:
		return try_uprobe();
	case BY_TP_BTF:
	case BY_RAW_TP:
	case BY_TP:
	case BY_ITER:
		break;
	}
	return 0;
}
