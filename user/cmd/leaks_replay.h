/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The leaks at the end of a recording, and where they were opened or accepted. */
#ifndef CHURN_CMD_LEAKS_REPLAY_H
#define CHURN_CMD_LEAKS_REPLAY_H

#include <stdio.h>

#include "user/cmd/options.h"

/* An exit code, after saying why. */
int leaks_replay(const struct options *opts, FILE *out);

#endif /* CHURN_CMD_LEAKS_REPLAY_H */
