/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/clock.h"
#include "user/base/text.h"
#include "user/cmd/commands.h"
#include "user/cmd/ports_recorded.h"
#include "user/cmd/run.h"
#include "user/cmd/stop.h"
#include "user/source/census.h"
#include "user/source/holders.h"
#include "user/source/machine.h"
#include "user/view/ports.h"

/* --- which sockets ---------------------------------------------------------------------------- */

static bool in_cidrs(const struct churn_cidr *c, uint32_t nr, const uint8_t addr[16])
{
	uint32_t words[4];

	memcpy(words, addr, sizeof(words));
	for (uint32_t i = 0; i < nr; i++) {
		bool inside = true;

		for (int k = 0; k < 4; k++)
			inside &= (words[k] & c[i].mask[k]) == c[i].net[k];
		if (inside)
			return true;
	}
	return !nr;
}

static bool in_ports(const struct churn_port_range *r, uint32_t nr, uint16_t port)
{
	for (uint32_t i = 0; i < nr; i++) {
		if (port >= r[i].low && port <= r[i].high)
			return true;
	}
	return !nr;
}

/* What has no peer stays: it takes ports away from all pools. */
static bool is_wanted(const struct filter *f, const struct tcp_socket *s)
{
	if (!s->peer_port)
		return true;
	return (!f->family || s->family == f->family) &&
	       in_ports(f->peer_ports, f->nr_peer_ports, s->peer_port) &&
	       in_cidrs(f->src, f->nr_src, s->local_addr) &&
	       in_cidrs(f->dst, f->nr_dst, s->peer_addr);
}

/* A bind may be known only by the connections that share its port: those lose their tuple. */
static void filter_sockets(struct socket_list *l, const struct filter *f)
{
	for (size_t i = 0; i < l->nr; i++) {
		if (!is_wanted(f, &l->at[i]))
			l->at[i].peer_port = 0;
	}
}

/* --- one look --------------------------------------------------------------------------------- */

/* A census and what was made of it. */
struct look {
	struct census_result census;
	struct port_pools pools;
	struct port_holders holders;
	struct what_ifs what_ifs;
	struct holders *owners;
	uint64_t wall_ns;
};

static void look_clear(struct look *l)
{
	what_ifs__clear(&l->what_ifs);
	port_holders__clear(&l->holders);
	holders__free(l->owners);
	port_pools__clear(&l->pools);
	census_result__clear(&l->census);
	memset(l, 0, sizeof(*l));
}

/* Rates: against the look before, where there is one. */
static int look_take(struct look *l, struct census *c, const struct options *opts,
		     const struct look *before)
{
	struct port_pools_options po = {
		.min_used = opts->ports.min_used,
		.min_used_of_range = opts->ports.min_used_share,
	};
	int err;

	memset(l, 0, sizeof(*l));
	l->wall_ns = clock_ns(CLOCK_REALTIME);
	err = census__take(c, &l->census);
	if (err)
		return err;
	filter_sockets(&l->census.sockets, &opts->filter);
	po.rules = l->census.rules;
	po.nr_rules = l->census.nr_rules;
	err = port_pools__make(&l->pools, &l->census.sockets, &po);
	if (err)
		return err;
	if (before)
		err = port_pools__rate_by_census(&l->pools, &l->census.sockets,
						 &before->census.sockets,
						 l->census.taken_ns - before->census.taken_ns);
	else
		port_pools__rate_by_age(&l->pools, &l->census.sockets);
	if (err || !l->pools.nr)
		return err;
	if (opts->ports.what_if.given)
		err = what_ifs__make(&l->what_ifs, &opts->ports.what_if, &l->pools,
				     &l->census.sockets, l->census.rules, l->census.nr_rules);
	if (err)
		return err;
	l->owners = holders__new(&l->census.sockets);
	if (!l->owners)
		return -errno;
	return port_holders__make(&l->holders, &l->pools, &l->census.sockets, holders__find,
				  l->owners);
}

static void scope_of(struct ports_scope *out, const struct look *l)
{
	const struct census_result *c = &l->census;
	uint32_t of[CENSUS_OUTCOMES];

	*out = (struct ports_scope){
		.sockets = c->sockets.nr,
		.hidden = c->hidden,
		.binds_unseen = !machine_is_since(6, 8), /* SOCK_DIAG_BOUND */
		.bpf = c->backend == CENSUS_BPF,
		.duration_ns = c->duration_ns,
	};
	census_result__tally(c, of);
	out->netns_read = of[CENSUS_READ] + of[CENSUS_PARTIAL];
	out->netns_idle = of[CENSUS_IDLE];
	out->netns_partial = of[CENSUS_PARTIAL];
	out->netns_denied = of[CENSUS_DENIED];
	out->netns_failed = of[CENSUS_FAILED];
}

static const char *netns_name(const void *ctx, uint32_t inum)
{
	const struct look *l = ctx;

	return census_result__netns_name(&l->census, inum);
}

static int look_print(FILE *out, const struct options *opts, const struct look *l)
{
	struct ports_scope scope;
	struct ports_page page = {
		.pools = &l->pools,
		.holders = &l->holders,
		.scope = &scope,
		.what_ifs = opts->ports.what_if.given ? &l->what_ifs : NULL,
		.netns_name = netns_name,
		.ctx = l,
		.wall_ns = l->wall_ns,
		.rows = opts->rows,
		.watched = opts->ports.watch,
		.no_header = opts->no_header,
		.colour = view_colour(out),
		.width = view_width(out),
	};

	scope_of(&scope, l);
	return ports__print(out, opts->format, &page);
}

/* --- the command ------------------------------------------------------------------------------ */

static int watch(FILE *out, const struct options *opts, struct census *c)
{
	struct look looks[2] = {};
	uint64_t end = opts->duration_ns;
	int err = 0;

	for (uint64_t i = 0; !err; i++) {
		struct look *now = &looks[i % 2], *before = &looks[(i + 1) % 2];

		look_clear(now);
		err = look_take(now, c, opts, i ? before : NULL);
		if (!err)
			err = look_print(out, opts, now);
		if (stop_requested() || (end && (i + 1) * opts->ports.interval_ns >= end))
			break;
		if (!err)
			stop_sleep(opts->ports.interval_ns);
		if (stop_requested())
			break;
	}
	look_clear(&looks[0]);
	look_clear(&looks[1]);
	return err;
}

static int once(FILE *out, const struct options *opts, struct census *c)
{
	struct look look;
	int err = look_take(&look, c, opts, NULL);

	if (!err)
		err = look_print(out, opts, &look);
	look_clear(&look);
	return err;
}

static int ports_run(const struct options *opts)
{
	const struct census_options co = {
		.netns = opts->filter.netns,
		.no_bpf = opts->ports.no_bpf,
	};
	struct census *c;
	int code, closed;
	FILE *out;

	out = run_output(opts);
	if (!out)
		return EXIT_INTERNAL;
	stop_catch();
	c = opts->input ? NULL : census__open(&co);
	if (c)
		run_output_begin(out);
	if (opts->input)
		code = ports_recorded(opts, out);
	else if (!c)
		code = run_census_code("ports", -errno);
	else
		code = run_census_code("ports", opts->ports.watch ? watch(out, opts, c)
								  : once(out, opts, c));
	census__free(c);
	closed = run_output_close(opts, out);
	return code ? code : closed;
}

const struct command cmd_ports = {
	.name = "ports",
	.brief = "how many source ports are left to each destination, and who holds the rest",
	.about = "Which source ports connect() may still choose from, to each destination, who "
		 "holds the others, and how long they will last. As root of all network "
		 "namespaces, else of this one. Nothing is traced. Of a recording: the moment "
		 "when fewest were free.",
	.examples =
		"  tcpchurn ports                          # now\n"
		"  tcpchurn ports --watch -P 443           # again and again, to one port\n"
		"  tcpchurn ports --what-if range=1024-65535,tw_reuse=1,pool=10\n"
		"  tcpchurn ports -i incident.gz            # when they ran out, and whose fault\n",
	.sets = OPTIONS_POOLS | OPTIONS_PORTS | OPTIONS_RECORDED | OPTIONS_TABLE_JSON |
		OPTIONS_OUTPUT,
	.run = ports_run,
};
