/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/finding_draft.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"

#define SHORT_WINDOW_NS 30000000000ULL

static void free_list(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}

void finding__clear(struct finding *f)
{
	free(f->title);
	free_list(f->evidence);
	free_list(f->counter_evidence);
	free(f->fix);
	free(f->holders);
	memset(f, 0, sizeof(*f));
}

struct finding_draft draft_new(const char *id, enum finding_severity severity, const struct flow *f)
{
	return (struct finding_draft){
		.f = {.id = id, .severity = severity, .group = f->group, .flow = f}};
}

struct finding_draft draft_about(const char *id, enum finding_severity severity,
				 const struct group *g, const struct process_identity *p)
{
	return (struct finding_draft){
		.f = {.id = id, .severity = severity, .group = g, .process = g ? NULL : p}};
}

static char *__attribute__((format(printf, 2, 0)))
written(struct finding_draft *d, const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0) {
		d->failed = true;
		return NULL;
	}
	return text;
}

static void append(struct finding_draft *d, char ***list, uint32_t *nr, char *text)
{
	char **grown = text ? realloc(*list, (*nr + 2) * sizeof(*grown)) : NULL;

	if (!grown) {
		d->failed = true;
		free(text);
		return;
	}
	grown[(*nr)++] = text;
	grown[*nr] = NULL;
	*list = grown;
}

void draft_title(struct finding_draft *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	free(d->f.title);
	d->f.title = written(d, fmt, ap);
	va_end(ap);
}

void draft_fix(struct finding_draft *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	free(d->f.fix);
	d->f.fix = written(d, fmt, ap);
	va_end(ap);
}

void draft_evidence(struct finding_draft *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(d, &d->f.evidence, &d->nr_evidence, written(d, fmt, ap));
	va_end(ap);
}

void draft_counter(struct finding_draft *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(d, &d->f.counter_evidence, &d->nr_counter, written(d, fmt, ap));
	va_end(ap);
}

void draft_holder(struct finding_draft *d, const struct finding_holder *h)
{
	struct finding_holder *grown =
		realloc(d->f.holders, (d->f.nr_holders + 1) * sizeof(*grown));

	if (!grown) {
		d->failed = true;
		return;
	}
	d->f.holders = grown;
	grown[d->f.nr_holders++] = *h;
}

static uint64_t lost_events(const struct model_totals *t)
{
	return t->lost[CHURN_LOST_RING_OPEN] + t->lost[CHURN_LOST_RING_FAILED] +
	       t->lost[CHURN_LOST_RING_CLOSE] + t->lost[CHURN_LOST_CONN_MAP] + t->lost_user;
}

void draft_usual_doubts(struct finding_draft *d, const struct finding_context *ctx,
			const struct flow *f)
{
	uint64_t lost = lost_events(model__totals(ctx->model));
	char nr[32];

	if (lost)
		draft_counter(d, "%s lost: counts are lower bounds",
			      words_count(lost, "event").text);
	if (ctx->window_ns < SHORT_WINDOW_NS)
		draft_counter(d, "window of only %s", words_duration(ctx->window_ns).text);
	if (f->group->nr_processes > 1)
		draft_counter(d, "%s processes are put together in this row",
			      text_count(nr, sizeof(nr), f->group->nr_processes));
}

int draft_done(struct finding_draft *d, const struct finding_context *ctx)
{
	struct findings *out = ctx->out;
	struct finding *grown;

	if (!d->f.counter_evidence && !d->failed) {
		d->f.counter_evidence = calloc(1, sizeof(char *));
		d->failed = !d->f.counter_evidence;
	}
	if (d->failed || !d->f.evidence) {
		finding__clear(&d->f);
		return d->failed ? -ENOMEM : 0;
	}
	grown = realloc(out->at, (out->nr + 1) * sizeof(*grown));
	if (!grown) {
		finding__clear(&d->f);
		return -ENOMEM;
	}
	out->at = grown;
	out->at[out->nr++] = d->f;
	return 0;
}
