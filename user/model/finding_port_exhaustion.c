/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* port-exhaustion: connect() fails for want of source ports; who fails, and who holds them. One
 * finding for each pool of source ports, told to the victim. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/array.h"
#include "user/base/text.h"
#include "user/model/census.h"
#include "user/model/error_counts.h"
#include "user/model/finding_draft.h"

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

/* --- who holds them, as the census knows it --------------------------------------------------- */

/* The part of one row, one untraced process, or of nobody that is known. */
struct share {
	const struct group *group;
	const struct process_identity *process;
	const struct port_holder *most; /* of its call sites */
	uint64_t ports, established, time_wait, other, older;
};

static struct share *share_of(struct share *all, uint32_t *nr, const struct group *g,
			      const struct process_identity *p)
{
	struct share *s = all;

	for (; s < all + *nr; s++) {
		if (s->group == g && !s->process == !p &&
		    (g || !p || s->process->id.tgid == p->id.tgid))
			return s;
	}
	(*nr)++;
	*s = (struct share){.group = g, .process = p};
	return s;
}

static int by_ports(const void *a, const void *b)
{
	const struct share *x = a, *y = b;

	if (!x->process != !y->process)
		return x->process ? -1 : 1;
	return x->ports < y->ports ? 1 : x->ports > y->ports ? -1 : 0;
}

/* Those that are known first, most ports first. NULL: no memory. */
static struct share *shares_of(const struct model *m, const struct port_shortage *p, uint32_t *nr)
{
	struct share *all = calloc(p->nr_holders + 1, sizeof(*all));

	*nr = 0;
	for (uint32_t i = 0; all && i < p->nr_holders; i++) {
		const struct port_holder *h = &p->holders[i];
		const struct process_identity *process = h->who.process;
		const struct group *g = h->who.group ? h->who.group : model__group_of(m, process);
		struct share *s = share_of(all, nr, g, process);

		/* Holders come most ports first. */
		if (!s->most && h->who.stack)
			s->most = h;
		s->established += h->established;
		s->time_wait += h->time_wait;
		s->other += h->other;
		s->older += h->older;
		s->ports = s->established + s->time_wait + s->other;
	}
	if (all)
		qsort(all, *nr, sizeof(*all), by_ports);
	return all;
}

/* "486 in TIME_WAIT, 3 established" */
static struct words words_states(const struct share *s)
{
	const struct {
		uint64_t nr;
		const char *what;
	} parts[] = {{s->time_wait, "in TIME_WAIT"},
		     {s->established, "established"},
		     {s->other, "being opened or closed"}};
	struct words w = {""};
	char count[32];

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t len = strlen(w.text);

		if (parts[i].nr)
			snprintf(w.text + len, sizeof(w.text) - len, "%s%s %s", len ? ", " : "",
				 text_count(count, sizeof(count), parts[i].nr), parts[i].what);
	}
	return w;
}

/* "health.py [pid 7] held 486 of the 512 ports in use, 95 %: 486 in TIME_WAIT; taken in ..." */
static void tell_share(struct finding_draft *d, const struct share *s, uint32_t used)
{
	struct words site = {""};
	char ports[32], of[32];

	if (s->most)
		site = words_frame(&s->most->who.stack->frames[s->most->who.frame]);
	draft_evidence(d, "%s held %s of the %s ports in use, %.0f %%: %s%s%s",
		       s->group ? words_process(s->group).text : words_identity(s->process).text,
		       text_count(ports, sizeof(ports), s->ports), text_count(of, sizeof(of), used),
		       100.0 * (double)s->ports / used, words_states(s).text,
		       site.text[0] ? "; taken in " : "", site.text);
}

/* Shares without a process: what is older than the trace, and what is not known for other
 * reasons. */
static void tell_unknown(struct finding_draft *d, const struct share *s, uint32_t used)
{
	char ports[32], of[32];

	text_count(of, sizeof(of), used);
	if (s->older)
		draft_evidence(d,
			       "%s of the %s ports in use, %.0f %%, were in TIME_WAIT since before "
			       "the trace: the kernel does not know whose they were",
			       text_count(ports, sizeof(ports), s->older), of,
			       100.0 * (double)s->older / used);
	if (s->ports > s->older)
		draft_evidence(d, "whose the other %s of the %s are, %.0f %%, is not known",
			       text_count(ports, sizeof(ports), s->ports - s->older), of,
			       100.0 * (double)(s->ports - s->older) / used);
}

static const struct flow *flow_of(const struct sharers *all, const struct group *g)
{
	for (uint32_t i = 0; g && i < all->nr; i++) {
		if (all->at[i]->group == g)
			return all->at[i];
	}
	return NULL;
}

static void add_holder(struct finding_draft *d, const struct share *s, const struct flow *f,
		       uint32_t used)
{
	draft_holder(d, &(struct finding_holder){
				.group = s->group,
				.flow = f,
				.process = s->process,
				.nr = s->ports,
				.of = used,
				.older = s->older,
			});
}

static void tell_pool(struct finding_draft *d, const struct finding_context *ctx,
		      const struct port_shortage *p)
{
	char capacity[32], open[32], bound[32];
	uint64_t at_ns = p->at_ns - model__start_ns(ctx->model);

	draft_evidence(d, "%s into the trace %s of the %s ports of this pool %s free",
		       words_duration(at_ns).text, text_count(open, sizeof(open), p->free),
		       text_count(capacity, sizeof(capacity), p->capacity),
		       p->free == 1 ? "was" : "were");
	if (p->nr[PORT_BOUND])
		draft_evidence(d,
			       "%s more of the range %s held by explicit binds, for all "
			       "destinations",
			       text_count(bound, sizeof(bound), p->nr[PORT_BOUND]),
			       p->nr[PORT_BOUND] == 1 ? "was" : "were");
	if (p->free)
		draft_counter(d, "no look at the sockets came in a moment when none was free");
	if (p->estimated)
		draft_counter(d, "explicit binds and the age of TIME_WAITs were not all known");
}

/* Every port in use is somebody's, older than the trace, or unknown: they add up. */
static int blame_by_census(struct finding_draft *d, const struct finding_context *ctx,
			   const struct sharers *all, const struct port_shortage *p)
{
	struct share *shares, rest = {0};
	uint32_t nr, told = 0;

	shares = shares_of(ctx->model, p, &nr);
	if (!shares)
		return -ENOMEM;
	tell_pool(d, ctx, p);
	for (uint32_t i = 0; i < nr; i++) {
		const struct share *s = &shares[i];

		add_holder(d, s, flow_of(all, s->group), p->used);
		if (!s->process) {
			tell_unknown(d, s, p->used);
		} else if (told < MAX_TOLD) {
			told++;
			tell_share(d, s, p->used);
		} else {
			rest.ports += s->ports;
			rest.other++;
		}
	}
	if (rest.ports)
		draft_evidence(d, "%s held the other %s", words_count(rest.other, "process").text,
			       words_count(rest.ports, "port").text);
	if (nr && shares[0].process) {
		d->f.culprit = shares[0].group;
		d->f.culprit_flow = flow_of(all, shares[0].group);
	}
	free(shares);
	return 0;
}

/* --- and as the traced connections tell it ---------------------------------------------------- */

/* "health.py [pid 7] holds 486 of the 512 ports seen taken, 95 %: ..." */
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

static void blame_by_flows(struct finding_draft *d, const struct sharers *s)
{
	uint32_t told = 0;

	draft_counter(d, "ports taken before the trace, and by explicit binds, are not in these "
			 "numbers");
	if (!s->ports) {
		draft_counter(d,
			      "nobody was seen to hold the ports: they may have been taken before "
			      "the trace began");
		return;
	}
	d->f.culprit = s->at[0]->group;
	d->f.culprit_flow = s->at[0];
	for (; told < s->nr && told < MAX_TOLD && finding_ports_held(s->at[told]); told++) {
		const struct flow *f = s->at[told];

		tell_holder(d, f, s->ports);
		draft_holder(d, &(struct finding_holder){.group = f->group,
							 .flow = f,
							 .nr = finding_ports_held(f),
							 .of = s->ports});
	}
	if (told < s->nr && finding_ports_held(s->at[told]))
		draft_evidence(d, "%s hold the rest", words_count(s->nr - told, "other row").text);
}

static void advise(struct finding_draft *d)
{
	const struct group *g = d->f.culprit;
	const struct callsite *c =
		d->f.culprit_flow ? finding_main_callsite(d->f.culprit_flow) : NULL;

	if (g)
		draft_fix(d,
			  "in %s: %s. Only headroom, not the cure: a wider "
			  "net.ipv4.ip_local_port_range; net.ipv4.tcp_tw_reuse=1, which lets "
			  "connect() take ports that have been in TIME_WAIT for a second; more "
			  "addresses on either side",
			  words_program(g).text, finding_fix(g, c));
	else
		draft_fix(d, "find out who holds the ports to this destination: trace from before "
			     "they are used up");
}

static void write_title(struct finding_draft *d, const struct flow *victim)
{
	const struct group *culprit = d->f.culprit;

	draft_title(d, "%s cannot connect to %s: no source port is free%s%s%s",
		    words_program(victim->group).text, words_destination(&victim->dest).text,
		    culprit ? ", " : "",
		    !culprit		       ? ""
		    : culprit == victim->group ? "it holds them itself"
					       : words_program(culprit).text,
		    culprit && culprit != victim->group ? " holds them" : "");
}

static int write_finding(const struct finding_context *ctx, const struct sharers *s)
{
	const struct flow *victim = s->victim;
	const struct port_shortage *p = model__shortage(ctx->model, victim);
	struct finding_draft d = draft_new("port-exhaustion", FINDING_CRITICAL, victim);

	d.f.callsite = finding_main_callsite(victim);
	for (uint32_t i = 0; i < s->nr; i++)
		d.f.weight += (double)exhausted(s->at[i]);
	tell_victims(&d, s);
	if (!p)
		blame_by_flows(&d, s);
	else if (blame_by_census(&d, ctx, s, p))
		d.failed = true;
	write_title(&d, victim);
	if (s->several_local)
		draft_counter(&d, "opens from several local addresses are in these numbers; each "
				  "address has ports of its own");
	draft_usual_doubts(&d, ctx, victim);
	advise(&d);
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
