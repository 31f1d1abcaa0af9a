/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/model/interpreter.h"

static void free_argv(char **argv)
{
	for (char **arg = argv; arg && *arg; arg++)
		free(*arg);
	free(argv);
}

void process_identity__clear(struct process_identity *p)
{
	free(p->exe);
	free_argv(p->argv);
	free(p->cgroup_path);
	free(p->container_id);
	memset(p, 0, sizeof(*p));
}

static int copy_string(char **dst, const char *src)
{
	*dst = src ? strdup(src) : NULL;
	return src && !*dst ? -ENOMEM : 0;
}

static int copy_argv(char ***dst, char *const *src)
{
	size_t nr = 0;
	char **copy;

	*dst = NULL;
	if (!src)
		return 0;
	while (src[nr])
		nr++;
	copy = calloc(nr + 1, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		if (copy_string(&copy[i], src[i])) {
			free_argv(copy);
			return -ENOMEM;
		}
	}
	*dst = copy;
	return 0;
}

int process_identity__copy(struct process_identity *dst, const struct process_identity *src)
{
	*dst = *src;
	dst->exe = dst->cgroup_path = dst->container_id = NULL;
	dst->argv = NULL;
	if (copy_string(&dst->exe, src->exe) || copy_argv(&dst->argv, src->argv) ||
	    copy_string(&dst->cgroup_path, src->cgroup_path) ||
	    copy_string(&dst->container_id, src->container_id)) {
		process_identity__clear(dst);
		return -ENOMEM;
	}
	return 0;
}

int process_identity__complete(struct process_identity *dst, const struct process_identity *src)
{
	if (!dst->parent_tgid)
		dst->parent_tgid = src->parent_tgid;
	if (!dst->cgroup)
		dst->cgroup = src->cgroup;
	if (!dst->comm[0])
		memcpy(dst->comm, src->comm, sizeof(dst->comm));
	if (!dst->parent_comm[0])
		memcpy(dst->parent_comm, src->parent_comm, sizeof(dst->parent_comm));
	if (!dst->exe && copy_string(&dst->exe, src->exe))
		return -ENOMEM;
	if (!dst->argv && copy_argv(&dst->argv, src->argv))
		return -ENOMEM;
	if (!dst->cgroup_path && copy_string(&dst->cgroup_path, src->cgroup_path))
		return -ENOMEM;
	if (!dst->container_id && copy_string(&dst->container_id, src->container_id))
		return -ENOMEM;
	return 0;
}

/* A trailing '/' ("node dist/") leaves no base name: then the whole is shown. */
static const char *base_name(const char *path)
{
	const char *base = text_base_name(path);

	return *base ? base : path;
}

const char *process_identity__script(const struct process_identity *p)
{
	const char *name = p->exe ? p->exe : (p->argv ? p->argv[0] : NULL);
	const struct interpreter *in = name ? interpreter_find(base_name(name)) : NULL;

	return in ? interpreter_script(in, p->argv) : NULL;
}

char *process_identity__program(const struct process_identity *p, char *buf, unsigned int size)
{
	const char *script;

	if (!size)
		return buf;
	if (p->kernel) {
		snprintf(buf, size, "[%s]", p->comm);
		return buf;
	}
	script = process_identity__script(p);
	if (script && *script)
		snprintf(buf, size, "%s", base_name(script));
	else if (p->exe && *p->exe)
		snprintf(buf, size, "%s", base_name(p->exe));
	else
		snprintf(buf, size, "%s", p->comm);
	return buf;
}
