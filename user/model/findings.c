/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/findings.h"

#include <stdlib.h>
#include <string.h>

#include "user/model/finding_draft.h"

static const finding_rule rules[] = {
	finding_rule_port_exhaustion, finding_rule_function_local, finding_rule_reuse,
	finding_rule_peer_closes,     finding_rule_polling,
};

/* Every id that there is. */
static const char *const ids[] = {
	"port-exhaustion", "function-local-client", "connection-per-request", "peer-closes",
	"polling",
};

uint32_t finding_bit(const char *id)
{
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (strcmp(ids[i], id) == 0)
			return UINT32_C(1) << i;
	return 0;
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

	if (x->severity != y->severity)
		return x->severity < y->severity ? 1 : -1;
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

int findings__draw(struct findings *out, const struct model *m, uint64_t window_ns)
{
	struct finding_context ctx = {.model = m, .window_ns = window_ns, .out = out};
	uint32_t nr;
	const struct group *const *groups = model__groups(m, &nr);

	*out = (struct findings){0};
	for (uint32_t i = 0; i < nr; i++) {
		for (uint32_t k = 0; k < groups[i]->nr_flows; k++) {
			int err = look_at(&ctx, groups[i]->flows[k]);

			if (err) {
				findings__clear(out);
				return err;
			}
		}
	}
	if (out->nr > 1)
		qsort(out->at, out->nr, sizeof(*out->at), compare_findings);
	return 0;
}

void findings__clear(struct findings *f)
{
	for (uint32_t i = 0; i < f->nr; i++)
		finding__clear(&f->at[i]);
	free(f->at);
	*f = (struct findings){0};
}
