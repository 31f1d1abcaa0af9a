/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Copies of processes by their PID: whose the sockets of a recording are. */
#ifndef CHURN_MODEL_RECORDED_OWNERS_H
#define CHURN_MODEL_RECORDED_OWNERS_H

#include <stdint.h>

#include "user/model/process.h"

struct owner;

/* Zeroed: an empty one. */
struct recorded_owners {
	struct owner *by_pid;
};

void recorded_owners__clear(struct recorded_owners *o);
/* Takes the place of the one that had the PID before. 0 or -ENOMEM. */
int recorded_owners__put(struct recorded_owners *o, const struct process_identity *p);
/* NULL: none has that PID. Until the next one is put there. */
const struct process_identity *recorded_owners__find(const struct recorded_owners *o, uint32_t pid);

#endif /* CHURN_MODEL_RECORDED_OWNERS_H */
