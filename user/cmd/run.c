/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/base/log.h"
#include "user/base/text.h"
#include "user/cmd/child.h"
#include "user/cmd/stop.h"
#include "user/source/failure_log.h"
#include "user/source/live.h"
#include "user/source/namespace.h"
#include "user/source/netns.h"
#include "user/source/replay.h"

/* --- counting what passes by ------------------------------------------------------------------ */

struct counter {
	const struct sink *next;
	struct run_result *result;
	FILE *output;
	uint64_t start_mono_ns;
	struct failure_log *failures; /* for `check`, NULL: not kept */
	int err;		      /* what the sink ended the run with */
};

static int counter_pass(struct counter *c, int err)
{
	if (err)
		c->err = err;
	return err;
}

static int counter_start(void *ctx, const struct source_start *s)
{
	struct counter *c = ctx;

	c->result->start_wall_ns = s->start_wall_ns;
	c->start_mono_ns = s->start_mono_ns;
	failure_log__start(c->failures, s->start_mono_ns);
	if (c->output)
		run_output_begin(c->output);
	return c->next->start(c->next->ctx, s);
}

static int counter_process(void *ctx, const struct process_identity *p)
{
	struct counter *c = ctx;

	return counter_pass(c, c->next->process(c->next->ctx, p));
}

static int counter_stack(void *ctx, const struct stack_trace *s)
{
	struct counter *c = ctx;

	return counter_pass(c, c->next->stack(c->next->ctx, s));
}

static int counter_open(void *ctx, const struct churn_open *e)
{
	struct counter *c = ctx;

	c->result->events++;
	return counter_pass(c, c->next->open(c->next->ctx, e));
}

static int counter_end(void *ctx, const struct churn_end *e)
{
	struct counter *c = ctx;

	c->result->events++;
	if (e->cause == CHURN_CAUSE_EPHEMERAL_EXHAUSTED)
		failure_log__connect(c->failures, e->conn.netns, e->h.ts_ns);
	else if (e->cause == CHURN_CAUSE_BIND_EXHAUSTED)
		failure_log__bind(c->failures, e->conn.netns, e->h.ts_ns);
	return counter_pass(c, c->next->end(c->next->ctx, e));
}

static int counter_census(void *ctx, const struct model_census *census)
{
	struct counter *c = ctx;

	return counter_pass(c, c->next->census(c->next->ctx, census));
}

static int counter_status(void *ctx, const struct source_status *s)
{
	struct counter *c = ctx;

	c->result->lost = s->lost_user;
	for (size_t i = 0; i < CHURN_LOST__COUNT; i++)
		c->result->lost += lost_is_event(i) ? s->lost[i] : 0;
	failure_log__set_lost(c->failures, c->result->lost);
	c->result->duration_ns = s->now_ns - c->start_mono_ns;
	return counter_pass(c, c->next->status(c->next->ctx, s));
}

static bool to_file(const struct options *opts)
{
	return opts->output_file && strcmp(opts->output_file, "-") != 0;
}

static const char *output_name(const struct options *opts)
{
	return to_file(opts) ? opts->output_file : "standard output";
}

/* --- sources ---------------------------------------------------------------------------------- */

static int run_recording(const struct options *opts, const struct sink *sink)
{
	const struct counter *counter = sink->ctx;
	struct replay_stats stats;
	int err = replay__run(opts->input, sink, stop_flag(), &stats);

	if (err == -EPIPE || err == -ECANCELED)
		return EXIT_OK;
	if (err && err == counter->err) {
		log_error("%s: cannot write: %s", output_name(opts), strerror(-err));
		return EXIT_INTERNAL;
	}
	if (err == -EBADMSG)
		log_error("%s: nothing in it is a recording of tcpchurn", opts->input);
	else if (err)
		log_error("%s: cannot read: %s", opts->input, strerror(-err));
	else if (stats.bad_lines || !stats.complete)
		log_warn("%s: %s, unreadable lines: %llu; what could be read is below", opts->input,
			 stats.complete ? "damaged" : "cut off before its end",
			 (unsigned long long)stats.bad_lines);
	return err ? EXIT_INPUT : EXIT_OK;
}

static int exit_code_of(int err)
{
	switch (err) {
	case -EPERM:
		return EXIT_PRIVILEGE;
	case -ENOTSUP:
		return EXIT_UNAVAILABLE;
	}
	return EXIT_INTERNAL;
}

/* Before, nothing is seen: whoever waits for that line may begin. */
static void say_tracing(const struct options *opts)
{
	char span[32];

	if (opts->duration_ns)
		log_info("tracing for %s", text_duration(span, sizeof(span), opts->duration_ns));
	else
		log_info(opts->command ? "tracing" : "tracing; Ctrl-C ends it");
}

/* From attached to done. `child` is NULL without a command. */
static int trace(const struct options *opts, struct live *live, struct child *child,
		 const struct sink *sink)
{
	int err = live__start(live, sink);

	if (!err)
		say_tracing(opts);
	/* After a signal it stays unreleased, and ends with us. */
	if (!err && child && !stop_requested()) {
		int child_err = child__release(child);

		if (child_err) {
			log_error("%s: cannot execute: %s", opts->command[0], strerror(-child_err));
			return EXIT_USAGE;
		}
	}
	if (!err)
		err = live__run(live, sink, opts->duration_ns, stop_flag());
	if (err && err != -EPIPE)
		log_error("the trace ended early: %s", strerror(-err));
	return err && err != -EPIPE ? EXIT_INTERNAL : EXIT_OK;
}

/* One of --pid that is nobody's, 0: all of them are there. */
static uint32_t find_missing_pid(const struct filter *f)
{
	for (uint32_t i = 0; i < f->nr_pids; i++) {
		if (kill((pid_t)f->pids[i], 0) && errno == ESRCH)
			return f->pids[i];
	}
	return 0;
}

static int run_live(const struct options *opts, const struct sink *sink, struct run_result *out)
{
	uint32_t missing;
	struct child child;
	struct live_options lo = {
		.filter = &opts->filter,
		.attach = opts->attach,
		.buffer_size = opts->buffer_size,
		.max_conns = opts->max_conns,
		.stacks = !opts->no_callsites,
		.bind_failures = opts->bind_failures,
		.accepts = opts->accepts,
		.census = sink->census != NULL,
	};
	int code, err;

	if (opts->filter.netns && !netns_is_found(opts->filter.netns)) {
		log_error("--netns %u: there is no such network namespace", opts->filter.netns);
		return EXIT_USAGE;
	}
	if (!pid_namespace_is_initial()) {
		if (opts->command || opts->filter.nr_pids) {
			log_error("%s needs the host's PID namespace (a container: --pid=host)",
				  opts->command ? "-- COMMAND" : "--pid");
			return EXIT_UNAVAILABLE;
		}
		log_warn("not in the host's PID namespace (a container: --pid=host): PIDs are the "
			 "host's, paths and call sites will be missing");
	}
	missing = find_missing_pid(&opts->filter);
	if (missing) {
		log_error("--pid %u: there is no such process", missing);
		return EXIT_USAGE;
	}
	if (opts->command) {
		err = child__start(&child, opts->command);
		if (err) {
			log_error("%s: cannot start: %s", opts->command[0], strerror(-err));
			return EXIT_INTERNAL;
		}
		lo.command = child.pid;
	}
	out->live = live__open(&lo); /* says itself why not */
	code = out->live ? trace(opts, out->live, opts->command ? &child : NULL, sink)
			 : exit_code_of(-errno);
	if (opts->command)
		child__end(&child);
	return code;
}

/* Of one or all network namespaces all that fails, or nothing that `check` could go by. */
static struct failure_log *keep_failures(const struct options *opts)
{
	static const struct filter none;
	struct filter other = opts->filter;
	struct failure_log *l;

	other.netns = 0;
	other.failed_only = false;
	if (opts->input || opts->command || memcmp(&other, &none, sizeof(none)) != 0)
		return NULL;
	l = failure_log__open(FAILURE_LOG_DIR, opts->filter.netns);
	if (!l)
		log_debug("%s: %s: tcpchurn check will not know of failures", FAILURE_LOG_DIR,
			  strerror(errno));
	return l;
}

int run_source(const struct options *opts, FILE *output, const struct sink *sink,
	       struct run_result *out)
{
	struct counter counter = {.next = sink, .result = out, .output = output};
	const struct sink counting = {
		.ctx = &counter,
		.start = counter_start,
		.process = counter_process,
		.stack = counter_stack,
		.open = counter_open,
		.end = counter_end,
		.status = counter_status,
		.census = sink->census ? counter_census : NULL,
	};
	int code;

	memset(out, 0, sizeof(*out));
	stop_catch();
	counter.failures = keep_failures(opts);
	code = opts->input ? run_recording(opts, &counting) : run_live(opts, &counting, out);
	failure_log__free(counter.failures);
	return code;
}

static void say_summary(const struct run_result *r)
{
	char events[32], lost[32];

	log_info("%s events, %s lost, %llu s", text_count(events, sizeof(events), r->events),
		 text_count(lost, sizeof(lost), r->lost),
		 (unsigned long long)((r->duration_ns + 500000000) / 1000000000));
}

int run_finish(const struct options *opts, const struct run_result *r, int exit_code)
{
	if (exit_code == EXIT_OK)
		say_summary(r);
	live__free(r->live);
	if (exit_code != EXIT_OK)
		return exit_code;
	return opts->fail_on_loss && r->lost ? EXIT_LOST : EXIT_OK;
}

FILE *run_output(const struct options *opts)
{
	struct stat in, there;
	FILE *out = NULL;
	int fd;

	if (!to_file(opts))
		return stdout;
	if (opts->input && !stat(opts->input, &in) && !stat(opts->output_file, &there) &&
	    in.st_ino == there.st_ino && in.st_dev == there.st_dev) {
		log_error("%s: is the recording that is read: not written over", opts->output_file);
		return NULL;
	}
	fd = open(opts->output_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd >= 0)
		out = fdopen(fd, "w");
	if (!out)
		log_error("%s: cannot write: %s", opts->output_file, strerror(errno));
	if (!out && fd >= 0)
		close(fd);
	return out;
}

void run_output_begin(FILE *out)
{
	struct stat st;

	/* Standard output may be a file that the shell appends to. */
	if (out != stdout && !fstat(fileno(out), &st) && S_ISREG(st.st_mode) &&
	    ftruncate(fileno(out), 0))
		log_warn("cannot empty the output: %s", strerror(errno));
}

int run_output_close(const struct options *opts, FILE *out)
{
	int err = fflush(out) ? errno : 0;

	if (to_file(opts) && fclose(out) && !err)
		err = errno;
	if (err && err != EPIPE) {
		log_error("%s: cannot write: %s", output_name(opts), strerror(err));
		return EXIT_INTERNAL;
	}
	return EXIT_OK;
}

int run_census_code(const char *command, int err)
{
	if (!err || err == -EPIPE)
		return EXIT_OK;
	if (err == -ENOENT)
		log_error("%s: there is no such network namespace", command);
	else
		log_error("%s: %s", command, strerror(-err));
	return err == -ENOENT ? EXIT_USAGE : EXIT_INTERNAL;
}

void run_no_census(const struct options *opts)
{
	log_error("%s: no whole census of sockets is in it: it ends before the first, or is of an "
		  "older version",
		  opts->input);
}

void run_model_options(struct model_options *out, const struct options *opts)
{
	*out = model_default_options;
	out->by = opts->group_by;
	out->short_ns = opts->short_ns;
	out->reuse_window_ns = opts->reuse_window_ns;
	/* The kernel side bounds them; its table has room for a few more than it promises. */
	out->max_conns = 2 * opts->max_conns + 1024;
	out->callsite_skip = opts->skip;
	out->nr_callsite_skip = opts->nr_skip;
}
