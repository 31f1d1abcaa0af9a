/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The port pools of a recording, at their worst. */
#ifndef CHURN_CMD_PORTS_RECORDED_H
#define CHURN_CMD_PORTS_RECORDED_H

#include <stdio.h>

#include "user/cmd/options.h"

/* An exit code, after saying why. */
int ports_recorded(const struct options *opts, FILE *out);

#endif /* CHURN_CMD_PORTS_RECORDED_H */
