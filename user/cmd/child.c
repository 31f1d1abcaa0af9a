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
static void child_run(int gate, int verdict, char **argv)
{
	int err;
	char go;

	signal(SIGPIPE, SIG_DFL);
	if (read(gate, &go, 1) == 1) {
		execvp(argv[0], argv);
		err = errno;
		if (write(verdict, &err, sizeof(err)) != sizeof(err))
			_exit(126);
	}
	_exit(127);
}

int child__start(struct child *c, char **argv)
{
	int gate[2], verdict[2], err;

	/* Both close by themselves at execve(), which tells us that it has succeeded. */
	if (pipe2(gate, O_CLOEXEC))
		return -errno;
	if (pipe2(verdict, O_CLOEXEC)) {
		close(gate[0]);
		close(gate[1]);
		return -errno;
	}
	/* Descendants whose parents die come to us, so that we can wait for all of them. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		log_debug("cannot become subreaper: %s", strerror(errno));
	c->pid = fork();
	if (c->pid == 0) {
		close(gate[1]);
		close(verdict[0]);
		child_run(gate[0], verdict[1], argv);
	}
	err = c->pid < 0 ? -errno : 0;
	close(gate[0]);
	close(verdict[1]);
	c->gate = gate[1];
	c->verdict = verdict[0];
	if (err) {
		close(c->gate);
		close(c->verdict);
	}
	return err;
}

int child__release(struct child *c)
{
	int err = 0;

	if (write(c->gate, "", 1) != 1)
		return -errno;
	close(c->gate);
	c->gate = -1;
	if (read(c->verdict, &err, sizeof(err)) != sizeof(err))
		err = 0;
	return -err;
}

void child__end(struct child *c)
{
	close(c->verdict);
	if (c->gate >= 0)
		close(c->gate);
	/* 0: it is still ours and runs; reaped before, the pid may be somebody else's. */
	else if (waitpid(c->pid, NULL, WNOHANG) == 0)
		kill(c->pid, SIGTERM);
}
