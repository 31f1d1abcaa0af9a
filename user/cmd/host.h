/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a look at the host's sockets adds to a trace: leaks, full queues. */
#ifndef CHURN_CMD_HOST_H
#define CHURN_CMD_HOST_H

#include "user/cmd/options.h"
#include "user/model/findings.h"
#include "user/model/model.h"

struct host;

/* Tells the model which connections already wait to be closed, with their owners, before the trace
 * begins. What cannot be had is missing: that is said with -v. */
void host_tell_waiting(const struct options *opts, struct model *m);

/* Whether the options name processes, so that others are none of the user's business. */
bool host_names_processes(const struct options *opts);

/* A look at the end of a trace. NULL with errno set. */
struct host *host__look(const struct options *opts);
void host__free(struct host *h);

/* Valid as long as `h`. */
const struct finding_facts *host__facts(const struct host *h);

#endif /* CHURN_CMD_HOST_H */
