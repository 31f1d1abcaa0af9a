/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* close-wait-leak: connections whose peer has gone and that a process does not close. */
#include <string.h>

#include "user/base/text.h"
#include "user/model/finding_draft.h"
#include "user/model/leak_origins.h"

#define MIN_SOCKETS   5
#define MIN_OLDEST_MS 2000
#define SOON_S	      600 /* until no file can be opened: then nothing else matters */

/* What forgets to close, and how it would not, by runtime: as in finding_fix(). */
static const struct {
	const char *exe;
	const char *fix;
} fixes[] = {
	{"python", "'with' around the socket or response, or close() in 'finally'"},
	{"pypy", "'with' around the socket or response, or close() in 'finally'"},
	{"node",
	 "socket.end() or destroy() on 'end' and 'error' where allowHalfOpen is set, and read "
	 "every response to its end (or resume() it)"},
	{"java", "try-with-resources around the connection and its response"},
	{"ruby", "the block form, or close in 'ensure'"},
	{"",
	 "close() whenever read() returns 0 or an error, on the paths of errors and timeouts too "
	 "(Go: defer Body.Close() as soon as there is a response)"},
};

static const char *fix_for(const struct process_identity *p)
{
	const char *exe = p && p->exe ? text_base_name(p->exe) : "";
	size_t i = 0;

	for (; i + 1 < sizeof(fixes) / sizeof(fixes[0]); i++)
		if (!strncmp(exe, fixes[i].exe, strlen(fixes[i].exe)))
			break;
	return fixes[i].fix;
}

static struct words words_leak_place(const struct leak *l)
{
	struct destination d = {.port = l->port, .family = l->family};

	memcpy(d.addr, l->addr, sizeof(d.addr));
	return words_destination(&d);
}

/* The traced flow of the connections that this process has opened and not closed, NULL: none. */
static const struct flow *flow_of(const struct group *g, const struct leak *l)
{
	for (uint32_t i = 0; g && !l->accepted && i < g->nr_flows; i++) {
		const struct destination *d = &g->flows[i]->dest;

		if (d->netns == l->netns && d->port == l->port &&
		    !memcmp(d->addr, l->addr, sizeof(d->addr)))
			return g->flows[i];
	}
	return NULL;
}

static void give_evidence(struct finding_draft *d, const struct leak *l, const struct words *who)
{
	char files[32], limit[32];

	draft_evidence(d, "%s %s %s %s in CLOSE_WAIT: the peers have closed, %s has not",
		       words_count(l->nr, "connection").text,
		       l->accepted ? "accepted on" : "opened to", words_leak_place(l).text,
		       l->nr == 1 ? "is" : "are", who->text);
	if (l->nr_aged)
		draft_evidence(d, "the peer of the oldest closed at least %s ago",
			       words_duration(l->oldest_ms * 1000000ULL).text);
	if (l->recent)
		draft_evidence(d, "%s of them came in the last %s: %s more a second",
			       text_count(files, sizeof(files), l->recent),
			       words_duration(l->recent_ms * 1000000ULL).text,
			       words_rate(l->per_second).text);
	if (l->seconds_left >= 0)
		draft_evidence(
			d, "%s of %s files are open: at this rate%s none is left in %s (EMFILE)",
			text_count(files, sizeof(files), l->owner.fd_count),
			text_count(limit, sizeof(limit), l->owner.fd_limit),
			l->process_per_second > l->per_second ? ", and that of its other leaks,"
							      : "",
			words_duration((uint64_t)(l->seconds_left * 1e9)).text);
	if (l->unread)
		draft_evidence(d, "%s of them %s bytes waiting that nobody has read",
			       text_count(files, sizeof(files), l->unread),
			       l->unread == 1 ? "has" : "have");
}

/* --- where they were opened, or accepted ------------------------------------------------------ */

/* Of a flow where it was opened, of a service where it was accepted. NULL: not known. */
static const struct callsite *callsite_of(const struct leak *l, const struct flow *f,
					  const struct socket_holder *who)
{
	const struct callsite *at = f ? f->callsites : NULL;
	uint32_t nr = f ? f->nr_callsites : 0;

	for (uint32_t i = 0; who->accepted && who->group && i < who->group->nr_services; i++) {
		const struct service *s = who->group->services[i];

		if (s->netns == l->netns && s->port == l->port) {
			at = s->callsites;
			nr = s->nr_callsites;
		}
	}
	for (uint32_t i = 0; i < nr; i++) {
		if (at[i].id == who->callsite_id)
			return &at[i];
	}
	return NULL;
}

static void tell_origins(struct finding_draft *d, const struct finding_context *ctx,
			 const struct leak *l)
{
	struct leak_origins o;
	struct leak_words w;

	leak_origins__find(&o, ctx->model, ctx->facts, l);
	w = leak_origins__words(&o, l);
	for (uint32_t i = 0; i < w.nr_places; i++)
		draft_evidence(d, "%s", w.at[i]);
	for (uint32_t i = w.nr_places; i < w.nr; i++)
		draft_counter(d, "%s", w.at[i]);
	if (o.nr)
		d->f.callsite = callsite_of(l, d->f.flow, &o.at[0].who);
}

static int tell(const struct finding_context *ctx, const struct leak *l)
{
	const struct process_identity *p = l->owner.process;
	const struct group *g = model__group_of(ctx->model, p);
	const struct flow *f = flow_of(g, l);
	struct words who = words_identity(p);
	struct finding_draft d =
		draft_about("close-wait-leak",
			    l->seconds_left >= 0 && l->seconds_left < SOON_S ? FINDING_CRITICAL
									     : FINDING_WARNING,
			    g, p);
	char nr[32];

	d.f.leak = l;
	d.f.flow = f;
	d.f.weight = l->nr;
	draft_title(&d, "%s does not close %s that %s peers have closed: %s", who.text,
		    words_count(l->nr, "connection").text, l->nr == 1 ? "its" : "their",
		    words_leak_place(l).text);
	give_evidence(&d, l, &who);
	tell_origins(&d, ctx, l);
	if (l->unaccepted)
		draft_counter(&d, "%s of them %s never accepted: in the queue of the listener",
			      text_count(nr, sizeof(nr), l->unaccepted),
			      l->unaccepted == 1 ? "was" : "were");
	draft_counter(&d,
		      "a peer may have closed its sending side only (shutdown()), and still wait "
		      "for the answer");
	draft_fix(&d, "close what the peer has closed: %s", fix_for(p));
	return draft_done(&d, ctx);
}

/* Somebody has met one of its connections already: young as they are, they leak. */
static bool is_collided_with(const struct model *m, const struct leak *l)
{
	uint32_t nr;
	const struct group *const *groups = model__groups(m, &nr);

	for (uint32_t i = 0; l->owner.process && i < nr; i++) {
		for (uint32_t k = 0; k < groups[i]->nr_flows; k++) {
			const struct collisions *c = groups[i]->flows[k]->collisions;

			if (c && c->holder && c->holder->id.tgid == l->owner.process->id.tgid)
				return true;
		}
	}
	return false;
}

int finding_rule_close_wait(const struct finding_context *ctx)
{
	const struct leaks *all = ctx->facts->leaks;
	int err = 0;

	for (uint32_t i = 0; all && i < all->nr && !err; i++) {
		const struct leak *l = &all->at[i];

		if (l->state != SOCKET_CLOSE_WAIT || l->nr < MIN_SOCKETS || l->unaccepted == l->nr)
			continue;
		if (l->nr_aged && l->oldest_ms < MIN_OLDEST_MS && !is_collided_with(ctx->model, l))
			continue;
		if (ctx->facts->followed_only && !model__follows(ctx->model, l->owner.process))
			continue;
		err = tell(ctx, l);
	}
	return err;
}
