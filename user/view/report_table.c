/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/view/describe.h"
#include "user/model/names.h"
#include "user/view/paragraph.h"
#include "user/view/report_rows.h"
#include "user/view/report_sections.h"

#define DEFAULT_ROWS 10
#define INNER_ROWS   5 /* destinations of a process, call sites of a destination */
#define LINE_LEN     512

static const struct {
	const char *name;
	unsigned int columns;
	unsigned int width; /* of a page that has room for it */
} numbers[] = {{"OPENS", 9, 0},	     {"PER S", 8, 0},	    {"FAILED", 7, 0},
	       {"AVOIDABLE", 10, 0}, {"TIME_WAIT", 10, 75}, {"SHORT", 7, 90}};

#define NUMBERS	  (sizeof(numbers) / sizeof(numbers[0]))
#define PER_S	  1
#define TIME_WAIT 4

struct cells {
	uint64_t opens, failed, short_lived, avoidable, time_wait;
	bool no_time_wait; /* not known for that kind of row */
};

static unsigned int name_columns(const struct report_page *page)
{
	unsigned int n = page->width;
	size_t i;

	for (i = 0; i < NUMBERS; i++)
		n -= page->width >= numbers[i].width ? numbers[i].columns : 0;
	return n;
}

static void put_header(const struct report_page *page, const char *title)
{
	char text[LINE_LEN];
	size_t i;

	fputc('\n', page->out);
	if (page->opts->no_header)
		return;
	snprintf(text, sizeof(text), "%s", title);
	/* Not in the middle: the first word says it all. */
	if (strlen(text) >= name_columns(page))
		text[strcspn(text, "/")] = '\0';
	fputs(page->bold, page->out);
	put_left(page->out, text, name_columns(page));
	for (i = 0; i < NUMBERS; i++) {
		if (page->width >= numbers[i].width)
			put_right(page->out, numbers[i].name, numbers[i].columns);
	}
	fprintf(page->out, "%s\n", page->plain);
}

static void put_numbers(const struct report_page *page, const struct cells *c)
{
	const uint64_t counts[] = {c->opens,	  0, c->failed, c->avoidable, c->time_wait,
				   c->short_lived};
	char text[32];
	size_t i;

	for (i = 0; i < NUMBERS; i++) {
		if (page->width < numbers[i].width)
			continue;
		text_count(text, sizeof(text), counts[i]);
		if (i == PER_S)
			describe_rate(text, sizeof(text),
				      report_rate(c->opens, page->opts->duration_ns));
		if (i == TIME_WAIT && c->no_time_wait)
			text[0] = '\0';
		put_right(page->out, text, numbers[i].columns);
	}
	fputc('\n', page->out);
}

/* A name that does not fit gets a line of its own, where it is cut in the middle if need be. */
static void put_row(const struct report_page *page, unsigned int indent, char *name,
		    const struct cells *c)
{
	unsigned int columns = name_columns(page);

	text_shorten(name, page->width - indent);
	fprintf(page->out, "%*s", (int)indent, "");
	if (text_columns(name) + indent > columns)
		fprintf(page->out, "%s\n%*s", name, (int)columns, "");
	else
		put_left(page->out, name, columns - indent);
	put_numbers(page, c);
}

static void put_more(const struct report_page *page, unsigned int indent, uint32_t nr,
		     const char *what)
{
	char text[32];

	if (nr)
		fprintf(page->out, "%*s... and %s more %s\n", (int)indent, "",
			text_count(text, sizeof(text), nr), what);
}

/* Opens and failures of a row that came as the first part's stack shows. */
static void put_path_share(const struct report_page *page, const struct pivot_part *parts,
			   uint32_t nr_parts, unsigned int indent)
{
	const struct callsite_path *shown = parts->site->paths;
	uint64_t nr = 0, all = 0, others = 0;
	char a[32], b[32];

	for (uint32_t i = 0; shown && i < nr_parts; i++) {
		const struct callsite *s = parts[i].site;

		all += s->opens + s->failures;
		others += s->by_other_paths;
		for (uint32_t k = 0; k < s->nr_paths; k++)
			nr += s->paths[k].id == shown->id ? s->paths[k].nr : 0;
	}
	if (nr < all)
		fprintf(page->out, "%*s%s%s of %s by this path\n", (int)indent, "",
			others ? "at least " : "", text_count(a, sizeof(a), nr),
			text_count(b, sizeof(b), all));
}

static void put_callsite_stack(const struct report_page *page, const struct pivot_part *parts,
			       uint32_t nr_parts, unsigned int indent)
{
	if (!page->opts->stacks || !parts->site)
		return;
	put_path_share(page, parts, nr_parts, indent);
	report_stack__print(page, parts->site->stack, indent);
}

static void put_callsites(const struct report_page *page, const struct flow *f)
{
	uint32_t nr = report_limit(f->nr_callsites, page->opts->rows, INNER_ROWS), i;
	char text[LINE_LEN];

	for (i = 0; i < nr; i++) {
		const struct callsite *s = &f->callsites[i];
		const struct cells c = {s->opens,     s->failures, s->short_lived,
					s->avoidable, 0,	   true};

		describe_callsite(text, sizeof(text), s->stack, s->frame);
		put_row(page, 4, *text ? text : strcpy(text, "(call site unknown)"), &c);
		put_callsite_stack(page, &(struct pivot_part){f, s}, 1, 8);
	}
	put_more(page, 4, f->nr_callsites - nr, "call sites");
}

__attribute__((format(printf, 3, 4))) static void append(char *line, const char *sep,
							 const char *fmt, ...)
{
	size_t len = strlen(line);
	va_list ap;

	len += (size_t)snprintf(line + len, LINE_LEN - len, "%s", len ? sep : "");
	va_start(ap, fmt);
	vsnprintf(line + len, LINE_LEN - len, fmt, ap);
	va_end(ap);
}

/*
 * "life 2.1 ms (99 %: 4.2 ms), connect 35 us, port search 14 us (99 %: 1.7 ms, max 4 ms), at most 3
 * at once"
 */
static void put_flow_details(const struct report_page *page, const struct flow *f)
{
	char line[LINE_LEN] = "", a[32], b[32], c[32];

	if (f->lifetime.nr)
		append(line, ", ", "life %s (99 %%: %s)",
		       text_duration(a, sizeof(a), histogram__quantile(&f->lifetime, 0.5)),
		       text_duration(b, sizeof(b), histogram__quantile(&f->lifetime, 0.99)));
	if (f->connect.nr)
		append(line, ", ", "connect %s%s",
		       text_duration(a, sizeof(a), histogram__quantile(&f->connect, 0.5)),
		       f->search.nr ? "" : " (with its port search)");
	if (f->search.nr)
		append(line, ", ", "port search %s (99 %%: %s, max %s)",
		       text_duration(a, sizeof(a), histogram__quantile(&f->search, 0.5)),
		       text_duration(b, sizeof(b), histogram__quantile(&f->search, 0.99)),
		       text_duration(c, sizeof(c), f->search.max));
	if (f->opens)
		append(line, ", ", "at most %s at once", text_count(a, sizeof(a), f->pool_peak));
	if (*line)
		put_paragraph(page->out, page->width, "    ", 4, line);
}

static void put_flow_errors(const struct report_page *page, const struct flow *f)
{
	char line[LINE_LEN], nr[32], text[128];
	uint32_t i;

	for (i = 0; i < f->failures.nr && i < INNER_ROWS; i++) {
		const struct error_count *e = &f->failures.at[i];

		snprintf(line, sizeof(line), "%s x %s", text_count(nr, sizeof(nr), e->nr),
			 describe_error(text, sizeof(text), e->error, e->cause));
		fputs(page->red, page->out);
		put_paragraph(page->out, page->width, "    ", 4, line);
		fputs(page->plain, page->out);
	}
}

static void describe_destination(char *dst, size_t size, const struct report_page *page,
				 const struct flow *f)
{
	char peer[128];
	size_t len;

	describe_endpoint(dst, f->dest.addr, f->dest.port);
	len = strlen(dst);
	if (!f->peer)
		return;
	snprintf(dst + len, size - len, " (%s)", describe_peer(peer, sizeof(peer), f->peer));
	/* The address is never cut for the sake of the peer's name. */
	if (text_columns(dst) + 2 > name_columns(page) && len + 2 <= name_columns(page))
		dst[len] = '\0';
}

static void put_flow(const struct report_page *page, const struct flow *f)
{
	const struct cells c = {f->opens,     f->failed,    f->short_lived,
				f->avoidable, f->time_wait, false};
	char text[LINE_LEN], peer[128];

	describe_destination(text, sizeof(text), page, f);
	put_row(page, 2, text, &c);
	if (f->peer && !strchr(text, '(')) {
		snprintf(text, sizeof(text), "peer %s", describe_peer(peer, sizeof(peer), f->peer));
		put_paragraph(page->out, page->width, "    ", 4, text);
	}
	put_flow_details(page, f);
	put_flow_errors(page, f);
	put_callsites(page, f);
}

static void put_bind_failures(const struct report_page *page, const struct group *g)
{
	char nr[32];

	if (g->bind_failures)
		fprintf(page->out, "%s  %s x EADDRINUSE, bind() to port 0 found no free port%s\n",
			page->red, text_count(nr, sizeof(nr), g->bind_failures), page->plain);
}

static bool has_active(const struct group *g)
{
	return g->opens || g->failed || g->nr_flows || g->bind_failures;
}

static int put_processes(const struct report_page *page, const struct model *m)
{
	uint32_t nr, left, shown = 0, active = 0, i, k, flows;
	const struct group **groups = report_groups(m, page->opts->sort, &nr);
	char text[LINE_LEN];

	if (!groups)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		active += has_active(groups[i]);
	left = report_limit(active, page->opts->rows, DEFAULT_ROWS);
	if (active)
		put_header(page, "PROCESS / destination / call site");
	for (i = 0; i < nr && shown < left; i++) {
		const struct group *g = groups[i];
		const struct cells c = {g->opens,     g->failed,	g->short_lived,
					g->avoidable, report_parked(g), false};

		if (!has_active(g))
			continue;
		shown++;
		fputs(page->bold, page->out);
		put_row(page, 0, describe_group(text, sizeof(text), g), &c);
		fputs(page->plain, page->out);
		put_bind_failures(page, g);
		flows = report_limit(g->nr_flows, page->opts->rows, INNER_ROWS);
		for (k = 0; k < flows; k++)
			put_flow(page, g->flows[k]);
		put_more(page, 2, g->nr_flows - flows, "destinations");
	}
	put_more(page, 0, active - shown, "processes");
	free(groups);
	return 0;
}

static void describe_pivot(char *dst, size_t size, const struct report_page *page,
			   const struct pivot_row *r)
{
	if (page->opts->by == REPORT_BY_DESTINATION) {
		describe_destination(dst, size, page, r->parts->flow);
		return;
	}
	*dst = '\0';
	if (r->parts->site)
		describe_callsite(dst, size, r->parts->site->stack, r->parts->site->frame);
	if (!*dst)
		snprintf(dst, size, "(call site unknown)");
}

static void put_part(const struct report_page *page, const struct pivot_part *p)
{
	const struct flow *f = p->flow;
	struct cells c = {f->opens, f->failed, f->short_lived, f->avoidable, f->time_wait, false};
	char text[LINE_LEN], group[256], to[ENDPOINT_LEN];

	describe_group(group, sizeof(group), f->group);
	snprintf(text, sizeof(text), "%s", group);
	if (p->site) {
		c = (struct cells){p->site->opens,
				   p->site->failures,
				   p->site->short_lived,
				   p->site->avoidable,
				   0,
				   true};
	}
	if (page->opts->by == REPORT_BY_CALLSITE)
		snprintf(text, sizeof(text), "%s to %s", group,
			 describe_endpoint(to, f->dest.addr, f->dest.port));
	put_row(page, 2, text, &c);
}

static int put_pivot(const struct report_page *page, const struct model *m)
{
	bool by_site = page->opts->by == REPORT_BY_CALLSITE;
	char text[LINE_LEN];
	struct pivot p;
	uint32_t nr, parts, i, k;

	if (pivot__make(&p, m, page->opts->by, page->opts->sort))
		return -ENOMEM;
	nr = report_limit(p.nr_rows, page->opts->rows, DEFAULT_ROWS);
	if (nr)
		put_header(page, by_site ? "CALL SITE / process to destination"
					 : "DESTINATION / process");
	for (i = 0; i < nr; i++) {
		const struct pivot_row *r = &p.rows[i];
		const struct cells c = {r->opens,     r->failures,  r->short_lived,
					r->avoidable, r->time_wait, by_site};

		describe_pivot(text, sizeof(text), page, r);
		fputs(page->bold, page->out);
		put_row(page, 0, text, &c);
		fputs(page->plain, page->out);
		parts = report_limit(r->nr_parts, page->opts->rows, INNER_ROWS);
		for (k = 0; k < parts; k++)
			put_part(page, &r->parts[k]);
		put_more(page, 2, r->nr_parts - parts, by_site ? "users" : "processes");
		if (by_site)
			put_callsite_stack(page, r->parts, r->nr_parts, 8);
	}
	put_more(page, 0, p.nr_rows - nr, by_site ? "call sites" : "destinations");
	pivot__clear(&p);
	return 0;
}

int report_table__print(FILE *out, const struct model *m, const struct findings *f,
			const struct report_options *opts)
{
	const struct report_page page = {
		.out = out,
		.opts = opts,
		.width = opts->width >= 60 && opts->width < 100 ? opts->width : 100,
		.bold = opts->colour ? "\033[1m" : "",
		.red = opts->colour ? "\033[31m" : "",
		.plain = opts->colour ? "\033[0m" : "",
	};
	int err;

	report_headline__print(&page, f);
	err = report_verdict__print(&page, m);
	if (!err && opts->by != REPORT_BY_PROCESS)
		err = put_pivot(&page, m);
	else if (!err)
		err = put_processes(&page, m);
	if (!err)
		err = report_services__print(&page, m);
	if (err)
		return err;
	report_skipped__print(&page, m);
	report_pools__print(&page, m);
	report_findings__print(&page, f);
	report_unknowns__print(&page, m);
	return view_flush(out);
}
