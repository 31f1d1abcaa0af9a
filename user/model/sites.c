/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "user/model/activation.h"
#include "user/model/flows.h"

static struct site *find_site(const struct site_table *t, const struct site_key *key)
{
	struct site *s;

	HASH_FIND(hh, t->by_key, key, sizeof(*key), s);
	return s;
}

static struct site *make_site(struct site_table *t, const struct site_key *key)
{
	struct site *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->key = *key;
	HASH_ADD(hh, t->by_key, key, sizeof(s->key), s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	DL_APPEND(key->list->sites, s);
	return s;
}

static struct site_key resolved_key(struct site_list *list, const struct stack_entry *stack)
{
	return (struct site_key){.list = list, .id = stack->callsite_id, .kind = SITE_RESOLVED};
}

/* Books the stack of `nr` opens or failures. 0 or -ENOMEM. */
static int count_path(struct site_table *t, struct site *s, struct stack_entry *stack, uint64_t nr)
{
	int err = path_counts__add(&s->paths, t->stacks, stack, nr);

	if (!err && !stack->named)
		s->unnamed += nr;
	return err;
}

static struct site *find_or_make(struct site_table *t, struct site_list *list, uint64_t stack_id,
				 const struct stack_entry *stack)
{
	struct site_key key = {.list = list, .id = stack_id, .kind = SITE_PENDING};
	struct site *s;

	if (stack && stack->callsite_id)
		key = resolved_key(list, stack);
	s = find_site(t, &key);
	if (!s && HASH_COUNT(t->by_key) >= t->max) {
		key = (struct site_key){.list = list, .kind = SITE_PENDING};
		s = find_site(t, &key);
	}
	return s ? s : make_site(t, &key);
}

/* Sites of resolved stacks stay where they are until the end of the model. */
static void remember(const struct site_table *t, struct site_list *list, struct stack_entry *stack,
		     struct site *s)
{
	list->evicted = t->stacks->evicted;
	list->last_stack = stack;
	list->last_site = s;
}

struct site *site_table__get(struct site_table *t, struct site_list *list, uint64_t stack_id)
{
	struct stack_entry *stack = list->last_stack;
	struct site *s = list->last_site;

	if (!stack || list->evicted != t->stacks->evicted || stack->trace.id != stack_id) {
		stack = stack_table__find(t->stacks, stack_id);
		s = find_or_make(t, list, stack_id, stack);
		if (!s)
			return NULL;
		if (s->key.kind != SITE_PENDING)
			remember(t, list, stack, s);
	}
	if (s->key.kind != SITE_PENDING && count_path(t, s, stack, 1))
		return NULL;
	s->refs++;
	return s;
}

struct site *site__counts(struct site *s)
{
	return s->moved_to ? s->moved_to : s;
}

uint64_t site__stack(struct site *s)
{
	if (!s)
		return 0;
	s = site__counts(s);
	if (s->paths.nr)
		return s->paths.at[0].stack->trace.id;
	return s->key.kind == SITE_PENDING ? s->key.id : 0;
}

void site__hold(struct site *s)
{
	if (s)
		s->refs++;
}

void site__release(struct site *s)
{
	if (s && !--s->refs && s->moved_to)
		free(s);
}

/* Index in the trace of a call counted in machine frames: inlined ones are none. -1: not there. */
static int frame_of_call(const struct stack_trace *s, uint32_t call)
{
	for (uint32_t i = 0; i < s->nr; i++)
		if (!s->frames[i].inlined && !call--)
			return (int)i;
	return -1;
}

static bool same_function(const struct frame *a, const struct frame *b)
{
	return a->function && b->function && !strcmp(a->function, b->function) &&
	       !strcmp(a->file ? a->file : "", b->file ? b->file : "");
}

static void count_owner(struct site_table *t, struct site *s, struct stack_entry *stack,
			uint32_t frame, uint64_t nr)
{
	const struct frame *f = &stack->trace.frames[frame];
	int rarest = 0;

	for (int i = 0; i < SITE_OWNERS; i++) {
		const struct stack_entry *known = s->owners[i].stack;

		if (known && same_function(&known->trace.frames[s->owners[i].frame], f)) {
			s->owners[i].nr += nr;
			return;
		}
		if (s->owners[i].nr < s->owners[rarest].nr)
			rarest = i;
	}
	stack__hold(t->stacks, stack);
	stack__release(t->stacks, s->owners[rarest].stack);
	s->owners[rarest].stack = stack;
	s->owners[rarest].frame = frame;
	s->owners[rarest].nr = nr;
}

void site__note_open(struct site *s, uint32_t tid, uint64_t open_ns)
{
	uint32_t at = tid % SITE_THREADS;
	bool known = s->last_open[at].tid == tid && s->last_open[at].ns < open_ns;

	s->last_open[at].gap_ns = known ? open_ns - s->last_open[at].ns : 0;
	s->last_open[at].tid = tid;
	s->last_open[at].ns = open_ns;
}

/* Whether the thread has opened another one here before this one was ended. */
static bool overlapped(const struct site *s, const struct churn_end *e)
{
	uint32_t at = e->conn.tid % SITE_THREADS;

	return s->last_open[at].tid == e->conn.tid && s->last_open[at].ns > e->conn.open_ns &&
	       s->last_open[at].ns < e->ending_ns;
}

/* Between this open and the thread's one before here, or the next; 0: unknown. */
static uint64_t interval_at(const struct site *s, const struct churn_conn *c)
{
	uint32_t at = c->tid % SITE_THREADS;
	uint64_t last = s->last_open[at].ns, gap = s->last_open[at].gap_ns;

	if (s->last_open[at].tid != c->tid)
		return 0;
	return last == c->open_ns || last - gap == c->open_ns ? gap : 0;
}

/* Whether it surely ended in the call that opened it. */
static bool same_call(const struct site *s, const struct churn_end *e)
{
	uint64_t life_ns;

	if (e->activation == CHURN_ACTIVATION_RETURNED)
		return true;
	return e->activation == CHURN_ACTIVATION_LATER && flow__lifetime_of(e, &life_ns) &&
	       activation_one_call(life_ns, flow__silence_of(e), interval_at(s, &e->conn));
}

void site_table__count_end(struct site_table *t, struct site *s, const struct churn_end *e)
{
	struct stack_entry *open, *close;
	int frame;

	if (!e->activation || e->activation >= CHURN_ACTIVATION__COUNT)
		return;
	if (e->activation != CHURN_ACTIVATION_ELSEWHERE && overlapped(s, e)) {
		s->ends[CHURN_ACTIVATION_EARLIER]++;
		return;
	}
	s->ends[e->activation]++;
	close = stack_table__find(t->stacks, e->close_stack);
	if (close) {
		stack__hold(t->stacks, close);
		stack__release(t->stacks, s->close_stack);
		s->close_stack = close;
	}
	open = stack_table__find(t->stacks, e->conn.stack);
	if (!open || !same_call(s, e))
		return;
	frame = frame_of_call(&open->trace, e->activation_frame);
	if (frame >= 0 && open->trace.frames[frame].function)
		count_owner(t, s, open, (uint32_t)frame, 1);
}

static void move_ends(struct site_table *t, struct site *to, struct site *from)
{
	for (int i = 0; i < CHURN_ACTIVATION__COUNT; i++)
		to->ends[i] += from->ends[i];
	for (int i = 0; i < SITE_OWNERS; i++) {
		if (!from->owners[i].stack)
			continue;
		count_owner(t, to, from->owners[i].stack, from->owners[i].frame,
			    from->owners[i].nr);
		stack__release(t->stacks, from->owners[i].stack);
		from->owners[i].stack = NULL;
	}
	if (to->close_stack)
		stack__release(t->stacks, from->close_stack);
	else
		to->close_stack = from->close_stack;
	from->close_stack = NULL;
}

static void move_counts(struct site *to, struct site *from)
{
	for (int i = 0; i < SITE_THREADS; i++)
		if (from->last_open[i].ns > to->last_open[i].ns)
			to->last_open[i] = from->last_open[i];
	to->opens += from->opens;
	to->failures += from->failures;
	to->avoidable += from->avoidable;
	to->short_lived += from->short_lived;
}

int site_table__resolve(struct site_table *t, struct site_list *list)
{
	struct site *s, *tmp;

	DL_FOREACH_SAFE(list->sites, s, tmp)
	{
		struct stack_entry *stack = NULL;
		struct site_key key;
		struct site *to;

		if (s->key.kind == SITE_PENDING)
			stack = stack_table__find(t->stacks, s->key.id);
		if (!stack || !stack->callsite_id)
			continue;
		key = resolved_key(list, stack);
		to = find_site(t, &key);
		if (!to)
			to = make_site(t, &key);
		if (!to || count_path(t, to, stack, s->opens + s->failures))
			return -ENOMEM;
		move_counts(to, s);
		move_ends(t, to, s);
		HASH_DEL(t->by_key, s);
		DL_DELETE(list->sites, s);
		s->moved_to = to;
		if (!s->refs)
			free(s);
	}
	return 0;
}

static void append_ends(struct callsite *c, const struct site *s)
{
	int most = 0;

	for (int k = 0; k < CHURN_ACTIVATION__COUNT; k++)
		c->ends[k] += s->ends[k];
	for (int k = 1; k < SITE_OWNERS; k++)
		if (s->owners[k].nr > s->owners[most].nr)
			most = k;
	if (s->owners[most].nr > c->owner_ends) {
		c->owner = &s->owners[most].stack->trace.frames[s->owners[most].frame];
		c->owner_ends = s->owners[most].nr;
	}
	if (s->close_stack && !c->close_stack) {
		c->close_stack = &s->close_stack->trace;
		c->close_frame = s->close_stack->frame;
	}
}

static void append_counts(struct callsite *c, const struct site *s)
{
	c->opens += s->opens;
	c->failures += s->failures;
	c->avoidable += s->avoidable;
	c->short_lived += s->short_lived;
	c->by_other_paths += s->opens + s->failures;
	append_ends(c, s);
}

/* Into `to`, which has room for them, by what is surely theirs. */
static void append_paths(struct callsite *c, struct callsite_path *to, const struct site *s)
{
	for (uint32_t k = 0; k < s->paths.nr; k++) {
		const struct path_count *p = &s->paths.at[k];
		uint32_t i = k;

		for (; i && to[i - 1].nr < p->nr; i--)
			to[i] = to[i - 1];
		to[i] = (struct callsite_path){.id = p->id,
					       .stack = &p->stack->trace,
					       .frame = p->stack->frame,
					       .nr = p->nr};
		c->by_other_paths -= p->nr;
	}
	if (!s->paths.nr)
		return;
	c->paths = to;
	c->nr_paths = s->paths.nr;
	c->stack = to->stack;
	c->frame = to->frame;
}

static int compare_callsites(const void *a, const void *b)
{
	const struct callsite *x = a, *y = b;
	uint64_t nr_x = x->opens + x->failures, nr_y = y->opens + y->failures;

	if (nr_x != nr_y)
		return nr_x < nr_y ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Room for all call sites and their paths. */
static int reserve(struct site_list *list)
{
	uint32_t sites = 0, paths = 0;
	struct callsite_path *more_paths;
	struct callsite *more;
	struct site *s;

	DL_FOREACH (list->sites, s) {
		sites++;
		paths += s->paths.nr;
	}
	more = realloc(list->at, (sites + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	list->at = more;
	more_paths = realloc(list->paths, (paths + 1) * sizeof(*more_paths));
	if (!more_paths)
		return -ENOMEM;
	list->paths = more_paths;
	return 0;
}

int site_list__seal(struct site_list *list, uint64_t *unattributed)
{
	struct callsite *pending = NULL; /* all of them */
	struct callsite_path *paths;
	uint32_t nr = 0;
	struct site *s;

	list->nr = 0;
	if (!list->sites)
		return 0;
	if (reserve(list))
		return -ENOMEM;
	paths = list->paths;
	DL_FOREACH (list->sites, s) {
		struct callsite *c = s->key.kind == SITE_PENDING ? pending : NULL;

		if (!c) {
			c = &list->at[nr++];
			*c = (struct callsite){.frame = -1, .close_frame = -1};
		}
		append_counts(c, s);
		if (s->key.kind == SITE_PENDING) {
			pending = c;
			*unattributed += s->opens + s->failures;
			continue;
		}
		c->id = s->key.id;
		append_paths(c, paths, s);
		paths += s->paths.nr;
		*unattributed += s->unnamed;
	}
	qsort(list->at, nr, sizeof(*list->at), compare_callsites);
	list->nr = nr;
	return 0;
}

void site_list__clear(struct site_list *list)
{
	free(list->at);
	free(list->paths);
}

static void free_site(struct site *s)
{
	path_counts__clear(&s->paths);
	free(s);
}

void site_table__clear(struct site_table *t)
{
	struct site *s, *tmp;

	HASH_ITER (hh, t->by_key, s, tmp) {
		HASH_DEL(t->by_key, s);
		free_site(s);
	}
}
