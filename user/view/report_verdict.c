/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/report_sections.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "user/base/text.h"
#include "user/model/census.h"
#include "user/view/describe.h"
#include "user/view/paragraph.h"
#include "user/view/report_rows.h"

#define MAX_OPENERS   2
#define MAX_FAILING   2
#define MIN_SHARE     10	    /* a flow with less than 1/10 of the largest is no news */
#define TIME_WAIT_SEC 60	    /* TCP_TIMEWAIT_LEN, include/net/tcp.h */
#define STEADY_NS     5000000000ULL /* a shorter window tells no rate that one may project */

/* A sentence that is put together piece by piece; what does not fit is left out. */
struct sentence {
	char text[1024];
	size_t len;
};

static void say(struct sentence *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct sentence *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s->text + s->len, sizeof(s->text) - s->len, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(s->text) - s->len)
		s->len += (size_t)n;
	s->text[s->len] = '\0';
}

static void say_count(struct sentence *s, const char *before, uint64_t nr, const char *after)
{
	char text[32];

	say(s, "%s%s%s", before, text_count(text, sizeof(text), nr), after);
}

static void say_destination(struct sentence *s, const struct flow *f)
{
	char text[ENDPOINT_LEN], peer[128];

	say(s, "%s", describe_endpoint(text, f->dest.addr, f->dest.port));
	if (f->peer && f->group->nr_processes == 1 && f->peer->id.tgid == f->group->sample.id.tgid)
		say(s, " (itself)");
	else if (f->peer)
		say(s, " (%s)", describe_peer(peer, sizeof(peer), f->peer));
}

/* "all closed by us", "92 % closed by the peer"; nothing where no one stands out. */
static void say_closers(struct sentence *s, const struct flow *f)
{
	const struct {
		const char *words;
		uint64_t nr;
	} ways[] = {
		{"closed by us", f->closed_by[CHURN_END_LOCAL]},
		{"closed by the peer", f->closed_by[CHURN_END_PEER]},
		{"reset by the peer", f->closed_by[CHURN_END_RESET]},
		{"reset by us", f->closed_by[CHURN_END_ABORT]},
		{"closed by our exit", f->closed_by[CHURN_END_EXIT]},
		{"timed out", f->closed_by[CHURN_END_TIMEOUT]},
	};
	size_t i, most = 0;

	for (i = 1; i < sizeof(ways) / sizeof(ways[0]); i++)
		most = ways[i].nr > ways[most].nr ? i : most;
	if (!f->closes || ways[most].nr * 2 < f->closes)
		return;
	if (ways[most].nr >= f->closes)
		say(s, ", %s%s", f->closes > 1 ? "all " : "", ways[most].words);
	else
		say(s, ", %u %% %s", (unsigned int)(ways[most].nr * 100 / f->closes),
		    ways[most].words);
}

/* A rate can be projected only when the flow went on for most of a window that is long enough, and
 * while there are ports for it. */
static bool is_steady(const struct flow *f, uint64_t duration_ns)
{
	for (uint32_t i = 0; i < f->failures.nr; i++)
		if (f->failures.at[i].cause == CHURN_CAUSE_EPHEMERAL_EXHAUSTED)
			return false;
	return duration_ns >= STEADY_NS && f->last_ns > f->first_ns &&
	       f->last_ns - f->first_ns >= duration_ns / 2;
}

static void say_time_wait(struct sentence *s, const struct model *m, const struct flow *f,
			  uint64_t duration_ns)
{
	const struct time_wait_limit *limit = model__time_wait_limit(m, f->dest.netns);
	const struct port_pool *pool = model__pool_of(m, f);
	double steady = report_rate(f->time_wait, duration_ns) * TIME_WAIT_SEC;
	uint64_t kept = time_wait_limit__bound(limit, (uint64_t)steady);

	if (!f->time_wait)
		return;
	if (is_steady(f, duration_ns) && kept < (uint64_t)steady &&
	    (!pool || kept < pool->capacity))
		say_count(s, ": if kept up, ", kept,
			  " ports in TIME_WAIT, all that net.ipv4.tcp_max_tw_buckets allows");
	else if (is_steady(f, duration_ns) && pool && steady > pool->capacity)
		say_count(s, ": if kept up, all ", pool->capacity,
			  pool->reuse ? " ports in TIME_WAIT, which connect() may take over"
				      : " ports in TIME_WAIT");
	else if (is_steady(f, duration_ns))
		say_count(s, ": if kept up, about ", (uint64_t)(steady + 0.5),
			  " ports in TIME_WAIT");
	else
		say_count(s, limit && limit->skipped ? ": up to " : ": ", f->time_wait,
			  f->time_wait == 1 ? " port left in TIME_WAIT"
					    : " ports left in TIME_WAIT");
}

static void say_avoidable(struct sentence *s, const struct flow *f)
{
	if (!f->avoidable) {
		/* Whose wish it was that the peer ends each is not known. */
		if (f->opens > 1 && f->closed_by[CHURN_END_PEER] * 2 <= f->closes)
			say(s, ", none avoidable with a pool");
		return;
	}
	say_count(s, ", ", f->avoidable, " avoidable with a pool of ");
	say_count(s, "", f->pool_peak ? f->pool_peak : 1, "");
	if (f->group->nr_processes > 1)
		say(s, " each");
}

static void say_callsite(struct sentence *s, const struct flow *f)
{
	const struct callsite *c = f->callsites;
	const struct frame *frame;
	char text[256];

	if (!f->nr_callsites || !c->stack || c->frame < 0)
		return;
	frame = &c->stack->frames[c->frame];
	if (!frame->function && !frame->file && !frame->module)
		return; /* an address says nothing to anybody */
	describe_callsite(text, sizeof(text), c->stack, c->frame);
	if (!*text)
		return;
	say(s, "from %s", text);
	if (c->opens + c->failures < f->opens + f->failed)
		say(s, ", %u %% of them",
		    (unsigned int)((c->opens + c->failures) * 100 / (f->opens + f->failed)));
	if (f->nr_callsites > 1)
		say_count(s, ", and ", f->nr_callsites - 1,
			  f->nr_callsites == 2 ? " other place" : " other places");
}

static void put_opener(const struct report_page *page, const struct model *m, const struct flow *f)
{
	const struct report_options *opts = page->opts;
	struct sentence head = {.len = 0}, place = {.len = 0};
	char text[256], span[32];
	bool steady = is_steady(f, opts->duration_ns);

	describe_group(text, sizeof(text), f->group);
	if (steady)
		say(&head, "%s opens %s/s to ", text,
		    describe_rate(span, sizeof(span), report_rate(f->opens, opts->duration_ns)));
	else
		say(&head, "%s opened ", text);
	if (!steady)
		say_count(&head, "", f->opens,
			  f->opens == 1 ? " connection to " : " connections to ");
	say_destination(&head, f);
	if (steady)
		say_count(&head, ": ", f->opens, "");
	say(&head, " in %s", text_duration(span, sizeof(span), opts->duration_ns));
	say_avoidable(&head, f);
	if (f->lifetime.nr)
		say(&head, ", median life %s",
		    text_duration(span, sizeof(span), histogram__quantile(&f->lifetime, 0.5)));
	say_closers(&head, f);
	say_time_wait(&head, m, f, opts->duration_ns);
	fputs(page->bold, page->out);
	put_paragraph(page->out, page->width, "", 2, head.text);
	fputs(page->plain, page->out);
	say_callsite(&place, f);
	if (place.len)
		put_paragraph(page->out, page->width, "  ", 2, place.text);
}

static void put_failing(const struct report_page *page, const struct flow *f)
{
	struct sentence s = {.len = 0}, place = {.len = 0};
	char text[256];
	uint32_t i;

	say(&s, "%s %s ", describe_group(text, sizeof(text), f->group),
	    f->opens ? "fails to connect to" : "cannot connect to");
	say_destination(&s, f);
	for (i = 0; i < f->failures.nr && i < 2; i++) {
		const struct error_count *e = &f->failures.at[i];

		say_count(&s, i ? "; " : ": ", e->nr, " x ");
		say(&s, "%s", describe_error(text, sizeof(text), e->error, e->cause));
	}
	if (f->opens)
		say_count(&s, ", while ", f->opens, " succeeded");
	fputs(page->red, page->out);
	put_paragraph(page->out, page->width, "", 2, s.text);
	fputs(page->plain, page->out);
	if (!f->opens)
		say_callsite(&place, f);
	if (place.len)
		put_paragraph(page->out, page->width, "  ", 2, place.text);
}

static int by_opens(const void *a, const void *b)
{
	const struct flow *x = *(const struct flow *const *)a;
	const struct flow *y = *(const struct flow *const *)b;

	return x->opens < y->opens ? 1 : x->opens > y->opens ? -1 : 0;
}

static int by_failures(const void *a, const void *b)
{
	const struct flow *x = *(const struct flow *const *)a;
	const struct flow *y = *(const struct flow *const *)b;

	return x->failed < y->failed ? 1 : x->failed > y->failed ? -1 : 0;
}

static const struct flow **all_flows(const struct model *m, uint32_t *nr)
{
	uint32_t nr_groups, g, f, n = 0;
	const struct group *const *groups = model__groups(m, &nr_groups);
	const struct flow **flows;

	for (g = 0; g < nr_groups; g++)
		n += groups[g]->nr_flows;
	flows = calloc(n + 1, sizeof(*flows));
	*nr = 0;
	for (g = 0; flows && g < nr_groups; g++) {
		for (f = 0; f < groups[g]->nr_flows; f++)
			flows[(*nr)++] = groups[g]->flows[f];
	}
	return flows;
}

static void put_quiet(const struct report_page *page, const struct model_totals *t)
{
	struct sentence s = {.len = 0};
	char span[32];

	text_duration(span, sizeof(span), page->opts->duration_ns);
	if (page->opts->filtered && !t->accepts)
		say(&s, "No connection matched the filters");
	else if (t->accepts)
		say_count(&s, "No connection was opened or failed; ", t->accepts, " accepted");
	else
		say(&s, "No connection was opened, accepted or refused");
	say(&s, " in %s.", span);
	put_paragraph(page->out, page->width, "", 2, s.text);
}

int report_verdict__print(const struct report_page *page, const struct model *m)
{
	const struct model_totals *t = model__totals(m);
	const struct flow **flows;
	uint32_t nr, i;

	if (!t->opens && !t->failures) {
		put_quiet(page, t);
		return 0;
	}
	flows = all_flows(m, &nr);
	if (!flows)
		return -ENOMEM;
	qsort(flows, nr, sizeof(*flows), by_opens);
	for (i = 0; i < nr && i < MAX_OPENERS; i++) {
		if (flows[i]->opens && flows[i]->opens * MIN_SHARE >= flows[0]->opens)
			put_opener(page, m, flows[i]);
	}
	qsort(flows, nr, sizeof(*flows), by_failures);
	for (i = 0; i < nr && i < MAX_FAILING; i++) {
		if (flows[i]->failed)
			put_failing(page, flows[i]);
	}
	free(flows);
	return 0;
}
