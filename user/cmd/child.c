/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/base/log.h"

/* Never returns. A gate that closes without a byte means that the trace did not come about. */
static void child_run(int gate, char **argv)
{
	char go;

	signal(SIGPIPE, SIG_DFL);
	if (read(gate, &go, 1) != 1)
		_exit(125);
	execvp(argv[0], argv);
	log_error("%s: cannot execute: %s", argv[0], strerror(errno));
	_exit(127);
}

int child__start(struct child *c, char **argv)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	/* Descendants whose parents die come to us, so that we can wait for all of them. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		log_debug("cannot become subreaper: %s", strerror(errno));
	c->pid = fork();
	if (c->pid == 0) {
		close(ends[1]);
		child_run(ends[0], argv);
	}
	close(ends[0]);
	if (c->pid < 0) {
		close(ends[1]);
		return -errno;
	}
	c->gate = ends[1];
	return 0;
}

int child__release(struct child *c)
{
	int err = write(c->gate, "", 1) == 1 ? 0 : -errno;

	close(c->gate);
	c->gate = -1;
	return err;
}

void child__end(struct child *c)
{
	if (c->gate >= 0)
		close(c->gate);
	/* 0: it is still ours and runs; reaped before, the pid may be somebody else's. */
	else if (waitpid(c->pid, NULL, WNOHANG) == 0)
		kill(c->pid, SIGTERM);
}
