/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/leaks_replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/cmd/replayed.h"
#include "user/cmd/run.h"
#include "user/view/leaks.h"

/* Of a process that was followed, or of one of its connections. */
static bool is_covered(const struct model *m, const struct leak *l, const struct leak_origins *o)
{
	return o->traced || model__follows(m, l->owner.process) ||
	       (l->far && model__follows(m, l->far->owner.process));
}

/* The leaks that the recording is about, with their origins, into arrays that have room for all. */
static uint32_t choose(struct leak *at, struct leak_origins *origins, const struct model *m,
		       const struct finding_facts *facts)
{
	const struct leaks *all = facts->leaks;
	uint32_t nr = 0;

	for (uint32_t i = 0; i < all->nr; i++) {
		leak_origins__find(&origins[nr], m, facts, &all->at[i]);
		if (facts->followed_only && !is_covered(m, &all->at[i], &origins[nr]))
			continue;
		at[nr++] = all->at[i];
	}
	return nr;
}

static int print(FILE *out, const struct options *opts, const struct replayed *r,
		 uint64_t start_wall_ns)
{
	const struct finding_facts *facts = recorded_leaks__facts(r->leaks);
	const struct model *m = r->feed.model;
	uint32_t nr = facts->leaks->nr;
	struct leak *at = calloc(nr + 1, sizeof(*at));
	struct leak_origins *origins = calloc(nr + 1, sizeof(*origins));
	struct leaks_view_options view = {
		.wall_ns = start_wall_ns + recorded_leaks__taken_ns(r->leaks) - model__start_ns(m),
		.min_age_ms = opts->min_age_ns / NS_PER_MS,
		.origins = origins,
		.rows = opts->rows,
		.partial = recorded_leaks__partial(r->leaks),
		.no_header = opts->no_header,
		.width = view_width(out),
	};
	struct leaks chosen = {.at = at, .young = facts->leaks->young};
	int err = -ENOMEM;

	if (at && origins) {
		chosen.nr = choose(at, origins, m, facts);
		view.left_out = nr - chosen.nr;
		err = opts->format == VIEW_JSON ? leaks_json__print(out, &chosen, &view)
						: leaks_table__print(out, &chosen, &view);
	}
	free(at);
	free(origins);
	return err;
}

static int conclude(FILE *out, const struct options *opts, const struct replayed *r,
		    uint64_t start_wall_ns)
{
	int err;

	if (!recorded_leaks__facts(r->leaks)) {
		run_no_census(opts);
		return EXIT_INPUT;
	}
	err = model__seal(r->feed.model);
	if (!err)
		err = print(out, opts, r, start_wall_ns);
	return run_census_code("leaks", err);
}

int leaks_replay(const struct options *opts, FILE *out)
{
	struct run_result result = {0};
	struct replayed r;
	struct sink sink;
	int code, err = replayed__init(&r, opts);

	if (err) {
		code = run_census_code("leaks", err);
	} else {
		sink = replayed__sink(&r);
		code = run_source(opts, out, &sink, &result);
	}
	if (code == EXIT_OK)
		code = conclude(out, opts, &r, result.start_wall_ns);
	replayed__clear(&r);
	return run_finish(opts, &result, code);
}
