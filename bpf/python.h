/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stack of a CPython thread, walked by the interpreter's own frames. User space finds the
 * runtime in a process and says where its build keeps what; functions and lines are read there
 * too, from the code objects.
 *
 * The thread-local pointer to the thread state cannot be used: since 3.12 it is NULL while
 * connect() has released the GIL. The runtime's list of threads is searched for this thread's
 * pthread_self() instead, once a thread; what was found is checked again at each use.
 */
#ifndef CHURN_PYTHON_H
#define CHURN_PYTHON_H

#include "bpf/drift.h"
#include "bpf/maps.h"
#include "bpf/process.h"
#include "bpf/python_freed.h"
#include "bpf/python_identity.h"
#include "bpf/stack_id.h"

#define PY_WINDOW	 4096 /* frames since 3.11 lie side by side: a page holds many */
#define PY_FRAME_LEN	 112  /* as much of a frame as any field here needs */
#define PY_THREAD_LEN	 184  /* the same, of a thread state */
#define PY_MAX_THREADS	 4096
#define PY_SEARCH_STRIDE 64
#define PY_TRUST_NS	 1000000000ULL /* how long a search that found nothing counts */
#define PY_FRAME_LIMIT	 (PY_FRAME_LEN - 8)
#define PY_THREAD_LIMIT	 (PY_THREAD_LEN - 8)

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64); /* churn_process_key() */
	__type(value, struct churn_python);
} pythons SEC(".maps");

/* There is something in it: most machines do without the lookup. Set by user space. */
bool have_python = false;

struct py_thread {
	u64 state; /* its address; a wrong one is found out by its thread_id. 0: it had none, */
	u64 head;  /* when this was the head of the list of threads, */
	u64 searched_ns; /* at that time */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32); /* thread id */
	__type(value, struct py_thread);
} py_threads SEC(".maps");

struct py_walk {
	struct churn_python python;
	u64 process; /* churn_process_key() */
	u64 self;    /* pthread_self() */
	u64 thread;  /* the thread state under examination */
	u64 known;   /* from here on there are only those that were looked at before, 0: nowhere */
	u64 interpreter;
	u64 frame;
	u64 base;	/* of the window, */
	u64 len;	/* and how much of it is read */
	u64 hash;	/* of the frames, */
	u64 id;		/* and of the code objects, too */
	u64 generation; /* py_read_generation(), 0: none */
	struct known_stack sent;
	struct churn_py_stack stack;
	u8 state[PY_THREAD_LEN + 8];
	u8 window[PY_WINDOW + PY_FRAME_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct py_walk);
} py_walks SEC(".maps");

static __always_inline struct py_walk *py_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&py_walks, &zero);
}

static __always_inline u64 py_word(u64 addr)
{
	u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (const void *)addr);
	return word;
}

/* --- the thread state ------------------------------------------------------------------------- */

/* Whether w->thread is this thread's state, which is then in w->state. */
static __always_inline bool py_thread_is_self(struct py_walk *w)
{
	u64 at = w->python.thread_id;

	if (!w->thread || at > PY_THREAD_LIMIT)
		return false;
	if (bpf_probe_read_user(w->state, PY_THREAD_LEN, (const void *)w->thread)) {
		w->thread = 0;
		return false;
	}
	return *(u64 *)(w->state + at) == w->self;
}

static __always_inline u64 py_next_thread(const struct py_walk *w)
{
	u64 at = w->python.thread_next;

	return at <= PY_THREAD_LIMIT ? *(u64 *)(w->state + at) : 0;
}

/* One thread state a step, on to the next interpreter at the end of a list. */
__noinline int py_search_step(void)
{
	struct py_walk *w = py_scratch();

	if (!w)
		return 1;
	if (!w->thread) {
		if (!w->interpreter)
			return 1;
		w->thread = py_word(w->interpreter + w->python.threads_head);
		w->interpreter = py_word(w->interpreter + w->python.interpreter_next);
		return 0;
	}
	if (py_thread_is_self(w))
		return 1;
	if (!w->thread)
		return 0;
	if (w->thread == w->known) {
		w->thread = 0;
		return 1;
	}
	w->thread = py_next_thread(w);
	return 0;
}

/* In two levels: the verifier follows each turn of a loop. */
__noinline int py_search_some(void)
{
	for (u32 i = 0; i < PY_SEARCH_STRIDE; i++) {
		if (py_search_step())
			return 1;
	}
	return 0;
}

/* The innermost frame of the thread whose state is in w->state, 0: it runs no Python code. */
static __always_inline u64 py_first_frame(const struct py_walk *w)
{
	u64 at = w->python.thread_frame, frame;

	if (at > PY_THREAD_LIMIT)
		return 0;
	frame = *(u64 *)(w->state + at);
	if (frame && w->python.cframe_frame != CHURN_PY_NONE)
		frame = py_word(frame + w->python.cframe_frame);
	return frame;
}

/*
 * Finds the innermost frame of this thread. One that Python did not start has a state only while it
 * calls into Python, but may connect at any time. New states are put at the head of the list: if
 * the last search is not old, only those before its head are looked at.
 */
static __always_inline bool py_find_frame(struct py_walk *w, u32 tid)
{
	const struct py_thread *last = bpf_map_lookup_elem(&py_threads, &tid);
	struct py_thread found = {};

	w->thread = last ? last->state : 0;
	w->frame = py_thread_is_self(w) ? py_first_frame(w) : 0;
	if (w->frame)
		return true;
	found.searched_ns = bpf_ktime_get_ns();
	w->known = 0;
	/* Not for ever: a new state may have the address of one that has gone. */
	if (last && found.searched_ns - last->searched_ns < PY_TRUST_NS) {
		w->known = last->head;
		found = *last;
	}
	w->interpreter = py_word(w->python.runtime + w->python.interpreters_head);
	w->thread = py_word(w->interpreter + w->python.threads_head);
	w->interpreter = py_word(w->interpreter + w->python.interpreter_next);
	found.head = w->thread;
	for (u32 i = 0; i < PY_MAX_THREADS / PY_SEARCH_STRIDE; i++) {
		if (py_search_some())
			break;
	}
	if (py_thread_is_self(w)) {
		found.state = w->thread;
		/* Not this one: it may go after the call, and the next search would not end. */
		found.head = w->known ?: py_next_thread(w);
		w->frame = py_first_frame(w);
	} else if (w->known == found.head) {
		return false;
	}
	bpf_map_update_elem(&py_threads, &tid, &found, BPF_ANY);
	return w->frame;
}

/* --- the frames ------------------------------------------------------------------------------- */

/* Brings the frame into the window: the page around it, where frames lie side by side; else, or
 * where it crosses the page's end, the frame alone. The offset in the window, or a negative. */
static __always_inline long py_load_frame(struct py_walk *w)
{
	u64 page = w->frame & ~(u64)(PY_WINDOW - 1), at = w->frame - w->base;

	if (w->frame >= w->base && at + PY_FRAME_LEN <= w->len)
		return at;
	if (w->python.instr_bytes == 8 && w->frame + PY_FRAME_LEN <= page + PY_WINDOW &&
	    !bpf_probe_read_user(w->window, PY_WINDOW, (const void *)page)) {
		w->base = page;
		w->len = PY_WINDOW;
	} else {
		if (bpf_probe_read_user(w->window, PY_FRAME_LEN, (const void *)w->frame))
			return -1;
		w->base = w->frame;
		w->len = PY_FRAME_LEN;
	}
	return w->frame - w->base;
}

__noinline int py_frame_step(void)
{
	struct py_walk *w = py_scratch();
	struct churn_py_frame *out;
	u64 code_at, instr_at, previous_at, owner_at, nr;
	u8 *frame;
	long at;

	if (!w || !w->frame)
		return 1;
	nr = w->stack.nr;
	if (nr >= CHURN_MAX_PY_FRAMES) {
		w->stack.truncated = 1;
		return 1;
	}
	at = py_load_frame(w);
	code_at = w->python.frame_code;
	instr_at = w->python.frame_instr;
	previous_at = w->python.frame_previous;
	owner_at = w->python.frame_owner;
	if (at < 0 || at > PY_WINDOW - PY_FRAME_LEN || code_at > PY_FRAME_LIMIT ||
	    instr_at > PY_FRAME_LIMIT || previous_at > PY_FRAME_LIMIT)
		return 1;
	frame = w->window + at;
	/* FRAME_OWNED_BY_CSTACK and its like, since 3.12: the interpreter's own, without code. */
	if (owner_at > PY_FRAME_LIMIT || frame[owner_at] < 3) {
		out = &w->stack.frames[nr & (CHURN_MAX_PY_FRAMES - 1)];
		out->frame = w->frame;
		out->code = *(u64 *)(frame + code_at) & ~(u64)w->python.code_tag;
		out->content = 0;
		out->instr = *(u64 *)(frame + instr_at);
		if (w->python.instr_bytes == 4)
			out->instr = (u32)out->instr;
		w->stack.nr = nr + 1;
	}
	w->frame = *(u64 *)(frame + previous_at);
	return 0;
}

/* Frame addresses are left out: the same calls make the same stack in every thread. */
static __always_inline u64 py_stack_hash(const struct py_walk *w, u64 process)
{
	u64 hash = churn_mix(process, w->stack.nr);

	for (u32 i = 0; i < CHURN_MAX_PY_FRAMES && i < w->stack.nr; i++) {
		hash = churn_mix(hash, w->stack.frames[i].code);
		hash = churn_mix(hash, w->stack.frames[i].instr);
	}
	return hash ?: 1;
}

/*
 * Code objects come and go, and another one may stand where one was: then the frames look as
 * before, and are not. So stacks are told apart by what makes each code object this one, too.
 */
static __always_inline u64 py_stack_id(struct py_walk *w)
{
	struct py_identity *p = py_identity_begin(&w->python);
	u64 id = w->hash;

	for (u32 i = 0; p && i < CHURN_MAX_PY_FRAMES && i < w->stack.nr; i++) {
		struct churn_py_frame *f = &w->stack.frames[i];

		/* It is in use, so that it stays what it is meanwhile. */
		if (f->code != p->code)
			py_identify(f->code, false);
		f->content = p->identity;
		id = churn_mix(id, p->identity);
	}
	return id ?: 1;
}

/* Of the same stack: what tells user space that it reads what was there. */
static __always_inline void py_contents(struct py_walk *w)
{
	struct py_identity *p = py_identity_begin(&w->python);

	for (u32 i = 0; p && i < CHURN_MAX_PY_FRAMES && i < w->stack.nr; i++) {
		struct churn_py_frame *f = &w->stack.frames[i];

		/* One that could not be told from others has no name. */
		if (!f->content)
			continue;
		if (f->code != p->code)
			py_identify(f->code, true);
		f->content = p->identity;
	}
}

/*
 * Reads what, while it is as it was, tells that no code object stands where another one stood: our
 * own count, or that of the interpreter. Other interpreters than the main one come and go, and may
 * share memory with it.
 */
__noinline int py_read_generation(void)
{
	struct py_walk *w = py_scratch();
	u64 at, interpreter, generation = 0;
	const u64 *freed;
	u32 len;

	if (!w)
		return -1;
	w->generation = 0;
	if (w->python.generation == CHURN_PY_NONE) {
		freed = bpf_map_lookup_elem(&py_freed, &w->process);
		w->generation = freed ? *freed : 0;
		return 0;
	}
	at = w->python.thread_interpreter;
	len = w->python.generation_len;
	if (at > PY_THREAD_LIMIT || (len != 4 && len != 8))
		return -1;
	interpreter = *(u64 *)(w->state + at);
	if (interpreter - w->python.runtime >= w->python.runtime_len ||
	    bpf_probe_read_user(&generation, sizeof(generation),
				(const void *)(interpreter + w->python.generation)))
		return -1;
	w->generation = len == 8 ? generation + 1 : (u32)generation;
	return 0;
}

/* Sends the stack, with names still to be read. False: lost. */
static __always_inline bool py_send(struct py_walk *w, const struct churn_id *id, u64 stack)
{
	u32 size = w->stack.nr * sizeof(w->stack.frames[0]);

	py_contents(w);
	w->stack.id = stack;
	w->stack.process = *id;
	w->stack.h.ts_ns = bpf_ktime_get_ns();
	w->stack.h.type = CHURN_PY_STACK;
	size = __builtin_offsetof(struct churn_py_stack, frames) + (size & 4095);
	if (size > sizeof(w->stack))
		size = sizeof(w->stack);
	w->stack.h.size = size;
	/* Worth a wake-up: names and lines must be read while the process lives. */
	if (bpf_ringbuf_output(&events, &w->stack, size, wakeup_flags(w->stack.h.ts_ns))) {
		count_lost(CHURN_LOST_RING_STACK);
		return false;
	}
	stack_remember(&w->sent, &w->stack.id, stack, 0);
	return true;
}

/* The id of the stack in w; user space is told what it is. */
static __always_inline void py_name(struct capture *out, struct py_walk *w,
				    const struct churn_id *id)
{
	struct known_stack *known = NULL;

	py_read_generation();
	if (w->generation)
		known = bpf_map_lookup_elem(&known_stacks, &w->hash);
	if (known && known->generation == w->generation) {
		capture_known(out, known);
		return;
	}
	w->id = py_stack_id(w);
	known = bpf_map_lookup_elem(&known_stacks, &w->id);
	if (known) {
		capture_known(out, known);
	} else {
		out->id = w->id;
		out->sampled = true;
		if (!py_send(w, id, w->id))
			return;
	}
	if (w->generation)
		stack_remember(&w->sent, &w->hash, w->id, w->generation);
}

/* False: not a thread that runs Python code. */
static __always_inline bool python_capture(struct capture *out, const struct task_struct *task,
					   const struct churn_id *id, u32 tid, const bool btf)
{
	u64 process = churn_process_key(id);
	const struct churn_python *python = bpf_map_lookup_elem(&pythons, &process);
	struct py_walk *w;

	if (!python)
		return false;
	w = py_scratch();
	if (!w)
		return false;
	w->python = *python;
	w->process = process;
	w->self = THREAD_POINTER(btf, task);
	w->base = 0;
	w->len = 0;
	w->stack.tid = tid;
	w->stack.nr = 0;
	w->stack.truncated = 0;
	if (!py_find_frame(w, tid))
		return false;
	for (u32 i = 0; i < CHURN_MAX_PY_FRAMES + 8; i++) {
		if (py_frame_step())
			break;
	}
	if (!w->stack.nr)
		return false;
	out->whole = !w->stack.truncated;
	w->hash = py_stack_hash(w, process);
	py_name(out, w, id);
	return true;
}

#endif /* CHURN_PYTHON_H */
