/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/live.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/callsite/resolver.h"
#include "user/source/activations.h"
#include "user/source/census_feed.h"
#include "user/source/code_watch.h"
#include "user/source/lanes.h"
#include "user/source/loader.h"
#include "user/source/privilege.h"
#include "user/source/procfs.h"
#include "user/source/queue.h"
#include "user/source/record_check.h"

#define DRAIN_INTERVAL_MS 40	       /* an event is seen this late at the most */
#define MAX_STACK_WAIT_NS 500000000ULL /* what a stack may hold back its connections */
#define FLUSH_WAIT_MS	  5000	       /* for the last stacks, at the end */
#define PRECEDENCE	  -10	       /* nice: events are lost while others keep us waiting */
#define SETTLE_US	  1000	       /* after stopping: a program in progress ends */
#define MEET_MS		  2000	       /* for interpreters that are older than the trace */
#define LINGER_MS	  100	       /* for the last closes of a command that has ended */

/* A record is dated once there is room for it, soon after. */
#define RING_SLACK_NS 1000000ULL
#define LATER	      (-ETIME) /* no sink says that */

/* Who has not been accepted by then is told as the listener's. */
#define MAX_ACCEPT_WAIT_NS 1000000000ULL

struct live {
	struct live_options opts;
	struct loader *loader;
	struct ring_buffer *ring;
	struct lanes *lanes;
	int epoll;
	struct procfs *procfs;
	struct code_watch *code_watch; /* NULL: it cannot be done here */
	struct resolver *resolver;
	struct queue *queue;
	struct activations *activations;
	uint64_t ring_until_ns;	    /* records of the ring are read up to there */
	struct census_feed *census; /* NULL: not wanted */
	uint64_t dropped;	    /* events that user space could not take */
	uint64_t dropped_stacks, dropped_processes;
	struct source_start start;
	uint64_t swept_ns;
	struct source_status last;
};

/* --- records ---------------------------------------------------------------------------------- */

static int on_process(struct live *l, const struct churn_process *p)
{
	struct process_identity identity;
	int err;

	if (l->resolver && !p->kernel)
		resolver__prepare(l->resolver, &p->id, true);
	err = procfs__identify(l->procfs, p, &identity);
	if (!err)
		err = queue__push_process(l->queue, &identity);
	process_identity__clear(&identity);
	return err;
}

static int on_end(struct live *l, const struct churn_end *e)
{
	struct churn_end judged;

	return queue__push_end(l->queue, activations__settle(l->activations, e, &judged));
}

/* In the resolver's thread. What does not fit is asked for again. */
static void teach_rule(void *ctx, const struct churn_rule_key *key, const struct churn_rule *rule)
{
	const struct live *l = ctx;

	loader__teach_rule(l->loader, key, rule);
}

static void allow_copies(void *ctx, const struct churn_id *process)
{
	const struct live *l = ctx;

	loader__allow_copies(l->loader, process);
}

static uint64_t ask_code(void *ctx, const struct churn_id *process)
{
	const struct live *l = ctx;

	return loader__code(l->loader, process);
}

static void teach_python(void *ctx, const struct churn_id *process,
			 const struct churn_python *python)
{
	const struct live *l = ctx;

	loader__teach_python(l->loader, process, python);
}

/* Not of all that run CPython: whoever shares the file has the breakpoint, too. */
static void watch_freeing(void *ctx, const struct churn_id *process,
			  const struct python_freeing *where)
{
	const struct live *l = ctx;

	code_watch__add(l->code_watch, process, where);
}

/* What is dropped loses an event, unless it only names somebody or something. */
static uint64_t *dropped(struct live *l, uint32_t type)
{
	switch (type) {
	case CHURN_PROCESS:
		return &l->dropped_processes;
	case CHURN_STACK:
	case CHURN_STACK_COPY:
	case CHURN_PY_STACK:
	case CHURN_CALLS:
		return &l->dropped_stacks;
	}
	return &l->dropped;
}

static int on_record(void *ctx, const struct churn_header *h, size_t size)
{
	const void *data = h;
	struct live *l = ctx;
	int err = -EBADMSG;

	if (record_is_sound(h, size)) {
		switch (h->type) {
		case CHURN_WAKE:
			err = 0;
			break;
		case CHURN_PROCESS:
			err = on_process(l, data);
			break;
		case CHURN_EXEC:
			/* Not known in time: its first stacks are copied instead. */
			if (l->resolver)
				resolver__prepare(l->resolver,
						  &((const struct churn_exec *)data)->id, false);
			err = 0;
			break;
		case CHURN_STACK:
			err = queue__push_stack(l->queue, data, h->ts_ns);
			break;
		case CHURN_STACK_COPY:
			err = queue__push_stack_copy(l->queue, data, h->ts_ns);
			break;
		case CHURN_CALLS:
			err = activations__add(l->activations, data);
			break;
		case CHURN_PY_STACK:
			err = queue__push_py_stack(l->queue, data, h->ts_ns);
			break;
		case CHURN_CONNECT:
		case CHURN_ACCEPT:
			err = queue__push_open(l->queue, data);
			break;
		default:
			err = on_end(l, data);
		}
	}
	/* One that does not fit is lost; one that the sink refuses ends the run. */
	if (err == -EBADMSG || err == -ENOMEM || err == -ENOBUFS) {
		/* Nobody will answer it: after some of them the process would have no more
		 * copied. */
		if (err != -EBADMSG && h->type == CHURN_STACK_COPY)
			allow_copies(l, &((const struct churn_stack_copy *)data)->process);
		++*dropped(l, err == -EBADMSG ? CHURN_WAKE : h->type);
		err = 0;
	}
	return err;
}

/* Of a connection: what is in the ring has missed its lane. */
static bool is_stray(const struct churn_header *h, size_t size)
{
	return size >= sizeof(*h) && h->type >= CHURN_CONNECT;
}

/* What came after the look is for the next one: new stacks may come faster than they are read. */
static int on_ring_record(void *ctx, void *data, size_t size)
{
	const struct churn_header *h = data;
	struct live *l = ctx;
	int err = 0;

	if (!is_stray(h, size))
		err = on_record(ctx, h, size);
	else if (lanes__add(l->lanes, h, size))
		l->dropped++;
	if (err)
		return err;
	return size >= sizeof(*h) && h->ts_ns > l->ring_until_ns ? LATER : 0;
}

/* --- life ------------------------------------------------------------------------------------- */

/*
 * Records come without a wake-up and the buffers are read on a timer: waking at each record costs
 * the traced programs a fifth of their throughput. Only what is rare wakes, a new process or a lane
 * that fills up; hence edge-triggered: level-triggered would return whenever there is data.
 */
static int open_buffers(struct live *l)
{
	const struct lanes_memory *lanes = loader__lanes(l->loader);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	int fd = loader__ring_fd(l->loader);

	l->ring = ring_buffer__new(fd, on_ring_record, l, NULL);
	if (!l->ring)
		return -errno;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev))
		return -errno;
	l->lanes = lanes__new(lanes->memory, lanes->nr, lanes->size);
	return l->lanes ? 0 : -errno;
}

struct live *live__open(const struct live_options *opts)
{
	struct live *l = calloc(1, sizeof(*l));
	const struct resolver_teach teach = {.ctx = l,
					     .rule = teach_rule,
					     .walked = allow_copies,
					     .python = teach_python,
					     .freeing = watch_freeing,
					     .code = ask_code};
	int err;

	if (!l)
		return NULL;
	l->opts = *opts;
	l->epoll = -1;
	l->loader = loader__open(&l->opts);
	if (!l->loader) {
		err = -errno;
		goto out;
	}
	err = open_buffers(l);
	if (err) {
		log_error("cannot read the buffers: %s", strerror(-err));
		goto out;
	}
	if (opts->census) {
		l->census = census_feed__new(opts->filter->netns);
		if (!l->census) {
			err = -errno;
			goto out;
		}
	}
	setpriority(PRIO_PROCESS, 0,
		    PRECEDENCE); /* if we may; the resolver's thread takes it back */
	/* Before there are other threads: each has capabilities of its own. */
	l->code_watch = code_watch__new(l->loader);
	privilege_say_missing();
	err = privilege_drop((opts->command > 0 ? PRIVILEGE_FOR_CHILDREN : 0) |
			     (opts->census ? PRIVILEGE_FOR_CENSUS : 0));
	if (err) {
		log_debug("cannot give up capabilities: %s", strerror(-err));
		err = 0;
	}
	l->procfs = procfs__new();
	l->resolver = opts->stacks ? resolver__new(&teach) : NULL;
	l->queue = queue__new(l->resolver, MAX_STACK_WAIT_NS);
	l->activations = activations__new();
	if (!l->procfs || !l->queue || !l->activations || (opts->stacks && !l->resolver))
		err = -ENOMEM;
out:
	if (!err)
		return l;
	live__free(l);
	errno = -err;
	return NULL;
}

void live__free(struct live *l)
{
	if (!l)
		return;
	census_feed__free(l->census);
	activations__free(l->activations);
	queue__free(l->queue);
	resolver__free(l->resolver);
	code_watch__free(l->code_watch);
	procfs__free(l->procfs);
	if (l->epoll >= 0)
		close(l->epoll);
	lanes__free(l->lanes);
	ring_buffer__free(l->ring);
	loader__free(l->loader);
	free(l);
}

/* --- run -------------------------------------------------------------------------------------- */

/* Passive opens that nobody has accepted after a while are told all the same. */
static int sweep(struct live *l, uint64_t unaccepted)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (!unaccepted || now - l->swept_ns < MAX_ACCEPT_WAIT_NS)
		return 0;
	l->swept_ns = now;
	return loader__sweep(l->loader, now - MAX_ACCEPT_WAIT_NS);
}

static int send_status(struct live *l, const struct sink *sink, bool stopped)
{
	struct source_status s = {.lost_user = l->dropped, .stopped = stopped};
	struct loader_counters c;
	int err;

	err = loader__read_counters(l->loader, &c);
	if (!err && !stopped)
		err = sweep(l, c.unaccepted);
	if (err)
		return err;
	memcpy(s.lost, c.lost, sizeof(s.lost));
	s.lost[CHURN_LOST_RING_PROCESS] += l->dropped_processes;
	s.lost[CHURN_LOST_STACK_COPY] += l->dropped_stacks;
	s.in_progress = c.in_progress;
	s.older = c.older;
	if (!stopped && memcmp(&s, &l->last, sizeof(s)) == 0)
		return 0;
	l->last = s;
	s.now_ns = clock_ns(CLOCK_MONOTONIC);
	return sink->status(sink->ctx, &s);
}

/*
 * `until_ns`: as lanes__deliver(). A process or a stack is in the ring before a record that names
 * it is in its lane: so the ring is read after the look at the lanes.
 */
static int drain(struct live *l, uint64_t until_ns, const struct sink *sink)
{
	int err;

	lanes__look(l->lanes);
	l->ring_until_ns =
		until_ns == UINT64_MAX ? UINT64_MAX : clock_ns(CLOCK_MONOTONIC) + RING_SLACK_NS;
	err = ring_buffer__consume(l->ring);
	if (err < 0 && err != LATER)
		return err;
	err = lanes__deliver(l->lanes, until_ns, on_record, l);
	if (err == -EBADMSG) {
		l->dropped++;
		err = 0;
	}
	if (err)
		return err;
	err = queue__deliver(l->queue, clock_ns(CLOCK_MONOTONIC));
	return err ? err : send_status(l, sink, false);
}

static void say_status(int status)
{
	if (WIFSIGNALED(status))
		log_warn("the command was ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (WIFEXITED(status) && WEXITSTATUS(status))
		log_warn("the command ended with exit status %d", WEXITSTATUS(status));
}

/* The command's descendants are ours when their parents die: we are their subreaper. */
static bool command_ended(pid_t command)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == command)
			say_status(status);
	}
	return pid < 0 && errno == ECHILD;
}

/* The first connection counts: where user space learns from it that a process runs CPython, it and
 * those right behind it have no call site. */
static int meet_pythons(struct live *l)
{
	int err;

	if (!l->resolver)
		return 0;
	err = loader__meet_pythons(l->loader);
	if (err)
		return err;
	l->ring_until_ns = UINT64_MAX;
	err = ring_buffer__consume(l->ring);
	if (err >= 0 && !resolver__settle(l->resolver, MEET_MS))
		log_debug("not all interpreters are known yet");
	return err < 0 ? err : 0;
}

int live__start(struct live *l, const struct sink *sink)
{
	int err = meet_pythons(l);

	if (err)
		return err;
	census_feed__start(l->census);
	l->start.start_wall_ns = clock_ns(CLOCK_REALTIME);
	l->start.start_mono_ns = clock_ns(CLOCK_MONOTONIC);
	l->start.pids = l->opts.filter->pids;
	l->start.nr_pids = l->opts.filter->nr_pids;
	queue__connect(l->queue, sink);
	err = sink->start(sink->ctx, &l->start);
	return err ? err : loader__start(l->loader);
}

/* How long to sleep before the next look, 0: the time is over. */
static int wait_ms(uint64_t end_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (now >= end_ns)
		return 0;
	if (end_ns - now < DRAIN_INTERVAL_MS * 1000000ULL)
		return (end_ns - now) / 1000000 + 1;
	return DRAIN_INTERVAL_MS;
}

/* What ended before it was taken is told before it is. */
static int take_census(struct live *l, const struct sink *sink)
{
	int err = census_feed__take(l->census);

	if (!err)
		err = drain(l, clock_ns(CLOCK_MONOTONIC), sink);
	return err ? err : census_feed__deliver(l->census, sink, false);
}

int live__run(struct live *l, const struct sink *sink, uint64_t duration_ns,
	      const volatile sig_atomic_t *stop)
{
	uint64_t end = duration_ns ? l->start.start_mono_ns + duration_ns : UINT64_MAX;
	struct epoll_event ev;
	int err = 0, wait;

	while (!err && !*stop && (wait = wait_ms(end))) {
		if (epoll_wait(l->epoll, &ev, 1, wait) < 0 && errno != EINTR)
			err = -errno;
		if (!err)
			err = drain(l, clock_ns(CLOCK_MONOTONIC), sink);
		if (!err && census_feed__is_due(l->census, clock_ns(CLOCK_MONOTONIC)))
			err = take_census(l, sink);
		if (!err && l->opts.command > 0 && command_ended(l->opts.command)) {
			usleep(LINGER_MS * 1000);
			break;
		}
	}
	if (!err && l->census)
		err = census_feed__take(l->census);
	if (!err)
		err = loader__sweep(l->loader, UINT64_MAX);
	loader__stop(l->loader);
	usleep(SETTLE_US);
	if (!err)
		err = drain(l, UINT64_MAX, sink);
	if (!err)
		err = queue__flush(l->queue, FLUSH_WAIT_MS);
	if (!err)
		err = census_feed__deliver(l->census, sink, true);
	return err ? err : send_status(l, sink, true);
}
