/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/resolver.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "user/base/clock.h"
#include "user/callsite/cfi.h"
#include "user/callsite/symbolizer.h"
#include "user/callsite/unwind.h"

#define STARTUP_AGE_NS	 1000000ULL   /* older mappings lack a starting program's libraries */
#define LIBRARY_AGE_NS	 200000000ULL /* and this: of libraries loaded later */
#define MAX_STARTING	 16
#define STARTING_NS	 1000000000ULL /* how long a starting interpreter is watched, */
#define STARTING_LOOK_MS 5	       /* and how often it is looked at */
#define MAX_WAITING	 16384	       /* pieces of work */

/* One piece of work: a record, cut to its length (a stack or a copy of one), or, without it, a
 * process to prepare. */
struct job {
	struct job *next;
	struct churn_id process;
	bool loaded; /* as resolver__prepare() */
	struct churn_header *record;
	size_t size; /* of the record, as it came in */
	struct stack_trace result;
};

struct job_list {
	struct job *head, **tail;
	uint32_t nr;
};

/* A program that has begun as a CPython whose library is not loaded yet. */
struct starting {
	struct churn_id process;
	uint64_t until_ns;
};

struct resolver {
	struct starting starting[MAX_STARTING]; /* the thread's own, as the symbolizer is */
	uint32_t nr_starting;
	struct symbolizer *symbolizer;
	struct resolver_teach teach;
	pthread_t thread;
	pthread_mutex_t lock; /* of everything below */
	pthread_cond_t more_work, looked, more_results;
	struct job_list work;	 /* as it came in */
	struct job_list unnamed; /* what needed the process has been done */
	struct job_list results;
	size_t waiting; /* bytes of the records in `work` */
	uint32_t owed;	/* stacks in the lists above, and the one that is worked on */
	bool looking;	/* at what is in no list meanwhile */
	bool ending;
};

static void list_init(struct job_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
	l->nr = 0;
}

static void list_push(struct job_list *l, struct job *j)
{
	j->next = NULL;
	*l->tail = j;
	l->tail = &j->next;
	l->nr++;
}

static struct job *list_pop(struct job_list *l)
{
	struct job *j = l->head;

	if (!j)
		return NULL;
	l->head = j->next;
	if (!l->head)
		l->tail = &l->head;
	l->nr--;
	return j;
}

static void job_free(struct job *j)
{
	free(j->record);
	stack_trace__clear(&j->result);
	free(j);
}

/* The process whose stack is being walked. */
struct rule_source {
	struct resolver *resolver;
	const struct churn_id *process;
	uint64_t code;
	bool generated; /* what was asked for last is in no file */
};

static void teach_rule(const struct rule_source *s, uint64_t pc, const struct churn_rule *rule)
{
	const struct churn_rule_key key = {.pc = pc, .code = s->code};

	s->resolver->teach.rule(s->resolver->teach.ctx, &key, rule);
}

static bool find_rule(void *ctx, uint64_t pc, bool return_address, struct churn_rule *rule)
{
	static const struct churn_rule by_frame_pointer = {
		.kind = CHURN_RULE_FP, .cfa_off = 16, .fp_slot = -16};
	struct rule_source *s = ctx;
	struct symbolizer *symbolizer = s->resolver->symbolizer;
	int err = symbolizer__cfi(symbolizer, s->process, pc, return_address, rule);

	s->generated = err == -ENOENT;

	/* In no mapping that we know: of a process that has gone, or of a library that came just
	 * now. Guessing would skip a frame and blame the caller. */
	if (err == -EFAULT || err == -ESRCH) {
		*rule = (struct churn_rule){.kind = CHURN_RULE_NONE};
		return false;
	}
	if (err == -ENODATA && !symbolizer__guess(symbolizer, s->process, pc, return_address, rule))
		return true;
	/* Generated code has no CFI, but frame pointers, if anything; so have the builtins in the
	 * files of V8. A leaf without CFI may have none yet: it could hide its caller. */
	if (err == -ENOENT || (err == -ENODATA && return_address)) {
		*rule = by_frame_pointer;
		return true;
	}
	if (err)
		*rule = (struct churn_rule){.kind = CHURN_RULE_NONE};
	teach_rule(s, pc, rule);
	return false;
}

/* A rule holds for all stacks, so one that has led astray once is none. */
static bool confirm_rule(void *ctx, uint64_t pc, const struct churn_rule *rule, uint64_t caller)
{
	static const struct churn_rule none = {.kind = CHURN_RULE_NONE};
	const struct rule_source *s = ctx;
	bool known = caller != UNWIND_PAST_COPY;
	bool right = known && caller &&
		     symbolizer__may_return(s->resolver->symbolizer, s->process, caller);

	/* Generated code is one kind of code, and most of its stacks are shorter than a copy. */
	teach_rule(s, pc, right || (!known && s->generated) ? rule : &none);
	return right;
}

/* Once a process is known to run CPython its native stacks are walked no more: one that still
 * comes may be of an interpreter that was loaded late. 0 or as symbolizer__find_python(). */
static int find_python(struct resolver *r, const struct churn_id *process, uint64_t max_age_ns)
{
	struct churn_python python;
	int err = symbolizer__find_python(r->symbolizer, process, max_age_ns, &python);

	if (!err)
		r->teach.python(r->teach.ctx, process, &python);
	return err;
}

static void prepare(struct resolver *r, const struct job *j)
{
	int err = find_python(r, &j->process, j->loaded ? STARTUP_AGE_NS : UINT64_MAX);

	if (err == -EAGAIN && r->nr_starting < MAX_STARTING)
		r->starting[r->nr_starting++] = (struct starting){
			.process = j->process,
			.until_ns = clock_ns(CLOCK_MONOTONIC) + STARTING_NS,
		};
}

static void look_at_starting(struct resolver *r)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (uint32_t i = r->nr_starting; i-- > 0;) {
		int err = find_python(r, &r->starting[i].process, STARTUP_AGE_NS);

		if (err != -EAGAIN || now > r->starting[i].until_ns)
			r->starting[i] = r->starting[--r->nr_starting];
	}
}

/* The kernel side walks on where a copy ends, and may have stopped there for want of a rule. */
static void learn_missing(struct rule_source *source, uint64_t pc)
{
	struct churn_rule rule = {};

	if (find_rule(source, pc, true, &rule))
		confirm_rule(source, pc, &rule, UNWIND_PAST_COPY);
}

/* Takes the place of the copy in the job. 0 or -ENOMEM. */
static int walk_copy(struct resolver *r, struct job *j)
{
	const struct churn_stack_copy *copy = (const struct churn_stack_copy *)j->record;
	struct rule_source source = {.resolver = r, .process = &copy->process, .code = copy->code};
	const struct unwind_rules rules = {
		.ctx = &source, .find = find_rule, .confirm = confirm_rule};
	struct churn_stack *walked = malloc(sizeof(*walked));

	if (!walked)
		return -ENOMEM;
	symbolizer__see_code(r->symbolizer, &copy->process, copy->code);
	find_python(r, &copy->process, LIBRARY_AGE_NS);
	unwind_copy(copy, &rules, walked);
	if (walked->truncated)
		learn_missing(&source, copy->missing);
	r->teach.walked(r->teach.ctx, &copy->process);
	free(j->record);
	j->record = &walked->h;
	return 0;
}

static int resolve_python(struct resolver *r, struct job *j)
{
	const struct churn_py_stack *stack = (const struct churn_py_stack *)j->record;
	struct python_freeing freeing;
	int err = symbolizer__resolve_python(r->symbolizer, stack, &j->result);

	if (symbolizer__freeing(r->symbolizer, &stack->process, &freeing))
		r->teach.freeing(r->teach.ctx, &stack->process, &freeing);
	return err;
}

/* What only a process that lives can tell, and what the next connections wait for. */
static int look(struct resolver *r, struct job *j)
{
	const struct churn_stack *stack = (const struct churn_stack *)j->record;

	if (!j->record) {
		prepare(r, j);
		return 0;
	}
	switch (j->record->type) {
	case CHURN_STACK_COPY:
		return walk_copy(r, j);
	case CHURN_PY_STACK:
		return resolve_python(r, j);
	default:
		symbolizer__see_code(r->symbolizer, &stack->process, stack->code);
		return 0;
	}
}

/* The names of native code are in files, and reading their DWARF may take a long time. */
static int find_names(struct resolver *r, struct job *j)
{
	if (j->record->type != CHURN_STACK)
		return 0;
	return symbolizer__resolve(r->symbolizer, (struct churn_stack *)j->record, &j->result);
}

/* As pthread_cond_timedwait() wants it: of the clock that init_cond() chose. */
static struct timespec in_ms(int ms)
{
	uint64_t ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)ms * NS_PER_MS;

	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SEC),
				 .tv_nsec = (long)(ns % NS_PER_SEC)};
}

/* The default clock is the wall's, which an administrator or NTP may set back by hours. */
static void init_cond(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

/* Holding the lock. */
static void wait_for_work(struct resolver *r)
{
	struct timespec until = in_ms(STARTING_LOOK_MS);

	if (!r->nr_starting) {
		pthread_cond_wait(&r->more_work, &r->lock);
		return;
	}
	if (pthread_cond_timedwait(&r->more_work, &r->lock, &until) != ETIMEDOUT)
		return;
	pthread_mutex_unlock(&r->lock);
	look_at_starting(r);
	pthread_mutex_lock(&r->lock);
}

/* One piece of work, if there is one; holding the lock, but not during the work. */
static bool work_once(struct resolver *r)
{
	bool fresh = r->work.head;
	struct job *j = list_pop(fresh ? &r->work : &r->unnamed);
	int err;

	if (!j)
		return false;
	if (fresh)
		r->waiting -= j->size;
	r->looking = fresh;
	pthread_mutex_unlock(&r->lock);
	err = fresh ? look(r, j) : find_names(r, j);
	pthread_mutex_lock(&r->lock);
	r->looking = false;
	if (err || !j->record) {
		r->owed -= j->record != NULL;
		job_free(j);
	} else if (fresh) {
		list_push(&r->unnamed, j);
	} else {
		list_push(&r->results, j);
		pthread_cond_signal(&r->more_results);
	}
	if (fresh)
		pthread_cond_signal(&r->looked);
	return true;
}

static void *resolver_thread(void *arg)
{
	struct resolver *r = arg;

	setpriority(PRIO_PROCESS, 0, 0); /* whoever reads events may be in a hurry; this may wait */
	pthread_mutex_lock(&r->lock);
	while (!r->ending) {
		if (!work_once(r))
			wait_for_work(r);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

struct resolver *resolver__new(const struct resolver_teach *teach)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return NULL;
	r->teach = *teach;
	list_init(&r->work);
	list_init(&r->unnamed);
	list_init(&r->results);
	pthread_mutex_init(&r->lock, NULL);
	init_cond(&r->more_work);
	init_cond(&r->looked);
	init_cond(&r->more_results);
	r->symbolizer = symbolizer__new(&(struct symbolizer_options){
		.code = teach->code,
		.ctx = teach->ctx,
	});
	err = r->symbolizer ? pthread_create(&r->thread, NULL, resolver_thread, r) : errno;
	if (err) {
		symbolizer__free(r->symbolizer);
		free(r);
		errno = err;
		return NULL;
	}
	return r;
}

void resolver__free(struct resolver *r)
{
	struct job *j;

	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->ending = true;
	pthread_cond_signal(&r->more_work);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	while ((j = list_pop(&r->work)) || (j = list_pop(&r->unnamed)))
		job_free(j);
	while ((j = list_pop(&r->results)))
		job_free(j);
	symbolizer__free(r->symbolizer);
	pthread_cond_destroy(&r->more_results);
	pthread_cond_destroy(&r->looked);
	pthread_cond_destroy(&r->more_work);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static int resolver_push(struct resolver *r, struct job *j)
{
	bool full;

	pthread_mutex_lock(&r->lock);
	full = r->work.nr + r->unnamed.nr >= MAX_WAITING ||
	       r->waiting + j->size > RESOLVER_MAX_WAITING;
	if (!full) {
		r->waiting += j->size;
		list_push(&r->work, j);
		r->owed += j->record != NULL;
		pthread_cond_signal(&r->more_work);
	}
	pthread_mutex_unlock(&r->lock);
	if (!full)
		return 0;
	job_free(j);
	return -ENOBUFS;
}

int resolver__prepare(struct resolver *r, const struct churn_id *process, bool loaded)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->process = *process;
	j->loaded = loaded;
	return resolver_push(r, j);
}

static int submit_record(struct resolver *r, const struct churn_header *h, size_t size)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->record = malloc(size);
	if (!j->record) {
		free(j);
		return -ENOMEM;
	}
	j->size = size;
	memcpy(j->record, h, size);
	return resolver_push(r, j);
}

int resolver__submit(struct resolver *r, const struct churn_stack *stack)
{
	return submit_record(r, &stack->h,
			     offsetof(struct churn_stack, pc) + stack->nr * sizeof(stack->pc[0]));
}

int resolver__submit_copy(struct resolver *r, const struct churn_stack_copy *copy)
{
	return submit_record(r, &copy->h, offsetof(struct churn_stack_copy, bytes) + copy->len);
}

int resolver__submit_python(struct resolver *r, const struct churn_py_stack *stack)
{
	return submit_record(r, &stack->h,
			     offsetof(struct churn_py_stack, frames) +
				     stack->nr * sizeof(stack->frames[0]));
}

bool resolver__take(struct resolver *r, struct stack_trace *out, int timeout_ms)
{
	struct timespec until = in_ms(timeout_ms);
	struct job *j;

	pthread_mutex_lock(&r->lock);
	j = list_pop(&r->results);
	if (!j && timeout_ms > 0) {
		pthread_cond_timedwait(&r->more_results, &r->lock, &until);
		j = list_pop(&r->results);
	}
	r->owed -= j != NULL;
	pthread_mutex_unlock(&r->lock);
	if (!j)
		return false;
	*out = j->result;
	memset(&j->result, 0, sizeof(j->result));
	job_free(j);
	return true;
}

bool resolver__settle(struct resolver *r, int timeout_ms)
{
	struct timespec until = in_ms(timeout_ms);
	bool busy;

	pthread_mutex_lock(&r->lock);
	while ((busy = r->work.head || r->looking) &&
	       !pthread_cond_timedwait(&r->looked, &r->lock, &until))
		;
	pthread_mutex_unlock(&r->lock);
	return !busy;
}

bool resolver__owes(struct resolver *r)
{
	bool owes;

	pthread_mutex_lock(&r->lock);
	owes = r->owed;
	pthread_mutex_unlock(&r->lock);
	return owes;
}
