/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The host's network namespaces: which there are, and being in one for a moment. */
#ifndef CHURN_SOURCE_NETNS_H
#define CHURN_SOURCE_NETNS_H

#include <stdbool.h>
#include <stdint.h>

/* One that was found: by a process in it, or by a mount (ip-netns(8), containers). */
struct netns {
	uint32_t inum;	  /* inode number, as `ls -L -i /proc/PID/ns/net` */
	uint32_t pid;	  /* a process in it, 0: found by its mount */
	const char *path; /* that leads to it; valid during the visit */
	int fd;
};

struct netns_visit {
	void *ctx;
	/* Called for each namespace once, our own first. Not 0: ends the search and is returned. */
	int (*visit)(void *ctx, const struct netns *n);
	uint32_t hidden; /* out: processes whose namespace we may not see */
};

/*
 * Visits all namespaces that a process is in or that is mounted where we see it. (One that only a
 * descriptor, a socket or a thread other than the first holds is not found.) 0, -errno, or what
 * visit() returned.
 */
int netns_for_each(struct netns_visit *v);

/* Whether it is one of those; true if they cannot be looked through. */
bool netns_is_found(uint32_t inum);

/* Inode number of the one that this thread is in, 0: unknown. */
uint32_t netns_own(void);

/* What no other namespace ever has (SO_NETNS_COOKIE, since 5.14). 0: unknown, or not to be had. */
uint64_t netns_cookie(uint32_t inum);

/*
 * Takes this thread into a namespace until netns_leave(). Its sockets stay there when it leaves;
 * /proc/thread-self/net and /proc/sys/net speak of it meanwhile. *home is what netns_leave() takes.
 * 0 or -errno (-EPERM: without CAP_SYS_ADMIN only our own can be entered).
 */
int netns_enter(const struct netns *n, int *home);
/* Ends the program when there is no way back: all that follows would be of the wrong namespace. */
void netns_leave(int home);

#endif /* CHURN_SOURCE_NETNS_H */
