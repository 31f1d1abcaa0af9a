/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/view/describe.h"
#include "user/model/names.h"
#include "user/view/pieces.h"
#include "user/view/trace_lines.h"

static const char *event_name(const struct trace_event *e)
{
	switch (e->h->type) {
	case CHURN_ACCEPT:
		return "accept";
	case CHURN_FAILED:
		return "connect_failed";
	case CHURN_CLOSE:
		return "close";
	case CHURN_BIND_FAILED:
		return "bind_failed";
	default:
		return "connect";
	}
}

static void put_process(struct json *j, const struct trace_event *e)
{
	const struct churn_conn *c = e->conn;
	char name[CHURN_COMM_LEN + 1] = "";

	if (e->known.process) {
		json_process(j, "process", e->known.process);
	} else if (c->owner.tgid) {
		json__object(j, "process");
		json__uint(j, "pid", c->owner.tgid);
		json__close(j);
	}
	memcpy(name, c->comm, CHURN_COMM_LEN);
	if (c->tid || *name) {
		json__object(j, "thread");
		if (c->tid)
			json__uint(j, "id", c->tid);
		json__string(j, "name", *name ? name : NULL);
		json__close(j);
	}
	if (e->known.process)
		json_container(j, e->known.process);
}

static void put_end(struct json *j, const char *key, const uint8_t addr[16], uint16_t port)
{
	char text[ADDR_LEN];

	if (!address_known(addr) && !port)
		return;
	json__object(j, key);
	if (address_known(addr))
		json__string(j, "address", text_addr(text, addr));
	if (port)
		json__uint(j, "port", port);
	json__close(j);
}

static void put_network(struct json *j, const struct churn_conn *c)
{
	json__object(j, "network");
	json__string(j, "transport", "tcp");
	json__string(j, "type", c->family == 6 ? "ipv6" : c->family == 4 ? "ipv4" : NULL);
	put_end(j, "local", c->local_addr, c->local_port);
	put_end(j, "peer", c->peer_addr, c->peer_port);
	json__close(j);
}

/* Innermost first, a frame a line. */
static void put_stacktrace(struct json *j, const struct stack_trace *s)
{
	char line[512], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	uint32_t i;

	if (!out)
		return;
	for (i = 0; i < s->nr; i++)
		fprintf(out, "%s%s", i ? "\n" : "",
			describe_frame(line, sizeof(line), &s->frames[i], true));
	if (!fclose(out))
		json__string(j, "stacktrace", text);
	free(text);
}

static void put_code(struct json *j, const struct trace_event *e, bool stacks)
{
	const struct stack_trace *s = e->known.stack;
	const struct frame *f;

	if (!s || e->known.frame < 0 || (uint32_t)e->known.frame >= s->nr)
		return;
	f = &s->frames[e->known.frame];
	json__object(j, "code");
	if (f->function) {
		json__object(j, "function");
		json__string(j, "name", f->function);
		json__close(j);
	}
	if (f->file) {
		json__object(j, "file");
		json__string(j, "path", f->file);
		json__close(j);
	}
	if (f->line) {
		json__object(j, "line");
		json__uint(j, "number", f->line);
		json__close(j);
	}
	if (stacks)
		put_stacktrace(j, s);
	json__close(j);
}

static void put_nested(struct json *j, const char *object, const char *key, const char *value)
{
	if (!value)
		return;
	json__object(j, object);
	json__string(j, key, value);
	json__close(j);
}

static void put_close(struct json *j, const struct trace_event *e)
{
	const struct stack_trace *s = e->known.close_stack;

	json__object(j, "connection");
	if (e->has_span)
		json__uint(j, "lifetime_ns", e->span_ns);
	json__uint(j, "bytes_sent", e->end->bytes_sent);
	json__uint(j, "bytes_received", e->end->bytes_received);
	json__uint(j, "segments_out", e->end->segs_out);
	json__uint(j, "segments_in", e->end->segs_in);
	json__close(j);
	put_nested(j, "close", "initiator", name_initiator(e->conn->initiator));
	put_nested(j, "time_wait", "owner", name_time_wait(e->end->time_wait));
	if (s && e->known.close_frame >= 0 && (uint32_t)e->known.close_frame < s->nr) {
		json__object(j, "closesite");
		json_callsite(j, 0, s, e->known.close_frame);
		json__close(j);
	}
}

static void put_tcpchurn(struct json *j, const struct trace_event *e)
{
	const struct churn_conn *c = e->conn;

	json__object(j, "tcpchurn");
	if (c->netns)
		json__uint(j, "netns", c->netns);
	if (churn_cookie(c)) {
		json__object(j, "socket");
		json__hex(j, "cookie", churn_cookie(c));
		json__close(j);
	}
	json__string(j, "role", name_role(c->role));
	if (e->end && e->end->error)
		json__uint(j, "errno", e->end->error);
	if (trace_event_failed(e))
		put_nested(j, "failure", "cause", name_cause(e->end->cause));
	if (e->has_span && e->h->type != CHURN_CLOSE) {
		json__object(j, "connect");
		json__uint(j, "duration_ns", e->span_ns);
		if (c->search_ns)
			json__uint(j, "port_search_ns", c->search_ns);
		json__close(j);
	}
	if (e->h->type == CHURN_CLOSE)
		put_close(j, e);
	if (e->known.callsite_id) {
		json__object(j, "callsite");
		json__hex(j, "id", e->known.callsite_id);
		json__close(j);
	}
	/* At the open, only what a pool has ready is known; the close has the last word. */
	if (c->role == CHURN_CLIENT &&
	    (e->h->type == CHURN_CLOSE || (e->h->type == CHURN_CONNECT && e->known.avoidable))) {
		json__object(j, "reuse");
		json__bool(j, "avoidable", e->known.avoidable);
		json__close(j);
	}
	json_peer(j, "peer_process", e->known.peer);
	json__string(j, "attribution", name_attribution(c->attribution));
	json__close(j);
}

int trace_json__event(struct trace_view *v, const struct trace_event *e)
{
	struct json *j = &v->json;

	json_begin_event(j, event_name(e), e->wall_ns);
	put_process(j, e);
	put_network(j, e->conn);
	if (e->end && e->end->error)
		put_nested(j, "error", "type", text_errno(e->end->error));
	put_code(j, e, v->opts.stacks);
	put_tcpchurn(j, e);
	return json__write(j, v->out);
}

int trace_json__lost(struct trace_view *v, uint64_t wall_ns, const char *reason, uint64_t events)
{
	struct json *j = &v->json;

	json_begin_event(j, "lost", wall_ns);
	json__object(j, "tcpchurn");
	json__object(j, "lost");
	json__uint(j, "events", events);
	json__string(j, "reason", reason);
	return json__write(j, v->out);
}

int trace_json__summary(struct trace_view *v, uint64_t wall_ns, const struct source_status *s)
{
	const struct model_totals *t = model__totals(v->model);
	struct json *j = &v->json;

	json_begin_event(j, "summary", wall_ns);
	json__object(j, "tcpchurn");
	json__uint(j, "duration_ns", s->now_ns - v->start.start_mono_ns);
	json_totals(j, t);
	json_lost(j, t->lost, t->lost_user);
	return json__write(j, v->out);
}
