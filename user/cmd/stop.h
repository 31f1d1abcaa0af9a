/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one mutable global: whether a signal has asked us to end. */
#ifndef CHURN_CMD_STOP_H
#define CHURN_CMD_STOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* SIGINT, SIGTERM and SIGHUP ask us to end; SIGPIPE shows as EPIPE, and the summary is still
 * printed. */
void stop_catch(void);
bool stop_requested(void);
const volatile sig_atomic_t *stop_flag(void);
/* Until the time is over, or a signal comes. */
void stop_sleep(uint64_t ns);

#endif /* CHURN_CMD_STOP_H */
