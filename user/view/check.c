/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/check.h"

#include "user/base/text.h"
#include "user/view/describe.h"
#include "user/view/format.h"

#define NAME_LEN 128

static const char *const statuses[] = {
	[CHECK_OK] = "OK",
	[CHECK_WARNING] = "WARNING",
	[CHECK_CRITICAL] = "CRITICAL",
	[CHECK_UNKNOWN] = "UNKNOWN",
};

/* A bar begins the performance data: there is none in what comes from outside. */
static void put_text(FILE *out, const char *text)
{
	char clean[NAME_LEN];

	text_clean(clean, sizeof(clean), text);
	for (const char *c = clean; *c; c++)
		fputc(*c == '|' ? '/' : *c, out);
}

/* "70 sockets in CLOSE_WAIT in netns web" */
static void put_leak(FILE *out, const struct check_page *page)
{
	char nr[32];

	fprintf(out, "%s sockets in CLOSE_WAIT in netns ",
		text_count(nr, sizeof(nr), page->result->leak));
	put_text(out, page->leak_netns);
}

static void put_pool(FILE *out, const struct check_page *page)
{
	const struct check_result *r = page->result;
	char local[ADDR_LEN], peer[ENDPOINT_LEN], nr[32], of[32];
	const struct port_pool *p = r->worst;

	if (!p) {
		fputs("no port pool is in use to speak of", out);
		return;
	}
	if (!p->free)
		fprintf(out, "no port is free from %s to %s", text_addr(local, p->key.local),
			describe_endpoint(peer, p->key.peer, p->key.port));
	else
		fprintf(out, "%.1f%% of the ports from %s to %s taken", r->taken * 100,
			text_addr(local, p->key.local),
			describe_endpoint(peer, p->key.peer, p->key.port));
	if (page->netns[0]) {
		fputs(" in netns ", out);
		put_text(out, page->netns);
	}
	fprintf(out, ", %s of %s free", text_count(nr, sizeof(nr), p->free),
		text_count(of, sizeof(of), p->capacity));
	if (p->free && p->seconds_left >= 0)
		fprintf(out, ", the last one gone in %s",
			text_duration(nr, sizeof(nr), (uint64_t)(p->seconds_left * 1e9)));
}

/* "12 connects failed for want of a port in the last 5 m; " */
static void put_failures(FILE *out, const struct check_failures *f)
{
	uint64_t of[] = {f->connects, f->binds};
	static const char *const what[] = {"connect", "bind"};
	const char *between = "";
	char nr[32], time[32];

	for (int i = 0; i < 2; i++) {
		if (!of[i])
			continue;
		fprintf(out, "%s%s%s %s%s", between,
			*between || !f->lower_bounds ? "" : "at least ",
			text_count(nr, sizeof(nr), of[i]), what[i], of[i] == 1 ? "" : "s");
		between = " and ";
	}
	fprintf(out, " failed for want of a port in the last %s; ",
		text_duration(time, sizeof(time),
			      f->covered_ns < f->within_ns ? f->covered_ns : f->within_ns));
}

static void put_limit(FILE *out, uint32_t limit)
{
	if (limit)
		fprintf(out, "%u", limit);
}

static void put_performance(FILE *out, const struct check_page *page)
{
	const struct check_result *r = page->result;
	const struct check_limits *l = page->limits;
	const struct port_pool *p = r->worst;

	fprintf(out, " | used=%.1f%%;%g;%g;0;100", r->taken * 100, l->warning * 100,
		l->critical * 100);
	if (p)
		fprintf(out, " free=%u;;;0;%u", p->free, p->capacity);
	if (p && p->rate_per_second >= 0)
		fprintf(out, " opens_per_second=%.1f;;;0", p->rate_per_second);
	fprintf(out, " pools=%u;;;0 established=%u;;;0 time_wait=%u;;;0 close_wait=%u;",
		page->nr_pools, r->established, r->time_wait, r->leak);
	put_limit(out, l->leak_warning);
	fputc(';', out);
	put_limit(out, l->leak_critical);
	fputs(";0", out);
	if (page->failures->traced)
		fprintf(out, " failed=%llu;;0;0",
			(unsigned long long)(page->failures->connects + page->failures->binds));
}

int check__print(FILE *out, const struct check_page *page)
{
	const struct check_result *r = page->result;

	fprintf(out, "TCPCHURN %s - ", statuses[r->status]);
	if (r->failures_bad)
		put_failures(out, page->failures);
	if (r->leak_bad && !r->pool_bad) {
		put_leak(out, page);
		fputs("; ", out);
	}
	put_pool(out, page);
	if (r->leak_bad && r->pool_bad) {
		fputs("; ", out);
		put_leak(out, page);
	}
	if (page->partial) {
		fputs("; ", out);
		put_text(out, page->partial);
	}
	put_performance(out, page);
	fputc('\n', out);
	return view_flush(out);
}

int check__print_unknown(FILE *out, const char *why)
{
	fprintf(out, "TCPCHURN %s - ", statuses[CHECK_UNKNOWN]);
	put_text(out, why);
	fputc('\n', out);
	return view_flush(out);
}
