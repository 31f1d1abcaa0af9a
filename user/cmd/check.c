/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/base/clock.h"
#include "user/cmd/commands.h"
#include "user/model/check.h"
#include "user/source/census.h"
#include "user/source/failure_log.h"
#include "user/view/check.h"

#define MIN_SHARE 0.01 /* pools with less are not worth a line */

static int unknown(const char *why)
{
	check__print_unknown(stdout, why);
	return CHECK_UNKNOWN;
}

/* Why the answer may not be the whole truth, NULL: it is. *bad: not even of what we may see. */
static const char *gaps(const struct census_result *c, bool *bad)
{
	uint32_t of[CENSUS_OUTCOMES];

	census_result__tally(c, of);
	*bad = of[CENSUS_FAILED] || of[CENSUS_PARTIAL];
	if (*bad)
		return "partial: a network namespace could not be read, or changed meanwhile";
	return c->hidden || of[CENSUS_DENIED]
		       ? "partial: some network namespaces may not be seen (root sees all)"
		       : NULL;
}

static void name_netns(char *dst, size_t size, const struct census_result *c, uint32_t inum)
{
	const char *name = census_result__netns_name(c, inum);

	if (name)
		snprintf(dst, size, "%s", name);
	else
		snprintf(dst, size, "%u", inum);
}

/* NULL, or why it is not known although it was asked for. */
static const char *look_for_failures(struct check_failures *out, const struct options *opts)
{
	uint64_t within = opts->ports.failures_ns, now = clock_ns(CLOCK_MONOTONIC);
	struct failure_sum sum;

	failure_log_read(&sum, FAILURE_LOG_DIR, opts->filter.netns, now > within ? now - within : 0,
			 now);
	*out = (struct check_failures){
		.traced = sum.traced,
		.connects = sum.connects,
		.binds = sum.binds,
		.within_ns = within,
		.covered_ns = sum.covered_ns,
		.lower_bounds = sum.lost,
	};
	if (sum.traced || !opts->ports.traced)
		return NULL;
	return "no trace of tcpchurn is running that sees failures (--traced)";
}

static int judge(const struct options *opts, const struct census_result *c)
{
	const struct check_limits limits = {
		.warning = opts->ports.warning,
		.critical = opts->ports.critical,
		.leak_warning = opts->ports.leak_warning,
		.leak_critical = opts->ports.leak_critical,
	};
	const struct port_pools_options po = {
		.min_used_of_range = MIN_SHARE, .rules = c->rules, .nr_rules = c->nr_rules};
	struct check_result result;
	struct check_failures failures;
	struct check_page page = {.result = &result, .limits = &limits, .failures = &failures};
	const char *untraced = look_for_failures(&failures, opts);
	struct port_pools pools;
	char netns[256] = "", leak_netns[256] = "";
	bool bad;

	if (port_pools__make(&pools, &c->sockets, &po))
		return unknown(strerror(ENOMEM));
	port_pools__rate_by_age(&pools, &c->sockets);
	page.partial = gaps(c, &bad);
	page.nr_pools = pools.nr;
	if (untraced && !bad)
		page.partial = untraced;
	check__judge(&result, &limits, &pools, &c->sockets, &failures, bad || untraced);
	if (result.worst)
		name_netns(netns, sizeof(netns), c, result.worst->key.netns);
	if (result.leak_bad)
		name_netns(leak_netns, sizeof(leak_netns), c, result.leak_netns);
	page.netns = netns;
	page.leak_netns = leak_netns;
	check__print(stdout, &page);
	port_pools__clear(&pools);
	return result.status;
}

static int check_run(const struct options *opts)
{
	const struct census_options co = {.netns = opts->filter.netns, .no_bpf = true};
	struct census_result result;
	int err, code;

	if (opts->ports.warning > opts->ports.critical)
		return unknown("--warning is above --critical");
	if (opts->ports.leak_critical && opts->ports.leak_warning > opts->ports.leak_critical)
		return unknown("--leak-warning is above --leak-critical");
	err = census_once(&co, &result);
	if (!err && co.netns && result.netns[0].outcome >= CENSUS_DENIED)
		err = -result.netns[0].error;
	if (err == -ENOENT)
		code = unknown("there is no such network namespace");
	else if (err == -ENOTSUP)
		code = unknown("the kernel has no tcp_diag (modprobe tcp_diag)");
	else if (err)
		code = unknown(strerror(-err));
	else
		code = judge(opts, &result);
	census_result__clear(&result);
	return code;
}

static int check_refuse(void)
{
	return unknown("wrong arguments, see tcpchurn check --help");
}

const struct command cmd_check = {
	.name = "check",
	.brief = "the worst port pool as a line for a monitor, exit 0 to 3",
	.about = "For a monitor: one line on the worst port pool, with performance data. Exit "
		 "code 0 ok, 1 warning, 2 critical, 3 unknown. Needs no BPF. While a trace runs "
		 "beside it (record, report, trace; of all, or the same namespace), also the "
		 "connects that failed.",
	.examples = "  tcpchurn check -w 50% -c 80%\n"
		    "  tcpchurn check -c 90% --leak-critical 100 -N web\n",
	.sets = OPTIONS_CHECK | OPTIONS_NETNS,
	.run = check_run,
	.refuse = check_refuse,
};
