/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>

#include "user/base/text.h"
#include "user/model/names.h"
#include "user/view/pieces.h"
#include "user/view/ports.h"
#include "user/view/report_rows.h"

static void put_holder(struct json *j, const struct port_holder *h)
{
	const struct socket_holder *who = &h->who;

	json__object(j, NULL);
	if (who->process)
		json_process(j, "process", who->process);
	if (who->stack && who->frame >= 0) {
		json__object(j, "callsite");
		json_callsite(j, who->callsite_id, who->stack, who->frame);
		json__close(j);
	}
	json__uint(j, "established", h->established);
	json__uint(j, "time_wait", h->time_wait);
	json__uint(j, "other", h->other);
	if (h->older)
		json__uint(j, "older", h->older);
	json__close(j);
}

static void put_holders(struct json *j, const struct port_holders *all, uint32_t pool)
{
	const struct port_holder *h;
	uint32_t nr;

	if (!all)
		return;
	h = port_holders__of(all, pool, &nr);
	json__array(j, "holders");
	for (uint32_t i = 0; i < nr; i++)
		put_holder(j, &h[i]);
	json__close(j);
}

static void put_pool(struct json *j, const struct port_pool *p)
{
	char text[ADDR_LEN];

	json__uint(j, "netns", p->key.netns);
	json__string(j, "local", text_addr(text, p->key.local));
	json__string(j, "peer", text_addr(text, p->key.peer));
	json__uint(j, "port", p->key.port);
	if (p->key.device)
		json__uint(j, "device", p->key.device);
	if (p->key.low)
		json__bool(j, "socket_range", true);
	json__object(j, "range");
	json__uint(j, "low", p->rules->low);
	json__uint(j, "high", p->rules->high);
	json__close(j);
	json__uint(j, "capacity", p->capacity);
	json__object(j, "used");
	json__uint(j, "established", p->nr[PORT_ESTABLISHED]);
	json__uint(j, "time_wait", p->nr[PORT_TIME_WAIT] + p->nr[PORT_REUSABLE]);
	json__uint(j, "other", p->nr[PORT_OTHER]);
	json__close(j);
	json__uint(j, "reusable", p->nr[PORT_REUSABLE]);
	json__uint(j, "bound", p->nr[PORT_BOUND]);
	json__uint(j, "free", p->free);
	json__uint(j, "cliff", p->cliff);
	json__uint(j, "fast_free", p->fast_free);
	json__bool(j, "tw_reuse", p->reuse);
	if (p->rules->max_time_wait != TIME_WAIT_NO_LIMIT)
		json__uint(j, "time_wait_limit", p->rules->max_time_wait);
	json__bool(j, "estimated", p->estimated);
	if (p->rate_per_second >= 0)
		json__double(j, "rate_per_second", p->rate_per_second);
	json__double(j, "sustainable_per_second", port_pool__sustainable(p));
	if (p->seconds_left >= 0)
		json__double(j, "seconds_to_exhaustion", p->seconds_left);
}

static void put_cost(struct json *j, const struct port_cost *c)
{
	if (!c->nr)
		return;
	json__object(j, "port_search_ns");
	json__bool(j, "measured", c->measured);
	json__uint(j, "p50", c->median);
	json__uint(j, "p99", c->p99);
	json__uint(j, "max", c->max);
	json__close(j);
}

static void put_what_ifs(struct json *j, const struct what_ifs *w, uint32_t pool)
{
	if (!w)
		return;
	json__array(j, "what_if");
	for (uint32_t i = 0; i < w->nr; i++) {
		const struct what_if_outcome *o = &w->of_pool[pool][i];

		json__object(j, NULL);
		json__string(j, "what", o->what);
		json__uint(j, "capacity", o->capacity);
		if (o->opens_per_second >= 0) {
			json__double(j, "opens_per_second", o->opens_per_second);
			json__double(j, "time_wait_peak", o->time_wait_peak);
		}
		json__double(j, "sustainable_per_second", o->sustainable);
		if (o->seconds_left >= 0)
			json__double(j, "seconds_to_exhaustion", o->seconds_left);
		json__close(j);
	}
	json__close(j);
}

static void put_time(struct json *j, const char *key, const struct ports_page *page, uint64_t ns)
{
	char text[TIME_TEXT_LEN];

	json__string(j, key, time_rfc3339(text, page->wall_ns + ns - page->taken_ns));
}

/* Over the whole recording. */
static void put_past(struct json *j, const struct ports_page *page, const struct port_pool *p)
{
	const struct port_past *past = port_history__of(page->history, &p->key);

	if (!past)
		return;
	json__object(j, "recorded");
	if (past->looks)
		json__uint(j, "least_free", past->least_free);
	json__uint(j, "looks_empty", past->empty);
	if (past->empty) {
		put_time(j, "first_empty", page, past->first_empty_ns);
		put_time(j, "last_empty", page, past->last_empty_ns);
	}
	json__uint(j, "failures", past->failures);
	if (past->failures) {
		put_time(j, "first_failure", page, past->first_failure_ns);
		put_time(j, "last_failure", page, past->last_failure_ns);
	}
	json__close(j);
}

static void put_history(struct json *j, const struct ports_page *page)
{
	const struct port_history *h = page->history;

	if (!h)
		return;
	json__object(j, "recording");
	json__uint(j, "looks", h->looks);
	put_time(j, "first_look", page, h->first_ns);
	put_time(j, "last_look", page, h->last_ns);
	json__close(j);
}

void json_pools(struct json *j, const struct ports_page *page)
{
	const struct port_pools *pools = page->pools;
	uint32_t nr = report_limit(pools->nr, page->rows, 0);

	json__array(j, "pools");
	for (uint32_t i = 0; i < nr; i++) {
		json__object(j, NULL);
		put_pool(j, &pools->at[i]);
		put_cost(j, &pools->at[i].cost);
		if (page->history)
			put_past(j, page, &pools->at[i]);
		put_holders(j, page->holders, i);
		put_what_ifs(j, page->what_ifs, i);
		json__close(j);
	}
	json__close(j);
}

static void put_scope(struct json *j, const struct ports_page *page)
{
	const struct ports_scope *s = page->scope;

	json__object(j, "census");
	if (!page->history) {
		json__string(j, "backend", s->bpf ? "bpf" : "netlink");
		json__uint(j, "duration_ns", s->duration_ns);
	}
	json__uint(j, "sockets", s->sockets);
	json__bool(j, "partial",
		   s->netns_denied || s->netns_failed || s->netns_partial || s->hidden);
	json__object(j, "netns");
	json__uint(j, "read", s->netns_read);
	json__uint(j, "idle", s->netns_idle);
	json__uint(j, "partial", s->netns_partial);
	json__uint(j, "denied", s->netns_denied);
	json__uint(j, "failed", s->netns_failed);
	json__close(j);
	json__uint(j, "hidden_processes", s->hidden);
	if (!page->history)
		json__bool(j, "binds_unseen", s->binds_unseen);
	json__close(j);
}

int ports_json__print(FILE *out, const struct ports_page *page)
{
	struct json j = {0};

	json_begin_event(&j, "ports", page->wall_ns);
	put_scope(&j, page);
	put_history(&j, page);
	json_pools(&j, page);
	json__uint(&j, "pools_below_min_used", page->pools->below);
	json__uint(&j, "pools_beyond", page->pools->beyond);
	return json_end_event(&j, out);
}

int ports__print(FILE *out, enum view_format format, const struct ports_page *page)
{
	switch (format) {
	case VIEW_JSON:
		return ports_json__print(out, page);
	case VIEW_TABLE:
		return ports_table__print(out, page);
	case VIEW_CSV:
	case VIEW_FOLDED:
		break;
	}
	return -EINVAL;
}
