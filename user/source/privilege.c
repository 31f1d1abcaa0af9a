/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * By capget(2) and capset(2) themselves: two calls and a bit mask are all there is to it, and
 * libcap would be one more library to have on a machine in trouble.
 */
#include "user/source/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/base/array.h"
#include "user/base/log.h"

#define INITIAL_USER_NS 0xeffffffd /* PROC_USER_INIT_INO, include/linux/proc_ns.h */
#define BIT(cap)	(1ULL << (cap))

static const struct {
	unsigned int cap;
	bool required;
	bool by_admin; /* CAP_SYS_ADMIN implies it */
	const char *name;
	const char *without;
} uses[] = {
	{CAP_BPF, true, true, "CAP_BPF", "no BPF program can be loaded"},
	{CAP_PERFMON, true, true, "CAP_PERFMON", "no tracing program can be loaded or attached"},
	{CAP_SYS_PTRACE, false, false, "CAP_SYS_PTRACE",
	 "call sites and paths of other users' processes will be missing"},
	{CAP_DAC_READ_SEARCH, false, false, "CAP_DAC_READ_SEARCH",
	 "symbols in files that only their owner may read, and the cgroups of processes that are "
	 "gone, will be missing"},
	{CAP_CHECKPOINT_RESTORE, false, true, "CAP_CHECKPOINT_RESTORE",
	 "call sites in deleted or replaced files will be missing"},
	{CAP_SYS_ADMIN, false, false, "CAP_SYS_ADMIN",
	 "kprobes and plain tracepoints may be refused, and the ports and settings of other "
	 "network namespaces not be seen"},
};

static int read_effective(uint64_t *out)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capget, &header, data))
		return -errno;
	*out = data[0].effective | (uint64_t)data[1].effective << 32;
	return 0;
}

static bool is_held(uint64_t held, size_t use)
{
	return (held & BIT(uses[use].cap)) || (uses[use].by_admin && (held & BIT(CAP_SYS_ADMIN)));
}

size_t privilege_list(struct privilege out[PRIVILEGES_MAX])
{
	uint64_t held;

	if (read_effective(&held))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(uses); i++)
		out[i] = (struct privilege){.name = uses[i].name,
					    .held = is_held(held, i),
					    .required = uses[i].required,
					    .without = uses[i].without};
	return ARRAY_SIZE(uses);
}

/* In a user namespace other than the first, capabilities do not count for BPF. */
static bool is_namespaced(void)
{
	struct stat st;

	return !stat("/proc/self/ns/user", &st) && st.st_ino != INITIAL_USER_NS;
}

int privilege_check_tracing(char *buf, size_t size)
{
	size_t len = 0;
	uint64_t held;
	int err = read_effective(&held);

	if (err) {
		snprintf(buf, size, "capget(): %s", strerror(-err));
		return -EPERM;
	}
	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
		if (!uses[i].required || is_held(held, i) || len >= size)
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? " and " : "",
					uses[i].name);
	}
	if (!len && is_namespaced())
		len = (size_t)snprintf(buf, size, "the host's user namespace");
	return len ? -EPERM : 0;
}

void privilege_say_missing(void)
{
	uint64_t held;

	if (read_effective(&held))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
		/* What CAP_SYS_ADMIN is for is said where it is missed. */
		if (!uses[i].required && uses[i].cap != CAP_SYS_ADMIN && !is_held(held, i))
			log_warn("without %s: %s", uses[i].name, uses[i].without);
	}
}

/* Map updates need CAP_BPF (5.10 to 5.18), everything else here reads processes and files. */
int privilege_drop(unsigned int for_what)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	uint64_t held, keep = BIT(CAP_BPF) | BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH) |
			      BIT(CAP_CHECKPOINT_RESTORE);
	int err = read_effective(&held);

	if (err)
		return err;
	if (for_what & PRIVILEGE_FOR_CHILDREN)
		keep |= BIT(CAP_KILL);
	/* Whoever has nothing better keeps what stands for it. */
	if (for_what & (PRIVILEGE_FOR_CENSUS | PRIVILEGE_FOR_UPROBES))
		keep |= BIT(CAP_SYS_ADMIN) | BIT(CAP_PERFMON);
	if (!(held & BIT(CAP_BPF)))
		keep |= BIT(CAP_SYS_ADMIN);
	keep &= held;
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = data[i].permitted = (uint32_t)(keep >> (32 * i));
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}
