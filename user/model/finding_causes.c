/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One cause, one finding: what else the same code does, to other destinations or seen otherwise,
 * goes under the worst of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/array.h"
#include "user/model/finding_draft.h"

enum sameness {
	SAME_CODE, /* the row and the call site */
	SAME_LEAK, /* the process and the call site */
	SAME_NETNS,
};

/* Which may go under which. */
static const struct {
	const char *leader, *member;
	enum sameness same;
} joins[] = {
	{"port-exhaustion", "port-pressure", SAME_CODE},
	{"port-pressure", "port-pressure", SAME_CODE},
	{"function-local-client", "function-local-client", SAME_CODE},
	{"function-local-client", "connection-per-request", SAME_CODE},
	{"function-local-client", "polling", SAME_CODE},
	{"connection-per-request", "connection-per-request", SAME_CODE},
	{"connection-per-request", "polling", SAME_CODE},
	{"polling", "polling", SAME_CODE},
	{"close-wait-leak", "close-wait-leak", SAME_LEAK},
	{"tuning", "tuning", SAME_NETNS},
};

/* Whose code it is about: of a victim's finding the culprit's. */
static const struct group *group_of(const struct finding *f)
{
	return f->culprit ? f->culprit : f->group;
}

static uint64_t callsite_of(const struct finding *f)
{
	const struct callsite *c = f->callsite;

	if (f->culprit)
		c = f->culprit_flow ? finding_main_callsite(f->culprit_flow) : NULL;
	return c ? c->id : 0;
}

static bool same_code(const struct finding *a, const struct finding *b)
{
	return group_of(a) && group_of(a) == group_of(b) && callsite_of(a) == callsite_of(b);
}

/* Services of unknown places in the code are apart, destinations are not: crawlers have many. */
static bool same_leak(const struct leak *a, const struct leak *b)
{
	return a->owner.process && a->owner.process == b->owner.process &&
	       a->accepted == b->accepted && (!a->accepted || a->port == b->port);
}

static bool same_netns(const struct finding *a, const struct finding *b)
{
	return a->flow && b->flow && a->flow->dest.netns == b->flow->dest.netns;
}

static bool joins_under(const struct finding *leader, const struct finding *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(joins); i++) {
		if (strcmp(joins[i].leader, leader->id) || strcmp(joins[i].member, f->id))
			continue;
		switch (joins[i].same) {
		case SAME_CODE:
			return same_code(leader, f);
		case SAME_LEAK:
			return same_leak(leader->leak, f->leak) &&
			       callsite_of(leader) == callsite_of(f);
		case SAME_NETNS:
			return same_netns(leader, f);
		}
	}
	return false;
}

int findings_join(struct findings *all)
{
	uint32_t *leaders = malloc((all->nr + 1) * sizeof(*leaders)), nr = 0, k;

	if (!leaders)
		return -ENOMEM;
	for (uint32_t i = 0; i < all->nr; i++) {
		struct finding *f = &all->at[i];

		for (k = 0; k < nr && !joins_under(&all->at[leaders[k]], f);)
			k++;
		f->under = k < nr ? leaders[k] : FINDING_LEADS;
		if (k == nr)
			leaders[nr++] = i;
	}
	free(leaders);
	return 0;
}
