/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/leaks.h"

#include <stdarg.h>

#include "user/base/json.h"
#include "user/base/text.h"
#include "user/model/model.h"
#include "user/view/describe.h"
#include "user/view/paragraph.h"
#include "user/view/pieces.h"
#include "user/view/report_rows.h"

#define DEFAULT_ROWS 10
#define NAME_LEN     128
#define NUMBERS	     66		   /* columns of a row before the process */
#define BELOW	     "           " /* a row */
#define MORE	     13		   /* columns before what does not fit beside it */

static const char *who(char *dst, size_t size, const struct leak *l)
{
	char name[NAME_LEN], clean[NAME_LEN];

	if (!l->owner.process) {
		snprintf(dst, size, "%s",
			 l->state == SOCKET_FIN_WAIT2 ? "(closed, no process any more)"
						      : "(unknown process)");
		return dst;
	}
	process_identity__program(l->owner.process, name, sizeof(name));
	snprintf(dst, size, "%s [pid %u]", text_clean(clean, sizeof(clean), name),
		 l->owner.process->id.tgid);
	return dst;
}

/* "accepted on 127.0.0.1:80", "opened to 10.0.0.1:443, held by inventory.py [pid 7]". */
static void put_where(char *dst, size_t size, const struct leak *l)
{
	char endpoint[ENDPOINT_LEN], name[NAME_LEN], nr[32];
	int len = snprintf(dst, size, "%s %s", l->accepted ? "accepted on" : "opened to",
			   describe_endpoint(endpoint, l->addr, l->port));

	if (l->far && len > 0 && (size_t)len < size)
		len += snprintf(dst + len, size - (size_t)len, ", held by %s",
				who(name, sizeof(name), l->far));
	if (l->unaccepted && len > 0 && (size_t)len < size)
		len += snprintf(dst + len, size - (size_t)len, ", %s never accepted",
				text_count(nr, sizeof(nr), l->unaccepted));
	if (l->unread && len > 0 && (size_t)len < size)
		snprintf(dst + len, size - (size_t)len, ", %s with bytes never read",
			 text_count(nr, sizeof(nr), l->unread));
}

static void put_origins(FILE *out, const struct leak_origins *o, const struct leak *l,
			unsigned int width)
{
	struct leak_words w = leak_origins__words(o, l);

	for (uint32_t i = 0; i < w.nr; i++)
		put_paragraph(out, width, BELOW, MORE, w.at[i]);
}

static void put_row(FILE *out, const struct leak *l, unsigned int width)
{
	char age[32] = "-", growth[32] = "-", files[32] = "-", left[32] = "-", nr[32];
	char name[NAME_LEN + 16], where[512];

	if (l->nr_aged)
		text_duration(age, sizeof(age), l->oldest_ms * 1000000ULL);
	if (l->recent_ms)
		snprintf(growth, sizeof(growth), "%.3g/s", l->per_second);
	if (l->owner.fd_limit)
		snprintf(files, sizeof(files), "%u/%u", l->owner.fd_count, l->owner.fd_limit);
	if (l->seconds_left >= 0)
		text_duration(left, sizeof(left), (uint64_t)(l->seconds_left * 1e9));
	put_where(where, sizeof(where), l);
	fprintf(out, "%-10s %7s %10s %9s %13s %10s", socket_state_name(l->state),
		text_count(nr, sizeof(nr), l->nr), age, growth, files, left);
	who(name, sizeof(name), l);
	if (text_columns(name) + NUMBERS <= width) {
		fprintf(out, "  %s\n", name);
	} else {
		fputc('\n', out);
		put_paragraph(out, width, BELOW, MORE, name);
	}
	put_paragraph(out, width, BELOW, MORE, where);
}

static void put_note(FILE *out, unsigned int width, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void put_note(FILE *out, unsigned int width, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put_paragraph(out, width, "", 2, text);
}

static void put_notes(FILE *out, const struct leaks *l, const struct leaks_view_options *opts,
		      unsigned int width)
{
	char nr[32], span[32];

	text_duration(span, sizeof(span), opts->min_age_ms * 1000000ULL);
	if (l->nr && opts->origins)
		put_note(out, width,
			 "At the end of a recording; an age is since the first census that found "
			 "the socket.");
	else if (l->nr)
		put_note(out, width,
			 "Nothing was traced: of those that come while it runs, `tcpchurn report "
			 "--accepts` tells the lines that open or accept them.");
	if (l->young && opts->origins)
		put_note(out, width,
			 "%s in CLOSE_WAIT, of any process, found less than %s before the end: "
			 "perhaps on their way",
			 text_count(nr, sizeof(nr), l->young), span);
	else if (l->young)
		put_note(out, width, "%s in CLOSE_WAIT for less than %s: on their way",
			 text_count(nr, sizeof(nr), l->young), span);
	if (opts->left_out)
		put_note(out, width,
			 "left out: %s of processes that are not in the trace: not followed, or "
			 "idle",
			 text_count(nr, sizeof(nr), opts->left_out));
	if (opts->partial)
		put_note(out, width,
			 "partial: some network namespaces are hidden from us, or went away");
	if (opts->hidden_fds)
		put_note(out, width, "partial: the files of %s process%s are hidden from us",
			 text_count(nr, sizeof(nr), opts->hidden_fds),
			 opts->hidden_fds == 1 ? "" : "es");
}

int leaks_table__print(FILE *out, const struct leaks *l, const struct leaks_view_options *opts)
{
	uint32_t shown = report_limit(l->nr, opts->rows, DEFAULT_ROWS);
	unsigned int width = opts->width ? opts->width : 100;

	if (!l->nr)
		fprintf(out, "No socket waits to be closed.\n");
	else if (!opts->no_header)
		fprintf(out, "%-10s %7s %10s %9s %13s %10s  %s\n", "STATE", "SOCKETS", "OLDEST",
			"GROWTH", "FILES/LIMIT", "LEFT", "PROCESS");
	for (uint32_t i = 0; i < shown; i++) {
		put_row(out, &l->at[i], width);
		if (opts->origins)
			put_origins(out, &opts->origins[i], &l->at[i], width);
	}
	if (shown < l->nr)
		fprintf(out, "... and %u more rows\n", l->nr - shown);
	put_notes(out, l, opts, width);
	return view_flush(out);
}

static const char *state_key(const struct leak *l)
{
	return l->state == SOCKET_FIN_WAIT2 ? "fin_wait2" : "close_wait";
}

static void json_endpoint(struct json *j, const char *key, const struct leak *l)
{
	char text[ADDR_LEN];

	json__object(j, key);
	json__string(j, "address", text_addr(text, l->addr));
	json__uint(j, "port", l->port);
	json__close(j);
}

/* The place that most come from; of how many there is a trace; all places, most first. */
static void json_origins(struct json *j, const struct leak_origins *o)
{
	const struct socket_holder *most = &o->at[0].who;

	if (o->nr) {
		json__object(j, "callsite");
		json_callsite(j, most->callsite_id, most->stack, most->frame);
		json__close(j);
	}
	json__uint(j, "traced", o->traced);
	json__array(j, "callsites");
	for (uint32_t i = 0; i < o->nr; i++) {
		const struct socket_holder *who = &o->at[i].who;

		json__object(j, NULL);
		json_callsite(j, who->callsite_id, who->stack, who->frame);
		json__uint(j, "count", o->at[i].nr);
		if (who->process)
			json_process(j, "process", who->process);
		json__close(j);
	}
	json__close(j);
}

static void json_leak(struct json *j, const struct leak *l, const struct leak_origins *o)
{
	json__object(j, NULL);
	if (l->owner.process) {
		json_process(j, "process", l->owner.process);
		json_container(j, l->owner.process);
	}
	json__string(j, "state", state_key(l));
	json__uint(j, "netns", l->netns);
	json__uint(j, "count", l->nr);
	json__string(j, "role", l->accepted ? "server" : "client");
	json_endpoint(j, l->accepted ? "local" : "peer", l);
	if (l->nr_aged)
		json__uint(j, "oldest_age_ns", l->oldest_ms * 1000000ULL);
	if (l->recent_ms)
		json__double(j, "growth_per_second", l->per_second);
	if (l->owner.fd_limit) {
		json__uint(j, "fd_count", l->owner.fd_count);
		json__uint(j, "fd_limit", l->owner.fd_limit);
	}
	if (l->seconds_left >= 0)
		json__double(j, "seconds_to_fd_limit", l->seconds_left);
	json__uint(j, "unaccepted", l->unaccepted);
	json__uint(j, "unread", l->unread);
	if (l->far && l->far->owner.process)
		json_peer(j, "peer_process", l->far->owner.process);
	if (o)
		json_origins(j, o);
	json__close(j);
}

int leaks_json__print(FILE *out, const struct leaks *l, const struct leaks_view_options *opts)
{
	uint32_t shown = report_limit(l->nr, opts->rows, UINT32_MAX);
	struct json j = {0};

	json_begin_event(&j, "leaks", opts->wall_ns);
	json__bool(&j, "partial", opts->partial || opts->hidden_fds);
	json__uint(&j, "min_age_ns", opts->min_age_ms * 1000000ULL);
	json__array(&j, "leaks");
	for (uint32_t i = 0; i < shown; i++)
		json_leak(&j, &l->at[i], opts->origins ? &opts->origins[i] : NULL);
	json__close(&j);
	json__uint(&j, "young", l->young);
	if (opts->origins)
		json__uint(&j, "left_out", opts->left_out);
	return json_end_event(&j, out);
}
