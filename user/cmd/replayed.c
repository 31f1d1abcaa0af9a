/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/replayed.h"

#include <errno.h>

#include "user/base/clock.h"

int replayed__init(struct replayed *r, const struct options *opts)
{
	r->feed = (struct feed){.model = feed_model(opts), .opts = opts};
	r->leaks = recorded_leaks__new(opts->min_age_ns / NS_PER_MS);
	return r->feed.model && r->leaks ? 0 : -ENOMEM;
}

void replayed__clear(struct replayed *r)
{
	recorded_leaks__free(r->leaks);
	model__free(r->feed.model);
}

static int replayed_start(void *ctx, const struct source_start *s)
{
	struct replayed *r = ctx;

	model__set_start(r->feed.model, s->start_mono_ns);
	if (s->some_processes)
		recorded_leaks__followed_only(r->leaks);
	return model__follow(r->feed.model, s->pids, s->nr_pids);
}

static int replayed_census(void *ctx, const struct model_census *c)
{
	struct replayed *r = ctx;
	int err = recorded_leaks__census(r->leaks, c);

	return err ? err : model__census(r->feed.model, c);
}

struct sink replayed__sink(struct replayed *r)
{
	struct sink sink = feed_sink(&r->feed);

	sink.start = replayed_start;
	sink.census = replayed_census;
	return sink;
}
