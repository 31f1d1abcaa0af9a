/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options: which connections, processes and sockets. */
#include <ctype.h>
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <sys/auxv.h>

#include "user/base/parse.h"
#include "user/base/text.h"
#include "user/cmd/options_entry.h"
#include "user/source/namespace.h"

#define PID_MAX 4194304 /* PID_MAX_LIMIT, include/linux/threads.h */

static int add_pid(struct options *o, const char *arg)
{
	uint64_t pid;

	if (o->filter.nr_pids >= FILTER_MAX_PIDS || parse_uint(&pid, arg, 1, PID_MAX))
		return -EINVAL;
	o->filter.pids[o->filter.nr_pids++] = pid;
	return 0;
}

static int opt_pid(struct options *o, const char *arg)
{
	return option_pieces(o, arg, add_pid);
}

static int opt_comm(struct options *o, const char *arg)
{
	size_t len = strlen(arg);

	if (!len || len > sizeof(o->filter.comm))
		return -EINVAL;
	memset(o->filter.comm, 0, sizeof(o->filter.comm));
	memcpy(o->filter.comm, arg, len);
	return 0;
}

static int opt_uid(struct options *o, const char *arg)
{
	const struct passwd *user;
	uint64_t uid;

	/* A static binary (no interpreter) must not load this machine's libraries for names. */
	if (!getauxval(AT_BASE))
		__nss_configure_lookup("passwd", "files");
	if (parse_uint(&uid, arg, 0, UINT32_MAX - 1)) {
		user = isdigit((unsigned char)arg[0]) ? NULL : getpwnam(arg);
		if (!user)
			return -EINVAL;
		uid = user->pw_uid;
	}
	o->filter.by_uid = true;
	o->filter.uid = uid;
	return 0;
}

static int opt_ipv4(struct options *o, const char *arg)
{
	(void)arg;
	o->filter.family = o->filter.family == 6 ? 0 : 4; /* both: all */
	return 0;
}

static int opt_ipv6(struct options *o, const char *arg)
{
	(void)arg;
	o->filter.family = o->filter.family == 4 ? 0 : 6;
	return 0;
}

static int add_port(struct churn_port_range *ports, uint32_t *nr, const char *arg)
{
	struct churn_port_range *r = &ports[*nr];

	if (*nr >= CHURN_MAX_PORTS)
		return -EINVAL;
	++*nr;
	return parse_port_range(&r->low, &r->high, arg);
}

static int add_peer_port(struct options *o, const char *arg)
{
	return add_port(o->filter.peer_ports, &o->filter.nr_peer_ports, arg);
}

static int opt_peer_port(struct options *o, const char *arg)
{
	return option_pieces(o, arg, add_peer_port);
}

static int add_local_port(struct options *o, const char *arg)
{
	return add_port(o->filter.local_ports, &o->filter.nr_local_ports, arg);
}

static int opt_local_port(struct options *o, const char *arg)
{
	return option_pieces(o, arg, add_local_port);
}

static int add_cidr(struct churn_cidr *cidrs, uint32_t *nr, const char *arg)
{
	struct churn_cidr *c = &cidrs[*nr];

	if (*nr >= CHURN_MAX_CIDRS)
		return -EINVAL;
	++*nr;
	return parse_cidr(c->net, c->mask, arg);
}

static int add_src(struct options *o, const char *arg)
{
	return add_cidr(o->filter.src, &o->filter.nr_src, arg);
}

static int opt_src(struct options *o, const char *arg)
{
	return option_pieces(o, arg, add_src);
}

static int add_dst(struct options *o, const char *arg)
{
	return add_cidr(o->filter.dst, &o->filter.nr_dst, arg);
}

static int opt_dst(struct options *o, const char *arg)
{
	return option_pieces(o, arg, add_dst);
}

static int opt_cgroup(struct options *o, const char *arg)
{
	return cgroup_from_path(&o->filter.cgroup, &o->filter.cgroup_level, arg);
}

static int opt_netns(struct options *o, const char *arg)
{
	return netns_from_name(&o->filter.netns, arg);
}

static int opt_errno(struct options *o, const char *arg)
{
	int error = text_errno_from_name(arg);

	if (error <= 0)
		return -EINVAL;
	o->filter.error = error;
	o->filter.failed_only = true;
	return 0;
}

const struct option_entry options_filter[] = {
	{'p', "pid", "PID[,..]", "only these processes", "1 to 4194304, at most 64 of them",
	 OPTIONS_FILTER, PARSED_BY(opt_pid)},
	{'n', "comm", "GLOB", "only threads or processes of that name (with * and ?)",
	 "1 to 16 characters, * and ?", OPTIONS_FILTER, PARSED_BY(opt_comm)},
	{'u', "uid", "USER", "only this user, by name or number", "a user name or number",
	 OPTIONS_FILTER, PARSED_BY(opt_uid)},
	{'4', "ipv4", NULL, "only IPv4", NULL, OPTIONS_FILTER | OPTIONS_POOLS, PARSED_BY(opt_ipv4)},
	{'6', "ipv6", NULL, "only IPv6", NULL, OPTIONS_FILTER | OPTIONS_POOLS, PARSED_BY(opt_ipv6)},
	{'P', "port", "PORTS", "only these peer ports (80,443,8000-8999)",
	 "1 to 65535, low-high, at most 16", OPTIONS_FILTER | OPTIONS_POOLS,
	 PARSED_BY(opt_peer_port)},
	{'L', "lport", "PORTS", "only these local ports", "1 to 65535, low-high, at most 16",
	 OPTIONS_FILTER, PARSED_BY(opt_local_port)},
	{0, "src", "CIDR[,..]", "only these local addresses", "ADDRESS[/PREFIX], at most 16",
	 OPTIONS_FILTER | OPTIONS_POOLS, PARSED_BY(opt_src)},
	{0, "dst", "CIDR[,..]", "only these peer addresses", "ADDRESS[/PREFIX], at most 16",
	 OPTIONS_FILTER | OPTIONS_POOLS, PARSED_BY(opt_dst)},
	{0, "cgroup", "PATH", "only processes in this cgroup (v2) and below it",
	 "a directory of the cgroup v2 tree", OPTIONS_FILTER, PARSED_BY(opt_cgroup)},
	{'N', "netns", "NS", "only this network namespace: a name, a PID in it or its inode number",
	 "a name in /run/netns, a living PID, or an inode number",
	 OPTIONS_FILTER | OPTIONS_POOLS | OPTIONS_LEAKS | OPTIONS_NETNS, PARSED_BY(opt_netns)},
	{0, "failed", NULL, "only connects that fail", NULL, OPTIONS_FILTER,
	 SETS(filter.failed_only)},
	{0, "errno", "NAME", "only connects that fail with this (EADDRNOTAVAIL)",
	 "a name from errno(3) or its number", OPTIONS_FILTER, PARSED_BY(opt_errno)},
	{0},
};
