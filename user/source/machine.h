/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is to be known of the machine before anything is loaded. */
#ifndef CHURN_SOURCE_MACHINE_H
#define CHURN_SOURCE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/settings.h"

enum lockdown { LOCKDOWN_UNKNOWN, LOCKDOWN_NONE, LOCKDOWN_INTEGRITY, LOCKDOWN_CONFIDENTIALITY };

struct machine {
	char release[65], machine[65]; /* uname(2) */
	bool btf;
	enum lockdown lockdown;
	bool host_pids; /* we are in the host's PID namespace */
};

void machine_look(struct machine *out);

/* Whether the kernel is as new as that, by its own word. */
bool machine_is_since(int major, int minor);

/* Whether a process may be preempted within the kernel, or perhaps may. */
bool machine_is_preemptible(void);

/* Highest number of a CPU that is online, and one more. */
int machine_nr_cpus(void);

/* The tick, which is not told anywhere: the coarse clock advances once a jiffy. */
uint64_t machine_jiffy_ns(void);

/* How many connections to follow at once unless told: each takes 210 bytes in the kernel, allocated
 * in full. As the kernel's own tables (tcp_init() in net/ipv4/tcp.c), by the size of memory. */
uint32_t machine_max_conns(void);

/* The settings of one or more network namespaces in which they are the same. */
struct machine_netns {
	struct settings settings;
	uint32_t inum, pid; /* of the first; pid 0: no process is in it */
	uint32_t more;	    /* others like it */
	uint64_t time_wait; /* sockets in TIME_WAIT now, all of them together */
	bool own;	    /* ours is among them */
};

struct machine_settings {
	struct machine_netns *at; /* our own first */
	uint32_t nr;
	uint32_t denied; /* namespaces that we may not enter */
	uint32_t hidden; /* processes whose namespace we may not see */
};

/* 0 or -errno; clear it in any case. */
int machine_settings__read(struct machine_settings *out);
void machine_settings__clear(struct machine_settings *s);

#endif /* CHURN_SOURCE_MACHINE_H */
