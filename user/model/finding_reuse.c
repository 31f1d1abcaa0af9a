/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* connection-per-request: a connection for each exchange, though an idle one could have served. */
#include "user/base/text.h"
#include "user/model/census.h"
#include "user/model/finding_draft.h"

#define MIN_AVOIDABLE 3

static const struct callsite *most_avoidable(const struct flow *f)
{
	const struct callsite *most = NULL;

	for (uint32_t i = 0; i < f->nr_callsites; i++)
		if (f->callsites[i].id && f->callsites[i].avoidable &&
		    (!most || f->callsites[i].avoidable > most->avoidable))
			most = &f->callsites[i];
	return most;
}

static bool applies(const struct flow *f)
{
	return f->avoidable >= MIN_AVOIDABLE && f->avoidable * 2 >= f->opens && f->closes &&
	       finding_closed_by_us(f) * 2 >= f->closes &&
	       histogram__quantile(&f->requests, 0.5) <= ONE_EXCHANGE_SEGMENTS;
}

static void give_evidence(struct finding_draft *d, const struct finding_context *ctx,
			  const struct flow *f, double rate)
{
	uint64_t segments = histogram__quantile(&f->requests, 0.5);
	uint64_t fins = f->closed_by[CHURN_END_LOCAL] + f->closed_by[CHURN_END_EXIT];
	uint64_t resets = f->closed_by[CHURN_END_ABORT];
	char avoidable[32], ours[32], pool[32], from[32];

	text_count(avoidable, sizeof(avoidable), f->avoidable);
	text_count(ours, sizeof(ours), fins ? fins : resets);
	text_count(pool, sizeof(pool), f->pool_peak);
	draft_evidence(d, "%s of %s to %s were avoidable with a pool of %s", avoidable,
		       words_count(f->opens, "open").text, words_destination(&f->dest).text, pool);
	draft_evidence(d, fins ? "first FIN by us in %s of %s" : "reset by us in %s of %s", ours,
		       words_count(f->closes, "close").text);
	draft_evidence(d, "median %s sent per connection",
		       words_count(segments, "data segment").text);
	if (f->lifetime.nr)
		draft_evidence(d, "median lifetime %s",
			       words_duration(histogram__quantile(&f->lifetime, 0.5)).text);
	if (f->time_wait * 2 >= f->closes)
		draft_evidence(d, "%s opens a second, if kept up, hold about %s",
			       words_rate(rate).text,
			       words_time_wait(ctx->model, &f->dest, rate).text);
	if (fins && resets)
		draft_evidence(d, "reset by us in %s more", text_count(ours, sizeof(ours), resets));
	if (words_callsite(d->f.callsite).text[0])
		draft_evidence(d, "%s of the avoidable opens come from %s",
			       text_count(from, sizeof(from), d->f.callsite->avoidable),
			       words_callsite(d->f.callsite).text);
}

static void give_doubts(struct finding_draft *d, const struct flow *f)
{
	uint64_t theirs = f->closed_by[CHURN_END_PEER] + f->closed_by[CHURN_END_RESET];
	uint64_t segments = histogram__quantile(&f->requests, 0.5);

	if (theirs)
		draft_counter(d, "%s ended by the peer", words_count(theirs, "connection").text);
	if (f->pool_peak > 1)
		draft_counter(d, "up to %s were in use at once in one process",
			      words_count(f->pool_peak, "connection").text);
	if (!segments)
		draft_counter(d, "nothing was sent on most of the connections: a bare connection "
				 "test may be meant so");
	else if (segments > 2)
		draft_counter(d, "up to %s may have gone over one connection, unless it is TLS",
			      words_count(segments, "request").text);
	if (f->failed)
		draft_counter(d, "%s failed and say nothing about reuse",
			      words_count(f->failed, "open").text);
}

/*
 * From about one a second on it shows in latency and on the server; a quarter of the ports parked
 * is the point from which a burst can use up the rest.
 */
static enum finding_severity severity(const struct model *m, const struct flow *f, double rate)
{
	uint64_t sockets = time_wait_limit__bound(model__time_wait_limit(m, f->dest.netns),
						  (uint64_t)(rate * TIME_WAIT_SECONDS));
	bool parked = f->time_wait * 2 >= f->closes && (double)sockets > 0.25 * DEFAULT_RANGE_PORTS;

	return parked || rate >= 1 ? FINDING_WARNING : FINDING_INFO;
}

int finding_rule_reuse(const struct finding_context *ctx, const struct flow *f)
{
	double rate = finding_rate(f->opens, ctx->window_ns);
	struct finding_draft d;

	if (!applies(f))
		return 0;
	d = draft_new("connection-per-request", severity(ctx->model, f, rate), f);
	d.f.callsite = most_avoidable(f);
	d.f.weight = (double)f->avoidable;
	draft_title(&d, "%s opens a connection for each request to %s",
		    words_program(f->group).text, words_destination(&f->dest).text);
	give_evidence(&d, ctx, f, rate);
	give_doubts(&d, f);
	draft_usual_doubts(&d, ctx, f);
	draft_fix(&d, "%s", finding_fix(f->group, d.f.callsite));
	return draft_done(&d, ctx);
}
