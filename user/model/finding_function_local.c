/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* function-local-client: a client that lives and dies inside one call of a function. */
#include <string.h>

#include "user/base/text.h"
#include "user/model/finding_draft.h"

/* A verdict on one connection may be a coincidence of stacks; several that agree are not. */
#define MIN_VERDICTS  3
#define MIN_AVOIDABLE 3

static uint64_t judged(const struct callsite *c)
{
	uint64_t sum = 0;

	for (int i = CHURN_ACTIVATION_UNKNOWN + 1; i < CHURN_ACTIVATION__COUNT; i++)
		sum += c->ends[i];
	return sum;
}

/*
 * A proxy written in C opens in one round of its event loop and closes in a later one, from the
 * same frame addresses: that looks like one call. Interpreters have a frame object for each call.
 */
static bool may_be_an_event_loop(const struct flow *f, const struct callsite *c)
{
	return c->ends[CHURN_ACTIVATION_LATER] > c->ends[CHURN_ACTIVATION_RETURNED] &&
	       f->group->accepts >= c->opens && c->stack && c->stack->language &&
	       !strcmp(c->stack->language, "native");
}

static bool applies(const struct flow *f, const struct callsite *c)
{
	return c->owner && c->owner_ends >= MIN_VERDICTS && c->owner_ends * 5 >= judged(c) * 4 &&
	       c->avoidable >= MIN_AVOIDABLE && c->avoidable * 2 >= c->opens &&
	       finding_closed_by_us(f) * 2 >= f->closes && !may_be_an_event_loop(f, c);
}

static void give_evidence(struct finding_draft *d, const struct flow *f, const struct callsite *c)
{
	uint64_t segments = histogram__quantile(&f->requests, 0.5);
	bool returned = c->ends[CHURN_ACTIVATION_RETURNED] >= c->ends[CHURN_ACTIVATION_LATER];
	char ended[32], avoidable[32], pool[32];

	draft_evidence(d,
		       returned
			       ? "%s of %s looked at were opened in a call of %s and ended when "
				 "it returned"
			       : "%s of %s looked at were opened in a call of %s and ended further "
				 "on in it: in use until then, or at another pace than calls "
				 "that open and close in turn",
		       text_count(ended, sizeof(ended), c->owner_ends),
		       words_count(judged(c), "connection").text, words_frame(c->owner).text);
	draft_evidence(d, "%s of %s from there were avoidable with a pool of %s",
		       text_count(avoidable, sizeof(avoidable), c->avoidable),
		       words_count(c->opens, "open").text,
		       text_count(pool, sizeof(pool), f->pool_peak));
	draft_evidence(d, "median %s sent per connection",
		       words_count(segments, "data segment").text);
	if (f->lifetime.nr)
		draft_evidence(d, "median lifetime %s",
			       words_duration(histogram__quantile(&f->lifetime, 0.5)).text);
}

static void give_doubts(struct finding_draft *d, const struct callsite *c)
{
	uint64_t others = judged(c) - c->owner_ends;

	if (judged(c) < c->opens)
		draft_counter(d, "the ends of %s were sampled, not all",
			      words_count(judged(c), "connection").text);
	if (c->ends[CHURN_ACTIVATION_LATER])
		draft_counter(
			d, "a call is told by the address of its frame, which the next call of "
			   "the same function may have again; and a goodbye sent before the close "
			   "counts as use");
	if (others)
		draft_counter(d,
			      c->ends[CHURN_ACTIVATION_LATER]
				      ? "%s ended otherwise, or maybe in a later call"
				      : "%s ended otherwise",
			      words_count(others, "connection").text);
}

static int look_at(const struct finding_context *ctx, const struct flow *f,
		   const struct callsite *c)
{
	double rate = finding_rate(c->opens, ctx->window_ns);
	struct finding_draft d;

	if (!applies(f, c))
		return 0;
	d = draft_new("function-local-client", rate >= 1 ? FINDING_WARNING : FINDING_INFO, f);
	d.f.callsite = c;
	/* It says more than that a connection was made for each request: before it. */
	d.f.weight = (double)c->avoidable + (double)c->opens;
	/* A module is run once. */
	draft_title(&d, "%s likely makes a client in each %s %s and drops it: %s",
		    words_program(f->group).text,
		    c->owner->function && !strcmp(c->owner->function, "<module>")
			    ? "round of a loop in"
			    : "call of",
		    words_frame(c->owner).text, words_destination(&f->dest).text);
	give_evidence(&d, f, c);
	give_doubts(&d, c);
	draft_usual_doubts(&d, ctx, f);
	draft_fix(&d, "%s", finding_fix(f->group, c));
	return draft_done(&d, ctx);
}

int finding_rule_function_local(const struct finding_context *ctx, const struct flow *f)
{
	int err = 0;

	for (uint32_t i = 0; i < f->nr_callsites && !err; i++)
		err = look_at(ctx, f, &f->callsites[i]);
	return err;
}
