/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A recording, as `report -i` and `trace -i` read it: through the model and its findings into
 * every view. What it says was written by anybody, and ends on a terminal.
 */
#include "tests/fuzz/fuzz.h"

#define JSMN_STATIC
#define JSMN_STRICT
#include <jsmn.h>

#include "user/model/findings.h"
#include "user/model/model.h"
#include "user/source/replay.h"
#include "user/view/report.h"
#include "user/view/trace.h"

/* A memory of its own for each view. */
struct page {
	FILE *out;
	char *text;
	size_t size;
};

struct reader {
	struct model *model;
	struct sink trace[2];
};

static int pass_start(void *ctx, const struct source_start *s)
{
	struct reader *r = ctx;

	model__set_start(r->model, s->start_mono_ns);
	return r->trace[0].start(r->trace[0].ctx, s) || r->trace[1].start(r->trace[1].ctx, s);
}

static int pass_process(void *ctx, const struct process_identity *p)
{
	struct reader *r = ctx;

	return model__process(r->model, p) || r->trace[0].process(r->trace[0].ctx, p) ||
	       r->trace[1].process(r->trace[1].ctx, p);
}

static int pass_stack(void *ctx, const struct stack_trace *s)
{
	struct reader *r = ctx;

	return model__stack(r->model, s) || r->trace[0].stack(r->trace[0].ctx, s) ||
	       r->trace[1].stack(r->trace[1].ctx, s);
}

static int pass_open(void *ctx, const struct churn_open *e)
{
	struct reader *r = ctx;

	return model__open(r->model, e, NULL) || r->trace[0].open(r->trace[0].ctx, e) ||
	       r->trace[1].open(r->trace[1].ctx, e);
}

static int pass_end(void *ctx, const struct churn_end *e)
{
	struct reader *r = ctx;

	return model__end(r->model, e, NULL) || r->trace[0].end(r->trace[0].ctx, e) ||
	       r->trace[1].end(r->trace[1].ctx, e);
}

static int pass_status(void *ctx, const struct source_status *s)
{
	struct reader *r = ctx;

	model__set_lost(r->model, s->lost, s->lost_user);
	model__set_in_progress(r->model, s->in_progress);
	model__set_older_closes(r->model, s->older);
	return r->trace[0].status(r->trace[0].ctx, s) || r->trace[1].status(r->trace[1].ctx, s);
}

static void page_open(struct page *p)
{
	p->out = open_memstream(&p->text, &p->size);
	fuzz_require(p->out, "no memory");
}

/* Lines of text, or documents of JSON. */
static void page_close(struct page *p, bool json)
{
	fuzz_require(!fclose(p->out), "no memory");
	if (!json)
		fuzz_check_terminal(p->text, p->size);
	for (char *at = p->text, *end; json && at < p->text + p->size; at = end + 1) {
		jsmn_parser parser;

		end = strchr(at, '\n');
		fuzz_require(end, "a document of JSON is not a line");
		jsmn_init(&parser);
		fuzz_require(jsmn_parse(&parser, at, (size_t)(end - at), NULL, 0) > 0, "not JSON");
	}
	free(p->text);
}

static void print_reports(struct model *m, const struct replay_stats *stats)
{
	static const enum view_format formats[] = {VIEW_TABLE, VIEW_JSON, VIEW_CSV, VIEW_FOLDED};
	struct report_options opts = {.duration_ns = stats->duration_ns, .stacks = true};
	struct findings findings;

	fuzz_require(!model__seal(m), "seal");
	fuzz_require(!findings__draw(&findings, m, stats->duration_ns, NULL), "findings");
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		struct page page;

		opts.by = (enum report_by)(i % 3);
		page_open(&page);
		fuzz_require(!report__print(page.out, formats[i], m, &findings, &opts), "report");
		page_close(&page, formats[i] == VIEW_JSON);
	}
	findings__clear(&findings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_options options = model_default_options;
	struct trace_view_options table = {.format = VIEW_TABLE, .stacks = true, .clock = true};
	struct trace_view_options json = {.format = VIEW_JSON, .stacks = true};
	struct trace_view *views[2];
	struct page pages[2];
	struct replay_stats stats;
	struct reader r;
	const struct sink sink = {.ctx = &r,
				  .start = pass_start,
				  .process = pass_process,
				  .stack = pass_stack,
				  .open = pass_open,
				  .end = pass_end,
				  .status = pass_status};
	int fd = fuzz_file(data, size);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	page_open(&pages[0]);
	page_open(&pages[1]);
	table.model = json.model = &options;
	views[0] = trace_view__new(pages[0].out, &table);
	views[1] = trace_view__new(pages[1].out, &json);
	r.model = model__new(&options);
	fuzz_require(views[0] && views[1] && r.model, "no memory");
	r.trace[0] = trace_view__sink(views[0]);
	r.trace[1] = trace_view__sink(views[1]);

	if (!replay__run(path, &sink, NULL, &stats))
		print_reports(r.model, &stats);
	model__free(r.model);
	for (int i = 0; i < 2; i++) {
		trace_view__free(views[i]);
		page_close(&pages[i], i);
	}
	close(fd);
	return 0;
}
