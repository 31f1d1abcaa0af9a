/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The command under `-- COMMAND`: started, but held before its first instruction until traced. */
#ifndef CHURN_CMD_CHILD_H
#define CHURN_CMD_CHILD_H

#include <sys/types.h>

struct child {
	pid_t pid;
	int gate;    /* write end of the pipe that it waits on, -1: released */
	int verdict; /* read end of the pipe on which it says why it could not execute */
};

/* Forks; the child waits. We become the reaper of all its descendants. 0 or -errno. */
int child__start(struct child *c, char **argv);
/* Lets it execute. 0, or the -errno of execvp(3). */
int child__release(struct child *c);
/* Ends it if it still runs (SIGTERM), or lets it die unreleased. */
void child__end(struct child *c);

#endif /* CHURN_CMD_CHILD_H */
