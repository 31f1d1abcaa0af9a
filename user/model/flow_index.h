/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The flows of each destination. A crawler has as many destinations as flows, and as many pools:
 * who asked all flows for each pool would have no answer for minutes. */
#ifndef CHURN_MODEL_FLOW_INDEX_H
#define CHURN_MODEL_FLOW_INDEX_H

#include "user/model/flows.h"
#include "user/model/port_pools.h"

struct flow_index {
	const struct flow_state **at; /* in the order of their destinations */
	uint32_t nr;
};

/* Valid until a flow is added. 0 or -ENOMEM, then it is empty. */
int flow_index__make(struct flow_index *x, const struct flow_table *t);
void flow_index__clear(struct flow_index *x);

/* Those that go where the pool's connections go, *nr of them: from whatever local address. */
const struct flow_state *const *flow_index__to(const struct flow_index *x,
					       const struct port_pool *p, uint32_t *nr);

#endif /* CHURN_MODEL_FLOW_INDEX_H */
