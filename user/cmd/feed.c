/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/feed.h"

#include "user/cmd/host.h"
#include "user/cmd/run.h"

#define MAX_TIME_WAIT 262144 /* twice the kernel's default limit, net.ipv4.tcp_max_tw_buckets */

static int feed_start(void *ctx, const struct source_start *s)
{
	const struct feed *f = ctx;

	model__set_start(f->model, s->start_mono_ns);
	/* Attached by now: what changes from here on is seen. */
	if (!f->opts->input)
		host_tell_waiting(f->opts, f->model);
	return model__follow(f->model, s->pids, s->nr_pids);
}

static int feed_process(void *ctx, const struct process_identity *p)
{
	const struct feed *f = ctx;

	return model__process(f->model, p);
}

static int feed_stack(void *ctx, const struct stack_trace *s)
{
	const struct feed *f = ctx;

	return model__stack(f->model, s);
}

static int feed_open(void *ctx, const struct churn_open *e)
{
	const struct feed *f = ctx;

	return model__open(f->model, e, NULL);
}

static int feed_end(void *ctx, const struct churn_end *e)
{
	const struct feed *f = ctx;

	return model__end(f->model, e, NULL);
}

static int feed_census(void *ctx, const struct model_census *c)
{
	const struct feed *f = ctx;

	return model__census(f->model, c);
}

static int feed_status(void *ctx, const struct source_status *s)
{
	const struct feed *f = ctx;

	model__set_lost(f->model, s->lost, s->lost_user);
	model__set_in_progress(f->model, s->in_progress);
	model__set_older_closes(f->model, s->older);
	return 0;
}

struct model *feed_model(const struct options *opts)
{
	struct model_options mo;

	run_model_options(&mo, opts);
	mo.max_time_wait = MAX_TIME_WAIT;
	return model__new(&mo);
}

struct sink feed_sink(struct feed *f)
{
	return (struct sink){
		.ctx = f,
		.start = feed_start,
		.process = feed_process,
		.stack = feed_stack,
		.open = feed_open,
		.end = feed_end,
		.status = feed_status,
		.census = feed_census,
	};
}
