/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `ports -i`: which pool ran out, when, and who held it. Reads the recording twice: to find the
 * worst moment, and to stand there with all that the trace had told until then. */
#include <errno.h>
#include <string.h>

#include "user/base/log.h"
#include "user/cmd/feed.h"
#include "user/cmd/ports_recorded.h"
#include "user/cmd/run.h"
#include "user/model/port_history.h"
#include "user/view/ports.h"

#define ENOUGH (-ECANCELED) /* the second reading ends there */

struct search {
	struct feed feed; /* first: the ctx of its functions */
	const struct options *opts;
	struct source_start start;
	struct port_pools_options po;
	struct port_history history;
	uint32_t look; /* the next one is */
	FILE *out;
};

/* --- the first reading ------------------------------------------------------------------------ */

static int note_start(void *ctx, const struct source_start *s)
{
	struct search *x = ctx;

	x->start = *s;
	return 0;
}

static int skip_process(void *ctx, const struct process_identity *p)
{
	(void)ctx, (void)p;
	return 0;
}

static int skip_stack(void *ctx, const struct stack_trace *s)
{
	(void)ctx, (void)s;
	return 0;
}

static int skip_open(void *ctx, const struct churn_open *e)
{
	(void)ctx, (void)e;
	return 0;
}

static int skip_status(void *ctx, const struct source_status *s)
{
	(void)ctx, (void)s;
	return 0;
}

static int note_end(void *ctx, const struct churn_end *e)
{
	struct search *x = ctx;

	return port_history__end(&x->history, e);
}

static int note_census(void *ctx, const struct model_census *c)
{
	struct search *x = ctx;
	struct port_pools pools;
	int err;

	if (c->pools) /* the last one once more */
		return 0;
	x->po.rules = c->rules;
	x->po.nr_rules = c->nr_rules;
	err = port_pools__make(&pools, c->sockets, &x->po);
	if (!err)
		err = port_history__look(&x->history, &pools, c->taken_ns);
	port_pools__clear(&pools);
	return err;
}

/* --- the second ------------------------------------------------------------------------------- */

static int print(const struct search *x, const struct model_census *c)
{
	const struct model_ports *ports = model__ports(x->feed.model);
	const struct options *opts = x->opts;
	const struct ports_scope scope = {
		.sockets = c->sockets->nr,
		.netns_read = c->nr_netns,
		.netns_partial = c->partial,
		.owners = true,
	};
	struct what_ifs what_ifs = {0};
	struct ports_page page = {
		.pools = &ports->pools,
		.holders = &ports->holders,
		.scope = &scope,
		.wall_ns = x->start.start_wall_ns + c->taken_ns - x->start.start_mono_ns,
		.history = &x->history,
		.taken_ns = c->taken_ns,
		.rows = opts->rows,
		.no_header = opts->no_header,
		.colour = view_colour(x->out),
		.width = view_width(x->out),
	};
	int err = 0;

	if (opts->ports.what_if.given) {
		err = what_ifs__make(&what_ifs, &opts->ports.what_if, &ports->pools, c->sockets,
				     c->rules, c->nr_rules);
		page.what_ifs = &what_ifs;
	}
	if (!err)
		err = ports__print(x->out, opts->format, &page);
	what_ifs__clear(&what_ifs);
	return err;
}

static int stop_at_census(void *ctx, const struct model_census *c)
{
	struct search *x = ctx;
	struct model_census here = *c;
	bool wanted = x->look++ == x->history.worst;
	int err;

	here.pools = wanted;
	here.moment = wanted ? &x->po : NULL;
	err = model__census(x->feed.model, &here);
	if (err || !wanted)
		return err;
	err = print(x, &here);
	return err ? err : ENOUGH;
}

/* --- both ------------------------------------------------------------------------------------- */

static int read_twice(struct search *x, struct run_result *result)
{
	const struct sink first = {
		.ctx = x,
		.start = note_start,
		.process = skip_process,
		.stack = skip_stack,
		.open = skip_open,
		.end = note_end,
		.status = skip_status,
		.census = note_census,
	};
	struct sink second = feed_sink(&x->feed);
	struct run_result again;
	int code = run_source(x->opts, x->out, &first, result);

	if (code != EXIT_OK)
		return code;
	if (!x->history.looks) {
		run_no_census(x->opts);
		return EXIT_INPUT;
	}
	second.census = stop_at_census;
	return run_source(x->opts, x->out, &second, &again);
}

int ports_recorded(const struct options *opts, FILE *out)
{
	struct search x = {
		.feed = {.opts = opts},
		.opts = opts,
		.po = {.min_used = opts->ports.min_used,
		       .min_used_of_range = opts->ports.min_used_share},
		.out = out,
	};
	struct run_result result = {0};
	int code;

	if (!strcmp(opts->input, "-")) {
		log_error("ports: a recording is read twice, so that it cannot come from a pipe");
		return EXIT_USAGE;
	}
	if (opts->ports.watch || opts->ports.no_bpf) {
		log_error("ports: --watch and --no-bpf do not go with a recording");
		return EXIT_USAGE;
	}
	x.feed.model = feed_model(opts);
	code = x.feed.model ? read_twice(&x, &result) : EXIT_INTERNAL;
	port_history__clear(&x.history);
	model__free(x.feed.model);
	return run_finish(opts, &result, code);
}
