/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The commands, one file each. */
#ifndef CHURN_CMD_COMMANDS_H
#define CHURN_CMD_COMMANDS_H

#include "user/cmd/options.h"

extern const struct command cmd_trace;
extern const struct command cmd_report;
extern const struct command cmd_record;
extern const struct command cmd_leaks;
extern const struct command cmd_doctor;
extern const struct command cmd_ports;
extern const struct command cmd_check;

#endif /* CHURN_CMD_COMMANDS_H */
