/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/record_lines.h"

#include <string.h>

#include "user/base/text.h"

void record_id(struct json *j, const struct churn_id *id)
{
	json__uint(j, "pid", id->tgid);
	json__uint(j, "start_ns", id->start_ns);
	json__uint(j, "exec_id", id->exec_id);
}

void record_nonzero(struct json *j, const char *key, uint64_t value)
{
	if (value)
		json__uint(j, key, value);
}

void record_nested(struct json *j, const char *object, const char *key, const char *value)
{
	if (!value)
		return;
	json__object(j, object);
	json__string(j, key, value);
	json__close(j);
}

void record_process(struct json *j, const struct process_identity *p)
{
	char **arg;

	json__object(j, "process");
	record_id(j, &p->id);
	json__uint(j, "parent_pid", p->parent_tgid);
	json__string(j, "comm", p->comm);
	json__string(j, "parent_comm", p->parent_comm);
	if (p->kernel)
		json__bool(j, "kernel", true);
	record_nested(j, "executable", "path", p->exe);
	if (p->argv) {
		json__array(j, "command_args");
		for (arg = p->argv; *arg; arg++)
			json__string(j, NULL, *arg);
		json__close(j);
	}
	json__object(j, "user");
	json__uint(j, "id", p->uid);
	json__close(j);
	json__object(j, "linux");
	json__string(j, "cgroup", p->cgroup_path);
	json__uint(j, "cgroup_id", p->cgroup);
	json__close(j);
	json__close(j);
	record_nested(j, "container", "id", p->container_id);
}

void record_address(struct json *j, const char *key, const uint8_t addr[16], uint16_t port)
{
	static const uint8_t unknown[16];
	bool known = memcmp(addr, unknown, sizeof(unknown));
	char text[ADDR_LEN];

	if (!known && !port)
		return;
	json__object(j, key);
	if (known)
		json__string(j, "address", text_addr(text, addr));
	record_nonzero(j, "port", port);
	json__close(j);
}
