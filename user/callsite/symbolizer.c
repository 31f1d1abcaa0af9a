/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/symbolizer.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/array.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/callsite/cfi.h"
#include "user/callsite/code_scan.h"
#include "user/callsite/x86.h"
#include "user/callsite/jit_name.h"
#include "user/callsite/process_maps.h"

#define DEFAULT_FILES	  256
#define DEFAULT_PROCESSES 1024
#define MAX_FRAMES	  1024	       /* inlined ones included */
#define MAX_PERF_BYTES	  (256U << 20) /* of all processes */
/* A pc outside of all mappings asks for a new look; a pc inside may still be in a library that
 * took the place of another one. */
#define FIRST_AGE_NS 1000000ULL
#define MISS_AGE_NS  200000000ULL
#define STALE_AGE_NS 5000000000ULL

static const char jit_module[] = "[jit]";
static const char java_module[] = "[java]";
/* Of what has no name, what one could do about it. */
static const char java_cut[] = "[java: to see callers, run with -XX:+PreserveFramePointer]";
static const char java_unnamed[] = "[java: for names, jcmd PID Compiler.perfmap]";
static const char java_interpreted[] = "[java: still interpreted]";
/* Why nothing of a program is in a stack. JavaScript asks for a connection and returns; later the
 * event loop calls connect(). The frames of the others are not read. */
static const struct reason {
	const char *module; /* base name, a glob */
	const char *text;
} reasons[] = {
	{"node", "[node: from its event loop, caller unknown]"},
	{"nodejs", "[node: from its event loop, caller unknown]"},
	{"libnode.so*", "[node: from its event loop, caller unknown]"},
	{"perl", "[perl: which line is not known]"},
	{"perl5*", "[perl: which line is not known]"},
	{"libperl.so*", "[perl: which line is not known]"},
	{"php", "[php: which line is not known]"},
	{"php[0-9]*", "[php: which line is not known]"},
	{"php-fpm*", "[php: which line is not known]"},
	{"libphp*.so*", "[php: which line is not known]"},
	{"ruby", "[ruby: which line is not known]"},
	{"ruby[0-9]*", "[ruby: which line is not known]"},
	{"libruby*.so*", "[ruby: which line is not known]"},
};

struct symbolizer {
	uint32_t max_processes;
	uint64_t (*code)(void *ctx, const struct churn_id *process);
	void *code_ctx;
	bool said_denied;
	struct file_cache *files;
	struct process_maps *processes; /* least recently used first */
};

/* A stack under construction. */
struct trace_builder {
	struct stack_trace *out;
	uint32_t cap;
};

struct symbolizer *symbolizer__new(const struct symbolizer_options *opts)
{
	struct symbolizer *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->max_processes = opts && opts->max_processes ? opts->max_processes : DEFAULT_PROCESSES;
	s->code = opts ? opts->code : NULL;
	s->code_ctx = opts ? opts->ctx : NULL;
	s->files = file_cache__new(opts && opts->max_files ? opts->max_files : DEFAULT_FILES);
	if (!s->files) {
		free(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

static void drop_process(struct symbolizer *s, struct process_maps *p)
{
	HASH_DEL(s->processes, p);
	process_maps__free(p);
}

void symbolizer__free(struct symbolizer *s)
{
	struct process_maps *p, *next;

	if (!s)
		return;
	HASH_ITER (hh, s->processes, p, next)
		drop_process(s, p);
	file_cache__free(s->files);
	free(s);
}

static struct process_maps *find_process(struct symbolizer *s, const struct churn_id *id)
{
	struct process_maps *p;

	HASH_FIND(hh, s->processes, id, sizeof(*id), p);
	if (!p)
		return NULL;
	/* The hash keeps the order of insertion: to the end with it. */
	HASH_DEL(s->processes, p);
	HASH_ADD(hh, s->processes, id, sizeof(p->id), p);
	if (p->hh.tbl)
		return p;
	process_maps__free(p);
	return NULL;
}

/*
 * What /proc shows belongs to the latest program of a process. So an earlier one is not looked up
 * any more once a later one is known.
 */
static bool superseded(struct symbolizer *s, const struct churn_id *id)
{
	struct process_maps *p, *next;

	HASH_ITER (hh, s->processes, p, next) {
		int32_t later = (int32_t)(p->id.exec_id - id->exec_id);

		if (p->id.tgid != id->tgid || p->id.start_ns != id->start_ns || !later)
			continue;
		if (later > 0)
			return true;
		p->gone = true;
	}
	return false;
}

/* Once: the report counts how often. */
static void say_denied(struct symbolizer *s, const struct churn_id *process, bool denied)
{
	if (s->said_denied || !denied)
		return;
	s->said_denied = true;
	log_warn("pid %u: may not be read (needs CAP_SYS_PTRACE): such processes lack call sites",
		 process->tgid);
}

int symbolizer__prepare(struct symbolizer *s, const struct churn_id *process)
{
	struct process_maps *p;
	int err;

	if (find_process(s, process))
		return 0;
	if (superseded(s, process))
		return -ESRCH;
	p = process_maps__new(process, s->files);
	if (!p) {
		err = -errno;
		say_denied(s, process, err == -EACCES || err == -EPERM);
		return err;
	}
	say_denied(s, process, p->denied);
	HASH_ADD(hh, s->processes, id, sizeof(p->id), p);
	if (!p->hh.tbl) {
		process_maps__free(p);
		return -ENOMEM;
	}
	if (HASH_COUNT(s->processes) > s->max_processes)
		drop_process(s, s->processes);
	return 0;
}

/* Mappings that are newer than the stacks they are read for say nothing about them. */
static void refresh(struct symbolizer *s, struct process_maps *p, uint64_t age_ns)
{
	uint64_t now;

	process_maps__refresh(p, s->files, age_ns);
	now = s->code && p->code ? s->code(s->code_ctx, &p->id) : 0;
	if (now && now != p->code)
		maps__clear(&p->maps);
}

/* False: the stack is older than what is known by now, so its addresses say nothing. */
static bool see_code(struct symbolizer *s, struct process_maps *p, uint64_t code)
{
	bool first = !p->code;

	if (p->code == code)
		return true;
	if ((int64_t)(code - p->code) < 0)
		return false;
	p->code = code;
	/* What was read at the start of a program lacks the libraries that it loads next. */
	refresh(s, p, first ? FIRST_AGE_NS : 0);
	if (!first && p->gone)
		maps__clear(&p->maps);
	return true;
}

void symbolizer__see_code(struct symbolizer *s, const struct churn_id *process, uint64_t code)
{
	struct process_maps *p = symbolizer__prepare(s, process) ? NULL : find_process(s, process);

	if (p)
		see_code(s, p, code);
}

static char *copy_string(const char *from, bool *failed)
{
	char *to = from ? strdup(from) : NULL;

	if (from && !to)
		*failed = true;
	return to;
}

/* Appends a frame with strings of its own. 0 or -ENOMEM. */
static int add_frame(struct trace_builder *b, const struct frame *f)
{
	struct stack_trace *out = b->out;
	bool failed = false;
	struct frame *to;

	if (out->nr == MAX_FRAMES) {
		out->truncated = true;
		return 0;
	}
	if (out->nr == b->cap) {
		uint32_t cap = b->cap ? b->cap * 2 : 32;
		struct frame *frames = realloc(out->frames, cap * sizeof(*frames));

		if (!frames)
			return -ENOMEM;
		out->frames = frames;
		b->cap = cap;
	}
	to = &out->frames[out->nr++];
	*to = *f;
	to->function = copy_string(f->function, &failed);
	to->file = copy_string(f->file, &failed);
	to->module = copy_string(f->module, &failed);
	return failed ? -ENOMEM : 0;
}

static int add_elf_frames(struct trace_builder *b, struct elf_file *file, uint64_t lookup,
			  struct frame *f)
{
	const struct location *at;
	uint32_t nr;
	int err = 0;

	at = elf_file__resolve(file, lookup, &nr);
	if (!nr)
		return add_frame(b, f);
	for (uint32_t i = 0; i < nr && !err; i++) {
		f->function = at[i].function;
		f->file = at[i].file;
		f->line = at[i].line;
		f->inlined = at[i].inlined;
		err = add_frame(b, f);
	}
	return err;
}

static bool is_generated(const struct mapping *m)
{
	return !m->inode && !m->path;
}

static int add_jit_frame(struct trace_builder *b, const char *name, bool java, struct frame *f)
{
	struct location at;
	int err;

	err = java ? jit_name__parse_java(name, &at) : jit_name__parse(name, &at);
	if (err)
		return err;
	f->module = (char *)(java ? java_module : jit_module);
	f->function = at.function;
	f->file = at.file;
	f->line = at.line;
	err = add_frame(b, f);
	location__clear(&at);
	return err;
}

/* The interpreter is one piece of code for all methods. */
static int add_java_frame(struct trace_builder *b, const struct process_maps *p, const char *name,
			  struct frame *f)
{
	bool interpreted = name && !strcmp(name, "Interpreter");

	if (name && !interpreted)
		return add_jit_frame(b, name, true, f);
	f->module = (char *)(p->generator == GENERATOR_JAVA ? java_cut
			     : p->perf_map.nr		    ? java_interpreted
							    : java_unnamed);
	return add_frame(b, f);
}

/* `p` may be NULL. */
static struct mapping *find_mapping(struct symbolizer *s, struct process_maps *p, uint64_t addr)
{
	struct mapping *m = p ? maps__find(&p->maps, addr) : NULL;

	if (p && !m) {
		refresh(s, p, MISS_AGE_NS);
		m = maps__find(&p->maps, addr);
	}
	return m;
}

/* A return address may be the first byte after a function that never returns: one before it is
 * inside the call. */
static int add_pc(struct symbolizer *s, struct process_maps *p, struct trace_builder *b,
		  uint64_t pc, bool return_address)
{
	uint64_t lookup = return_address && pc ? pc - 1 : pc;
	struct frame f = {.pc = pc};
	struct elf_file *file;
	const char *name;
	struct mapping *m;

	m = find_mapping(s, p, lookup);
	if (!m)
		return add_frame(b, &f);
	file = process_maps__file(p, s->files, m);
	if (file) {
		f.module = m->path;
		f.offset = pc - m->start + m->offset;
		return add_elf_frames(b, file, lookup - m->start + m->offset, &f);
	}
	name = process_maps__jit_name(p, lookup);
	if (is_generated(m) && process_maps__generator(p, s->files))
		return add_java_frame(b, p, name, &f);
	if (name)
		return add_jit_frame(b, name, false, &f);
	if (m->inode) {
		f.module = m->path;
		f.offset = pc - m->start + m->offset;
	} else {
		/* Executable memory without a file is generated code, but for the vdso. */
		f.module = m->path && m->path[0] == '[' ? m->path : (char *)jit_module;
	}
	return add_frame(b, &f);
}

/* The memory of perf maps is bounded over all processes; those not used for long lose theirs. */
static void trim_perf_maps(struct symbolizer *s)
{
	struct process_maps *p, *next;
	size_t sum = 0;

	HASH_ITER (hh, s->processes, p, next)
		sum += perf_map__bytes(&p->perf_map);
	HASH_ITER (hh, s->processes, p, next) {
		if (sum <= MAX_PERF_BYTES)
			break;
		sum -= perf_map__bytes(&p->perf_map);
		perf_map__clear(&p->perf_map);
	}
}

/* The executable may only load the library that is the interpreter. */
static bool starts_python(const struct process_maps *p)
{
	const char *exe = p->maps.nr ? p->maps.at[0].path : NULL;

	return exe && !strncmp(text_base_name(exe), "python", 6);
}

int symbolizer__find_python(struct symbolizer *s, const struct churn_id *process,
			    uint64_t max_age_ns, struct churn_python *out)
{
	int err = symbolizer__prepare(s, process);
	struct process_maps *p = err ? NULL : find_process(s, process);
	struct python *python;

	if (err)
		return err;
	if (!p)
		return -ENOMEM;
	python = process_maps__python(p, s->files);
	if (!python) {
		refresh(s, p, max_age_ns);
		python = process_maps__python(p, s->files);
	}
	say_denied(s, process, p->denied);
	if (!python)
		return starts_python(p) ? -EAGAIN : -ENOENT;
	*out = *python__walk(python);
	return 0;
}

int symbolizer__resolve_python(struct symbolizer *s, const struct churn_py_stack *stack,
			       struct stack_trace *out)
{
	uint32_t nr = stack->nr < CHURN_MAX_PY_FRAMES ? stack->nr : CHURN_MAX_PY_FRAMES;
	struct process_maps *p = find_process(s, &stack->process);

	*out = (struct stack_trace){
		.id = stack->id,
		.process = stack->process,
		.truncated = stack->truncated,
		.language = "python",
		.frames = calloc(nr ? nr : 1, sizeof(*out->frames)),
	};
	if (!out->frames)
		return -ENOMEM;
	out->nr = nr;
	for (uint32_t i = 0; i < nr && p && p->python; i++)
		python__resolve(p->python, &stack->frames[i], &out->frames[i]);
	return 0;
}

bool symbolizer__freeing(struct symbolizer *s, const struct churn_id *process,
			 struct python_freeing *out)
{
	struct process_maps *p = find_process(s, process);

	return p && process_maps__freeing(p, out);
}

static const char *reason_of(const struct frame *f)
{
	const char *name = f->module ? text_base_name(f->module) : "";

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (!fnmatch(reasons[i].module, name, 0))
			return reasons[i].text;
	}
	return NULL;
}

/* Says why a stack has no call site, where that is known. 0 or -ENOMEM. */
static int add_reason(struct trace_builder *b)
{
	if (stack_trace__application_frame(b->out, NULL, 0) >= 0)
		return 0;
	for (uint32_t i = 0; i < b->out->nr; i++) {
		struct frame f = {.module = (char *)reason_of(&b->out->frames[i])};

		if (f.module)
			return add_frame(b, &f);
	}
	return 0;
}

static const char *language_of(const struct stack_trace *t)
{
	int i = stack_trace__application_frame(t, NULL, 0);
	const struct frame *f = i < 0 ? NULL : &t->frames[i];
	const char *suffix = f && f->file ? strrchr(f->file, '.') : NULL;

	if (f && f->module && !strncmp(f->module, "[java", 5))
		return "java";
	if (f && f->module && !strncmp(f->module, "[node", 5))
		return "nodejs";
	if (f && f->function && f->module && !strcmp(f->module, jit_module))
		return "jit";
	return suffix && !strcmp(suffix, ".go") ? "go" : "native";
}

int symbolizer__resolve(struct symbolizer *s, const struct churn_stack *stack,
			struct stack_trace *out)
{
	uint32_t nr = stack->nr < CHURN_MAX_FRAMES ? stack->nr : CHURN_MAX_FRAMES;
	struct trace_builder b = {.out = out};
	struct process_maps *p;
	int err = 0;

	*out = (struct stack_trace){
		.id = stack->id,
		.process = stack->process,
		.truncated = stack->truncated,
	};
	/* Of a process that has gone unseen only the addresses are known. */
	symbolizer__prepare(s, &stack->process);
	p = find_process(s, &stack->process);
	if (p && see_code(s, p, stack->code))
		refresh(s, p, STALE_AGE_NS);
	else
		p = NULL;
	for (uint32_t i = 0; i < nr && !err; i++)
		err = add_pc(s, p, &b, stack->pc[i], i > 0);
	if (!err)
		err = add_reason(&b);
	if (err) {
		stack_trace__clear(out);
		return err;
	}
	out->language = language_of(out);
	file_cache__trim(s->files);
	trim_perf_maps(s);
	return 0;
}

/* The mapping of an address and the ELF file behind it, if there is one. 0 or -errno as
 * symbolizer__cfi(). */
static int find_code(struct symbolizer *s, const struct churn_id *process, uint64_t addr,
		     struct process_maps **p, struct mapping **m, struct elf_file **file)
{
	int err = symbolizer__prepare(s, process);

	if (err)
		return err;
	*p = find_process(s, process);
	if (!*p)
		return -ENOMEM;
	*m = find_mapping(s, *p, addr);
	if (!*m)
		return -EFAULT;
	*file = (*m)->inode ? process_maps__file(*p, s->files, *m) : NULL;
	return 0;
}

int symbolizer__cfi(struct symbolizer *s, const struct churn_id *process, uint64_t pc,
		    bool return_address, struct churn_rule *out)
{
	uint64_t lookup = return_address && pc ? pc - 1 : pc;
	struct process_maps *p;
	struct elf_file *file;
	struct mapping *m;
	int err;

	*out = (struct churn_rule){};
	err = find_code(s, process, lookup, &p, &m, &file);
	if (err)
		return err;
	/* Without them, what stands in the register belongs to some frame further out. */
	if (is_generated(m) && process_maps__generator(p, s->files) == GENERATOR_JAVA)
		return -ENOTSUP;
	if (!m->inode)
		return -ENOENT;
	return file ? cfi__find(file, lookup - m->start + m->offset, out) : -ENODATA;
}

int symbolizer__guess(struct symbolizer *s, const struct churn_id *process, uint64_t pc,
		      bool return_address, struct churn_rule *out)
{
	struct process_maps *p;
	struct elf_file *file;
	struct mapping *m;
	int err = find_code(s, process, pc, &p, &m, &file);

	*out = (struct churn_rule){};
	if (err || !file)
		return -ENODATA;
	return cfi__guess(file, pc - m->start + m->offset, return_address, out);
}

bool symbolizer__may_return(struct symbolizer *s, const struct churn_id *process, uint64_t pc)
{
	uint8_t bytes[X86_MAX_LEN];
	struct process_maps *p;
	struct elf_file *file;
	struct mapping *m;
	size_t len;
	uint64_t addr;

	/* The call may be the last instruction of its mapping. */
	if (!pc || find_code(s, process, pc - 1, &p, &m, &file))
		return false;
	len = pc - m->start < sizeof(bytes) ? pc - m->start : sizeof(bytes);
	if (!m->inode)
		return true;
	return file && elf_file__address(file, pc - len - m->start + m->offset, &addr) &&
	       elf_file__read_code(file, addr, bytes, len) == len &&
	       code_scan__follows_call(bytes, len);
}
