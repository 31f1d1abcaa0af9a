/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/stop.h"

#include <time.h>

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

void stop_catch(void)
{
	struct sigaction end = {.sa_handler = on_signal};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

bool stop_requested(void)
{
	return stop;
}

const volatile sig_atomic_t *stop_flag(void)
{
	return &stop;
}

void stop_sleep(uint64_t ns)
{
	const struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	nanosleep(&t, NULL);
}
