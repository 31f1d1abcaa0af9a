/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/replay_fields.h"

#include <arpa/inet.h>
#include <string.h>

bool take_u8(struct line *l, enum field f, uint8_t *out)
{
	uint64_t value = *out;
	bool ok = line__uint(l, f, UINT8_MAX, &value);

	*out = (uint8_t)value;
	return ok;
}

bool take_u16(struct line *l, enum field f, uint64_t max, uint16_t *out)
{
	uint64_t value = *out;
	bool ok = line__uint(l, f, max, &value);

	*out = (uint16_t)value;
	return ok;
}

bool take_u32(struct line *l, enum field f, uint32_t *out)
{
	uint64_t value = *out;
	bool ok = line__uint(l, f, UINT32_MAX, &value);

	*out = (uint32_t)value;
	return ok;
}

bool take_u64(struct line *l, enum field f, __u64 *out)
{
	uint64_t value = *out;
	bool ok = line__uint(l, f, UINT64_MAX, &value);

	*out = value;
	return ok;
}

bool take_hex(struct line *l, enum field f, __u64 *out)
{
	uint64_t value = *out;
	bool ok = line__hex(l, f, &value);

	*out = value;
	return ok;
}

/* At most max bytes; dst is zeroed behind them. */
bool take_text(struct line *l, enum field f, char *dst, size_t max, size_t size)
{
	char *text = NULL;
	size_t len;

	if (!line__string(l, f, &text))
		return false;
	if (!text)
		return true;
	len = strlen(text);
	if (len > max)
		return false;
	memset(dst, 0, size);
	memcpy(dst, text, len);
	return true;
}

bool take_addr(struct line *l, enum field f, uint8_t addr[16])
{
	char *text = NULL;

	if (!line__string(l, f, &text))
		return false;
	if (!text)
		return true;
	if (inet_pton(AF_INET, text, addr + 12) == 1) {
		memset(addr, 0, 10);
		memset(addr + 10, 0xff, 2);
		return true;
	}
	return inet_pton(AF_INET6, text, addr) == 1;
}

bool take_id(struct line *l, struct churn_id *id)
{
	return take_u32(l, F_PID, &id->tgid) && take_u64(l, F_START_NS, &id->start_ns) &&
	       take_u32(l, F_EXEC_ID, &id->exec_id);
}

bool take_process(struct line *l, char **args, struct process_identity *p)
{
	uint64_t cgroup = 0;
	bool bad = false;
	int it = 0, nr = 0;
	char *arg;

	memset(p, 0, sizeof(*p));
	while (nr < REPLAY_MAX_ARGS && line__next_string(l, F_ARGS, &it, &arg, &bad))
		args[nr++] = arg;
	args[nr] = NULL;
	p->argv = line__has(l, F_ARGS) ? args : NULL;
	if (bad || !line__has(l, F_PID) || !take_id(l, &p->id) ||
	    !take_u32(l, F_PARENT_PID, &p->parent_tgid) || !take_u32(l, F_UID, &p->uid) ||
	    !line__uint(l, F_CGROUP_ID, UINT64_MAX, &cgroup) ||
	    !line__bool(l, F_KERNEL, &p->kernel) ||
	    !take_text(l, F_COMM, p->comm, CHURN_COMM_LEN, sizeof(p->comm)) ||
	    !take_text(l, F_PARENT_COMM, p->parent_comm, CHURN_COMM_LEN, sizeof(p->parent_comm)) ||
	    !line__string(l, F_EXE, &p->exe) || !line__string(l, F_CGROUP, &p->cgroup_path) ||
	    !line__string(l, F_CONTAINER, &p->container_id))
		return false;
	p->cgroup = cgroup;
	return true;
}

int family_from_name(const char *name)
{
	return !strcmp(name, "ipv4") ? 4 : !strcmp(name, "ipv6") ? 6 : -1;
}
