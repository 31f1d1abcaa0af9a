/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where in the code the sockets of a leak were opened or accepted, as far as that was traced. */
#ifndef CHURN_MODEL_LEAK_ORIGINS_H
#define CHURN_MODEL_LEAK_ORIGINS_H

#include "user/model/findings.h"
#include "user/model/port_holders.h"

#define LEAK_ORIGINS	  16
#define LEAK_ORIGINS_TOLD 3

/* A place in the code, and how many of a leak come from there. */
struct leak_origin {
	struct socket_holder who; /* who opened or accepted: it may be another process */
	uint32_t nr;
};

struct leak_origins {
	struct leak_origin at[LEAK_ORIGINS]; /* most first; fewer than these are exact */
	uint32_t nr;
	uint32_t traced;   /* sockets, with or without a place */
	uint32_t unseen;   /* of them: accepted, and that was not seen */
	uint32_t nowhere;  /* of them: that was seen, and the call site is not known */
	uint32_t untraced; /* opened or accepted before the trace, or not followed */
};

/* Of these very sockets; other connections to the same peer may come from elsewhere. What it points
 * to is the model's. */
void leak_origins__find(struct leak_origins *out, const struct model *m,
			const struct finding_facts *facts, const struct leak *l);

/* It in sentences, safe for a terminal. */
struct leak_words {
	char at[LEAK_ORIGINS_TOLD + 3][512]; /* the places, then what is not known */
	uint32_t nr_places, nr;
};

struct leak_words leak_origins__words(const struct leak_origins *o, const struct leak *l);

#endif /* CHURN_MODEL_LEAK_ORIGINS_H */
