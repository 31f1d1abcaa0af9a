/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bpf/tcpchurn.skel.h"
#include "user/base/log.h"
#include "user/source/bpf_log.h"
#include "user/source/privilege.h"

#define ARRAY_SIZE(a)	  (sizeof(a) / sizeof((a)[0]))
#define CONN_BUCKET_SLOTS 8 /* BUCKET_SLOTS in bpf/table.h */
#define BTF_PATH	  "/sys/kernel/btf/vmlinux"

/* What a hook is loaded for. */
enum purpose {
	FOR_ALL,
	FOR_TARGETS, /* processes that are followed by number */
	FOR_COMMAND, /* a command's descendants */
};

/* One program: a flavour of a hook. Flavours of one hook stand together, the best one first. */
struct flavour {
	const char *hook;
	const char *flavour;
	const char *program;
	const char *what;
	enum attach_flavour choice; /* --attach value that forces it, ATTACH_AUTO: unaffected */
	bool required;		    /* without this hook there is nothing to show */
	enum purpose purpose;
};

static const struct flavour flavours[] = {
	{"inet_sock_set_state", "tp_btf", "process_tp_btf", "opens and closes by processes",
	 ATTACH_TRACEPOINT, true, FOR_ALL},
	{"inet_sock_set_state", "tp", "process_tp", "opens and closes by processes", ATTACH_PLAIN,
	 true, FOR_ALL},
	{"inet_sock_set_state*", "tp_btf", "softirq_tp_btf", "what packets and timers change",
	 ATTACH_TRACEPOINT, true, FOR_ALL},
	{"inet_sock_set_state*", "tp", "softirq_tp", "what packets and timers change", ATTACH_PLAIN,
	 true, FOR_ALL},
	{"iter/task_file", "iter", "listener_census", "who listened before the trace", ATTACH_AUTO,
	 false, FOR_ALL},
	{"sched_process_exec", "tp_btf", "exec_tp_btf", "programs that begin", ATTACH_AUTO, false,
	 FOR_ALL},
	{"sched_process_fork", "tp_btf", "fork_tp_btf", "descendants of a command", ATTACH_AUTO,
	 true, FOR_COMMAND},
	{"sched_process_exit", "tp_btf", "exit_tp_btf", "processes that end", ATTACH_AUTO, true,
	 FOR_TARGETS},
};

#define NR_FLAVOURS ARRAY_SIZE(flavours)

struct loader {
	const struct live_options *opts;
	struct tcpchurn *skel;
	bool use[NR_FLAVOURS];
	int error[NR_FLAVOURS];
	struct live_hook hooks[NR_FLAVOURS];
	size_t nr_hooks;
	int nr_cpus;
};

/* --- configuration ----------------------------------------------------------------------------- */

static void configure_filter(struct tcpchurn *skel, const struct filter *f)
{
	skel->rodata->cfg_family = f->family;
	skel->rodata->cfg_by_target |= f->nr_pids > 0;
	memcpy(skel->rodata->cfg_comm, f->comm, sizeof(f->comm));
	skel->rodata->cfg_by_uid = f->by_uid;
	skel->rodata->cfg_uid = f->uid;
	skel->rodata->cfg_cgroup = f->cgroup;
	skel->rodata->cfg_cgroup_level = f->cgroup_level;
	skel->rodata->cfg_netns = f->netns;
	skel->rodata->cfg_nr_peer_ports = f->nr_peer_ports;
	memcpy(skel->rodata->cfg_peer_ports, f->peer_ports, sizeof(f->peer_ports));
	skel->rodata->cfg_nr_local_ports = f->nr_local_ports;
	memcpy(skel->rodata->cfg_local_ports, f->local_ports, sizeof(f->local_ports));
	skel->rodata->cfg_nr_src = f->nr_src;
	memcpy(skel->rodata->cfg_src, f->src, sizeof(f->src));
	skel->rodata->cfg_nr_dst = f->nr_dst;
	memcpy(skel->rodata->cfg_dst, f->dst, sizeof(f->dst));
	skel->rodata->cfg_failed_only = f->failed_only;
	skel->rodata->cfg_errno = f->error;
}

/* The tick is not told anywhere else: the coarse clock advances once a jiffy. */
static uint64_t jiffy_ns(void)
{
	struct timespec res;

	clock_getres(CLOCK_MONOTONIC_COARSE, &res);
	return res.tv_sec * 1000000000ULL + res.tv_nsec;
}

/* The table's size is a power of two: the next one that holds what was asked for. */
static int configure_table(struct tcpchurn *skel, uint32_t max_conns)
{
	uint32_t buckets = 1;
	int err;

	while (buckets * CONN_BUCKET_SLOTS < max_conns)
		buckets *= 2;
	skel->rodata->cfg_buckets = buckets;
	err = bpf_map__set_max_entries(skel->maps.conn_keys, buckets);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.conn_states, buckets * CONN_BUCKET_SLOTS);
	return err;
}

static int configure(const struct loader *l, struct tcpchurn *skel)
{
	const struct live_options *opts = l->opts;
	int err = 0;

	skel->rodata->cfg_jiffy_ns = jiffy_ns();
	skel->rodata->cfg_stacks = opts->stacks;
	skel->rodata->cfg_by_target = opts->command > 0;
	configure_filter(skel, opts->filter);
	if (opts->buffer_size)
		err = bpf_map__set_max_entries(skel->maps.events, opts->buffer_size);
	if (!err)
		err = configure_table(skel, opts->max_conns);
	return err;
}

/* --- load and attach ---------------------------------------------------------------------------- */

static bool flavour_wanted(const struct loader *l, size_t i)
{
	bool command = l->opts->command > 0, targets = command || l->opts->filter->nr_pids;

	if ((flavours[i].purpose == FOR_COMMAND && !command) ||
	    (flavours[i].purpose == FOR_TARGETS && !targets))
		return false;
	return l->opts->attach == ATTACH_AUTO || flavours[i].choice == ATTACH_AUTO ||
	       flavours[i].choice == l->opts->attach;
}

/* Opens, loads and attaches the programs of `use`. NULL with errno set. */
static struct tcpchurn *attach(const struct loader *l, const bool use[NR_FLAVOURS])
{
	struct tcpchurn *skel = tcpchurn__open();
	int err = skel ? 0 : -errno;

	if (!err)
		err = configure(l, skel);
	for (size_t i = 0; !err && i < NR_FLAVOURS; i++) {
		struct bpf_program *p =
			bpf_object__find_program_by_name(skel->obj, flavours[i].program);

		err = p ? bpf_program__set_autoload(p, use[i]) : -ENOENT;
	}
	if (!err)
		err = tcpchurn__load(skel);
	for (size_t i = 0; !err && i < NR_FLAVOURS; i++) {
		struct bpf_object_skeleton *s = skel->skeleton;

		for (int p = 0; use[i] && p < s->prog_cnt; p++) {
			if (strcmp(s->progs[p].name, flavours[i].program) != 0)
				continue;
			*s->progs[p].link = bpf_program__attach(*s->progs[p].prog);
			err = *s->progs[p].link ? 0 : -errno;
		}
	}
	if (!err)
		return skel;
	tcpchurn__destroy(skel);
	errno = -err;
	return NULL;
}

/* Loading proves nothing: what counts is what attaches, each flavour by itself. */
static int probe(const struct loader *l, size_t i)
{
	bool alone[NR_FLAVOURS] = {};
	struct tcpchurn *skel;

	alone[i] = true;
	skel = attach(l, alone);
	if (!skel)
		return errno;
	tcpchurn__destroy(skel);
	return 0;
}

/* The best flavour of each hook; with `probing` by trying it, else the first wanted one. */
static void plan(struct loader *l, bool probing)
{
	const char *done = "";

	for (size_t i = 0; i < NR_FLAVOURS; i++) {
		l->use[i] = false;
		l->error[i] = 0;
		if (!flavour_wanted(l, i) || strcmp(done, flavours[i].hook) == 0)
			continue;
		l->error[i] = probing ? probe(l, i) : 0;
		if (l->error[i]) {
			log_debug("%s: cannot attach %s: %s", flavours[i].hook, flavours[i].flavour,
				  strerror(l->error[i]));
			continue;
		}
		l->use[i] = true;
		done = flavours[i].hook;
	}
}

/* One entry a hook: the flavour in use, and why the best one is not. */
static void describe_hooks(struct loader *l)
{
	struct live_hook *h = NULL;

	for (size_t i = 0; i < NR_FLAVOURS; i++) {
		if (!flavour_wanted(l, i))
			continue;
		if (!h || strcmp(h->hook, flavours[i].hook) != 0) {
			h = &l->hooks[l->nr_hooks++];
			h->hook = flavours[i].hook;
			h->what = flavours[i].what;
			h->required = flavours[i].required;
			h->error = l->error[i];
		}
		if (l->use[i])
			h->flavour = flavours[i].flavour;
	}
}

static int load(struct loader *l)
{
	plan(l, false);
	l->skel = attach(l, l->use);
	if (!l->skel) {
		plan(l, true);
		l->skel = attach(l, l->use);
	}
	describe_hooks(l);
	for (size_t i = 0; i < l->nr_hooks; i++) {
		const struct live_hook *h = &l->hooks[i];

		if (h->flavour || !h->required)
			continue;
		log_error("%s: cannot attach: %s%s%s", h->hook, strerror(h->error),
			  l->opts->attach == ATTACH_AUTO ? "" : " (flavour forced by --attach)",
			  h->error == ENOENT ? "; plain tracepoints need tracefs mounted on "
					       "/sys/kernel/tracing"
					     : "");
		return -ENOTSUP;
	}
	return l->skel ? 0 : -errno;
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
	bpf_log_to_debug();
	err = load(l);
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
	tcpchurn__destroy(l->skel);
	free(l);
}

const struct live_hook *loader__hooks(const struct loader *l, size_t *nr)
{
	*nr = l->nr_hooks;
	return l->hooks;
}

int loader__ring_fd(const struct loader *l)
{
	return bpf_map__fd(l->skel->maps.events);
}

/* --- run ---------------------------------------------------------------------------------------- */

/* The program writes maps, not text: reading only makes it run. EAGAIN: a million files looked at,
 * and more to come (MAX_ITER_OBJECTS, kernel/bpf/bpf_iter.c). */
static int run_census(const struct bpf_link *census)
{
	char discard[64];
	int fd, err = 0;
	ssize_t n;

	fd = bpf_iter_create(bpf_link__fd(census));
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

int loader__start(struct loader *l)
{
	int err = 0;

	if (l->skel->links.listener_census)
		err = run_census(l->skel->links.listener_census);
	l->skel->bss->ready = !err;
	return err;
}

void loader__stop(struct loader *l)
{
	l->skel->bss->ready = false;
}

/*
 * Transitions that the kernel skipped because the program was running on that CPU already. Only
 * those of the softirq program: what interrupts the process's program is softirq, which that one
 * would have turned away, and which is seen by the other.
 */
static uint64_t recursion_misses(const struct loader *l)
{
	const struct bpf_program *progs[] = {l->skel->progs.softirq_tp_btf,
					     l->skel->progs.softirq_tp};
	uint64_t misses = 0;

	for (size_t i = 0; i < ARRAY_SIZE(progs); i++) {
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);
		int fd = bpf_program__fd(progs[i]);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len))
			misses += info.recursion_misses;
	}
	return misses;
}

int loader__read_counters(const struct loader *l, struct loader_counters *out)
{
	struct churn_counters *per_cpu = calloc(l->nr_cpus, sizeof(*per_cpu));
	uint64_t attempts = 0, outcomes = 0;
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
		out->older += per_cpu[cpu].older;
	}
	free(per_cpu);
	if (err)
		return err;
	out->lost[CHURN_LOST_REENTRY] = recursion_misses(l);
	/* The CPUs are not read at one moment: an outcome may be seen before its attempt. */
	out->in_progress = attempts > outcomes ? attempts - outcomes : 0;
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

	return bpf_map_update_elem(bpf_map__fd(l->skel->maps.pythons), &key, python, BPF_ANY);
}

int loader__allow_copies(const struct loader *l, const struct churn_id *process)
{
	uint64_t key = churn_process_key(process);

	return bpf_map_delete_elem(bpf_map__fd(l->skel->maps.copies), &key);
}
