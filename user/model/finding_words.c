/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "user/base/text.h"
#include "user/model/census.h"
#include "user/model/finding_draft.h"

struct words words_destination(const struct destination *d)
{
	struct words w;
	char addr[ADDR_LEN];

	text_addr(addr, d->addr);
	snprintf(w.text, sizeof(w.text), strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr, d->port);
	return w;
}

struct words words_program(const struct group *g)
{
	struct words w;

	text_clean(w.text, sizeof(w.text), g->program);
	return w;
}

struct words words_process(const struct group *g)
{
	struct words w = words_program(g);
	size_t len = strlen(w.text);
	char nr[32];

	if (g->nr_processes > 1)
		snprintf(w.text + len, sizeof(w.text) - len, " [%s processes]",
			 text_count(nr, sizeof(nr), g->nr_processes));
	else if (g->sample.id.tgid)
		snprintf(w.text + len, sizeof(w.text) - len, " [pid %u]", g->sample.id.tgid);
	return w;
}

struct words words_identity(const struct process_identity *p)
{
	char name[128], clean[128];
	struct words w;

	if (!p)
		return (struct words){"an unknown process"};
	process_identity__program(p, name, sizeof(name));
	snprintf(w.text, sizeof(w.text), "%s [pid %u]", text_clean(clean, sizeof(clean), name),
		 p->id.tgid);
	return w;
}

struct words words_count(uint64_t nr, const char *noun)
{
	struct words w;
	char count[32];

	snprintf(w.text, sizeof(w.text), "%s %s%s", text_count(count, sizeof(count), nr), noun,
		 nr == 1 ? "" : "s");
	return w;
}

struct words words_frame(const struct frame *frame)
{
	char function[96], file[96];
	struct words w = {""};

	text_clean(function, sizeof(function), frame->function);
	if (frame->file) {
		text_clean(file, sizeof(file), text_base_name(frame->file));
		snprintf(w.text, sizeof(w.text), "%s (%s:%u)", *function ? function : "?", file,
			 frame->line);
	} else if (frame__is_reason(frame)) {
		text_clean(w.text, sizeof(w.text), frame->module);
	} else if (frame->module) {
		text_clean(file, sizeof(file), text_base_name(frame->module));
		snprintf(w.text, sizeof(w.text), *function ? "%s (%s)" : "%s%s+0x%llx", function,
			 file, (unsigned long long)frame->offset);
	} else {
		snprintf(w.text, sizeof(w.text), "%s", function);
	}
	return w;
}

struct words words_callsite(const struct callsite *c)
{
	if (!c || !c->stack || c->frame < 0)
		return (struct words){""};
	return words_frame(&c->stack->frames[c->frame]);
}

struct words words_rate(double rate)
{
	struct words w;

	if (rate >= 100)
		text_count(w.text, sizeof(w.text), (uint64_t)(rate + 0.5));
	else
		snprintf(w.text, sizeof(w.text), "%.3g", rate);
	return w;
}

struct words words_duration(uint64_t ns)
{
	struct words w;

	text_duration(w.text, sizeof(w.text), ns);
	return w;
}

struct words words_time_wait(const struct model *m, const struct destination *d, double rate)
{
	uint64_t wanted = (uint64_t)(rate * TIME_WAIT_SECONDS + 0.5);
	uint64_t sockets = time_wait_limit__bound(model__time_wait_limit(m, d->netns), wanted);
	double sockets_exactly = sockets < wanted ? (double)sockets : rate * TIME_WAIT_SECONDS;
	struct words w;
	char nr[32];

	text_count(nr, sizeof(nr), sockets);
	snprintf(w.text, sizeof(w.text),
		 "%s sockets in TIME_WAIT%s, %.1f %% of " DEFAULT_RANGE_TEXT, nr,
		 sockets < wanted ? ", all that net.ipv4.tcp_max_tw_buckets allows" : "",
		 100 * sockets_exactly / DEFAULT_RANGE_PORTS);
	return w;
}

double finding_rate(uint64_t nr, uint64_t window_ns)
{
	return window_ns ? (double)nr * 1e9 / (double)window_ns : 0;
}

const struct callsite *finding_main_callsite(const struct flow *f)
{
	for (uint32_t i = 0; i < f->nr_callsites; i++)
		if (f->callsites[i].id)
			return &f->callsites[i];
	return NULL;
}

uint64_t finding_closed_by_us(const struct flow *f)
{
	return f->closed_by[CHURN_END_LOCAL] + f->closed_by[CHURN_END_ABORT] +
	       f->closed_by[CHURN_END_EXIT];
}

uint64_t finding_ports_held(const struct flow *f)
{
	return f->parked + f->live;
}

static bool same_destination(const struct destination *a, const struct destination *b)
{
	return a->netns == b->netns && a->family == b->family && a->port == b->port &&
	       !memcmp(a->addr, b->addr, sizeof(a->addr));
}

bool finding_same_pool(const struct flow *a, const struct flow *b)
{
	static const uint8_t unknown[16];

	if (!same_destination(&a->dest, &b->dest))
		return false;
	return a->several_local || b->several_local ||
	       !memcmp(a->local_addr, unknown, sizeof(unknown)) ||
	       !memcmp(b->local_addr, unknown, sizeof(unknown)) ||
	       !memcmp(a->local_addr, b->local_addr, sizeof(a->local_addr));
}
