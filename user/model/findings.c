/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/findings.h"

#include <stdlib.h>
#include <string.h>

#include "user/model/finding_draft.h"

static const finding_rule rules[] = {
	finding_rule_port_exhaustion, finding_rule_function_local, finding_rule_reuse,
	finding_rule_peer_closes,     finding_rule_polling,	   finding_rule_port_pressure,
	finding_rule_collision,
};

static const finding_host_rule host_rules[] = {
	finding_rule_bind,
	finding_rule_close_wait,
	finding_rule_accept_queue,
	finding_rule_hanging,
};

/* Every id that there is, and what comes first of the same severity: what hurts now, what is going
 * to, what is a waste, what is good to know. */
static const struct {
	const char *id;
	unsigned int rank;
} ids[] = {
	{"port-exhaustion", 0},
	{"bind-exhaustion", 0},
	{"accept-queue-overflow", 0},
	{"stale-close-wait-collision", 0},
	{"port-pressure", 1},
	{"close-wait-leak", 1},
	{"function-local-client", 2},
	{"connection-per-request", 3},
	{"peer-closes", 3},
	{"polling", 4},
	{"tuning", 4},
};

static size_t index_of(const char *id)
{
	size_t i = 0;

	while (i < sizeof(ids) / sizeof(ids[0]) && strcmp(ids[i].id, id) != 0)
		i++;
	return i;
}

uint32_t finding_bit(const char *id)
{
	size_t i = index_of(id);

	return i < sizeof(ids) / sizeof(ids[0]) ? UINT32_C(1) << i : 0;
}

uint32_t findings__set(const struct findings *f)
{
	uint32_t set = 0;

	for (uint32_t i = 0; i < f->nr; i++)
		set |= finding_bit(f->at[i].id);
	return set;
}

static int compare_findings(const void *a, const void *b)
{
	const struct finding *x = a, *y = b;
	unsigned int rank_x = ids[index_of(x->id)].rank, rank_y = ids[index_of(y->id)].rank;

	if (x->severity != y->severity)
		return x->severity < y->severity ? 1 : -1;
	if (rank_x != rank_y)
		return rank_x < rank_y ? -1 : 1;
	if (x->weight < y->weight || x->weight > y->weight)
		return x->weight < y->weight ? 1 : -1;
	return strcmp(x->title, y->title);
}

static int look_at(const struct finding_context *ctx, const struct flow *f)
{
	/* Beyond the bound of flows, destinations are mixed: nothing can be concluded from that. */
	if (!f->dest.family)
		return 0;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		int err = rules[i](ctx, f);

		if (err)
			return err;
	}
	return 0;
}

static int draw_all(const struct finding_context *ctx)
{
	uint32_t nr;
	const struct group *const *groups = model__groups(ctx->model, &nr);
	int err = 0;

	for (uint32_t i = 0; i < nr && !err; i++)
		for (uint32_t k = 0; k < groups[i]->nr_flows && !err; k++)
			err = look_at(ctx, groups[i]->flows[k]);
	for (size_t i = 0; i < sizeof(host_rules) / sizeof(host_rules[0]) && !err; i++)
		err = host_rules[i](ctx);
	return err;
}

int findings__draw(struct findings *out, const struct model *m, uint64_t window_ns,
		   const struct finding_facts *facts)
{
	const struct finding_facts nothing = {0};
	const struct finding_context ctx = {
		.model = m,
		.window_ns = window_ns,
		.facts = facts ? facts : &nothing,
		.out = out,
	};
	int err;

	*out = (struct findings){0};
	err = draw_all(&ctx);
	if (!err && out->nr > 1)
		qsort(out->at, out->nr, sizeof(*out->at), compare_findings);
	if (!err)
		err = findings_join(out);
	if (err)
		findings__clear(out);
	return err;
}

void findings__clear(struct findings *f)
{
	for (uint32_t i = 0; i < f->nr; i++)
		finding__clear(&f->at[i]);
	free(f->at);
	*f = (struct findings){0};
}
