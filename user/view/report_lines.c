/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The report for programs that read lines: CSV, and folded stacks for flame graphs. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "user/base/text.h"
#include "user/view/csv.h"
#include "user/view/describe.h"
#include "user/model/names.h"
#include "user/view/report_rows.h"

static void csv_callsite(FILE *out, const struct callsite *s)
{
	const struct frame *f = NULL;

	if (s && s->stack && s->frame >= 0 && (uint32_t)s->frame < s->stack->nr)
		f = &s->stack->frames[s->frame];
	csv_text(out, f ? f->function : NULL);
	csv_text(out, f ? f->file : NULL);
	if (f && f->line)
		csv_uint(out, f->line);
	else
		csv_empty(out);
}

static void csv_line(FILE *out, const struct group *g, const struct flow *f,
		     const struct callsite *s)
{
	char text[ADDR_LEN];

	csv_first(out, g->program);
	if (g->nr_processes == 1 && g->sample.id.tgid)
		csv_uint(out, g->sample.id.tgid);
	else
		csv_empty(out);
	csv_uint(out, g->nr_processes);
	csv_text(out, g->sample.container_id);
	csv_uint(out, f->dest.netns);
	csv_text(out, address_known(f->dest.addr) ? text_addr(text, f->dest.addr) : NULL);
	csv_uint(out, f->dest.port);
	csv_callsite(out, s);
	csv_uint(out, s ? s->opens : f->opens);
	csv_uint(out, s ? s->failures : f->failed);
	csv_uint(out, s ? s->short_lived : f->short_lived);
	csv_uint(out, s ? s->avoidable : f->avoidable);
	fputc('\n', out);
}

int report_csv__print(FILE *out, const struct model *m, const struct report_options *opts)
{
	uint32_t nr, g, i, s;
	const struct group **groups = report_groups(m, opts->sort, &nr);

	if (!groups)
		return -ENOMEM;
	nr = report_limit(nr, opts->rows, 0);
	if (!opts->no_header)
		fputs("program,pid,processes,container,netns,address,port,function,file,line,"
		      "opens,failures,short_lived,avoidable\n",
		      out);
	for (g = 0; g < nr; g++) {
		for (i = 0; i < groups[g]->nr_flows; i++) {
			const struct flow *f = groups[g]->flows[i];

			for (s = 0; s < f->nr_callsites; s++)
				csv_line(out, groups[g], f, &f->callsites[s]);
			if (!f->nr_callsites)
				csv_line(out, groups[g], f, NULL);
		}
	}
	free(groups);
	return view_flush(out);
}

/* ';' separates frames, and the last blank the count. */
static void put_folded(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc(*text == ';' ? ':' : *text, out);
}

static void put_folded_program(FILE *out, const struct group *g)
{
	char text[512];

	text_clean(text, sizeof(text), g->program);
	put_folded(out, text);
}

static void put_folded_frame(FILE *out, const struct frame *f)
{
	char text[512];

	fputc(';', out);
	if (f->function)
		text_clean(text, sizeof(text), f->function);
	else
		describe_frame(text, sizeof(text), f, false);
	put_folded(out, text);
}

/* The lines of a call site add up to its opens and failures. */
static void put_folded_callsite(FILE *out, const struct group *g, const struct callsite *s)
{
	for (uint32_t i = 0; i < s->nr_paths; i++) {
		const struct stack_trace *stack = s->paths[i].stack;

		put_folded_program(out, g);
		for (uint32_t k = stack->nr; k--;)
			put_folded_frame(out, &stack->frames[k]);
		fprintf(out, " %" PRIu64 "\n", s->paths[i].nr);
	}
	if (!s->by_other_paths)
		return;
	put_folded_program(out, g);
	fputs(s->stack ? ";[other stacks]" : ";[unknown]", out);
	if (s->stack && s->frame >= 0)
		put_folded_frame(out, &s->stack->frames[s->frame]);
	fprintf(out, " %" PRIu64 "\n", s->by_other_paths);
}

int report_folded__print(FILE *out, const struct model *m, const struct report_options *opts)
{
	uint32_t nr, g, i, s;
	const struct group **groups = report_groups(m, opts->sort, &nr);

	if (!groups)
		return -ENOMEM;
	nr = report_limit(nr, opts->rows, 0);
	for (g = 0; g < nr; g++) {
		for (i = 0; i < groups[g]->nr_flows; i++) {
			const struct flow *f = groups[g]->flows[i];

			for (s = 0; s < f->nr_callsites; s++)
				put_folded_callsite(out, groups[g], &f->callsites[s]);
		}
	}
	free(groups);
	return view_flush(out);
}

int report__print(FILE *out, enum view_format format, const struct model *m,
		  const struct findings *f, const struct report_options *opts)
{
	switch (format) {
	case VIEW_JSON:
		return report_json__print(out, m, f, opts);
	case VIEW_CSV:
		return report_csv__print(out, m, opts);
	case VIEW_FOLDED:
		return report_folded__print(out, m, opts);
	case VIEW_TABLE:
		break;
	}
	return report_table__print(out, m, f, opts);
}
