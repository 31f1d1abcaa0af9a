/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/leak_origins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/model/census.h"
#include "user/model/finding_draft.h"

static bool is_of_leak(const struct finding_facts *facts, const struct leak *l,
		       const struct tcp_socket *s)
{
	const uint8_t *addr = l->accepted ? s->local_addr : s->peer_addr;
	uint16_t port = l->accepted ? s->local_port : s->peer_port;
	struct leak_owner owner = {0};

	if (!s->time_wait && s->idle_ms < l->min_age_ms) /* UINT32_MAX: not known */
		return false;
	if (s->state != l->state || s->netns != l->netns || port != l->port ||
	    memcmp(addr, l->addr, sizeof(l->addr)))
		return false;
	facts->find_owner(facts->owners, s, &owner);
	return owner.process && l->owner.process &&
	       owner.process->id.tgid == l->owner.process->id.tgid;
}

static void count(struct leak_origins *out, const struct socket_holder *who)
{
	uint32_t k = 0;

	out->traced++;
	out->unseen += who->accepted && !who->accept_seen;
	if (!who->stack)
		return;
	while (k < out->nr && (out->at[k].who.callsite_id != who->callsite_id ||
			       out->at[k].who.process != who->process))
		k++;
	if (k == LEAK_ORIGINS)
		return;
	if (k == out->nr)
		out->at[out->nr++].who = *who;
	out->at[k].nr++;
}

static int by_nr(const void *a, const void *b)
{
	const struct leak_origin *x = a, *y = b;

	return x->nr < y->nr ? 1 : x->nr > y->nr ? -1 : 0;
}

void leak_origins__find(struct leak_origins *out, const struct model *m,
			const struct finding_facts *facts, const struct leak *l)
{
	const struct socket_list *all = facts->sockets;
	struct socket_holder who;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; all && i < all->nr; i++) {
		if (is_of_leak(facts, l, &all->at[i]) && model__whose(m, &all->at[i], &who))
			count(out, &who);
	}
	qsort(out->at, out->nr, sizeof(out->at[0]), by_nr);
}

/* --- in words --------------------------------------------------------------------------------- */

static char *next(struct leak_words *w)
{
	return w->at[w->nr++];
}

/* "accepted by inetd [pid 7]", where that is not who leaks them. */
static struct words words_origin(const struct leak *l, const struct socket_holder *who)
{
	struct words w = {0};
	bool other = who->process && l->owner.process &&
		     who->process->id.tgid != l->owner.process->id.tgid;

	snprintf(w.text, sizeof(w.text), "%s%s%.200s", who->accepted ? "accepted" : "opened",
		 other ? " by " : "", other ? words_identity(who->process).text : "");
	return w;
}

static void tell_place(struct leak_words *w, const struct leak *l, const struct leak_origin *o)
{
	const struct socket_holder *who = &o->who;
	char nr[32], of[32], share[72] = "it";

	text_count(nr, sizeof(nr), o->nr);
	if (o->nr < l->nr)
		snprintf(share, sizeof(share), "%s of the %s", nr,
			 text_count(of, sizeof(of), l->nr));
	else if (l->nr > 1)
		snprintf(share, sizeof(share), "all %s", nr);
	snprintf(next(w), sizeof(w->at[0]), "%s %s %.210s in %.200s", share,
		 o->nr == 1 ? "was" : "were", words_origin(l, who).text,
		 words_frame(&who->stack->frames[who->frame]).text);
}

static void tell_unknown(struct leak_words *w, const struct leak *l, const struct leak_origins *o)
{
	uint32_t older = l->nr > o->traced ? l->nr - o->traced : 0;
	uint32_t unseen = o->unseen > l->unaccepted ? o->unseen - l->unaccepted : 0;
	char nr[32];

	if (o->traced && older)
		snprintf(next(w), sizeof(w->at[0]), "%s of them %s %s before the trace",
			 text_count(nr, sizeof(nr), older), older == 1 ? "was" : "were",
			 l->accepted ? "accepted" : "opened");
	if (unseen)
		snprintf(next(w), sizeof(w->at[0]),
			 "where %s of them %s accepted is not known: accept() is not traced "
			 "(where neither fexit nor kprobes are to be had, --accepts does)",
			 text_count(nr, sizeof(nr), unseen), unseen == 1 ? "was" : "were");
}

struct leak_words leak_origins__words(const struct leak_origins *o, const struct leak *l)
{
	struct leak_words w = {0};

	for (uint32_t i = 0; i < LEAK_ORIGINS_TOLD && i < o->nr; i++)
		tell_place(&w, l, &o->at[i]);
	w.nr_places = w.nr;
	tell_unknown(&w, l, o);
	return w;
}
