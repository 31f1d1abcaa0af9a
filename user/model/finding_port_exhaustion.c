/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* port-exhaustion: connect() fails for want of source ports; who fails, and who holds them. */
#include <string.h>

#include "user/base/text.h"
#include "user/model/error_counts.h"
#include "user/model/finding_draft.h"

struct holders {
	const struct flow *most; /* NULL: nobody was seen to hold one */
	uint64_t opens;		 /* of all rows to this destination */
	bool fails_alone;	 /* nobody but the holder of most ports fails */
};

static uint64_t exhausted(const struct flow *f)
{
	return error_counts__of_cause(&f->failures, CHURN_CAUSE_EPHEMERAL_EXHAUSTED);
}

static bool same_destination(const struct destination *a, const struct destination *b)
{
	return a->netns == b->netns && a->family == b->family && a->port == b->port &&
	       !memcmp(a->addr, b->addr, sizeof(a->addr));
}

/* Ports that its connections occupied, in the window: parked or in use. */
static uint64_t ports_held(const struct flow *f)
{
	return f->time_wait + f->live;
}

static void find_holders(const struct model *m, const struct destination *dest, struct holders *h)
{
	uint64_t all = 0;
	uint32_t nr;
	const struct group *const *groups = model__groups(m, &nr);

	*h = (struct holders){0};
	for (uint32_t i = 0; i < nr; i++) {
		for (uint32_t k = 0; k < groups[i]->nr_flows; k++) {
			const struct flow *f = groups[i]->flows[k];

			if (!same_destination(&f->dest, dest))
				continue;
			h->opens += f->opens;
			all += exhausted(f);
			if (ports_held(f) && (!h->most || ports_held(f) > ports_held(h->most)))
				h->most = f;
		}
	}
	h->fails_alone = h->most && exhausted(h->most) == all;
}

static void blame(struct finding_draft *d, const struct flow *victim, const struct holders *h)
{
	const struct flow *most = h->most;
	const struct callsite *c;
	char opens[32], parked[32], live[32];

	if (!most) {
		draft_counter(d,
			      "nobody was seen to hold the ports: they may have been taken before "
			      "the trace began");
		return;
	}
	d->f.culprit = most->group;
	d->f.culprit_flow = most;
	c = finding_main_callsite(most);
	draft_evidence(d,
		       "%s made %s of %s to the same destination, left %s in TIME_WAIT here and "
		       "has %s open",
		       most == victim ? "it" : words_program(most->group).text,
		       text_count(opens, sizeof(opens), most->opens),
		       words_count(h->opens, "open").text,
		       text_count(parked, sizeof(parked), most->time_wait),
		       text_count(live, sizeof(live), most->live));
	if (most != victim && exhausted(most))
		draft_evidence(d, "%s fails too: %s", words_program(most->group).text,
			       words_count(exhausted(most), "time").text);
	if (words_callsite(c).text[0])
		draft_evidence(d, "it opens them in %s", words_callsite(c).text);
}

int finding_rule_port_exhaustion(const struct finding_context *ctx, const struct flow *f)
{
	struct holders h;
	struct finding_draft d;
	char nr[32];

	if (!exhausted(f))
		return 0;
	find_holders(ctx->model, &f->dest, &h);
	/* Whoever uses the ports up fails first: that is a case of its own only without others. */
	if (f == h.most && !h.fails_alone)
		return 0;
	d = draft_new("port-exhaustion", FINDING_CRITICAL, f);
	d.f.callsite = finding_main_callsite(f);
	d.f.weight = (double)exhausted(f);
	draft_title(&d, "%s cannot connect to %s: no source port is free",
		    words_program(f->group).text, words_destination(&f->dest).text);
	draft_evidence(&d, "%s of %s by %s to %s failed with EADDRNOTAVAIL in the port search",
		       text_count(nr, sizeof(nr), exhausted(f)),
		       words_count(f->opens + f->failed, "open").text, words_program(f->group).text,
		       words_destination(&f->dest).text);
	blame(&d, f, &h);
	draft_counter(&d,
		      "ports taken by explicit binds are not in these numbers; opens from other "
		      "local addresses, which draw on other ports, are");
	draft_usual_doubts(&d, ctx, f);
	if (h.most)
		draft_fix(
			&d,
			"in %s: %s. A wider net.ipv4.ip_local_port_range is headroom, not the cure",
			words_program(h.most->group).text,
			finding_fix(h.most->group, finding_main_callsite(h.most)));
	else
		draft_fix(
			&d,
			"find out who holds the ports to this destination: trace from before they "
			"are used up, or read the census (ss -tan)");
	return draft_done(&d, ctx);
}
