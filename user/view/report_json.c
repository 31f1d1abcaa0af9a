/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>

#include "user/base/text.h"
#include "user/model/census.h"
#include "user/view/describe.h"
#include "user/model/names.h"
#include "user/view/pieces.h"
#include "user/view/ports.h"
#include "user/view/report_rows.h"

static void put_callsite_identity(struct json *j, const struct callsite *s)
{
	json_callsite(j, s->id, s->stack, s->frame);
}

/* Where its connections were ended, as far as that was looked at. */
static void put_closesite(struct json *j, const struct callsite *s)
{
	uint64_t judged = 0;

	for (unsigned int i = 1; i < CHURN_ACTIVATION__COUNT; i++)
		judged += s->ends[i];
	if (!judged && !s->close_stack)
		return;
	json__object(j, "closesite");
	json_callsite(j, 0, s->close_stack, s->close_frame);
	json__uint(j, "judged", judged);
	json__uint(j, "same_activation", s->owner_ends);
	if (s->owner)
		json__string(j, "activation_of", s->owner->function);
	for (unsigned int i = 1; i < CHURN_ACTIVATION__COUNT; i++)
		json__uint(j, name_activation(i), s->ends[i]);
	json__close(j);
}

static void put_callsite(struct json *j, const struct callsite *s)
{
	json__object(j, NULL);
	put_callsite_identity(j, s);
	json__uint(j, "opens", s->opens);
	json__uint(j, "failed", s->failures);
	json__uint(j, "avoidable", s->avoidable);
	json__uint(j, "short_lived", s->short_lived);
	json_stack(j, "stack", s->stack);
	json__uint(j, "stack_count", s->nr_paths ? s->paths->nr : 0);
	put_closesite(j, s);
	json__close(j);
}

static void put_destination(struct json *j, const struct destination *d)
{
	char text[ADDR_LEN];

	if (d->netns)
		json__uint(j, "netns", d->netns);
	if (address_known(d->addr))
		json__string(j, "address", text_addr(text, d->addr));
	if (d->port)
		json__uint(j, "port", d->port);
}

static void put_quantiles(struct json *j, const char *key, const struct histogram *h)
{
	if (!h->nr)
		return;
	json__object(j, key);
	json__uint(j, "p50", histogram__quantile(h, 0.5));
	json__uint(j, "p99", histogram__quantile(h, 0.99));
	json__close(j);
}

/* Measured, or (then no hook sees it) at most that: with what comes after it. */
static void put_port_search(struct json *j, const struct flow *f)
{
	const struct histogram *h = f->search.nr ? &f->search : &f->search_at_most;

	if (!h->nr)
		return;
	json__object(j, "port_search_ns");
	json__bool(j, "measured", h == &f->search);
	json__uint(j, "p50", histogram__quantile(h, 0.5));
	json__uint(j, "p99", histogram__quantile(h, 0.99));
	json__uint(j, "max", h->max);
	json__close(j);
}

/* Jitter as in the findings: from the 10th to the 90th percentile; 0 is a metronome. */
static void put_interval(struct json *j, const struct histogram *h)
{
	uint64_t middle = histogram__quantile(h, 0.5);

	if (!h->nr)
		return;
	json__object(j, "interval_ns");
	json__uint(j, "p50", middle);
	json__uint(j, "jitter", histogram__quantile(h, 0.9) - histogram__quantile(h, 0.1));
	json__close(j);
}

static void put_closed_by(struct json *j, const uint64_t closed_by[CHURN_END__COUNT])
{
	unsigned int i;

	json__object(j, "closed_by");
	for (i = CHURN_END_LOCAL; i < CHURN_END__COUNT; i++)
		json__uint(j, name_initiator(i), closed_by[i]);
	if (closed_by[CHURN_END_UNKNOWN])
		json__uint(j, "unknown", closed_by[CHURN_END_UNKNOWN]);
	json__close(j);
}

static void put_flow(struct json *j, const struct flow *f)
{
	uint32_t i;

	json__object(j, NULL);
	put_destination(j, &f->dest);
	json_peer(j, "peer_process", f->peer);
	json__uint(j, "opens", f->opens);
	json_failures(j, "failures", &f->failures);
	json__uint(j, "closes", f->closes);
	json__uint(j, "short_lived", f->short_lived);
	json__uint(j, "avoidable", f->avoidable);
	json__uint(j, "time_wait", f->time_wait);
	put_quantiles(j, "lifetime_ns", &f->lifetime);
	put_quantiles(j, "connect_ns", &f->connect);
	put_port_search(j, f);
	json__uint(j, "concurrency_peak", f->pool_peak);
	put_interval(j, &f->interval);
	json__uint(j, "bytes_sent", f->bytes_sent);
	json__uint(j, "bytes_received", f->bytes_received);
	put_closed_by(j, f->closed_by);
	json__array(j, "callsites");
	for (i = 0; i < f->nr_callsites; i++)
		put_callsite(j, &f->callsites[i]);
	json__close(j);
	json__close(j);
}

/* Where it was accepted. */
static void put_accept_site(struct json *j, const struct callsite *s)
{
	json__object(j, NULL);
	put_callsite_identity(j, s);
	json__uint(j, "accepts", s->opens);
	json_stack(j, "stack", s->stack);
	json__uint(j, "stack_count", s->nr_paths ? s->paths->nr : 0);
	json__close(j);
}

static void put_service(struct json *j, const struct service *s)
{
	uint32_t i;

	json__object(j, NULL);
	if (s->netns)
		json__uint(j, "netns", s->netns);
	json__uint(j, "port", s->port);
	json__uint(j, "accepts", s->accepts);
	json__uint(j, "closes", s->closes);
	json__uint(j, "time_wait", s->time_wait);
	json__uint(j, "concurrency_peak", s->live_peak);
	put_closed_by(j, s->closed_by);
	json__array(j, "callsites");
	for (i = 0; i < s->nr_callsites; i++)
		put_accept_site(j, &s->callsites[i]);
	json__close(j);
	json__close(j);
}

/* Of several processes only what they have in common. */
static void put_process(struct json *j, const struct group *g)
{
	uint32_t i;

	if (g->nr_processes <= 1 && g->sample.id.tgid) {
		json_process(j, "process", &g->sample);
		return;
	}
	json__object(j, "process");
	if (g->sample.id.tgid)
		json_program(j, &g->sample);
	json__close(j);
	json__uint(j, "process_count", g->nr_processes);
	json__array(j, "pids");
	for (i = 0; i < g->nr_pids; i++)
		json__uint(j, NULL, g->pids[i]);
	json__close(j);
}

static void put_group(struct json *j, const struct group *g, uint64_t duration_ns)
{
	uint32_t i;

	json__object(j, NULL);
	put_process(j, g);
	json__string(j, "program", g->program);
	json_container(j, &g->sample);
	json__uint(j, "opens", g->opens);
	json_failures(j, "failures", &g->failures);
	json__uint(j, "bind_failures", g->bind_failures);
	json__uint(j, "accepts", g->accepts);
	json__uint(j, "closes", g->closes);
	json__double(j, "rate_per_second", report_rate(g->opens, duration_ns));
	json__uint(j, "short_lived", g->short_lived);
	json__uint(j, "avoidable", g->avoidable);
	json__uint(j, "time_wait", g->time_wait);
	json__array(j, "destinations");
	for (i = 0; i < g->nr_flows; i++)
		put_flow(j, g->flows[i]);
	json__close(j);
	json__array(j, "services");
	for (i = 0; i < g->nr_services; i++)
		put_service(j, g->services[i]);
	json__close(j);
	json__close(j);
}

static int put_groups(struct json *j, const struct model *m, const struct report_options *opts)
{
	uint32_t nr, i;
	const struct group **groups = report_groups(m, opts->sort, &nr);

	if (!groups)
		return -ENOMEM;
	nr = report_limit(nr, opts->rows, 0);
	json__array(j, "processes");
	for (i = 0; i < nr; i++)
		put_group(j, groups[i], opts->duration_ns);
	json__close(j);
	free(groups);
	return 0;
}

static void put_short_process(struct json *j, const struct group *g)
{
	json__string(j, "program", g->program);
	if (g->nr_processes <= 1 && g->sample.id.tgid)
		json__uint(j, "pid", g->sample.id.tgid);
	else
		json__uint(j, "process_count", g->nr_processes);
}

static void put_parts(struct json *j, const struct pivot_row *r, enum report_by by)
{
	uint32_t i;

	json__array(j, by == REPORT_BY_DESTINATION ? "processes" : "destinations");
	for (i = 0; i < r->nr_parts; i++) {
		const struct pivot_part *p = &r->parts[i];

		json__object(j, NULL);
		put_short_process(j, p->flow->group);
		if (by == REPORT_BY_CALLSITE)
			put_destination(j, &p->flow->dest);
		json__uint(j, "opens", p->site ? p->site->opens : p->flow->opens);
		json__uint(j, "failed", p->site ? p->site->failures : p->flow->failed);
		json__uint(j, "avoidable", p->site ? p->site->avoidable : p->flow->avoidable);
		json__close(j);
	}
	json__close(j);
}

static int put_pivot(struct json *j, const struct model *m, const struct report_options *opts)
{
	struct pivot p;
	uint32_t nr, i;

	if (opts->by == REPORT_BY_PROCESS)
		return 0;
	if (pivot__make(&p, m, opts->by, opts->sort))
		return -ENOMEM;
	nr = report_limit(p.nr_rows, opts->rows, 0);
	json__array(j, opts->by == REPORT_BY_DESTINATION ? "by_destination" : "by_callsite");
	for (i = 0; i < nr; i++) {
		const struct pivot_row *r = &p.rows[i];

		json__object(j, NULL);
		if (opts->by == REPORT_BY_DESTINATION) {
			put_destination(j, &r->parts->flow->dest);
			json_peer(j, "peer_process", r->parts->flow->peer);
			json__uint(j, "time_wait", r->time_wait);
		} else if (r->parts->site) {
			put_callsite_identity(j, r->parts->site);
		}
		json__uint(j, "opens", r->opens);
		json__uint(j, "failed", r->failures);
		json__uint(j, "avoidable", r->avoidable);
		json__uint(j, "short_lived", r->short_lived);
		json__double(j, "rate_per_second", report_rate(r->opens, opts->duration_ns));
		put_parts(j, r, opts->by);
		json__close(j);
	}
	json__close(j);
	pivot__clear(&p);
	return 0;
}

static void put_sentences(struct json *j, const char *key, char *const *sentences)
{
	json__array(j, key);
	for (; sentences && *sentences; sentences++)
		json__string(j, NULL, *sentences);
	json__close(j);
}

static void put_holders(struct json *j, const struct finding *f)
{
	if (!f->nr_holders)
		return;
	json__array(j, "holders");
	for (uint32_t i = 0; i < f->nr_holders; i++) {
		const struct finding_holder *h = &f->holders[i];

		json__object(j, NULL);
		if (h->group) {
			put_process(j, h->group);
			json__string(j, "program", h->group->program);
		} else if (h->process) {
			json_process(j, "process", h->process);
		}
		json__uint(j, "ports", h->nr);
		json__double(j, "share", h->of ? (double)h->nr / (double)h->of : 0);
		if (h->older)
			json__uint(j, "older", h->older);
		json__array(j, "callsites");
		for (uint32_t k = 0; h->flow && k < h->flow->nr_callsites; k++) {
			json__object(j, NULL);
			put_callsite_identity(j, &h->flow->callsites[k]);
			json__uint(j, "opens", h->flow->callsites[k].opens);
			json__close(j);
		}
		json__close(j);
		json__close(j);
	}
	json__close(j);
}

static void put_finding(struct json *j, const struct finding *f)
{
	static const char *const severities[] = {
		[FINDING_INFO] = "info",
		[FINDING_WARNING] = "warning",
		[FINDING_CRITICAL] = "critical",
	};

	json__object(j, NULL);
	json__string(j, "id", f->id);
	json__string(j, "severity", severities[f->severity]);
	if (f->group)
		put_process(j, f->group);
	if (f->group)
		json__string(j, "program", f->group->program);
	if (f->process)
		json_process(j, f->group ? "peer_process" : "process", f->process);
	if (f->flow) {
		json__object(j, "destination");
		put_destination(j, &f->flow->dest);
		json__close(j);
	}
	if (f->callsite) {
		json__object(j, "callsite");
		put_callsite_identity(j, f->callsite);
		json__close(j);
	}
	put_holders(j, f);
	if (f->under != FINDING_LEADS)
		json__uint(j, "cause", f->under);
	json__string(j, "title", f->title);
	put_sentences(j, "evidence", f->evidence);
	put_sentences(j, "counter_evidence", f->counter_evidence);
	json__string(j, "fix", f->fix);
	json__close(j);
}

/* Of each network namespace in which some were left, or were to be. */
static void put_time_waits(struct json *j, const struct model *m)
{
	const struct time_wait_limits *limits = model__time_wait_limits(m);

	json__array(j, "time_wait");
	for (uint32_t i = 0; i < limits->nr; i++) {
		const struct time_wait_limit *l = &limits->at[i];
		uint64_t left = report_time_waits(m, l->netns);

		if (!left && !l->skipped)
			continue;
		json__object(j, NULL);
		json__uint(j, "netns", l->netns);
		json__uint(j, "left", left);
		if (l->counted)
			json__uint(j, "skipped", l->skipped);
		if (l->max != TIME_WAIT_NO_LIMIT)
			json__uint(j, "limit", l->max);
		json__close(j);
	}
	json__close(j);
}

/* The census at the end of the window; a recording has none. */
static void put_ports(struct json *j, const struct model_ports *p,
		      const struct report_options *opts)
{
	if (!p) {
		json__array(j, "pools");
		json__close(j);
		return;
	}
	json__object(j, "census");
	json__uint(j, "sockets", p->sockets);
	json__bool(j, "partial", p->partial);
	json__uint(j, "older_time_wait", p->older_time_wait);
	if (p->older_time_wait)
		json__uint(j, "older_gone_ns", p->older_left_ms * 1000000ULL);
	json__close(j);
	json_pools(j, &(struct ports_page){
			      .pools = &p->pools, .holders = &p->holders, .rows = opts->rows});
}

int report_json__print(FILE *out, const struct model *m, const struct findings *f,
		       const struct report_options *opts)
{
	const struct model_totals *t = model__totals(m);
	char start[TIME_TEXT_LEN];
	struct json j = {0};
	uint32_t i;
	int err;

	json_begin_event(&j, "report", opts->start_wall_ns + opts->duration_ns);
	json__object(&j, "window");
	json__string(&j, "start", time_rfc3339(start, opts->start_wall_ns));
	json__uint(&j, "duration_ns", opts->duration_ns);
	json__close(&j);
	json_totals(&j, t);
	json_lost(&j, t->lost, t->lost_user);
	json__object(&j, "unattributed");
	json__uint(&j, "callsite", t->unattributed_callsite);
	json__uint(&j, "process", t->unattributed_process);
	json__close(&j);
	err = put_groups(&j, m, opts);
	if (!err)
		err = put_pivot(&j, m, opts);
	put_time_waits(&j, m);
	put_ports(&j, model__ports(m), opts);
	json__array(&j, "findings");
	for (i = 0; f && i < f->nr; i++)
		put_finding(&j, &f->at[i]);
	json__close(&j);
	if (err) {
		json__free(&j);
		return err;
	}
	return json_end_event(&j, out);
}
