/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* port-exhaustion: connect() fails for want of source ports; who fails, and who holds them. One
 * finding for each pool of source ports, told to the victim. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/model/error_counts.h"
#include "user/model/finding_draft.h"
#include "user/model/port_pools.h"

#define MAX_TOLD 5 /* holders, and victims, in sentences; the rest is summed up */

/* Everybody who draws on one pool. */
struct sharers {
	const struct flow **at; /* most ports held first */
	uint32_t nr;
	uint64_t ports;		   /* held by all */
	const struct flow *victim; /* fails most, but for the one that holds most; or that one */
	bool several_local;	   /* local addresses: there may be more pools than one */
};

static uint64_t exhausted(const struct flow *f)
{
	return error_counts__of_cause(&f->failures, CHURN_CAUSE_EPHEMERAL_EXHAUSTED);
}

static int by_ports_held(const void *a, const void *b)
{
	const struct flow *x = *(const struct flow *const *)a, *y = *(const struct flow *const *)b;
	uint64_t nr_x = finding_ports_held(x), nr_y = finding_ports_held(y);

	if (nr_x != nr_y)
		return nr_x < nr_y ? 1 : -1;
	return x->opens < y->opens ? 1 : x->opens > y->opens ? -1 : 0;
}

static int add_sharer(struct sharers *s, const struct flow *f)
{
	const struct flow **at = realloc(s->at, (s->nr + 1) * sizeof(*at));

	if (!at)
		return -ENOMEM;
	s->at = at;
	at[s->nr++] = f;
	s->ports += finding_ports_held(f);
	s->several_local |= f->several_local;
	return 0;
}

static int find_sharers(const struct model *m, const struct flow *of, struct sharers *s)
{
	uint32_t nr;
	const struct group *const *groups = model__groups(m, &nr);

	*s = (struct sharers){0};
	for (uint32_t i = 0; i < nr; i++) {
		for (uint32_t k = 0; k < groups[i]->nr_flows; k++) {
			if (finding_same_pool(groups[i]->flows[k], of) &&
			    add_sharer(s, groups[i]->flows[k]))
				return -ENOMEM;
		}
	}
	qsort(s->at, s->nr, sizeof(*s->at), by_ports_held);
	s->victim = s->at[0];
	for (uint32_t i = 1; i < s->nr; i++) {
		if (exhausted(s->at[i]) &&
		    (s->victim == s->at[0] || exhausted(s->at[i]) > exhausted(s->victim)))
			s->victim = s->at[i];
	}
	return 0;
}

static void tell_victims(struct finding_draft *d, const struct sharers *s)
{
	char nr[32];

	for (uint32_t i = 0, told = 0; i < s->nr && told < MAX_TOLD; i++) {
		const struct flow *f = i ? s->at[i] : s->victim;

		if (!exhausted(f) || (i && f == s->victim))
			continue;
		told++;
		draft_evidence(d,
			       "%s of %s by %s failed with EADDRNOTAVAIL in the port search: "
			       "nothing was sent",
			       text_count(nr, sizeof(nr), exhausted(f)),
			       words_count(f->opens + f->failed, "open").text,
			       words_process(f->group).text);
	}
	if (s->nr && s->victim != s->at[0] && exhausted(s->at[0]))
		draft_evidence(d, "%s fails too: %s", words_program(s->at[0]->group).text,
			       words_count(exhausted(s->at[0]), "time").text);
}

/* "health.py [pid 7]: 486 of 512 ports, 95 %, 486 in TIME_WAIT; check_health (health.py:20)". */
static void tell_holder(struct finding_draft *d, const struct flow *f, uint64_t all)
{
	const struct callsite *c = finding_main_callsite(f);
	uint64_t held = finding_ports_held(f);
	char ports[32], parked[32], of[32];
	struct words site = words_callsite(c);

	draft_evidence(d,
		       "%s holds %s of the %s ports seen taken, %.0f %%: %s in TIME_WAIT, %s%s%s",
		       words_process(f->group).text, text_count(ports, sizeof(ports), held),
		       text_count(of, sizeof(of), all), 100.0 * (double)held / (double)all,
		       text_count(parked, sizeof(parked), f->parked),
		       words_count(f->live, "open connection").text,
		       site.text[0] ? "; taken in " : "", site.text);
}

static void tell_pool(struct finding_draft *d, const struct port_pool *p)
{
	char capacity[32], established[32], parked[32], open[32];

	if (!p)
		return;
	draft_evidence(
		d,
		"of the %s ports of this pool %s %s free at the end of the window: %s established, "
		"%s in TIME_WAIT",
		text_count(capacity, sizeof(capacity), p->capacity),
		text_count(open, sizeof(open), p->free), p->free == 1 ? "was" : "were",
		text_count(established, sizeof(established), p->nr[PORT_ESTABLISHED]),
		text_count(parked, sizeof(parked), p->nr[PORT_TIME_WAIT]));
}

static void blame(struct finding_draft *d, const struct sharers *s)
{
	uint32_t told = 0;

	if (!s->ports) {
		draft_counter(d,
			      "nobody was seen to hold the ports: they may have been taken before "
			      "the trace began");
		return;
	}
	d->f.culprit = s->at[0]->group;
	d->f.culprit_flow = s->at[0];
	for (; told < s->nr && told < MAX_TOLD && finding_ports_held(s->at[told]); told++) {
		tell_holder(d, s->at[told], s->ports);
		draft_holder(d, s->at[told], finding_ports_held(s->at[told]), s->ports);
	}
	if (told < s->nr && finding_ports_held(s->at[told]))
		draft_evidence(d, "%s hold the rest", words_count(s->nr - told, "other row").text);
}

static void advise(struct finding_draft *d, const struct sharers *s)
{
	const struct flow *most = s->at[0];

	if (s->ports)
		draft_fix(d,
			  "in %s: %s. Only headroom, not the cure: a wider "
			  "net.ipv4.ip_local_port_range; net.ipv4.tcp_tw_reuse=1, which lets "
			  "connect() take ports that have been in TIME_WAIT for a second; more "
			  "addresses on either side",
			  words_program(most->group).text,
			  finding_fix(most->group, finding_main_callsite(most)));
	else
		draft_fix(d, "find out who holds the ports to this destination: trace from before "
			     "they are used up");
}

static int write_finding(const struct finding_context *ctx, const struct sharers *s)
{
	const struct flow *victim = s->victim;
	struct finding_draft d = draft_new("port-exhaustion", FINDING_CRITICAL, victim);

	d.f.callsite = finding_main_callsite(victim);
	for (uint32_t i = 0; i < s->nr; i++)
		d.f.weight += (double)exhausted(s->at[i]);
	if (s->ports && victim != s->at[0])
		draft_title(&d, "%s cannot connect to %s: no source port is free, %s holds them",
			    words_program(victim->group).text,
			    words_destination(&victim->dest).text,
			    words_program(s->at[0]->group).text);
	else
		draft_title(&d, "%s cannot connect to %s: no source port is free",
			    words_program(victim->group).text,
			    words_destination(&victim->dest).text);
	tell_victims(&d, s);
	tell_pool(&d, finding_pool_of(ctx->model, victim));
	blame(&d, s);
	if (s->several_local)
		draft_counter(&d, "opens from several local addresses are in these numbers; each "
				  "address has ports of its own");
	draft_counter(&d, "ports taken before the trace, and by explicit binds, are not in these "
			  "numbers");
	draft_usual_doubts(&d, ctx, victim);
	advise(&d, s);
	return draft_done(&d, ctx);
}

int finding_rule_port_exhaustion(const struct finding_context *ctx, const struct flow *f)
{
	struct sharers s;
	int err;

	if (!exhausted(f))
		return 0;
	err = find_sharers(ctx->model, f, &s);
	if (!err && f == s.victim)
		err = write_finding(ctx, &s);
	free(s.at);
	return err;
}
