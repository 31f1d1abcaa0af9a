/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "user/base/clock.h"
#include "user/base/text.h"
#include "user/model/names.h"
#include "user/view/describe.h"
#include "user/view/paragraph.h"
#include "user/view/ports.h"
#include "user/view/report_rows.h"

#define LINE_LEN     512
#define STRIP_LEN    60
#define STRIP_ENDS   16 /* columns of a strip's line around it */
#define MIXED	     ':'
#define HOLDERS	     3
#define TIME_TEXT    32
#define DEFAULT_ROWS 10

static const struct {
	const char *name;
	unsigned int columns;
} columns[] = {{"CAPACITY", 9}, {"ESTAB", 8},	{"TIME_WAIT", 10}, {"OTHER", 7},
	       {"FREE", 8},	{"OPENS/S", 9}, {"EXHAUSTED", 11}};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static unsigned int name_columns(const struct ports_page *page)
{
	unsigned int n = 0;

	for (size_t i = 0; i < COLUMNS; i++)
		n += columns[i].columns;
	return page->width > n ? page->width - n : 0;
}

static void put_header(FILE *out, const struct ports_page *page)
{
	if (page->no_header)
		return;
	fputs(page->colour ? "\033[1m" : "", out);
	put_left(out, "POOL", name_columns(page));
	for (size_t i = 0; i < COLUMNS; i++)
		put_right(out, columns[i].name, columns[i].columns);
	fprintf(out, "%s\n", page->colour ? "\033[0m" : "");
}

static const char *netns_name(const struct ports_page *page, uint32_t inum)
{
	if (page->netns_name)
		return page->netns_name(page->ctx, inum);
	for (uint32_t i = 0; i < page->pools->nr; i++) {
		if (page->pools->at[i].key.netns != inum)
			return NULL;
	}
	return "";
}

static void describe_pool(char *dst, size_t size, const struct ports_page *page,
			  const struct port_pool *p)
{
	char local[ADDR_LEN], peer[ENDPOINT_LEN], name[64];
	const char *netns = netns_name(page, p->key.netns);

	text_clean(name, sizeof(name), netns);
	snprintf(dst, size, "%s -> %s%s%s", text_addr(local, p->key.local),
		 describe_endpoint(peer, p->key.peer, p->key.port), *name ? " in " : "", name);
	if (p->key.low)
		snprintf(dst + strlen(dst), size - strlen(dst), " from %u-%u", p->key.low,
			 p->key.high);
	if (!netns)
		snprintf(dst + strlen(dst), size - strlen(dst), " in netns %u", p->key.netns);
}

/* When the last port will be gone. */
static const char *describe_end(char dst[TIME_TEXT], const struct port_pool *p)
{
	if (!p->free)
		snprintf(dst, TIME_TEXT, "NOW");
	else if (p->rate_per_second < 0)
		snprintf(dst, TIME_TEXT, "-");
	else if (p->seconds_left < 0)
		snprintf(dst, TIME_TEXT, "never");
	else
		text_duration(dst, TIME_TEXT, (uint64_t)(p->seconds_left * 1e9));
	return dst;
}

static void put_row(FILE *out, const struct ports_page *page, const struct port_pool *p)
{
	const uint32_t counts[] = {p->capacity, p->nr[PORT_ESTABLISHED],
				   p->nr[PORT_TIME_WAIT] + p->nr[PORT_REUSABLE], p->nr[PORT_OTHER],
				   p->free};
	char name[LINE_LEN], text[TIME_TEXT];
	const char *colour = !p->free ? "\033[31m" : !p->fast_free ? "\033[33m" : "";

	describe_pool(name, sizeof(name), page, p);
	fputs(page->colour ? colour : "", out);
	if (text_columns(name) >= name_columns(page))
		fprintf(out, "%s\n%*s", name, (int)name_columns(page), "");
	else
		put_left(out, name, name_columns(page));
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		put_right(out, text_count(text, sizeof(text), counts[i]), columns[i].columns);
	if (p->rate_per_second < 0)
		snprintf(text, sizeof(text), "-");
	else
		describe_rate(text, sizeof(text), p->rate_per_second);
	put_right(out, text, columns[COLUMNS - 2].columns);
	put_right(out, describe_end(text, p), columns[COLUMNS - 1].columns);
	fprintf(out, "%s\n", page->colour ? "\033[0m" : "");
}

/* One character for some neighbouring ports: what most of them are. */
static char strip_char(const struct port_pool *p, uint32_t first, uint32_t end)
{
	static const char chars[PORT_USE__COUNT] = {
		[PORT_OUTSIDE] = ' ',  [PORT_BOUND] = 'x',     [PORT_FREE] = '.',
		[PORT_REUSABLE] = '~', [PORT_TIME_WAIT] = 't', [PORT_ESTABLISHED] = '#',
		[PORT_OTHER] = '#',
	};
	uint32_t nr[PORT_USE__COUNT] = {}, most = PORT_OUTSIDE, inside;

	for (uint32_t i = first; i < end; i++)
		nr[p->ports[i]]++;
	for (uint32_t use = 1; use < PORT_USE__COUNT; use++) {
		if (nr[use] >= nr[most])
			most = use;
	}
	/* Every second one, as past the cliff, is neither free nor taken. */
	inside = end - first - nr[PORT_OUTSIDE];
	return nr[most] * 4 < inside * 3 ? MIXED : chars[most];
}

static void put_strip(FILE *out, const struct ports_page *page, const struct port_pool *p)
{
	uint32_t range = p->rules->high - p->rules->low + 1;
	uint32_t room = page->width < STRIP_LEN + STRIP_ENDS ? page->width - STRIP_ENDS : STRIP_LEN;
	uint32_t len = range < room ? range : room;
	char strip[STRIP_LEN + 1];

	for (uint32_t i = 0; i < len; i++)
		strip[i] =
			strip_char(p, (uint64_t)i * range / len, (uint64_t)(i + 1) * range / len);
	strip[len] = '\0';
	fprintf(out, "  %5u [%s] %u\n", p->rules->low, strip, p->rules->high);
}

static void put_line(FILE *out, const struct ports_page *page, const char *text)
{
	put_paragraph(out, page->width, "    ", 6, text);
}

/* "connect() searched 14 us for a port (median; 99 %: 1.7 ms, at most 4 ms)" */
static void put_cost(FILE *out, const struct ports_page *page, const struct port_cost *c)
{
	char line[LINE_LEN], median[TIME_TEXT], p99[TIME_TEXT], max[TIME_TEXT];

	if (!c->nr)
		return;
	snprintf(line, sizeof(line), "%s %s (median; 99 %%: %s, at most %s)",
		 c->measured ? "connect() searched for a port for"
			     : "connect(), with its search for a port, took",
		 text_duration(median, sizeof(median), c->median),
		 text_duration(p99, sizeof(p99), c->p99), text_duration(max, sizeof(max), c->max));
	put_line(out, page, line);
}

static void put_state(FILE *out, const struct ports_page *page, const struct port_pool *p)
{
	char line[LINE_LEN], a[32], b[32];

	if (!p->free)
		put_line(out, page, "no port is free: connect() fails with EADDRNOTAVAIL");
	else if (!p->fast_free)
		put_line(out, page,
			 "past the cliff: connect() searches half of the range in vain each time "
			 "before it finds a port");
	if (p->nr[PORT_REUSABLE]) {
		snprintf(line, sizeof(line),
			 "%s of those in TIME_WAIT count as free: connect() "
			 "may take them over (net.ipv4.tcp_tw_reuse)",
			 text_count(a, sizeof(a), p->nr[PORT_REUSABLE]));
		put_line(out, page, line);
	}
	if (p->key.low)
		put_line(out, page,
			 "for sockets that have set this range (IP_LOCAL_PORT_RANGE), as some have "
			 "that are open now; the pool of all has these ports, too");
	if (p->nr[PORT_BOUND]) {
		snprintf(line, sizeof(line),
			 "%s of the range %s held by an explicit bind, for "
			 "all destinations",
			 text_count(a, sizeof(a), p->nr[PORT_BOUND]),
			 p->nr[PORT_BOUND] == 1 ? "is" : "are");
		put_line(out, page, line);
	}
	text_count(b, sizeof(b), p->cliff);
	if (port_pool__is_spared(p))
		snprintf(line, sizeof(line),
			 "at most %s sockets can be in TIME_WAIT (net.ipv4.tcp_max_tw_buckets), "
			 "which alone never use it up; slow from %s ports in use",
			 text_count(a, sizeof(a), p->rules->max_time_wait), b);
	else
		snprintf(line, sizeof(line), "sustains %s opens/s; slow from %s ports in use",
			 describe_rate(a, sizeof(a), port_pool__sustainable(p)), b);
	put_line(out, page, line);
	put_cost(out, page, &p->cost);
}

static void add_count(char *dst, size_t size, uint32_t nr, const char *what)
{
	char text[32];

	if (nr)
		snprintf(dst + strlen(dst), size - strlen(dst), "%s %s%s", *dst ? "," : "",
			 text_count(text, sizeof(text), nr), what);
}

static void put_holder(FILE *out, const struct ports_page *page, const struct port_holder *h)
{
	char line[LINE_LEN], name[192] = "unknown", site[256], counts[128] = "";

	if (h->who.process)
		describe_peer(name, sizeof(name), h->who.process);
	describe_callsite(site, sizeof(site), h->who.stack, h->who.frame);
	add_count(counts, sizeof(counts), h->time_wait - h->older, " in TIME_WAIT");
	add_count(counts, sizeof(counts), h->older, " in TIME_WAIT older than the trace");
	add_count(counts, sizeof(counts), h->established, " established");
	add_count(counts, sizeof(counts), h->other, " being opened or closed");
	snprintf(line, sizeof(line), "held by %s%s%s:%s", name, *site ? " in " : "", site, counts);
	put_line(out, page, line);
}

static void put_holders(FILE *out, const struct ports_page *page, uint32_t pool)
{
	const struct port_holder *h;
	char line[LINE_LEN];
	uint32_t nr;

	if (!page->holders)
		return;
	h = port_holders__of(page->holders, pool, &nr);
	for (uint32_t i = 0; i < nr && i < HOLDERS; i++)
		put_holder(out, page, &h[i]);
	if (nr > HOLDERS) {
		snprintf(line, sizeof(line), "and by %u more", nr - HOLDERS);
		put_line(out, page, line);
	}
}

/* --- a recording ------------------------------------------------------------------------------ */

/* "12:07:40" */
static const char *clock_text(char dst[TIME_TEXT], const struct ports_page *page, uint64_t ns)
{
	time_t s = (time_t)((page->wall_ns + ns - page->taken_ns) / NS_PER_SEC);
	struct tm tm;

	localtime_r(&s, &tm);
	strftime(dst, TIME_TEXT, "%H:%M:%S", &tm);
	return dst;
}

static void put_moment(FILE *out, const struct ports_page *page)
{
	const struct port_history *h = page->history;
	char line[LINE_LEN], at[TIME_TEXT], first[TIME_TEXT], last[TIME_TEXT];

	if (!h)
		return;
	snprintf(line, sizeof(line), "at %s, when fewest ports were free in %u %s from %s to %s",
		 clock_text(at, page, page->taken_ns), h->looks, h->looks == 1 ? "look" : "looks",
		 clock_text(first, page, h->first_ns), clock_text(last, page, h->last_ns));
	put_paragraph(out, page->width, "", 2, line);
}

/* "none was free from 12:07:40 to 12:08:10, in 7 of 20 looks; 494 connects failed, ..." */
static void put_past(FILE *out, const struct ports_page *page, const struct port_pool *p)
{
	const struct port_past *past =
		page->history ? port_history__of(page->history, &p->key) : NULL;
	char line[LINE_LEN], from[TIME_TEXT], to[TIME_TEXT], nr[TIME_TEXT];

	if (!past)
		return;
	if (past->empty)
		snprintf(line, sizeof(line), "none was free in %u of %u looks, from %s to %s",
			 past->empty, page->history->looks,
			 clock_text(from, page, past->first_empty_ns),
			 clock_text(to, page, past->last_empty_ns));
	else
		snprintf(line, sizeof(line), "at the least %s were free",
			 text_count(nr, sizeof(nr), past->least_free));
	put_line(out, page, line);
	if (!past->failures)
		return;
	snprintf(line, sizeof(line), "%s connect%s failed with EADDRNOTAVAIL, from %s to %s",
		 text_count(nr, sizeof(nr), past->failures), past->failures == 1 ? "" : "s",
		 clock_text(from, page, past->first_failure_ns),
		 clock_text(to, page, past->last_failure_ns));
	put_line(out, page, line);
}

static void put_note(FILE *out, const struct ports_page *page, uint32_t nr, const char *one,
		     const char *many)
{
	char line[LINE_LEN], count[32];

	if (!nr)
		return;
	snprintf(line, sizeof(line), "%s %s", text_count(count, sizeof(count), nr),
		 nr == 1 ? one : many);
	put_paragraph(out, page->width, "", 2, line);
}

static void put_notes(FILE *out, const struct ports_page *page)
{
	const struct ports_scope *s = page->scope;
	bool estimated = false, unowned = false;

	for (uint32_t i = 0; i < page->pools->nr; i++) {
		const struct port_pool *p = &page->pools->at[i];

		estimated |= p->estimated;
		unowned |= p->nr[PORT_TIME_WAIT] || p->nr[PORT_REUSABLE];
	}
	if (page->pools->nr) {
		fputc('\n', out);
		put_paragraph(out, page->width, "", 1,
			      "[# in use, t TIME_WAIT, ~ TIME_WAIT that connect() may take over, "
			      "x bound, . free, : some of each]");
	}
	put_note(out, page, page->pools->below, "pool has fewer ports in use than --min-used",
		 "pools have fewer ports in use than --min-used");
	put_note(out, page, page->pools->beyond, "more pool was not looked at",
		 "more pools were not looked at: ask for a higher --min-used");
	if (estimated)
		put_paragraph(out, page->width, "", 2,
			      "without BPF (root) it is not known which ports were bound and which "
			      "TIME_WAITs have timestamps: binds of connected sockets are not "
			      "counted, timestamps are assumed");
	if (page->what_ifs)
		put_paragraph(
			out, page->width, "", 2,
			"what if: estimates, were the opens of now kept up; TIME_WAITs after a "
			"minute; a pool of connections is judged by how often it is asked and "
			"how many are open now. Reuse of connections is the cure, ports are "
			"headroom");
	if (unowned && !page->history)
		put_paragraph(out, page->width, "", 2,
			      "the kernel keeps no owner of a TIME_WAIT: `tcpchurn report` traces "
			      "who leaves them");
	if (s->binds_unseen)
		put_paragraph(out, page->width, "", 2,
			      "each socket that is bound to a port of the range and does nothing "
			      "takes one port more: kernels before 6.8 do not list them");
	put_note(out, page, s->netns_denied, "network namespace could not be entered (needs root)",
		 "network namespaces could not be entered (needs root)");
	put_note(out, page, s->netns_failed, "network namespace could not be read, or vanished",
		 "network namespaces could not be read, or vanished");
	put_note(out, page, s->netns_partial,
		 "network namespace changed while it was read: some sockets may be missing",
		 "network namespaces changed while they were read: some sockets may be missing");
	put_note(out, page, s->hidden,
		 "process does not let us see its network namespace: that one may be missing",
		 "processes do not let us see their network namespaces: some may be missing");
}

#define WHAT_IF_LINE "    %-22s %9s %9s %10s %10s %10s\n"

static void put_what_if(FILE *out, const struct what_if_outcome *o)
{
	char capacity[TIME_TEXT], rate[TIME_TEXT] = "-", parked[TIME_TEXT] = "-";
	char sustained[TIME_TEXT], end[TIME_TEXT] = "-";

	text_count(capacity, sizeof(capacity), o->capacity);
	describe_rate(sustained, sizeof(sustained), o->sustainable);
	if (o->opens_per_second >= 0) {
		describe_rate(rate, sizeof(rate), o->opens_per_second);
		text_count(parked, sizeof(parked), (uint64_t)o->time_wait_peak);
		snprintf(end, sizeof(end), "never");
		if (o->seconds_left > 0)
			text_duration(end, sizeof(end), (uint64_t)(o->seconds_left * 1e9));
		else if (o->seconds_left >= 0)
			snprintf(end, sizeof(end), "NOW");
	}
	fprintf(out, WHAT_IF_LINE, o->what, capacity, rate, parked, sustained, end);
}

static void put_what_ifs(FILE *out, const struct ports_page *page, uint32_t pool)
{
	const struct what_ifs *w = page->what_ifs;

	if (!w)
		return;
	fprintf(out, WHAT_IF_LINE, "what if", "capacity", "opens/s", "TIME_WAITs", "sustains/s",
		"exhausted");
	for (uint32_t i = 0; i < w->nr; i++)
		put_what_if(out, &w->of_pool[pool][i]);
}

void ports_rows__print(FILE *out, const struct ports_page *page, uint32_t nr)
{
	if (nr)
		put_header(out, page);
	for (uint32_t i = 0; i < nr; i++) {
		const struct port_pool *p = &page->pools->at[i];

		put_row(out, page, p);
		put_strip(out, page, p);
		put_state(out, page, p);
		put_past(out, page, p);
		put_holders(out, page, i);
		put_what_ifs(out, page, i);
	}
}

/* "18:38:40", alone on the screen where that can be. */
static void put_look(FILE *out, const struct ports_page *page)
{
	char clock[TIME_TEXT_LEN];

	if (page->watched)
		fprintf(out, "%s%s\n", page->colour ? "\033[H\033[2J" : "",
			time_clock(clock, page->wall_ns));
}

int ports_table__print(FILE *out, const struct ports_page *page)
{
	uint32_t nr = report_limit(page->pools->nr, page->rows, DEFAULT_ROWS);
	char count[32];

	put_moment(out, page);
	put_look(out, page);
	ports_rows__print(out, page, nr);
	if (nr < page->pools->nr)
		fprintf(out, "... and %s more pools\n",
			text_count(count, sizeof(count), page->pools->nr - nr));
	if (!page->pools->nr)
		fputs("no pool has that many ports in use\n", out);
	put_notes(out, page);
	return view_flush(out);
}
