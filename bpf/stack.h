/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user stack of the current task, walked here without frame pointers, and shipped once for
 * each distinct one; records carry its id.
 *
 * How to get from a frame to its caller is a function of the program counter alone, and the stacks
 * of connect() hold a few hundred distinct ones. So a rule for each comes from user space, which
 * reads the CFI of the ELF files, and is kept. A stack with an unknown counter is shipped as a
 * copy: user space walks that one itself and hands the rules in for the next.
 *
 * A read of user memory costs about 75 ns whatever its size, so the stack is read page by page and
 * walked in the copy. The state of the walk lives in a per-CPU map value, not on the BPF stack:
 * there, the verifier does not multiply it with the loop. Only called in process context, by
 * programs that are not preempted, but for fexit's, which say when the scratch is theirs.
 */
#ifndef CHURN_STACK_H
#define CHURN_STACK_H

#include "bpf/code.h"
#include "bpf/drift.h"
#include "bpf/maps.h"
#include "bpf/process.h"
#include "bpf/python.h"
#include "bpf/stack_id.h"
#include "bpf/walked.h"

#define PAGE_SIZE  4096
#define MAX_COPIES 128 /* of a process, at once */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* those of dead processes go by themselves */
	__uint(max_entries, 32768);
	__type(key, struct churn_rule_key);
	__type(value, struct churn_rule);
} rules SEC(".maps");

/* Copies of a process that user space has not answered yet with what it learnt from one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, u64); /* churn_process_key() */
	__type(value, u32);
} copies SEC(".maps");

#define ASK_NS	  2000000000ULL /* how long copies may ask for a rule that does not come, */
#define ASK_EVERY 256		/* and then one of so many: a library may be known later */

struct asked {
	u64 first_ns;
	u32 nr;
	u32 pad;
};

/* Rules that were missing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct churn_rule_key);
	__type(value, struct asked);
} asked SEC(".maps");

struct unwind {
	u64 process; /* code_key() */
	u64 pc, sp;
	u64 fp;		      /* of this frame, unless it has to be fetched first: */
	u64 fp_slot;	      /* where it was saved, 0: fp is right */
	bool missing;	      /* the rule of pc is not known */
	struct churn_id told; /* a process that user space was told of: mostly the next one, too */
	struct code_seen code;
	u32 walker;	      /* thread that has the scratch and may be preempted, 0: none */
	struct walked walked; /* this walk, to be kept */
	struct known_stack known;
	/* Of the plain programs, which read into their stack and have too little of it: */
	struct capture capture;
	struct churn_conn conn;
	struct churn_stack stack;
	struct churn_py_stack calls;  /* the same frames with their CFAs */
	struct churn_stack_copy copy; /* .bytes is the window that is walked */
	u8 slack[PAGE_SIZE];	      /* for the verifier: a page is read at any offset below LEN */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct unwind);
} unwinds SEC(".maps");

static __always_inline struct unwind *unwind_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&unwinds, &zero);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Extends the window to the end of the next page. 0 or -1: not mapped, or the window is full. */
static __noinline int window_grow(struct unwind *u)
{
	u32 len, n;

	if (!u)
		return -1;
	len = u->copy.len;
	if (len >= CHURN_COPY_LEN)
		return -1;
	n = PAGE_SIZE - ((u->copy.sp + len) & (PAGE_SIZE - 1));
	if (n > PAGE_SIZE)
		return -1;
	if (bpf_probe_read_user(u->copy.bytes + len, n, (const void *)(u->copy.sp + len)))
		return -1;
	len += n;
	u->copy.len = len < CHURN_COPY_LEN ? len : CHURN_COPY_LEN;
	return 0;
}

/* Brings the first `len` bytes above the stack pointer into the window. 0 or -1. */
static __always_inline int window_read(struct unwind *u, u32 len)
{
	if (len > WALKED_SPAN || bpf_probe_read_user(u->copy.bytes, len, (const void *)u->copy.sp))
		return -1;
	u->copy.len = len;
	return 0;
}

/* A word of the stack: from the window, or by itself where that ends. 0 or -1. */
static __noinline int stack_word(struct unwind *u, u64 addr, u64 *out)
{
	u64 at;

	if (!u || !out)
		return -1;
	at = addr - u->copy.sp;
	if (addr >= u->copy.sp && at <= CHURN_COPY_LEN - 8) {
		if (at + 8 > u->copy.len && window_grow(u))
			goto unreadable;
		if (at + 8 <= u->copy.len) {
			*out = *(u64 *)(u->copy.bytes + at);
			walked_note(&u->walked, at, *out);
			return 0;
		}
	}
	walked_spoil(&u->walked);
	return bpf_probe_read_user(out, sizeof(*out), (const void *)addr) ? -1 : 0;
unreadable:
	walked_spoil(&u->walked);
	return -1;
}

/* --- the walk --------------------------------------------------------------------------------- */

/* The frame pointer is fetched only when a rule needs it. */
static __always_inline int frame_pointer(struct unwind *u, u64 *fp)
{
	if (u->fp_slot) {
		if (stack_word(u, u->fp_slot, fp))
			return -1;
		u->fp = *fp;
		u->fp_slot = 0;
	} else {
		u->walked.fp_used = 1;
	}
	*fp = u->fp;
	return 0;
}

static __always_inline int signal_frame(struct unwind *u)
{
	u64 sp = u->sp, fp = 0, pc = 0, old = 0;

	if (stack_word(u, sp + SIGFRAME_FP, &fp) || stack_word(u, sp + SIGFRAME_SP, &old) ||
	    stack_word(u, sp + SIGFRAME_PC, &pc))
		return -1;
	u->fp = fp;
	u->fp_slot = 0;
	u->sp = old;
	u->pc = pc;
	return 0;
}

/* From one frame to its caller; 1 ends the loop. Global, as all steps of loops: it is verified once
 * and by itself. (bpf_loop() would do the same, but only since 5.17.) */
__noinline int unwind_step(void)
{
	struct unwind *u = unwind_scratch();
	struct churn_rule_key key = {};
	const struct churn_rule *rule;
	u64 cfa = 0, fp = 0, pc = 0;
	u32 nr;

	if (!u)
		return 1;
	nr = u->stack.nr;
	if (nr >= CHURN_MAX_FRAMES) {
		u->stack.truncated = 1;
		return 1;
	}
	u->stack.pc[nr] = u->pc;
	u->stack.nr = nr + 1;

	key.pc = u->pc;
	key.code = u->process;
	rule = bpf_map_lookup_elem(&rules, &key);
	if (!rule) {
		u->missing = true;
		return 1;
	}
	switch (rule->kind) {
	case CHURN_RULE_SP:
		cfa = u->sp + rule->cfa_off;
		break;
	case CHURN_RULE_FP:
	case CHURN_RULE_FP_DEREF:
		if (frame_pointer(u, &fp))
			return 1;
		cfa = fp + rule->cfa_off;
		if (rule->kind == CHURN_RULE_FP_DEREF && stack_word(u, cfa, &cfa))
			return 1;
		break;
	case CHURN_RULE_PLT:
		cfa = u->sp + ((s32)(u->pc & 15) >= rule->cfa_off ? 16 : 8);
		break;
	case CHURN_RULE_SIGNAL:
		return signal_frame(u) ? 1 : 0;
	default:
		return 1;
	}
	/* A caller's frame lies above; anything else is a loop or garbage. */
	if (cfa <= u->sp || stack_word(u, cfa - 8, &pc) || !pc)
		return 1;
	if (nr < CHURN_MAX_PY_FRAMES) {
		struct churn_py_frame *call = &u->calls.frames[nr & (CHURN_MAX_PY_FRAMES - 1)];

		call->frame = cfa;
		call->code = 0;
		call->instr = u->pc;
		call->content = 0;
		u->calls.nr = nr + 1;
	}
	if (rule->fp_slot == CHURN_FP_LOST) {
		u->fp = 0;
		u->fp_slot = 0;
	} else if (rule->kind == CHURN_RULE_FP_DEREF) {
		u->fp_slot = fp + rule->fp_slot;
	} else if (rule->fp_slot != CHURN_FP_SAME) {
		u->fp_slot = cfa + rule->fp_slot;
	}
	u->sp = cfa;
	u->pc = pc;
	return 0;
}

static __always_inline u64 stack_hash(const struct unwind *u)
{
	u64 hash = churn_mix(u->process, u->stack.nr);

	for (u32 i = 0; i < CHURN_MAX_FRAMES && i < u->stack.nr; i++)
		hash = churn_mix(hash, u->stack.pc[i]);
	return hash ?: 1;
}

/* Not before all the first opens of the stack are sampled. */
static __always_inline void walk_keep(struct unwind *u, u64 id, u32 seen, bool sampled)
{
	struct walked *place;

	if (u->walked.nr > WALKED_WORDS || seen < SAMPLE_ALL || (seen % WALKED_EVERY && !sampled))
		return;
	u->walked.id = id;
	u->walked.repeats = sample_every(seen) - 1;
	u->walked.left = u->walked.repeats;
	place = walked_place(&u->walked);
	if (place)
		*place = u->walked;
}

/* True: this stack has been walked before, and nothing of it will be looked at but its id. */
static __always_inline bool walk_again(struct capture *out, struct unwind *u)
{
	struct walked *w = walked_place(&u->walked);

	if (!w || !walked_begins(w, &u->walked) || window_read(u, w->span) ||
	    !walked_same(w, u->copy.bytes))
		return false;
	if (!w->left) {
		out->sampled = true;
		out->repeats = w->repeats;
		return false;
	}
	w->left--;
	out->id = w->id;
	return true;
}

/* Sends the stack as it was found, unless user space has it. */
static __always_inline void stack_send(struct capture *out, struct unwind *u)
{
	u32 size = u->stack.nr * sizeof(u->stack.pc[0]);
	struct known_stack *known;
	u64 id = stack_hash(u);

	u->stack.id = id;
	known = bpf_map_lookup_elem(&known_stacks, &u->stack.id);
	if (known) {
		capture_known(out, known);
		walk_keep(u, id, known->nr, out->sampled);
		return;
	}
	out->id = id;
	out->sampled = true;
	u->stack.h.ts_ns = bpf_ktime_get_ns();
	u->stack.h.type = CHURN_STACK;
	/* The mask tells the verifier what the walk keeps to. */
	size = __builtin_offsetof(struct churn_stack, pc) + (size & 1023);
	u->stack.h.size = size;
	if (bpf_ringbuf_output(&events, &u->stack, size, BPF_RB_NO_WAKEUP))
		count_lost(CHURN_LOST_RING_STACK);
	else
		stack_remember(&u->known, &u->stack.id, id, 0);
}

__noinline int copy_step(void)
{
	return window_grow(unwind_scratch()) ? 1 : 0;
}

/*
 * Until the first answer, a burst of connections would send thousands of copies of one stack; and
 * copies must not push the records themselves out of the ring.
 */
static __always_inline bool copy_allowed(u64 process)
{
	u32 *nr = bpf_map_lookup_elem(&copies, &process), one = 1;

	/* Counted last: one that is not sent gets no answer, which would take the count back. */
	if ((nr && *nr >= MAX_COPIES) || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >=
						 bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 4)
		return false;
	if (nr)
		__sync_fetch_and_add(nr, 1);
	else
		bpf_map_update_elem(&copies, &process, &one, BPF_ANY);
	return true;
}

/* Whether a copy may still bring the rule that is missing. If not, user space would get no further
 * than the walk here. */
__noinline int copy_wanted(void)
{
	struct unwind *u = unwind_scratch();
	struct churn_rule_key key = {};
	struct asked *a;

	if (!u)
		return 0;
	key.pc = u->pc;
	key.code = u->process;
	a = bpf_map_lookup_elem(&asked, &key);
	if (!a) {
		struct asked first = {.first_ns = bpf_ktime_get_ns()};

		bpf_map_update_elem(&asked, &key, &first, BPF_ANY);
		return 1;
	}
	return bpf_ktime_get_ns() - a->first_ns < ASK_NS || ++a->nr % ASK_EVERY == 0;
}

/* Sends the memory of a stack that could not be walked. Its id is its own. */
static __always_inline u64 stack_send_copy(struct unwind *u)
{
	u64 process = churn_process_key(&u->stack.process), now = bpf_ktime_get_ns(), id;
	struct churn_stack_copy *copy = &u->copy;
	u32 size;

	if (!copy_allowed(process)) {
		count_lost(CHURN_LOST_STACK_COPY);
		return 0;
	}
	for (u32 i = 0; i <= CHURN_COPY_LEN / PAGE_SIZE; i++) {
		if (copy_step())
			break;
	}
	id = churn_mix(churn_mix(u->process, now), u->stack.tid) ?: 1;
	copy->id = id;
	copy->missing = u->pc;
	copy->h.ts_ns = now;
	copy->h.type = CHURN_STACK_COPY;
	size = copy->len;
	if (size > CHURN_COPY_LEN)
		size = CHURN_COPY_LEN;
	size += __builtin_offsetof(struct churn_stack_copy, bytes);
	copy->h.size = size;
	/* Worth a wake-up: until its rules are known, all stacks like this are copied. */
	if (bpf_ringbuf_output(&events, copy, size, wakeup_flags(now))) {
		bpf_map_delete_elem(&copies, &process);
		count_lost(CHURN_LOST_RING_STACK);
		return 0;
	}
	return id;
}

static __always_inline void native_capture(struct capture *out, const struct churn_id *id, u32 tid,
					   bool closing, const bool btf)
{
	struct unwind *u = unwind_scratch();

	if (!u)
		return;
	user_registers(&u->pc, &u->sp, &u->fp);
	u->fp_slot = 0;
	u->missing = false;
	u->process = code_key(&u->code, current_task(btf), id, btf);
	u->stack.process = *id;
	u->stack.code = u->process;
	u->copy.code = u->process;
	u->stack.tid = tid;
	u->stack.nr = 0;
	u->stack.truncated = 0;
	u->calls.tid = tid;
	u->calls.nr = 0;
	u->copy.process = *id;
	u->copy.tid = tid;
	u->copy.len = 0;
	u->copy.pc = u->pc;
	u->copy.sp = u->sp;
	u->copy.fp = u->fp;
	walked_begin(&u->walked, u->process, u->pc, u->sp, u->fp);
	if (!closing && walk_again(out, u))
		return;
	if (!u->copy.len && window_grow(u)) {
		count_lost(CHURN_LOST_STACK_READ);
		return;
	}
	for (u32 i = 0; i <= CHURN_MAX_FRAMES; i++) {
		if (unwind_step())
			break;
	}
	out->whole = !u->missing && u->stack.nr <= CHURN_MAX_PY_FRAMES;
	if (u->missing && copy_wanted()) {
		out->id = stack_send_copy(u);
		return;
	}
	if (u->missing) {
		u->stack.truncated = 1;
		walked_spoil(&u->walked);
	}
	stack_send(out, u);
}

/*
 * The stack of the current task. The frames of an interpreter say more than those of the machine
 * below it, and cost less. `conn` is the connection that it is about, 0 if that is not known;
 * `closing`: it is ending, and was sampled when it was opened.
 */
static __always_inline void stack_capture_in(struct capture *out, const struct churn_id *id,
					     u32 tid, u64 conn, bool closing, const bool btf)
{
	const struct task_struct *task = current_task(btf);
	struct unwind *u = unwind_scratch();
	struct churn_py_stack *calls;
	struct py_walk *w = NULL;

	if (!cfg_stacks || !u || (READ(btf, task, flags) & (PF_KTHREAD | PF_IO_WORKER)))
		return;
	if (u->walker && u->walker != tid) {
		count_lost(CHURN_LOST_STACK_READ);
		return;
	}
	if (have_python && python_capture(out, task, id, tid, btf))
		w = py_scratch();
	else
		native_capture(out, id, tid, closing, btf);
	calls = w ? &w->stack : &u->calls;
	out->sampled = out->sampled && out->whole && conn;
	if (closing ? out->whole : out->sampled)
		calls_emit(calls, id, conn, closing);
}

/* Global functions are verified once, by themselves, and not in each state of each caller. */
__noinline int stack_capture_btf(struct capture *out, const struct churn_id *id, u32 tid, u64 conn,
				 u32 closing)
{
	if (out && id)
		stack_capture_in(out, id, tid, conn, closing, true);
	return 0;
}

/* They take pointers to memory only since 5.12: here these go by the scratch. */
__noinline int stack_capture_plain(u32 tid, u64 conn, u32 closing)
{
	struct unwind *u = unwind_scratch();

	if (u)
		stack_capture_in(&u->capture, &u->stack.process, tid, conn, closing, false);
	return 0;
}

static __always_inline void stack_capture(struct capture *out, const struct churn_id *id, u32 tid,
					  u64 conn, bool closing, const bool btf)
{
	struct unwind *u;

	if (btf) {
		stack_capture_btf(out, id, tid, conn, closing);
		return;
	}
	u = unwind_scratch();
	if (!u)
		return;
	__builtin_memset(&u->capture, 0, sizeof(u->capture));
	u->stack.process = *id;
	stack_capture_plain(tid, conn, closing);
	*out = u->capture;
}

static __always_inline bool scratch_take(struct unwind *u, u32 tid, const bool btf)
{
	if (btf)
		return !__sync_val_compare_and_swap(&u->walker, 0, tid);
	if (u->walker)
		return false;
	u->walker = tid;
	return true;
}

/* The same in a program on a function, which as an fexit may be preempted half way (`btf`; kprobes
 * are not): who walks a stack on this CPU meanwhile leaves the scratch alone, and goes without. Of
 * no connection whose end is looked at. 0: no stack. */
static __always_inline u64 stack_capture_shared(const struct churn_id *id, u32 tid, const bool btf)
{
	struct unwind *u = unwind_scratch();
	struct capture capture = {};

	if (!cfg_stacks || !u)
		return 0;
	if (!scratch_take(u, tid, btf)) {
		count_lost(CHURN_LOST_STACK_READ);
		return 0;
	}
	stack_capture(&capture, id, tid, 0, false, btf);
	u->walker = 0;
	return capture.id;
}

#endif /* CHURN_STACK_H */
