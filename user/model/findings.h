/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Findings: named conclusions drawn from the model, each with its evidence, what speaks against
 * it, and a fix in the runtime's own words. One without evidence does not exist.
 */
#ifndef CHURN_MODEL_FINDINGS_H
#define CHURN_MODEL_FINDINGS_H

#include <stdint.h>

#include "user/model/leaks.h"
#include "user/model/model.h"

enum finding_severity { FINDING_INFO, FINDING_WARNING, FINDING_CRITICAL };

/* Who holds what there is too little of. */
struct finding_holder {
	const struct group *group;		/* NULL: not traced, or not known */
	const struct flow *flow;		/* of the group, NULL: not one only */
	const struct process_identity *process; /* where there is no group; NULL: not known */
	uint64_t nr, of;			/* source ports, of those in use */
	uint64_t older; /* of nr: in TIME_WAIT since before the trace, so that nobody knows */
};

struct finding {
	const char *id; /* "connection-per-request": a constant, as in the documentation */
	enum finding_severity severity;
	const struct group *group;	 /* NULL: none in particular */
	const struct flow *flow;	 /* NULL: none in particular */
	const struct callsite *callsite; /* NULL: unknown */
	/* Whom it is about where no group is known. */
	const struct process_identity *process;
	const struct leak *leak; /* NULL: none in particular */
	/* Who is to blame; may be the group above itself. NULL: the finding blames nobody else. */
	const struct group *culprit;
	const struct flow *culprit_flow;
	struct finding_holder *holders; /* most first */
	uint32_t nr_holders;
	char *title;
	char **evidence; /* NULL-terminated lists of sentences */
	char **counter_evidence;
	char *fix;
	double weight; /* order within a severity, descending */
	/* Index of a worse one that has the same cause, or FINDING_LEADS. */
	uint32_t under;
};

#define FINDING_LEADS UINT32_MAX

/* All ids, as they are written. */
#define FINDING_NAMES                                                                              \
	"port-exhaustion, bind-exhaustion, accept-queue-overflow, stale-close-wait-collision, "    \
	"port-pressure, close-wait-leak, function-local-client, connection-per-request, "          \
	"peer-closes, polling, tuning"

/* Bit of a finding's id in a set of them, 0: no such finding. */
uint32_t finding_bit(const char *id);

struct findings {
	struct finding *at; /* worst first */
	uint32_t nr;
};

/* What is known of the host besides the traced connections, at the end of the window. */
struct finding_facts {
	const struct leaks *leaks;
	const struct socket_list *sockets; /* at least in CLOSE_WAIT, SYN_SENT and LISTEN */
	leak_finder find_owner;
	void *owners;
	bool followed_only; /* say nothing of processes that were not followed, see
			     * model__follows() */
};

/*
 * Draws the findings from a sealed model over a window of `window_ns`; they point into the model
 * and the facts (NULL: there are none) and are valid as long as these are. 0 or -ENOMEM, then *out
 * is empty.
 */
int findings__draw(struct findings *out, const struct model *m, uint64_t window_ns,
		   const struct finding_facts *facts);
void findings__clear(struct findings *f);
/* The set of what was found. */
uint32_t findings__set(const struct findings *f);

#endif /* CHURN_MODEL_FINDINGS_H */
