/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/leak_origins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/model/census.h"
#include "user/model/finding_draft.h"

static void count_place(struct leak_origins *out, const struct socket_holder *who)
{
	uint32_t k = 0;

	while (k < out->nr && (out->at[k].who.callsite_id != who->callsite_id ||
			       out->at[k].who.process != who->process))
		k++;
	if (k == LEAK_ORIGINS)
		return;
	if (k == out->nr)
		out->at[out->nr++].who = *who;
	out->at[k].nr++;
}

static void count(struct leak_origins *out, const struct model *m, const struct leak *l,
		  const struct tcp_socket *s)
{
	bool accept_due = !leak_unaccepted(l, s);
	struct socket_holder who;
	bool seen;

	if (!model__whose(m, s, &who)) {
		out->untraced += accept_due;
		return;
	}
	seen = !who.accepted || who.accept_seen;
	out->traced++;
	out->unseen += accept_due && !seen;
	out->nowhere += accept_due && seen && !who.stack;
	if (who.stack)
		count_place(out, &who);
}

static int by_nr(const void *a, const void *b)
{
	const struct leak_origin *x = a, *y = b;

	return x->nr < y->nr ? 1 : x->nr > y->nr ? -1 : 0;
}

void leak_origins__find(struct leak_origins *out, const struct model *m,
			const struct finding_facts *facts, const struct leak *l)
{
	memset(out, 0, sizeof(*out));
	for (uint32_t i = l->first_socket; i != LEAK_NO_SOCKET; i = facts->leaks->next_socket[i])
		count(out, m, l, &facts->sockets->at[i]);
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
	bool other = who->process &&
		     (!l->owner.process || who->process->id.tgid != l->owner.process->id.tgid);

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
	char nr[32];

	if (!o->traced && l->state == SOCKET_CLOSE_WAIT)
		snprintf(next(w), sizeof(w->at[0]), "from which line is not known: %s in the trace",
			 l->nr == 1 ? "it is not" : "none of them is");
	else if (o->traced && o->untraced)
		snprintf(next(w), sizeof(w->at[0]),
			 "%s of them %s %s before the trace, or not followed",
			 text_count(nr, sizeof(nr), o->untraced), o->untraced == 1 ? "was" : "were",
			 l->accepted ? "accepted" : "opened");
	if (o->unseen)
		snprintf(next(w), sizeof(w->at[0]),
			 "where %s of them %s accepted is not known: accept() is not traced "
			 "(where neither fexit nor kprobes are to be had, --accepts does)",
			 text_count(nr, sizeof(nr), o->unseen), o->unseen == 1 ? "was" : "were");
	if (o->nr && o->nowhere)
		snprintf(next(w), sizeof(w->at[0]), "the call site of %s of them is not known",
			 text_count(nr, sizeof(nr), o->nowhere));
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
