/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* bind-exhaustion: bind() to port 0 before connect() wants a port that nobody uses at all: one
 * budget for all destinations, used up long before any of theirs. */

#include "user/base/text.h"
#include "user/model/census.h"
#include "user/model/finding_draft.h"

static const struct port_rules *rules_of(const struct model *m, uint32_t netns)
{
	const struct model_ports *ports = model__ports(m);

	for (uint32_t i = 0; ports && i < ports->pools.nr; i++)
		if (ports->pools.at[i].key.netns == netns)
			return ports->pools.at[i].rules;
	return NULL;
}

static int tell(const struct finding_context *ctx, const struct group *g)
{
	struct finding_draft d = draft_about("bind-exhaustion", FINDING_CRITICAL, g, NULL);
	const struct port_rules *rules = rules_of(ctx->model, g->bind_netns);
	struct callsite site = model__find_callsite(ctx->model, g->bind_stack);
	char addr[ADDR_LEN];

	text_addr(addr, g->bind_addr);
	d.f.weight = (double)g->bind_failures;
	draft_title(&d, "%s cannot bind a source port: no port is left for any destination",
		    words_program(g).text);
	draft_evidence(&d,
		       "%s of %s to port 0 of %s failed with EADDRINUSE: each port of the range is "
		       "taken, by whatever connection or listener",
		       words_count(g->bind_failures, "bind() call").text, words_process(g).text,
		       addr);
	if (words_callsite(&site).text[0])
		draft_evidence(&d, "it binds in %s", words_callsite(&site).text);
	if (rules)
		draft_evidence(&d,
			       "the range is %u-%u: %s for all destinations together, while "
			       "connect() alone may use each of them once a destination",
			       rules->low, rules->high,
			       words_count(rules->high - rules->low + 1u, "port").text);
	if (g->nr_processes > 1)
		draft_counter(&d, "%s are put together in this row",
			      words_count(g->nr_processes, "program run").text);
	draft_counter(&d, "a kernel without memory for a port says the same");
	draft_fix(&d,
		  "do not bind() before connect() where the address does not matter; else set "
		  "IP_BIND_ADDRESS_NO_PORT (since Linux 4.2) before bind(): then connect() chooses "
		  "the port, for its destination alone");
	return draft_done(&d, ctx);
}

int finding_rule_bind(const struct finding_context *ctx)
{
	uint32_t nr;
	const struct group *const *groups = model__groups(ctx->model, &nr);
	int err = 0;

	for (uint32_t i = 0; i < nr && !err; i++)
		if (groups[i]->bind_failures)
			err = tell(ctx, groups[i]);
	return err;
}
