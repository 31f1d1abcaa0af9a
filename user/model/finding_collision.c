/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* stale-close-wait-collision: connect() is slow, or hangs, because the connection that had its
 * source port before is still in CLOSE_WAIT on the accepting side. See collisions.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/model/census.h"
#include "user/model/finding_draft.h"

static struct words endpoint(const uint8_t addr[16], uint16_t port)
{
	struct destination d = {.port = port};

	memcpy(d.addr, addr, sizeof(d.addr));
	return words_destination(&d);
}

static struct words holder_of(const struct collisions *c)
{
	return c->holder ? words_identity(c->holder) : (struct words){"its process"};
}

/* ", accepted in serve (server.c:20)", or nothing. */
static struct words accepted_in(const struct stack_trace *stack, int frame)
{
	struct words w = {0};

	if (stack && frame >= 0)
		snprintf(w.text, sizeof(w.text), ", accepted in %.200s",
			 words_frame(&stack->frames[frame]).text);
	return w;
}

static void tell_healed(struct finding_draft *d, const struct flow *f, const struct collisions *c)
{
	char healed[32];

	if (!c->healed)
		return;
	draft_evidence(d,
		       "%s of %s took %s (median; the longest %s): the server's kernel challenged "
		       "the SYN, an RST ended the stale socket, the next SYN got through",
		       text_count(healed, sizeof(healed), c->healed),
		       words_count(f->opens, "connect").text,
		       words_duration(histogram__quantile(&c->delay, 0.5)).text,
		       words_duration(histogram__quantile(&c->delay, 1)).text);
	draft_evidence(d, "connects to there take %s otherwise",
		       words_duration(histogram__quantile(&f->connect, 0.05)).text);
	if (c->waited_ns)
		draft_evidence(d, "the stale sockets had been in CLOSE_WAIT for up to %s",
			       words_duration(c->waited_ns).text);
}

static void tell_hung(struct finding_draft *d, const struct collisions *c)
{
	if (!c->hung)
		return;
	draft_evidence(d,
		       "%s got no answer at all, for up to %s, while the stale socket stayed: the "
		       "RST that ends it does not arrive",
		       words_count(c->hung, "connect").text, words_duration(c->hung_ns).text);
}

static void advise(struct finding_draft *d, const char *holder, bool hung)
{
	draft_fix(d, "let %s close its connections (see close-wait-leak)%s", holder,
		  hung ? "; and let RSTs pass: a packet filter drops them, often as INVALID" : "");
}

int finding_rule_collision(const struct finding_context *ctx, const struct flow *f)
{
	const struct collisions *c = f->collisions;
	struct finding_draft d;
	struct words holder, local, peer;
	struct callsite stale;

	if (!c)
		return 0;
	stale = model__find_callsite(ctx->model, c->holder_stack);
	holder = holder_of(c);
	local = endpoint(c->client_addr, c->client_port);
	peer = words_destination(&f->dest);
	d = draft_new("stale-close-wait-collision", c->hung ? FINDING_CRITICAL : FINDING_WARNING,
		      f);
	d.f.callsite = finding_main_callsite(f);
	d.f.process = c->holder;
	d.f.weight = (double)(c->healed + c->hung);
	draft_title(&d,
		    "%s %s when connecting to %s: %s has not closed the last connection of that "
		    "source port",
		    words_program(f->group).text, c->hung ? "hangs" : "is delayed", peer.text,
		    holder.text);
	tell_hung(&d, c);
	tell_healed(&d, f, c);
	draft_evidence(&d,
		       "for example, connect() from %s to %s, while %s -> %s of %s was in "
		       "CLOSE_WAIT%s",
		       local.text, peer.text, peer.text, local.text, holder.text,
		       accepted_in(stale.stack, stale.frame).text);
	draft_usual_doubts(&d, ctx, f);
	advise(&d, holder.text, c->hung);
	return draft_done(&d, ctx);
}

/* --- connects that hang at the end of the window ---------------------------------------------- */

/* Sockets in CLOSE_WAIT, sorted. */
struct stale_list {
	const struct tcp_socket **at;
	size_t nr;
};

static int compare_ends(const void *a, const void *b)
{
	const struct tcp_socket *x = *(const struct tcp_socket *const *)a;
	const struct tcp_socket *y = *(const struct tcp_socket *const *)b;
	int diff;

	if (x->netns != y->netns)
		return x->netns < y->netns ? -1 : 1;
	if (x->local_port != y->local_port)
		return (int)x->local_port - (int)y->local_port;
	if (x->peer_port != y->peer_port)
		return (int)x->peer_port - (int)y->peer_port;
	diff = memcmp(x->local_addr, y->local_addr, sizeof(x->local_addr));
	return diff ? diff : memcmp(x->peer_addr, y->peer_addr, sizeof(x->peer_addr));
}

static int find_all_stale(struct stale_list *l, const struct socket_list *all)
{
	l->nr = 0;
	l->at = malloc((all->nr + 1) * sizeof(*l->at));
	if (!l->at)
		return -ENOMEM;
	for (size_t i = 0; i < all->nr; i++) {
		if (all->at[i].state == SOCKET_CLOSE_WAIT)
			l->at[l->nr++] = &all->at[i];
	}
	qsort(l->at, l->nr, sizeof(*l->at), compare_ends);
	return 0;
}

/* That has the four-tuple of `s`, from the other side. */
static const struct tcp_socket *stale_of(const struct stale_list *l, const struct tcp_socket *s)
{
	struct tcp_socket wanted = {
		.netns = s->netns, .local_port = s->peer_port, .peer_port = s->local_port};
	const struct tcp_socket *key = &wanted, **found;

	memcpy(wanted.local_addr, s->peer_addr, sizeof(wanted.local_addr));
	memcpy(wanted.peer_addr, s->local_addr, sizeof(wanted.peer_addr));
	found = bsearch(&key, l->at, l->nr, sizeof(*l->at), compare_ends);
	return found ? *found : NULL;
}

/* Their flow has told of others like it. */
static bool is_told(const struct group *g, const struct tcp_socket *s)
{
	for (uint32_t i = 0; g && i < g->nr_flows; i++) {
		const struct flow *f = g->flows[i];

		if (f->collisions && f->dest.netns == s->netns && f->dest.port == s->peer_port &&
		    !memcmp(f->dest.addr, s->peer_addr, sizeof(f->dest.addr)))
			return true;
	}
	return false;
}

static int tell_hanging(const struct finding_context *ctx, const struct tcp_socket *s,
			const struct tcp_socket *stale)
{
	const struct finding_facts *facts = ctx->facts;
	struct leak_owner client = {0}, server = {0};
	struct socket_holder origin = {.frame = -1};
	struct words local = endpoint(s->local_addr, s->local_port);
	struct words peer = endpoint(s->peer_addr, s->peer_port);
	const struct group *g;
	struct words holder;
	struct finding_draft d;

	facts->find_owner(facts->owners, s, &client);
	facts->find_owner(facts->owners, stale, &server);
	g = model__group_of(ctx->model, client.process);
	if (is_told(g, s) || (facts->followed_only && !model__follows(ctx->model, client.process)))
		return 0;
	holder = words_identity(server.process);
	d = draft_about("stale-close-wait-collision", FINDING_CRITICAL, g, client.process);
	d.f.weight = 1;
	draft_title(&d,
		    "%s hangs in connect() to %s: %s has not closed the last connection of that "
		    "source port",
		    words_identity(client.process).text, peer.text, holder.text);
	model__whose(ctx->model, stale, &origin);
	draft_evidence(&d, "%s -> %s is in SYN_SENT while %s -> %s of %s is in CLOSE_WAIT%s",
		       local.text, peer.text, peer.text, local.text, holder.text,
		       accepted_in(origin.stack, origin.frame).text);
	draft_counter(&d, "it may be healed in the next milliseconds, where RSTs pass");
	advise(&d, holder.text, true);
	return draft_done(&d, ctx);
}

int finding_rule_hanging(const struct finding_context *ctx)
{
	const struct socket_list *all = ctx->facts->sockets;
	struct stale_list stale;
	int err = all ? find_all_stale(&stale, all) : 0;

	if (!all || err)
		return err;
	for (size_t i = 0; i < all->nr && !err; i++) {
		const struct tcp_socket *s = &all->at[i], *met;

		met = s->state == SOCKET_SYN_SENT ? stale_of(&stale, s) : NULL;
		if (met)
			err = tell_hanging(ctx, s, met);
	}
	free(stale.at);
	return err;
}
