/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options of ports, check and leaks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/parse.h"
#include "user/cmd/options_entry.h"

const struct ports_options options_ports_defaults = {
	.min_used_share = 0.01,
	.interval_ns = 2000000000ULL,
	.failures_ns = 300000000000ULL,
	.warning = 0.5,
	.critical = 0.8,
	.what_if = {.tw_reuse = -1, .idle_ns = 30000000000ULL},
};

/* "80%" and "80" as 0.8. */
static int parse_percent(double *out, const char *arg)
{
	size_t len = strspn(arg, "0123456789.");
	double value;
	char *end;

	if (!len || (arg[len] && strcmp(arg + len, "%") != 0))
		return -EINVAL;
	value = strtod(arg, &end);
	if (end != arg + len || value < 0 || value > 100)
		return -EINVAL;
	*out = value / 100;
	return 0;
}

static int opt_min_used(struct options *o, const char *arg)
{
	uint64_t nr;

	if (strchr(arg, '%'))
		return parse_percent(&o->ports.min_used_share, arg);
	if (parse_uint(&nr, arg, 0, 65536))
		return -EINVAL;
	o->ports.min_used = nr;
	o->ports.min_used_share = 0;
	return 0;
}

static int opt_interval(struct options *o, const char *arg)
{
	uint64_t interval;

	if (parse_duration(&interval, arg) || interval < 100000000)
		return -EINVAL;
	o->ports.interval_ns = interval;
	return 0;
}

static int opt_what_if(struct options *o, const char *arg)
{
	return what_if__parse(&o->ports.what_if, arg);
}

static int opt_warning(struct options *o, const char *arg)
{
	return parse_percent(&o->ports.warning, arg);
}

static int opt_critical(struct options *o, const char *arg)
{
	return parse_percent(&o->ports.critical, arg);
}

static int parse_leak(uint32_t *out, const char *arg)
{
	uint64_t nr;

	if (parse_uint(&nr, arg, 1, UINT32_MAX))
		return -EINVAL;
	*out = nr;
	return 0;
}

static int opt_leak_warning(struct options *o, const char *arg)
{
	return parse_leak(&o->ports.leak_warning, arg);
}

static int opt_leak_critical(struct options *o, const char *arg)
{
	return parse_leak(&o->ports.leak_critical, arg);
}

static int opt_since(struct options *o, const char *arg)
{
	uint64_t since;

	if (parse_duration(&since, arg) || since < 1000000000ULL || since > 3600000000000ULL)
		return -EINVAL;
	o->ports.failures_ns = since;
	return 0;
}

static int opt_min_age(struct options *o, const char *arg)
{
	return parse_duration(&o->min_age_ns, arg);
}

const struct option_entry options_ports[] = {
	{0, "min-used", "N|N%",
	 "only pools with that many ports in use, or that share of the range (default 1%)",
	 "0 to 65536, or 0% to 100%", OPTIONS_PORTS, PARSED_BY(opt_min_used)},
	{0, "what-if", "CHANGES",
	 "what these would change, any of them: range=1024-65535,tw_reuse=1,destinations=3,"
	 "sources=1,pool=10,idle=30s",
	 WHAT_IF_RANGE, OPTIONS_PORTS, PARSED_BY(opt_what_if)},
	{0, "watch", NULL, "again and again, every --interval", NULL, OPTIONS_PORTS,
	 SETS(ports.watch)},
	{'I', "interval", "TIME", "between two looks (default 2s)", "100ms to 365d", OPTIONS_PORTS,
	 PARSED_BY(opt_interval)},
	{0, "no-bpf", NULL, "do not load BPF: fewer facts, no privilege, faster", NULL,
	 OPTIONS_PORTS, SETS(ports.no_bpf)},
	{'w', "warning", "N%", "WARNING from that share of a pool in use (default 50%)",
	 "0% to 100%", OPTIONS_CHECK, PARSED_BY(opt_warning)},
	{'c', "critical", "N%", "CRITICAL from that share (default 80%)", "0% to 100%",
	 OPTIONS_CHECK, PARSED_BY(opt_critical)},
	{0, "leak-warning", "N", "WARNING from that many CLOSE_WAIT sockets in a namespace",
	 "1 to 4294967295", OPTIONS_CHECK, PARSED_BY(opt_leak_warning)},
	{0, "leak-critical", "N", "CRITICAL from that many", "1 to 4294967295", OPTIONS_CHECK,
	 PARSED_BY(opt_leak_critical)},
	{0, "since", "TIME",
	 "CRITICAL if a trace saw a connect() fail for want of a port in that time (default 5m)",
	 "1s to 1h", OPTIONS_CHECK, PARSED_BY(opt_since)},
	{0, "traced", NULL, "UNKNOWN if no trace runs that would have seen it", NULL, OPTIONS_CHECK,
	 SETS(ports.traced)},
	{0, "min-age", "TIME", "only sockets whose peer closed that long ago (default 1s)",
	 PARSE_DURATION_RANGE, OPTIONS_LEAKS, PARSED_BY(opt_min_age)},
	{0},
};
