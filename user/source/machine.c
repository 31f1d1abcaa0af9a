/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "user/base/array.h"
#include "user/base/clock.h"
#include "user/source/namespace.h"
#include "user/source/netns.h"
#include "user/source/sockstat.h"
#include "user/source/sysctl.h"

#define BYTES_PER_CONN 65536
#define MIN_CONNS      8192
#define MAX_CONNS      65536

uint32_t machine_max_conns(void)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t conns = memory / BYTES_PER_CONN;

	return conns < MIN_CONNS ? MIN_CONNS : conns > MAX_CONNS ? MAX_CONNS : (uint32_t)conns;
}

uint64_t machine_jiffy_ns(void)
{
	struct timespec res;

	clock_getres(CLOCK_MONOTONIC_COARSE, &res);
	return timespec_ns(&res);
}

/* "0-3,8-11": the last number is the highest. */
int machine_nr_cpus(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/online", "re");
	int nr = sysconf(_SC_NPROCESSORS_CONF), last;
	char line[4096];
	size_t at;

	if (!f)
		return nr;
	if (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		at = strlen(line);
		while (at && strchr("0123456789", line[at - 1]))
			at--;
		if (sscanf(line + at, "%d", &last) == 1)
			nr = last + 1;
	}
	fclose(f);
	return nr;
}

/* "none [integrity] confidentiality": the one in brackets is in force. */
static enum lockdown read_lockdown(void)
{
	static const char *const names[] = {
		[LOCKDOWN_NONE] = "[none]",
		[LOCKDOWN_INTEGRITY] = "[integrity]",
		[LOCKDOWN_CONFIDENTIALITY] = "[confidentiality]",
	};
	FILE *f = fopen("/sys/kernel/security/lockdown", "re");
	enum lockdown found = LOCKDOWN_UNKNOWN;
	char line[64] = "";

	if (!f)
		return LOCKDOWN_UNKNOWN;
	if (fgets(line, sizeof(line), f)) {
		for (size_t i = LOCKDOWN_NONE; i < ARRAY_SIZE(names); i++) {
			if (strstr(line, names[i]))
				found = (enum lockdown)i;
		}
	}
	fclose(f);
	return found;
}

bool machine_is_since(int major, int minor)
{
	int has_major, has_minor;
	struct utsname kernel;

	return !uname(&kernel) && sscanf(kernel.release, "%d.%d", &has_major, &has_minor) == 2 &&
	       (has_major > major || (has_major == major && has_minor >= minor));
}

bool machine_is_preemptible(void)
{
	struct utsname kernel;

	return uname(&kernel) || strstr(kernel.version, "PREEMPT");
}

void machine_look(struct machine *out)
{
	struct utsname name;

	memset(out, 0, sizeof(*out));
	if (!uname(&name)) {
		snprintf(out->release, sizeof(out->release), "%s", name.release);
		snprintf(out->machine, sizeof(out->machine), "%s", name.machine);
	}
	out->btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	out->lockdown = read_lockdown();
	out->host_pids = pid_namespace_is_initial();
}

/* --- settings --------------------------------------------------------------------------------- */

static int add(struct machine_settings *to, const struct machine_netns *n)
{
	struct machine_netns *at;

	for (uint32_t i = 0; i < to->nr; i++) {
		if (!settings__equal(&to->at[i].settings, &n->settings))
			continue;
		to->at[i].more++;
		to->at[i].time_wait += n->time_wait;
		to->at[i].own |= n->own;
		return 0;
	}
	at = realloc(to->at, (to->nr + 1) * sizeof(*at));
	if (!at)
		return -ENOMEM;
	to->at = at;
	to->at[to->nr++] = *n;
	return 0;
}

static int visit(void *ctx, const struct netns *found)
{
	struct machine_settings *to = ctx;
	struct machine_netns n = {
		.inum = found->inum, .pid = found->pid, .own = found->inum == netns_own()};
	struct sockstat count = {0};
	int home;

	/* Gone by now, or not ours to see; the others count all the same. */
	if (netns_enter(found, &home)) {
		to->denied++;
		return 0;
	}
	sysctl_settings(&n.settings, n.inum);
	sockstat_read(&count);
	n.time_wait = count.time_wait;
	netns_leave(home);
	return add(to, &n);
}

int machine_settings__read(struct machine_settings *out)
{
	struct netns_visit v = {.ctx = out, .visit = visit};
	int err;

	memset(out, 0, sizeof(*out));
	err = netns_for_each(&v);
	out->hidden = v.hidden;
	return err;
}

void machine_settings__clear(struct machine_settings *s)
{
	free(s->at);
	memset(s, 0, sizeof(*s));
}
