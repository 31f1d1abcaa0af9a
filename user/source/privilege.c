/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool capability_held(const struct __user_cap_data_struct *data, unsigned int cap)
{
	return data[cap / 32].effective & (1u << (cap % 32));
}

int privilege_check_tracing(char *buf, size_t size)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
	bool bpf, perfmon;

	if (syscall(SYS_capget, &header, data)) {
		snprintf(buf, size, "capget(): %s", strerror(errno));
		return -EPERM;
	}
	if (capability_held(data, CAP_SYS_ADMIN))
		return 0;
	bpf = capability_held(data, CAP_BPF);
	perfmon = capability_held(data, CAP_PERFMON);
	if (bpf && perfmon)
		return 0;
	snprintf(buf, size, "%s%s%s", bpf ? "" : "CAP_BPF", bpf || perfmon ? "" : " and ",
		 perfmon ? "" : "CAP_PERFMON");
	return -EPERM;
}
