/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/hooks.h"

#include <errno.h>
#include <string.h>

#include "user/base/array.h"

#define STATE	       "inet_sock_set_state"
#define SEARCH_WITHOUT "the time to connect stands in for the search's, and its result is inferred"

const struct plan_hook hooks[HOOK__COUNT] =
	{
		[HOOK_STATE] =
			{
				.name = STATE,
				.what = "opens, failures and closes",
				.flavours = {{.name = "tp_btf",
					      .programs = {{"process_7_tp_btf", BY_TP_BTF, STATE},
							   {"softirq_7_tp_btf", BY_TP_BTF, STATE}},
					      .since_7 = true},
					     {.name = "tp_btf",
					      .programs = {{"process_tp_btf", BY_TP_BTF, STATE},
							   {"softirq_tp_btf", BY_TP_BTF, STATE}},
					      .since_5_12 = true},
					     {.name = "raw_tp",
					      .programs = {{"process_7_raw_tp", BY_RAW_TP, STATE},
							   {"softirq_7_raw_tp", BY_RAW_TP, STATE}},
					      .since_7 = true},
					     {.name = "raw_tp",
					      .programs = {{"process_raw_tp", BY_RAW_TP, STATE},
							   {"softirq_raw_tp", BY_RAW_TP, STATE}}}},
			},
		[HOOK_SEARCH4] =
			{
				.name = "inet_hash_connect",
				.what = "the source port, how long its search took, and why it "
					"failed (IPv4)",
				.without = SEARCH_WITHOUT,
				.flavours =
					{{.name = "fexit",
					  .programs = {{"search4_fexit", BY_FEXIT,
							"inet_hash_connect"}}},
					 {.name = "kprobe + kretprobe",
					  .programs = {{"search4_kprobe", BY_KPROBE,
							"inet_hash_connect"},
						       {"search4_kretprobe",
							BY_KRETPROBE, "inet_hash_connect"}}},
					 {.name = "fentry (tcp_connect)",
					  .programs = {{"syn_fentry", BY_FENTRY, "tcp_connect"}}},
					 {.name = "kprobe (tcp_connect)",
					  .programs = {{"syn_kprobe", BY_KPROBE, "tcp_connect"}}}},
			},
		[HOOK_SEARCH6] =
			{
				.name = "inet6_hash_connect",
				.what = "the same for IPv6",
				.without = SEARCH_WITHOUT,
				.may_lack = true,
				.flavours =
					{{.name = "fexit",
					  .programs = {{"search6_fexit", BY_FEXIT,
							"inet6_hash_connect"}}},
					 {.name = "kprobe + kretprobe",
					  .programs = {{"search6_kprobe", BY_KPROBE,
							"inet6_hash_connect"},
						       {"search6_kretprobe",
							BY_KRETPROBE, "inet6_hash_connect"}}},
					 {.name = "fentry (tcp_connect)",
					  .programs = {{"syn_fentry", BY_FENTRY, "tcp_connect"}}},
					 {.name = "kprobe (tcp_connect)",
					  .programs = {{"syn_kprobe", BY_KPROBE, "tcp_connect"}}}},
			},
		[HOOK_ACCEPT] =
			{
				.name = "inet_csk_accept",
				.what = "the process that accepts a connection, and its call site",
				.without =
					"a connection belongs to who listens, until it is closed, "
					"and where it was accepted is not known (--accepts: see "
					"there)",
				.flavours = {{.name = "fexit",
					      .programs = {{"accept4_fexit", BY_FEXIT,
							    "inet_csk_accept"},
							   {"unaccepted_sweep", BY_ITER,
							    "bpf_map_elem"}},
					      .nr_args = 4,
					      .since_5_12 = true},
					     {.name = "fexit",
					      .programs = {{"accept2_fexit",
							    BY_FEXIT, "inet_csk_accept"},
							   {"unaccepted_sweep",
							    BY_ITER, "bpf_map_elem"}},
					      .nr_args = 2,
					      .since_5_12 = true},
					     {.name = "kretprobe",
					      .programs = {{"accept_kretprobe", BY_KRETPROBE,
							    "inet_csk_accept"},
							   {"unaccepted_sweep",
							    BY_ITER, "bpf_map_elem"}},
					      .since_5_12 = true},
					     {.name = "tp (accept)",
					      .programs = {{"accept_exit_tp", BY_TP,
							    "sys_exit_accept"},
							   {"accept4_exit_tp", BY_TP,
							    "sys_exit_accept4"},
							   {"unaccepted_sweep",
							    BY_ITER, "bpf_map_elem"}},
					      .since_5_12 = true,
					      .costly = true}},
			},
		[HOOK_BIND] =
			{
				.name = "inet_csk_get_port",
				.what = "bind() to port 0 that finds no port (EADDRINUSE)",
				.without = "such failures of bind() are not seen (--bind-failures: "
					   "see there)",
				.flavours =
					{{.name = "fexit",
					  .programs = {{"bind_fexit", BY_FEXIT,
							"inet_csk_get_port"}},
					  .since_5_12 = true},
					 {.name = "kprobe + kretprobe",
					  .programs = {{"bind_kprobe", BY_KPROBE,
							"inet_csk_get_port"},
						       {"bind_kretprobe",
							BY_KRETPROBE, "inet_csk_get_port"}}},
					 {.name = "tp (bind)",
					  .programs = {{"bind_enter_tp", BY_TP, "sys_enter_bind"},
						       {"bind_exit_tp", BY_TP, "sys_exit_bind"}},
					  .costly = true}},
			},
		[HOOK_CENSUS] =
			{
				.name = "iter/task_file",
				.what = "who listened before the trace",
				.without = "connections that they accept have no process until "
					   "they are closed",
				.flavours = {{.name = "iter",
					      .programs = {{"listener_census", BY_ITER,
							    "task_file"}},
					      .since_5_12 = true},
					     {.name = "plain iter",
					      .programs = {{"listener_census_plain", BY_ITER,
							    "task_file"}}}},
			},
		[HOOK_EXEC] =
			{
				.name = "sched_process_exec",
				.what = "programs that begin",
				.without = "the first connections of a program may lack their call "
					   "sites",
				.flavours = {{.name = "tp_btf",
					      .programs = {{"exec_tp_btf", BY_TP_BTF,
							    "sched_process_exec"}}}},
			},
		[HOOK_MAPPING] =
			{
				.name = "vm_unmapped_area",
				.what = "libraries that take the place of others",
				.without = "a library may be taken for one that was where it is",
				.flavours = {{.name = "tp_btf",
					      .programs = {{"mapping_tp_btf", BY_TP_BTF,
							    "vm_unmapped_area"}},
					      .since_5_12 = true},
					     {.name = "raw_tp",
					      .programs = {{"mapping_raw_tp", BY_RAW_TP,
							    "vm_unmapped_area"}}}},
			},
		[HOOK_FREED] =
			{
				.name = "code_dealloc",
				.what = "code objects that CPython up to 3.12 frees",
				.without = "each open of such a process takes longer: its code "
					   "objects are told apart by what they hold",
				.purpose = FOR_STACKS,
				.flavours = {{.name = "uprobe",
					      .programs = {{"code_freed", BY_UPROBE,
							    "code_dealloc"}}}},
			},
		[HOOK_FORK] =
			{
				.name = "sched_process_fork",
				.what = "descendants of a command",
				.purpose = FOR_COMMAND,
				.flavours = {{.name = "tp_btf",
					      .programs = {{"fork_tp_btf", BY_TP_BTF,
							    "sched_process_fork"}}}},
			},
		[HOOK_EXIT] =
			{
				.name = "sched_process_exit",
				.what = "processes that end",
				.purpose = FOR_TARGETS,
				.flavours = {{.name = "tp_btf",
					      .programs = {{"exit_tp_btf", BY_TP_BTF,
							    "sched_process_exit"}}}},
			},
};

#define BIT(by)	    (1u << (by))
#define TRAMPOLINES (BIT(BY_FENTRY) | BIT(BY_FEXIT))
#define PROBES	    (BIT(BY_KPROBE) | BIT(BY_KRETPROBE))

const char *hook_why(enum attach_by by, int error)
{
	static const struct {
		unsigned int by;
		int error;
		const char *words;
	} reasons[] = {
		{TRAMPOLINES, EPERM, "Operation not permitted: this kernel's policy forbids it"},
		{TRAMPOLINES, ENOTSUPP, "Not supported: no BPF trampolines on such functions"},
		{TRAMPOLINES, ESRCH, "the kernel's BTF has no such function"},
		{TRAMPOLINES, ENOENT, "the kernel's BTF has no such function"},
		{TRAMPOLINES, E2BIG, "as many programs as the kernel allows are on it already"},
		{PROBES, ENODEV, "the kernel has no kprobes (CONFIG_KPROBE_EVENTS)"},
		{PROBES, ENOENT, "the kernel has no such function, or hides it from probes"},
		{PROBES, EPERM, "Operation not permitted: lockdown, or the kernel's policy"},
		{PROBES, EACCES,
		 "Permission denied: kernel.perf_event_paranoid wants CAP_SYS_ADMIN"},
		{BIT(BY_UPROBE), ENODEV, "the kernel has no uprobes (CONFIG_UPROBE_EVENTS)"},
		{BIT(BY_UPROBE), ENOTSUPP,
		 "a preemptible kernel before 6.0 may skip what a breakpoint is to run"},
		{BIT(BY_UPROBE), EACCES,
		 "Permission denied: kernel.perf_event_paranoid wants CAP_SYS_ADMIN"},
		{BIT(BY_TP), ENOENT,
		 "needs tracefs, mounted on /sys/kernel/tracing, with the system calls in it"},
		{BIT(BY_TP), EACCES,
		 "Permission denied: kernel.perf_event_paranoid wants CAP_SYS_ADMIN"},
		{~0u, EOPNOTSUPP,
		 "the kernel is older than 5.12, without compare-and-swap and socket cookies"},
		{~0u, ENOTSUPP, "Not supported"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (reasons[i].error == error && (reasons[i].by & BIT(by)))
			return reasons[i].words;
	}
	return strerror(error);
}
