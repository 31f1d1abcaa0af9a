/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/tcpchurn.skel.h"
#include "user/base/array.h"
#include "user/base/log.h"
#include "user/source/bpf_log.h"
#include "user/source/configure.h"
#include "user/source/hooks.h"
#include "user/source/lanes.h"
#include "user/source/machine.h"
#include "user/source/netns.h"
#include "user/source/privilege.h"
#include "user/source/prober.h"

#ifdef __x86_64__
#define UNWINDS true
#else
#define UNWINDS false /* user/callsite/cfi.c knows the registers of x86-64 */
#endif
#define BTF_PATH "/sys/kernel/btf/vmlinux"

struct loader {
	const struct live_options *opts;
	struct tcpchurn *skel;
	struct prober *prober;
	struct plan plan;
	int nr_cpus;	    /* that are possible */
	int nr_online_cpus; /* with a lane: a CPU that comes later does without */
	struct lanes_memory lanes;
	size_t mapped;	    /* bytes of lanes.memory */
	bool is_since_5_12; /* prober__is_since_5_12() */
	bool is_since_7;    /* a tracepoint's programs may be preempted: bpf/preempt.h */
	bool user_memory;   /* programs may read the memory of processes */
};

/* --- the plan --------------------------------------------------------------------------------- */

static bool flavour_has(const struct plan_flavour *f, const char *program)
{
	for (int i = 0; f && i < PLAN_MAX_PROGRAMS && f->programs[i].name; i++) {
		if (strcmp(f->programs[i].name, program) == 0)
			return true;
	}
	return false;
}

static const struct plan_flavour *chosen(const struct plan *p, size_t hook)
{
	return p->at[hook].flavour < 0 || !p->at[hook].wanted
		       ? NULL
		       : &hooks[hook].flavours[p->at[hook].flavour];
}

static bool plan_has(const struct plan *p, enum attach_by by)
{
	for (size_t i = 0; i < HOOK__COUNT; i++) {
		const struct plan_flavour *f = chosen(p, i);

		for (int j = 0; f && j < PLAN_MAX_PROGRAMS && f->programs[j].name; j++) {
			if (f->programs[j].by == by)
				return true;
		}
	}
	return false;
}

static int configure_for(const struct loader *l, struct tcpchurn *skel,
			 const struct plan_flavour *state)
{
	return configure(skel, &(struct configuration){
				       .opts = l->opts,
				       .nr_cpus = l->nr_cpus,
				       .nr_online_cpus = l->nr_online_cpus,
				       .user_memory = l->user_memory,
				       .plain = state && state->programs[0].by == BY_RAW_TP,
				       .accepts = chosen(&l->plan, HOOK_ACCEPT) != NULL,
				       .kretprobes = plan_has(&l->plan, BY_KRETPROBE),
				       .uprobes = plan_has(&l->plan, BY_UPROBE),
			       });
}

/* --- load and attach -------------------------------------------------------------------------- */

/* Whether a program belongs to what is loaded: one flavour, or else the whole plan. */
static bool program_used(const struct loader *l, const struct plan_flavour *only,
			 const char *program)
{
	if (only)
		return flavour_has(only, program);
	for (size_t i = 0; i < HOOK__COUNT; i++) {
		if (flavour_has(chosen(&l->plan, i), program))
			return true;
	}
	return false;
}

static struct bpf_link *attach_program(struct tcpchurn *skel, struct bpf_program *prog)
{
	union bpf_iter_link_info map = {.map.map_fd = bpf_map__fd(skel->maps.conn_states)};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &map, .link_info_len = sizeof(map));

	return prog == skel->progs.unaccepted_sweep ? bpf_program__attach_iter(prog, &opts)
						    : bpf_program__attach(prog);
}

/* Opens, loads and attaches the plan, or one flavour by itself. NULL with errno set. */
static struct tcpchurn *attach(const struct loader *l, const struct plan_flavour *only)
{
	struct tcpchurn *skel = tcpchurn__open();
	const struct bpf_object_skeleton *s;
	int err = skel ? 0 : -errno;

	if (!err)
		err = configure_for(l, skel, only ?: chosen(&l->plan, HOOK_STATE));
	s = skel ? skel->skeleton : NULL;
	for (int i = 0; !err && i < s->prog_cnt; i++)
		err = bpf_program__set_autoload(*s->progs[i].prog,
						program_used(l, only, s->progs[i].name));
	if (!err)
		err = tcpchurn__load(skel);
	for (int i = 0; !err && i < s->prog_cnt; i++) {
		/* To a file that is not known yet: loader__freed(). */
		if (!bpf_program__autoload(*s->progs[i].prog) ||
		    *s->progs[i].prog == skel->progs.code_freed)
			continue;
		*s->progs[i].link = attach_program(skel, *s->progs[i].prog);
		err = *s->progs[i].link ? 0 : -errno;
	}
	if (!err)
		return skel;
	tcpchurn__destroy(skel);
	errno = -err;
	return NULL;
}

static int kernel_nr_args(void *ctx, const char *function)
{
	const struct loader *l = ctx;

	return prober__nr_args(l->prober, function);
}

static void log_failure(const struct plan_flavour *f, int error)
{
	log_debug("%s: cannot attach %s: %s", f->programs[0].target, f->name,
		  hook_why(f->programs[0].by, error));
}

/* With programs that do nothing; of tracepoints the best. */
static int try_quickly(void *ctx, const struct plan_flavour *f)
{
	const struct loader *l = ctx;
	int error = f->since_5_12 && !l->is_since_5_12 ? EOPNOTSUPP : 0;

	for (int i = 0; !error && i < PLAN_MAX_PROGRAMS && f->programs[i].name; i++)
		error = prober__try(l->prober, f->programs[i].by, f->programs[i].target);
	if (error)
		log_failure(f, error);
	return error;
}

/* Loading proves nothing: what counts is what attaches, each flavour by itself. */
static int try_really(void *ctx, const struct plan_flavour *f)
{
	struct tcpchurn *skel = attach(ctx, f);
	int error = errno;

	if (!skel) {
		log_failure(f, error);
		return error;
	}
	tcpchurn__destroy(skel);
	return 0;
}

static void say_missing(const struct loader *l)
{
	const struct plan_choice *c = &l->plan.at[l->plan.missing];
	const struct plan_hook *h = &hooks[l->plan.missing];
	int i = 0;

	while (i < PLAN_MAX_FLAVOURS - 1 && !c->error[i])
		i++;
	if (!c->error[i])
		log_error("%s: --attach leaves no flavour of it", h->name);
	else
		log_error("%s: cannot attach %s: %s%s", h->name, h->flavours[i].name,
			  hook_why(h->flavours[i].programs[0].by, c->error[i]),
			  l->opts->attach == ATTACH_AUTO ? "" : " (flavour forced by --attach)");
}

/* What is easily found out comes first; only when that was not enough is every program tried. */
static int load(struct loader *l)
{
	static int (*const tries[])(void *ctx, const struct plan_flavour *f) = {try_quickly,
										try_really};
	const struct plan_request request = {
		.attach = l->opts->attach,
		.targets = l->opts->filter->nr_pids > 0,
		.command = l->opts->command > 0,
		.stacks = l->opts->stacks && l->user_memory,
		.costly = (l->opts->bind_failures ? 1u << HOOK_BIND : 0) |
			  (l->opts->accepts ? 1u << HOOK_ACCEPT : 0),
	};
	int err = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(tries) && !l->skel; i++) {
		const struct plan_kernel kernel = {
			.ctx = l,
			.since_7 = l->is_since_7,
			.nr_args = kernel_nr_args,
			.try = tries[i],
		};

		plan__make(&l->plan, hooks, HOOK__COUNT, &request, &kernel);
		if (l->opts->plan)
			*l->opts->plan = l->plan;
		if (l->plan.missing >= 0) {
			say_missing(l);
			return -ENOTSUP;
		}
		l->skel = attach(l, NULL);
		err = l->skel ? 0 : -errno;
	}
	/* It holds the kernel's BTF, which is large. */
	prober__free(l->prober);
	l->prober = NULL;
	return err;
}

static int map_lanes(struct loader *l)
{
	uint32_t size = l->skel->rodata->cfg_lane_size,
		 nr = l->nr_online_cpus * l->skel->rodata->cfg_lanes;
	size_t page = sysconf(_SC_PAGESIZE);
	void *memory;

	l->mapped = (nr * lanes__stride(size) + page - 1) & ~(page - 1);
	memory = mmap(NULL, l->mapped, PROT_READ | PROT_WRITE, MAP_SHARED,
		      bpf_map__fd(l->skel->maps.lanes), 0);
	if (memory == MAP_FAILED)
		return -errno;
	l->lanes = (struct lanes_memory){.memory = memory, .nr = nr, .size = size};
	return 0;
}

static int add_targets(const struct loader *l)
{
	const struct live_options *opts = l->opts;
	int fd = bpf_map__fd(l->skel->maps.targets), err = 0;
	uint32_t command = opts->command;
	uint8_t one = 1;

	for (uint32_t i = 0; !err && i < opts->filter->nr_pids; i++)
		err = bpf_map_update_elem(fd, &opts->filter->pids[i], &one, BPF_ANY);
	if (!err && opts->command > 0)
		err = bpf_map_update_elem(fd, &command, &one, BPF_ANY);
	return err;
}

struct loader *loader__open(const struct live_options *opts)
{
	struct loader *l;
	char missing[64];
	int err;

	err = privilege_check_tracing(missing, sizeof(missing));
	if (err) {
		log_error("not privileged: missing %s (run as root)", missing);
		errno = EPERM;
		return NULL;
	}
	if (access(BTF_PATH, R_OK)) {
		log_error(BTF_PATH ": %s: the kernel has no BTF (CONFIG_DEBUG_INFO_BTF), which "
				   "tcpchurn needs",
			  strerror(errno));
		errno = ENOTSUP;
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->opts = opts;
	l->nr_cpus = libbpf_num_possible_cpus();
	l->nr_online_cpus = machine_nr_cpus();
	bpf_log_to_debug();
	l->user_memory = UNWINDS && prober__reads_memory();
	l->prober = prober__new();
	err = l->prober ? 0 : -errno;
	if (!err) {
		l->is_since_5_12 = prober__is_since_5_12(l->prober);
		l->is_since_7 = machine_is_since(7, 0); /* nothing else tells */
		err = load(l);
	}
	if (!err && !l->user_memory)
		log_warn("no call sites: %s",
			 UNWINDS ? "the kernel does not let programs read memory "
				   "(lockdown=confidentiality)"
				 : "stacks are unwound on x86-64 only");
	if (!err)
		err = map_lanes(l);
	if (!err)
		err = add_targets(l);
	if (err) {
		if (err != -ENOTSUP)
			log_error("cannot load the BPF programs: %s", strerror(-err));
		loader__free(l);
		errno = -err;
		return NULL;
	}
	return l;
}

void loader__free(struct loader *l)
{
	if (!l)
		return;
	if (l->lanes.memory)
		munmap(l->lanes.memory, l->mapped);
	tcpchurn__destroy(l->skel);
	prober__free(l->prober);
	free(l);
}

int loader__ring_fd(const struct loader *l)
{
	return bpf_map__fd(l->skel->maps.events);
}

const struct lanes_memory *loader__lanes(const struct loader *l)
{
	return &l->lanes;
}

/* --- run -------------------------------------------------------------------------------------- */

/* The program writes maps, not text: reading only makes it run. EAGAIN: a million files looked at,
 * and more to come (MAX_ITER_OBJECTS, kernel/bpf/bpf_iter.c). */
static int run_iterator(const struct bpf_link *iterator)
{
	char discard[64];
	int fd, err = 0;
	ssize_t n;

	fd = bpf_iter_create(bpf_link__fd(iterator));
	if (fd < 0)
		return -errno;
	do
		n = read(fd, discard, sizeof(discard));
	while (n > 0 || (n < 0 && errno == EAGAIN));
	if (n < 0)
		err = -errno;
	close(fd);
	return err;
}

static int run_census(const struct loader *l, bool meeting)
{
	const struct bpf_link *census =
		l->skel->links.listener_census ?: l->skel->links.listener_census_plain;

	l->skel->bss->meeting = meeting;
	return census ? run_iterator(census) : 0;
}

int loader__meet_pythons(struct loader *l)
{
	return run_census(l, true);
}

int loader__start(struct loader *l)
{
	int err = run_census(l, false);

	l->skel->bss->ready = !err;
	return err;
}

int loader__sweep(struct loader *l, uint64_t before_ns)
{
	if (!l->skel->links.unaccepted_sweep)
		return 0;
	l->skel->bss->held_before_ns = before_ns;
	return run_iterator(l->skel->links.unaccepted_sweep);
}

void loader__stop(struct loader *l)
{
	l->skel->bss->ready = false;
}

/* Of the programs whose names begin so, those that are loaded. */
static uint64_t misses_of(const struct loader *l, const char *prefix)
{
	struct bpf_program *prog;
	uint64_t misses = 0;

	bpf_object__for_each_program(prog, l->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);
		int fd = bpf_program__fd(prog);

		if (fd >= 0 && !strncmp(bpf_program__name(prog), prefix, strlen(prefix)) &&
		    !bpf_obj_get_info_by_fd(fd, &info, &len))
			misses += info.recursion_misses;
	}
	return misses;
}

/*
 * Transitions that the kernel skipped because the program was running on that CPU already. What
 * interrupts the process's program is softirq, which that one would have turned away, and which is
 * seen by the other. Where programs may be preempted, there are other processes to miss as well,
 * and each program knows when it has seen what the other missed (bpf/preempt.h).
 */
static uint64_t recursion_misses(const struct loader *l, uint64_t stood_in)
{
	uint64_t misses = misses_of(l, "softirq_");

	if (l->is_since_7)
		misses += misses_of(l, "process_");
	return misses > stood_in ? misses - stood_in : 0;
}

int loader__read_counters(const struct loader *l, struct loader_counters *out)
{
	struct churn_counters *per_cpu = calloc(l->nr_cpus, sizeof(*per_cpu));
	uint64_t attempts = 0, outcomes = 0, held = 0, unheld = 0, stood_in = 0;
	uint32_t zero = 0;
	int err;

	memset(out, 0, sizeof(*out));
	if (!per_cpu)
		return -ENOMEM;
	err = bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.counters), &zero, per_cpu);
	for (int cpu = 0; !err && cpu < l->nr_cpus; cpu++) {
		for (size_t i = 0; i < CHURN_LOST__COUNT; i++)
			out->lost[i] += per_cpu[cpu].lost[i];
		attempts += per_cpu[cpu].attempts;
		outcomes += per_cpu[cpu].outcomes;
		held += per_cpu[cpu].held;
		unheld += per_cpu[cpu].unheld;
		out->older += per_cpu[cpu].older;
		stood_in += per_cpu[cpu].stood_in;
	}
	free(per_cpu);
	if (err)
		return err;
	out->lost[CHURN_LOST_REENTRY] += recursion_misses(l, stood_in);
	/* The CPUs are not read at one moment: an outcome may be seen before its attempt. */
	out->in_progress = attempts > outcomes ? attempts - outcomes : 0;
	out->unaccepted = held > unheld ? held - unheld : 0;
	return 0;
}

int loader__teach_rule(const struct loader *l, const struct churn_rule_key *key,
		       const struct churn_rule *rule)
{
	return bpf_map_update_elem(bpf_map__fd(l->skel->maps.rules), key, rule, BPF_ANY);
}

int loader__teach_python(const struct loader *l, const struct churn_id *process,
			 const struct churn_python *python)
{
	uint64_t key = churn_process_key(process);

	l->skel->bss->have_python = true;
	return bpf_map_update_elem(bpf_map__fd(l->skel->maps.pythons), &key, python, BPF_ANY);
}

bool loader__freed(const struct loader *l, struct loader_freed *out)
{
	*out = (struct loader_freed){.program = l->skel->progs.code_freed,
				     .counts = bpf_map__fd(l->skel->maps.py_freed)};
	return chosen(&l->plan, HOOK_FREED);
}

uint64_t loader__code(const struct loader *l, const struct churn_id *process)
{
	uint64_t key = churn_process_key(process);
	struct churn_code code;

	if (bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.codes), &key, &code))
		return 0;
	return churn_code_key(key, &code);
}

int loader__allow_copies(const struct loader *l, const struct churn_id *process)
{
	uint64_t key = churn_process_key(process);

	return bpf_map_delete_elem(bpf_map__fd(l->skel->maps.copies), &key);
}
