/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* polling: opens in a steady cadence from one place, and what that costs in source ports. */
#include "user/base/text.h"
#include "user/model/finding_draft.h"

#define MIN_INTERVALS	5
#define MIN_INTERVAL_NS 20000000ULL /* faster than this is a loop that waits for its answers */
#define MAX_JITTER	0.25	    /* of the median */
#define MAIN_SHARE	0.8	    /* of the opens, from one call site */

static bool from_one_place(const struct flow *f, const struct callsite *c)
{
	return !c ||
	       (double)(c->opens + c->failures) >= MAIN_SHARE * (double)(f->opens + f->failed);
}

static void tell_cost(struct finding_draft *d, const struct finding_context *ctx,
		      const struct flow *f, double rate)
{
	const struct model *m = ctx->model;
	char nr[32];

	if (!f->closes) {
		draft_counter(d, "no connection was seen to end: what they cost is not known");
		return;
	}
	if (!f->time_wait) {
		draft_counter(d, "this side does not hold TIME_WAIT: it costs no source ports");
		return;
	}
	if (f->time_wait < f->closes) {
		rate *= (double)f->time_wait / (double)f->closes;
		draft_counter(d, "only %s of %s left its port in TIME_WAIT on this side",
			      text_count(nr, sizeof(nr), f->time_wait),
			      words_count(f->closes, "close").text);
	}
	draft_evidence(d, "at this cadence: %s", words_time_wait(m, &f->dest, rate).text);
	draft_evidence(d, "10 times as many: %s", words_time_wait(m, &f->dest, 10 * rate).text);
	draft_evidence(d, "100 times as many: %s", words_time_wait(m, &f->dest, 100 * rate).text);
}

int finding_rule_polling(const struct finding_context *ctx, const struct flow *f)
{
	uint64_t p10 = histogram__quantile(&f->interval, 0.1);
	uint64_t p50 = histogram__quantile(&f->interval, 0.5);
	uint64_t p90 = histogram__quantile(&f->interval, 0.9);
	const struct callsite *c = finding_main_callsite(f);
	struct finding_draft d;
	char nr[32];

	if (f->interval.nr < MIN_INTERVALS || p50 < MIN_INTERVAL_NS ||
	    (double)(p90 - p10) > MAX_JITTER * (double)p50 || !from_one_place(f, c))
		return 0;
	d = draft_new("polling", FINDING_INFO, f);
	d.f.callsite = c;
	d.f.weight = 1e9 / (double)p50;
	draft_title(&d, "%s polls %s every %s", words_program(f->group).text,
		    words_destination(&f->dest).text, words_duration(p50).text);
	draft_evidence(&d, "%s, median %s, jitter (p90 - p10) %s",
		       words_count(f->interval.nr, "interval").text, words_duration(p50).text,
		       words_duration(p90 - p10).text);
	if (c)
		draft_evidence(&d, "%s of %s come from %s",
			       text_count(nr, sizeof(nr), c->opens + c->failures),
			       words_count(f->opens + f->failed, "open").text,
			       words_callsite(c).text);
	else
		draft_counter(&d, "the call site is not known: it may be more than one");
	tell_cost(&d, ctx, f, 1e9 / (double)p50);
	draft_usual_doubts(&d, ctx, f);
	draft_fix(&d, "a connection of its own for each poll is not needed: %s",
		  finding_fix(f->group, c));
	return draft_done(&d, ctx);
}
