/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/report_sections.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/base/clock.h"
#include "user/base/text.h"
#include "user/model/census.h"
#include "user/view/describe.h"
#include "user/model/names.h"
#include "user/model/sink.h"
#include "user/view/paragraph.h"
#include "user/view/report_rows.h"

#define DEFAULT_ROWS 10
#define PLACES	     3 /* that accept on one port */
#define MEMBERS	     5 /* findings of the same cause */
#define LINE_LEN     1024

void report_stack__print(const struct report_page *page, const struct stack_trace *s,
			 unsigned int indent)
{
	char text[LINE_LEN];

	for (uint32_t i = 0; s && i < s->nr; i++) {
		describe_frame(text, sizeof(text), &s->frames[i], true);
		fprintf(page->out, "%*s%s\n", (int)indent, "",
			text_shorten(text, page->width - indent));
	}
}

/* --- who accepts ------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	unsigned int columns;
} columns[] = {{"PORT", 7}, {"ACCEPTS", 11}, {"PER S", 9}, {"CLOSES", 11}, {"TIME_WAIT", 11}};

static void put_services_header(const struct report_page *page, unsigned int name)
{
	size_t i;

	fputc('\n', page->out);
	if (page->opts->no_header)
		return;
	fputs(page->bold, page->out);
	put_left(page->out, "ACCEPTED BY", name);
	for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		put_right(page->out, columns[i].name, columns[i].columns);
	fprintf(page->out, "%s\n", page->plain);
}

static void put_service(const struct report_page *page, unsigned int name, const struct service *s)
{
	char text[256];

	describe_group(text, sizeof(text), s->group);
	text_shorten(text, page->width);
	/* One that does not fit gets a line of its own. */
	if (text_columns(text) >= name)
		fprintf(page->out, "%s\n%*s", text, (int)name, "");
	else
		put_left(page->out, text, name);
	snprintf(text, sizeof(text), "%u", s->port);
	put_right(page->out, text, columns[0].columns);
	put_right(page->out, text_count(text, sizeof(text), s->accepts), columns[1].columns);
	describe_rate(text, sizeof(text), report_rate(s->accepts, page->opts->duration_ns));
	put_right(page->out, text, columns[2].columns);
	put_right(page->out, text_count(text, sizeof(text), s->closes), columns[3].columns);
	put_right(page->out, text_count(text, sizeof(text), s->time_wait), columns[4].columns);
	fputc('\n', page->out);
}

/* "accepted in serve (server.c:20): 1,204"; nothing where accept() was not seen. */
static void put_accept_sites(const struct report_page *page, const struct service *s)
{
	uint32_t shown = report_limit(s->nr_callsites, page->opts->rows, PLACES);
	char site[256], nr[32], line[LINE_LEN];

	for (uint32_t i = 0; i < shown; i++) {
		const struct callsite *c = &s->callsites[i];

		describe_callsite(site, sizeof(site), c->stack, c->frame);
		snprintf(line, sizeof(line), "accepted %s%s: %s", *site ? "in " : "",
			 *site ? site : "where it is not known",
			 text_count(nr, sizeof(nr), c->opens));
		put_paragraph(page->out, page->width, "  ", 4, line);
		if (page->opts->stacks)
			report_stack__print(page, c->stack, 6);
	}
	if (shown < s->nr_callsites)
		fprintf(page->out, "  ... and in %u more places\n", s->nr_callsites - shown);
}

static int by_accepts(const void *a, const void *b)
{
	const struct service *x = *(const struct service *const *)a;
	const struct service *y = *(const struct service *const *)b;

	return x->accepts < y->accepts ? 1 : x->accepts > y->accepts ? -1 : 0;
}

int report_services__print(const struct report_page *page, const struct model *m)
{
	uint32_t nr_groups, nr = 0, shown, g, i;
	const struct group *const *groups = model__groups(m, &nr_groups);
	const struct service **services;
	unsigned int name = page->width;

	for (g = 0; g < nr_groups; g++)
		nr += groups[g]->nr_services;
	if (!nr)
		return 0;
	services = calloc(nr, sizeof(*services));
	if (!services)
		return -ENOMEM;
	for (nr = 0, g = 0; g < nr_groups; g++) {
		for (i = 0; i < groups[g]->nr_services; i++)
			services[nr++] = groups[g]->services[i];
	}
	qsort(services, nr, sizeof(*services), by_accepts);
	for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		name -= columns[i].columns;
	put_services_header(page, name);
	shown = report_limit(nr, page->opts->rows, DEFAULT_ROWS);
	for (i = 0; i < shown; i++) {
		put_service(page, name, services[i]);
		put_accept_sites(page, services[i]);
	}
	if (shown < nr)
		fprintf(page->out, "... and %u more ports\n", nr - shown);
	free(services);
	return 0;
}

/* --- TIME_WAIT that was not kept -------------------------------------------------------------- */

/* The kernel's counter is of all that closed in the namespace, traced or not. */
static bool describe_skipped(char line[LINE_LEN], const struct time_wait_limit *l, uint64_t nr_left)
{
	char skipped[32], left[32], max[32] = "not known";

	text_count(skipped, sizeof(skipped), l->skipped);
	text_count(left, sizeof(left), nr_left);
	if (l->max != TIME_WAIT_NO_LIMIT)
		text_count(max, sizeof(max), l->max);
	if (l->skipped)
		snprintf(line, LINE_LEN,
			 "TIME_WAIT: the kernel did not keep %s, of the %s counted here and any "
			 "others of network namespace %u: net.ipv4.tcp_max_tw_buckets is %s, and "
			 "with so many there a close leaves none",
			 skipped, left, l->netns, max);
	else if (!l->counted && nr_left > l->max)
		snprintf(
			line, LINE_LEN,
			"TIME_WAIT: of the %s counted here in network namespace %u at most %s "
			"were there at once (net.ipv4.tcp_max_tw_buckets); how many the kernel did "
			"not keep is not known",
			left, l->netns, max);
	return l->skipped || (!l->counted && nr_left > l->max);
}

void report_skipped__print(const struct report_page *page, const struct model *m)
{
	const struct time_wait_limits *limits = model__time_wait_limits(m);
	char line[LINE_LEN];

	for (uint32_t i = 0; i < limits->nr; i++) {
		const struct time_wait_limit *l = &limits->at[i];

		if (!describe_skipped(line, l, report_time_waits(m, l->netns)))
			continue;
		fputc('\n', page->out);
		put_paragraph(page->out, page->width, "", 2, line);
	}
}

/* --- conclusions ------------------------------------------------------------------------------ */

static void put_sentences(const struct report_page *page, const char *first, char *const *sentences)
{
	for (; sentences && *sentences; sentences++)
		put_paragraph(page->out, page->width, first, text_columns(first), *sentences);
}

static const char *const severities[] = {
	[FINDING_INFO] = "note",
	[FINDING_WARNING] = "warning",
	[FINDING_CRITICAL] = "critical",
};

/* What has the same cause, in a line each. */
static void put_members(const struct report_page *page, const struct findings *all, uint32_t leader)
{
	char line[LINE_LEN];
	uint32_t more = 0, told = 0;

	for (uint32_t i = leader + 1; i < all->nr; i++) {
		const struct finding *f = &all->at[i];

		if (f->under != leader)
			continue;
		if (told++ >= MEMBERS) {
			more++;
			continue;
		}
		snprintf(line, sizeof(line), "%s [%s]", f->title, f->id);
		put_paragraph(page->out, page->width, "  also     ", 11, line);
	}
	if (more)
		fprintf(page->out, "  also     %u more of the kind\n", more);
}

/* Somebody who reads from the top has read it. */
static bool fix_was_told(const struct findings *all, uint32_t index)
{
	for (uint32_t i = 0; i < index; i++) {
		const struct finding *f = &all->at[i];

		if (f->under == FINDING_LEADS && f->fix && strstr(f->fix, all->at[index].fix))
			return true;
	}
	return false;
}

/* "critical: dns.py cannot connect to ... [port-exhaustion]" */
static void put_title(const struct report_page *page, const struct finding *f)
{
	char line[LINE_LEN];

	snprintf(line, sizeof(line), "%s: %s [%s]", severities[f->severity], f->title, f->id);
	fputs(f->severity == FINDING_CRITICAL ? page->red : page->bold, page->out);
	put_paragraph(page->out, page->width, "", 2, line);
	fputs(page->plain, page->out);
}

/* They are sorted, the worst first. */
void report_headline__print(const struct report_page *page, const struct findings *f)
{
	if (f && f->nr && f->at[0].severity > FINDING_INFO)
		put_title(page, &f->at[0]);
}

static void put_finding(const struct report_page *page, const struct findings *all, uint32_t index)
{
	const struct finding *f = &all->at[index];

	put_title(page, f);
	put_members(page, all, index);
	put_sentences(page, "  because  ", f->evidence);
	put_sentences(page, "  but      ", f->counter_evidence);
	if (f->fix)
		put_paragraph(page->out, page->width, "  fix      ", 11,
			      fix_was_told(all, index) ? "as above" : f->fix);
}

void report_findings__print(const struct report_page *page, const struct findings *f)
{
	uint32_t shown, nr = 0;

	for (uint32_t i = 0; f && i < f->nr; i++)
		nr += f->at[i].under == FINDING_LEADS;
	if (!nr)
		return;
	shown = report_limit(nr, page->opts->rows, DEFAULT_ROWS);
	fprintf(page->out, "\n%sFINDINGS%s\n", page->bold, page->plain);
	for (uint32_t i = 0, told = 0; told < shown; i++) {
		if (f->at[i].under != FINDING_LEADS)
			continue;
		put_finding(page, f, i);
		told++;
	}
	if (shown < nr)
		fprintf(page->out, "... and %u more findings\n", nr - shown);
}

/* --- what is not known ------------------------------------------------------------------------ */

struct unknowns {
	const struct report_page *page;
	bool any;
};

static void put_unknown_line(struct unknowns *u, const char *line)
{
	if (!u->any)
		fprintf(u->page->out, "\n%sNOT IN THESE NUMBERS%s\n", u->page->bold,
			u->page->plain);
	u->any = true;
	put_paragraph(u->page->out, u->page->width, "  ", 4, line);
}

/* "4 connects in progress": how many, of what, and what about them. */
static void put_unknown(struct unknowns *u, uint64_t nr, const char *what, const char *about)
{
	char line[LINE_LEN], count[32];

	if (!nr)
		return;
	snprintf(line, sizeof(line), "%s %s%s %s", text_count(count, sizeof(count), nr), what,
		 nr == 1 ? "" : "s", about);
	put_unknown_line(u, line);
}

/* Events, as the last line on standard error counts them, or what would have said more of one. */
static void put_lost(struct unknowns *u, uint64_t nr, bool event, const char *why)
{
	char line[LINE_LEN], count[32];

	if (!nr)
		return;
	snprintf(line, sizeof(line), "%s lost%s: %s", text_count(count, sizeof(count), nr),
		 event ? "" : " (no events)", why);
	put_unknown_line(u, line);
}

static void put_older(struct unknowns *u, const struct model_ports *p)
{
	const struct report_options *opts = u->page->opts;
	uint64_t gone_ns = opts->start_wall_ns + opts->duration_ns;
	char about[64], clock[16];
	struct tm tm;
	time_t s;

	if (!p)
		return;
	s = (time_t)((gone_ns + p->older_left_ms * NS_PER_MS) / NS_PER_SEC + 1);
	localtime_r(&s, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(about, sizeof(about), "from before the trace, all gone by %s", clock);
	put_unknown(u, p->older_time_wait, "TIME_WAIT socket", about);
	if (p->partial)
		put_unknown_line(u, "sockets of network namespaces that could not be read, or that "
				    "vanished meanwhile");
}

void report_unknowns__print(const struct report_page *page, const struct model *m)
{
	const struct model_totals *t = model__totals(m);
	struct unknowns u = {.page = page};

	for (unsigned int i = 0; i < CHURN_LOST__COUNT; i++)
		put_lost(&u, t->lost[i], lost_is_event(i), words_lost(i));
	put_lost(&u, t->lost_user, true,
		 "dropped in user space (a table was full, a record or line was damaged)");
	put_unknown(&u, t->in_progress, "connect",
		    "in progress at the end, neither established nor failed");
	put_unknown(&u, t->orphan_closes, "close", "without its open, whose record was lost");
	put_unknown(&u, t->older_closes, "close",
		    "of what was opened before the trace, or not followed");
	put_unknown(&u, t->corrected, "connection", "gone in the census, but the end was not seen");
	put_older(&u, model__ports(m));
	put_unknown(&u, t->unattributed_process, "event",
		    "(opens, failures, accepts) of processes that are not known");
	put_unknown(&u, t->unattributed_callsite, "attempt", "to connect without a call site");
}
