/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The two ends of a connection within one host have mirrored four-tuples: in the same netns, or, if
 * none is there, in another one (veth), where that can be: each netns has a loopback of its own. */
#ifndef CHURN_MODEL_PAIRS_H
#define CHURN_MODEL_PAIRS_H

#include "user/model/conns.h"

void pair_key_of(struct pair_key *key, const struct churn_conn *c);
void pair_key_of_ends(struct pair_key *key, const uint8_t client[16], uint16_t client_port,
		      const uint8_t server[16], uint16_t server_port);
/* Whether a client in one netns may be connected with a server in the other. */
bool pair_may_meet(const struct pair_key *key, uint32_t netns, uint32_t other_netns);
/* The other end of c, which need not be entered, NULL: none is known. */
struct conn *pairs__mate(const struct conn_table *t, const struct conn *c);
/* Enters c and links it with its mate. 0 or -ENOMEM. */
int pairs__add(struct conn_table *t, struct conn *c);
void pairs__remove(struct conn_table *t, struct conn *c);
/* The connections with this four-tuple, the newest first. */
struct conn *pairs__find(const struct conn_table *t, const struct pair_key *key);
struct conn *pairs__next(const struct conn *c);

#endif /* CHURN_MODEL_PAIRS_H */
