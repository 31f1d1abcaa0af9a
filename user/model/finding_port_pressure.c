/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* port-pressure: a pool of source ports that is heading for exhaustion, or past the point from
 * which each connect() is slow; and tuning: which settings would give it headroom. */
#include <stdio.h>
#include <string.h>

#include "user/base/text.h"
#include "user/model/census.h"
#include "user/model/error_counts.h"
#include "user/model/finding_draft.h"

#define SOON_S	   60
#define ALL	   0.98 /* a share that needs no word */
#define WIDE_LOW   1024
#define WIDE_HIGH  65535
#define TW_DELAY_S 1 /* net.ipv4.tcp_tw_reuse_delay, default */

struct pressure {
	const struct port_pool *pool;
	/* By all that share the pool, while they are at work: */
	double opens;	     /* a second, */
	double rate;	     /* and ports parked in TIME_WAIT */
	double seconds_left; /* < 0: for ever */
	bool slow;	     /* each connect() searches half of the range in vain */
};

/* False: another flow of the pool opens more, and tells of it. */
static bool sum_up(const struct finding_context *ctx, const struct flow *f, struct pressure *p,
		   bool *failing)
{
	uint64_t start = model__start_ns(ctx->model), now = start ? start + ctx->window_ns : 0;
	double opens;
	uint32_t nr;
	const struct group *const *groups = model__groups(ctx->model, &nr);

	*failing = false;
	for (uint32_t i = 0; i < nr; i++) {
		for (uint32_t k = 0; k < groups[i]->nr_flows; k++) {
			const struct flow *o = groups[i]->flows[k];

			if (!finding_same_pool(o, f))
				continue;
			if (o != f && (o->opens > f->opens || (o->opens == f->opens && o < f)))
				return false;
			opens = flow__working_rate(o, now);
			if (opens > 0) {
				p->opens += opens;
				p->rate += opens * flow__parking_share(o);
			}
			*failing |= error_counts__of_cause(&o->failures,
							   CHURN_CAUSE_EPHEMERAL_EXHAUSTED) > 0;
		}
	}
	return true;
}

static uint32_t in_use(const struct port_pool *p)
{
	return p->capacity - p->free;
}

/* What the opens want of the pool: no more than tcp_max_tw_buckets lets them have. */
static void tell_wanted(struct finding_draft *d, const struct flow *f, const struct pressure *p)
{
	double held = p->rate * TIME_WAIT_SECONDS;
	uint32_t max = p->pool->rules->max_time_wait;
	char wanted[32], capacity[32], most[32], limit[96] = "";

	text_count(capacity, sizeof(capacity), p->pool->capacity);
	text_count(wanted, sizeof(wanted), (uint64_t)(held + 0.5));
	if (held > max)
		snprintf(limit, sizeof(limit), ", but net.ipv4.tcp_max_tw_buckets allows %s",
			 text_count(most, sizeof(most), max));
	if (p->rate >= ALL * p->opens && p->rate > 0)
		draft_evidence(d,
			       "%s opens a second while at work, each of which leaves its port in "
			       "TIME_WAIT for 60 s, want %s ports%s; %s has %s",
			       words_rate(p->rate).text, wanted, limit,
			       words_destination(&f->dest).text, capacity);
	else if (p->rate > 0)
		draft_evidence(d,
			       "of %s opens a second while at work %s leave their ports in "
			       "TIME_WAIT for 60 s, and want %s%s; %s has %s",
			       words_rate(p->opens).text, words_rate(p->rate).text, wanted, limit,
			       words_destination(&f->dest).text, capacity);
}

static void give_evidence(struct finding_draft *d, const struct flow *f, const struct pressure *p)
{
	char capacity[32], used[32], most[32];

	tell_wanted(d, f, p);
	text_count(capacity, sizeof(capacity), p->pool->capacity);
	text_count(used, sizeof(used), in_use(p->pool));
	if (port_pool__is_spared(p->pool))
		draft_evidence(d,
			       "%s of %s ports are taken now; of these and all others at most %s "
			       "can be in TIME_WAIT (net.ipv4.tcp_max_tw_buckets)",
			       used, capacity,
			       text_count(most, sizeof(most), p->pool->rules->max_time_wait));
	else
		draft_evidence(d,
			       "%s of %s ports are taken now; %s opens a second can go on for ever",
			       used, capacity, words_rate(port_pool__sustainable(p->pool)).text);
	if (p->seconds_left >= 0)
		draft_evidence(d, "at this rate no port is free in %s",
			       words_duration((uint64_t)(p->seconds_left * 1e9)).text);
	if (p->slow)
		draft_evidence(d,
			       "more than %s are taken: each connect() searches half of the range "
			       "in vain first",
			       text_count(used, sizeof(used), p->pool->cliff));
	else if (p->seconds_left >= 0)
		draft_evidence(
			d, "from %s on, each connect() searches half of the range in vain first",
			text_count(used, sizeof(used), p->pool->cliff));
}

static int tell_pressure(const struct finding_context *ctx, const struct flow *f,
			 const struct pressure *p)
{
	bool soon = p->seconds_left >= 0 && p->seconds_left < SOON_S;
	struct finding_draft d =
		draft_new("port-pressure", soon ? FINDING_CRITICAL : FINDING_WARNING, f);

	d.f.callsite = finding_main_callsite(f);
	d.f.weight = p->rate;
	if (p->seconds_left >= 0)
		draft_title(&d, "%s will run out of source ports to %s in %s",
			    words_program(f->group).text, words_destination(&f->dest).text,
			    words_duration((uint64_t)(p->seconds_left * 1e9)).text);
	else
		draft_title(&d, "%s has used up half of the source ports to %s: connect() is slow",
			    words_program(f->group).text, words_destination(&f->dest).text);
	give_evidence(&d, f, p);
	draft_holder(&d, &(struct finding_holder){.group = f->group,
						  .flow = f,
						  .nr = finding_ports_held(f),
						  .of = in_use(p->pool)});
	if (p->pool->estimated)
		draft_counter(&d, "explicit binds and the age of TIME_WAITs were not all known");
	draft_usual_doubts(&d, ctx, f);
	draft_fix(&d, "%s", finding_fix(f->group, d.f.callsite));
	return draft_done(&d, ctx);
}

/* --- tuning ----------------------------------------------------------------------------------- */

static int tell_tuning(const struct finding_context *ctx, const struct flow *f,
		       const struct pressure *p)
{
	const struct port_rules *r = p->pool->rules;
	double per_second = port_pool__sustainable(p->pool);
	struct finding_draft d = draft_new("tuning", FINDING_INFO, f);
	unsigned int range = r->high - r->low + 1u;
	char ports[32];

	d.f.weight = p->rate;
	draft_title(&d, "settings that would give connects to %s headroom, and cure nothing",
		    words_destination(&f->dest).text);
	if (range < WIDE_HIGH - WIDE_LOW + 1)
		draft_evidence(
			&d,
			"net.ipv4.ip_local_port_range is %u-%u, %s: with %u-%u %s opens a second "
			"instead of %s can go on for ever",
			r->low, r->high, words_count(range, "port").text, WIDE_LOW, WIDE_HIGH,
			words_rate(per_second * (WIDE_HIGH - WIDE_LOW + 1.0) / range).text,
			words_rate(per_second).text);
	if (range < DEFAULT_RANGE_PORTS)
		draft_evidence(&d, "the kernel's default range is 32768-60999, %s ports",
			       text_count(ports, sizeof(ports), DEFAULT_RANGE_PORTS));
	if (!p->pool->reuse && !r->timestamps)
		draft_evidence(&d,
			       "net.ipv4.tcp_timestamps is off: without them no TIME_WAIT can be "
			       "taken over");
	else if (!p->pool->reuse)
		draft_evidence(
			&d,
			"net.ipv4.tcp_tw_reuse is %u: with 1 connect() may take over a TIME_WAIT "
			"after a second: %s opens a second",
			r->tw_reuse, words_rate((double)p->pool->capacity / TW_DELAY_S).text);
	draft_counter(&d,
		      "more ports are headroom: whoever opens a connection for each request uses "
		      "them up, too; and tcp_tw_reuse needs timestamps at both ends");
	draft_fix(&d,
		  "keep connections first; then sysctl, in the network namespace of the client");
	return draft_done(&d, ctx);
}

int finding_rule_port_pressure(const struct finding_context *ctx, const struct flow *f)
{
	struct pressure p = {.pool = model__pool_of(ctx->model, f)};
	bool failing;
	int err = 0;

	if (!p.pool || !sum_up(ctx, f, &p, &failing))
		return 0;
	p.seconds_left =
		p.rate > 0 ? port_pool__exhaustion(p.pool, (struct port_load){.parked = p.rate})
			   : -1;
	p.slow = in_use(p.pool) > p.pool->cliff;
	if (p.seconds_left < 0 && !p.slow && !failing)
		return 0;
	/* Where it fails already, port-exhaustion says so. */
	if (!failing)
		err = tell_pressure(ctx, f, &p);
	/* TIME_WAIT is not what uses them up where it is limited to fewer. */
	return err || port_pool__is_spared(p.pool) ? err : tell_tuning(ctx, f, &p);
}
