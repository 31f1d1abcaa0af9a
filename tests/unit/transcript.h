/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef CHURN_TEST_TRANSCRIPT_H
#define CHURN_TEST_TRANSCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "user/model/sink.h"

#define TEXT_SIZE (4 * 1024 * 1024)

/* A sink that writes down all that it gets, so that two runs can be compared as text. */
struct transcript {
	char *text;
	size_t len;
	uint64_t opens, ends, processes, stacks, statuses;
	struct source_status last;
	int err; /* to return */
};

static void note(struct transcript *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct transcript *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!t->text)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->text + t->len, TEXT_SIZE - t->len, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < TEXT_SIZE - t->len);
	t->len += (size_t)n;
}

static void note_bytes(struct transcript *t, const void *data, size_t size)
{
	const unsigned char *p = data;
	size_t i;

	for (i = 0; t->text && i < size; i++)
		note(t, "%02x", p[i]);
	note(t, "\n");
}

static int on_start(void *ctx, const struct source_start *s)
{
	note(ctx, "start %lu %lu\n", s->start_wall_ns, s->start_mono_ns);
	for (uint32_t i = 0; i < s->nr_pids; i++)
		note(ctx, "named %u\n", s->pids[i]);
	return 0;
}

static int on_process(void *ctx, const struct process_identity *p)
{
	struct transcript *t = ctx;
	char **arg;

	t->processes++;
	note(t, "process %llu %u %u parent %u uid %u cgroup %lu kernel %d\n", p->id.start_ns,
	     p->id.tgid, p->id.exec_id, p->parent_tgid, p->uid, p->cgroup, p->kernel);
	note(t, "%s|%s|%s|%s|%s\n", p->comm, p->parent_comm, p->exe ? p->exe : "-",
	     p->cgroup_path ? p->cgroup_path : "-", p->container_id ? p->container_id : "-");
	for (arg = p->argv; arg && *arg; arg++)
		note(t, "arg %s\n", *arg);
	if (!p->argv)
		note(t, "no args\n");
	return t->err;
}

static int on_stack(void *ctx, const struct stack_trace *s)
{
	struct transcript *t = ctx;
	uint32_t i;

	t->stacks++;
	note(t, "stack %lx %llu %u %u %d %s\n", s->id, s->process.start_ns, s->process.tgid,
	     s->process.exec_id, s->truncated, s->language ? s->language : "-");
	for (i = 0; i < s->nr; i++) {
		const struct frame *f = &s->frames[i];

		note(t, "frame %s|%s|%s|%u|%lx|%lx|%d\n", f->function ? f->function : "-",
		     f->file ? f->file : "-", f->module ? f->module : "-", f->line, f->pc,
		     f->offset, f->inlined);
	}
	return t->err;
}

static int on_open(void *ctx, const struct churn_open *e)
{
	struct transcript *t = ctx;

	t->opens++;
	note_bytes(t, e, sizeof(*e));
	return t->err;
}

static int on_end(void *ctx, const struct churn_end *e)
{
	struct transcript *t = ctx;

	t->ends++;
	note_bytes(t, e, sizeof(*e));
	return t->err;
}

static int on_status(void *ctx, const struct source_status *s)
{
	struct transcript *t = ctx;
	unsigned int i;

	t->statuses++;
	t->last = *s;
	note(t, "status");
	for (i = 0; i < CHURN_LOST__COUNT; i++)
		note(t, " %lu", s->lost[i]);
	note(t, " user %lu progress %lu now %lu %d\n", s->lost_user, s->in_progress, s->now_ns,
	     s->stopped);
	return t->err;
}

static struct sink transcript_sink(struct transcript *t)
{
	return (struct sink){t, on_start, on_process, on_stack, on_open, on_end, on_status, NULL};
}

#endif /* CHURN_TEST_TRANSCRIPT_H */
