/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/view/csv.h"
#include "user/view/describe.h"
#include "user/model/names.h"
#include "user/view/trace_lines.h"

#define EVENT_COLUMNS	8
#define PID_COLUMNS	7
#define MS_COLUMNS	9
#define SECONDS_COLUMNS 10
#define CLOCK_COLUMNS	12
#define MIN_DETAIL	40 /* a call site cut to less than that says nothing */
#define IPV4_ENDPOINT	21 /* 255.255.255.255:65535 */
#define DETAIL_LEN	512
#define NS_PER_MS	1e6
#define NS_PER_SEC	1e9

static const char *event_word(const struct trace_event *e)
{
	switch (e->h->type) {
	case CHURN_ACCEPT:
		return "accept";
	case CHURN_FAILED:
		return "fail";
	case CHURN_CLOSE:
		return "close";
	case CHURN_BIND_FAILED:
		return "bind";
	default:
		return "connect";
	}
}

static int stream_error(FILE *out)
{
	if (!ferror(out))
		return 0;
	return errno ? -errno : -EIO;
}

static void put_times(struct trace_view *v, const struct trace_event *e)
{
	char text[TIME_TEXT_LEN];

	if (v->opts.seconds) {
		/* Of another clock's zero than the wall's, so through the difference of both. */
		double since = (double)(int64_t)(e->wall_ns - v->start.start_wall_ns) / NS_PER_SEC;

		snprintf(text, sizeof(text), "%.6f", since);
		put_left(v->out, text, SECONDS_COLUMNS);
		fputc(' ', v->out);
	}
	if (v->opts.clock) {
		put_left(v->out, time_clock(text, e->wall_ns), CLOCK_COLUMNS);
		fputc(' ', v->out);
	}
}

static void put_header(struct trace_view *v)
{
	FILE *out = v->out;

	v->header_done = true;
	if (v->opts.no_header)
		return;
	fputs(v->opts.colour ? "\033[1m" : "", out);
	if (v->opts.seconds) {
		put_left(out, "TIME(s)", SECONDS_COLUMNS);
		fputc(' ', out);
	}
	if (v->opts.clock) {
		put_left(out, "TIME", CLOCK_COLUMNS);
		fputc(' ', out);
	}
	put_left(out, "EVENT", EVENT_COLUMNS);
	put_left(out, "PID", PID_COLUMNS);
	fputc(' ', out);
	put_left(out, "COMM", v->columns.comm);
	fputc(' ', out);
	put_left(out, "LADDR:LPORT", v->columns.local);
	fputc(' ', out);
	put_left(out, "RADDR:RPORT", v->columns.peer);
	fputc(' ', out);
	put_right(out, "MS", MS_COLUMNS);
	fprintf(out, "  RESULT%s\n", v->opts.colour ? "\033[0m" : "");
}

/* A column grows with what it shows, up to a limit: beyond that only one line is out of step. */
static void put_growing(FILE *out, const char *text, unsigned int *columns, unsigned int limit)
{
	unsigned int have = text_columns(text);

	if (have > *columns)
		*columns = have < limit ? have : limit;
	put_left(out, text, *columns);
	fputc(' ', out);
}

static const char *initiator_words(unsigned int initiator)
{
	static const char *const words[CHURN_END__COUNT] = {
		[CHURN_END_UNKNOWN] = "closed",	   [CHURN_END_LOCAL] = "by us",
		[CHURN_END_PEER] = "by peer",	   [CHURN_END_RESET] = "reset by peer",
		[CHURN_END_ABORT] = "reset by us", [CHURN_END_EXIT] = "by our exit",
		[CHURN_END_TIMEOUT] = "timed out",
	};

	return words[initiator < CHURN_END__COUNT ? initiator : CHURN_END_UNKNOWN];
}

static void describe_result(char *dst, size_t size, const struct trace_event *e)
{
	char sent[32], received[32], site[256];

	if (e->h->type == CHURN_CLOSE) {
		snprintf(dst, size, "%s, %s B out, %s B in", initiator_words(e->conn->initiator),
			 text_count(sent, sizeof(sent), e->end->bytes_sent),
			 text_count(received, sizeof(received), e->end->bytes_received));
		return;
	}
	*dst = '\0';
	if (trace_event_failed(e))
		describe_error(dst, size, e->end->error, e->end->cause);
	describe_callsite(site, sizeof(site), e->known.stack, e->known.frame);
	if (*site) {
		size_t len = strlen(dst);

		snprintf(dst + len, size - len, "%s%s", len ? "  " : "", site);
	}
	if (e->known.avoidable) {
		size_t len = strlen(dst);

		snprintf(dst + len, size - len, "%savoidable", len ? "  " : "");
	}
}

static unsigned int columns_before_result(const struct trace_view *v)
{
	unsigned int n = EVENT_COLUMNS + PID_COLUMNS + MS_COLUMNS + 6 + v->columns.comm +
			 v->columns.local + v->columns.peer;

	n += v->opts.seconds ? SECONDS_COLUMNS + 1 : 0;
	return n + (v->opts.clock ? CLOCK_COLUMNS + 1 : 0);
}

/* Cut to the terminal's width, if that leaves something; into a pipe or a file everything goes. */
static void put_result(struct trace_view *v, const struct trace_event *e)
{
	bool red = v->opts.colour && trace_event_failed(e);
	unsigned int before = columns_before_result(v);
	char text[DETAIL_LEN];

	describe_result(text, sizeof(text), e);
	if (v->width >= before + MIN_DETAIL)
		text_shorten(text, v->width - before);
	if (*text)
		fprintf(v->out, "  %s%s%s", red ? "\033[31m" : "", text, red ? "\033[0m" : "");
	fputc('\n', v->out);
}

static void put_stack(struct trace_view *v, const struct stack_trace *s)
{
	char text[DETAIL_LEN];
	uint32_t i;

	for (i = 0; s && i < s->nr; i++) {
		describe_frame(text, sizeof(text), &s->frames[i], true);
		if (v->width)
			text_shorten(text, v->width - EVENT_COLUMNS);
		fprintf(v->out, "%*s%s\n", EVENT_COLUMNS, "", text);
	}
}

int trace_table__event(struct trace_view *v, const struct trace_event *e)
{
	const struct churn_conn *c = e->conn;
	char raw[CHURN_COMM_LEN + 1] = "", text[ENDPOINT_LEN];

	if (!v->header_done)
		put_header(v);
	put_times(v, e);
	put_left(v->out, event_word(e), EVENT_COLUMNS);
	snprintf(text, sizeof(text), c->owner.tgid ? "%u" : "-", c->owner.tgid);
	put_left(v->out, text, PID_COLUMNS);
	fputc(' ', v->out);
	memcpy(raw, *c->comm ? c->comm : "-", *c->comm ? CHURN_COMM_LEN : 2);
	put_growing(v->out, text_clean(text, sizeof(text), raw), &v->columns.comm, CHURN_COMM_LEN);
	put_growing(v->out, describe_endpoint(text, c->local_addr, c->local_port),
		    &v->columns.local, IPV4_ENDPOINT);
	put_growing(v->out, describe_endpoint(text, c->peer_addr, c->peer_port), &v->columns.peer,
		    IPV4_ENDPOINT);
	snprintf(text, sizeof(text), e->has_span ? "%.3f" : "-", (double)e->span_ns / NS_PER_MS);
	put_right(v->out, text, MS_COLUMNS);
	put_result(v, e);
	if (v->opts.stacks)
		put_stack(v, e->h->type == CHURN_CLOSE ? e->known.close_stack : e->known.stack);
	return stream_error(v->out);
}

static void csv_endpoint(FILE *out, const uint8_t addr[16], uint16_t port)
{
	char text[ADDR_LEN];

	csv_text(out, address_known(addr) ? text_addr(text, addr) : NULL);
	if (port)
		csv_uint(out, port);
	else
		csv_empty(out);
}

static void csv_end(FILE *out, const struct trace_event *e)
{
	if (e->h->type == CHURN_CLOSE) {
		csv_uint(out, e->end->bytes_sent);
		csv_uint(out, e->end->bytes_received);
		csv_text(out, name_initiator(e->conn->initiator));
		csv_text(out, name_time_wait(e->end->time_wait));
	} else {
		fputs(",,,,", out);
	}
	csv_text(out, e->end && e->end->error ? text_errno(e->end->error) : NULL);
	csv_text(out, trace_event_failed(e) ? name_cause(e->end->cause) : NULL);
}

static void csv_site(FILE *out, const struct annotation *a)
{
	const struct frame *f;

	if (!a->stack || a->frame < 0 || (uint32_t)a->frame >= a->stack->nr) {
		fputs(",,,", out);
		return;
	}
	f = &a->stack->frames[a->frame];
	csv_text(out, f->function);
	csv_text(out, f->file);
	if (f->line)
		csv_uint(out, f->line);
	else
		csv_empty(out);
}

int trace_csv__event(struct trace_view *v, const struct trace_event *e)
{
	static const char header[] =
		"time,event,pid,comm,program,role,local_address,local_port,peer_address,peer_port,"
		"duration_ns,bytes_sent,bytes_received,initiator,time_wait,error,cause,function,"
		"file,line,avoidable\n";
	const struct churn_conn *c = e->conn;
	char comm[CHURN_COMM_LEN + 1] = "", program[64] = "", time[TIME_TEXT_LEN];

	if (!v->header_done && !v->opts.no_header)
		fputs(header, v->out);
	v->header_done = true;
	csv_first(v->out, time_rfc3339(time, e->wall_ns));
	csv_text(v->out, event_word(e));
	if (c->owner.tgid)
		csv_uint(v->out, c->owner.tgid);
	else
		csv_empty(v->out);
	memcpy(comm, c->comm, CHURN_COMM_LEN);
	csv_text(v->out, comm);
	if (e->known.process)
		process_identity__program(e->known.process, program, sizeof(program));
	csv_text(v->out, program);
	csv_text(v->out, name_role(c->role));
	csv_endpoint(v->out, c->local_addr, c->local_port);
	csv_endpoint(v->out, c->peer_addr, c->peer_port);
	if (e->has_span)
		csv_uint(v->out, e->span_ns);
	else
		csv_empty(v->out);
	csv_end(v->out, e);
	csv_site(v->out, &e->known);
	csv_text(v->out, c->role != CHURN_CLIENT || trace_event_failed(e) ? NULL
			 : e->known.avoidable				  ? "true"
			 : e->h->type == CHURN_CLOSE			  ? "false"
									  : NULL);
	fputc('\n', v->out);
	return stream_error(v->out);
}
