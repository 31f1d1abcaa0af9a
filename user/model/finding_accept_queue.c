/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* accept-queue-overflow: a listener's queue is full, the kernel drops SYNs (tcp_conn_request() in
 * net/ipv4/tcp_input.c: sk_acceptq_is_full()), and connects wait a second and more. */
#include <string.h>

#include "user/base/text.h"
#include "user/model/error_counts.h"
#include "user/model/finding_draft.h"

#define SYN_RETRY_NS 900000000ULL /* TCP_TIMEOUT_INIT is 1 s */

static bool is_any(const uint8_t addr[16])
{
	static const uint8_t v6[16], v4[16] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(addr, v6, sizeof(v6)) || !memcmp(addr, v4, sizeof(v4));
}

static bool listens_for(const struct tcp_socket *l, const struct destination *d)
{
	return l->netns == d->netns && l->local_port == d->port &&
	       (is_any(l->local_addr) || !memcmp(l->local_addr, d->addr, sizeof(d->addr)));
}

/* True: it has suffered. */
static bool tell_client(struct finding_draft *d, const struct flow *f)
{
	uint64_t worst = histogram__quantile(&f->connect, 1);
	uint64_t timeouts = error_counts__of_cause(&f->failures, CHURN_CAUSE_TIMEOUT) +
			    error_counts__of_cause(&f->failures, CHURN_CAUSE_ABORTED);

	if (timeouts)
		draft_evidence(d, "%s of %s got no answer", words_count(timeouts, "connect").text,
			       words_process(f->group).text);
	if (worst >= SYN_RETRY_NS)
		draft_evidence(d, "a connect of %s took %s: its SYN was sent again",
			       words_process(f->group).text, words_duration(worst).text);
	return timeouts || worst >= SYN_RETRY_NS;
}

static bool tell_clients(const struct finding_context *ctx, struct finding_draft *d,
			 const struct tcp_socket *l)
{
	uint32_t nr;
	const struct group *const *groups = model__groups(ctx->model, &nr);
	bool suffered = false;

	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t k = 0; k < groups[i]->nr_flows; k++)
			if (listens_for(l, &groups[i]->flows[k]->dest))
				suffered |= tell_client(d, groups[i]->flows[k]);
	return suffered;
}

static uint32_t syns_waiting(const struct socket_list *all, const struct tcp_socket *l)
{
	uint32_t nr = 0;

	for (size_t i = 0; i < all->nr; i++) {
		const struct tcp_socket *s = &all->at[i];
		struct destination d = {.netns = s->netns, .port = s->peer_port};

		memcpy(d.addr, s->peer_addr, sizeof(d.addr));
		nr += s->state == SOCKET_SYN_SENT && listens_for(l, &d);
	}
	return nr;
}

static int tell(const struct finding_context *ctx, const struct tcp_socket *l)
{
	uint32_t waiting = syns_waiting(ctx->facts->sockets, l);
	struct destination local = {.port = l->local_port};
	struct leak_owner owner = {0};
	const struct group *g;
	struct finding_draft d;
	char queue[32], backlog[32];

	ctx->facts->find_owner(ctx->facts->owners, l, &owner);
	g = model__group_of(ctx->model, owner.process);
	if (ctx->facts->followed_only && !model__follows(ctx->model, owner.process))
		return 0;
	memcpy(local.addr, l->local_addr, sizeof(local.addr));
	d = draft_about("accept-queue-overflow", FINDING_WARNING, g, owner.process);
	d.f.weight = l->rqueue;
	draft_evidence(&d,
		       "%s established connections wait to be accepted, more than its backlog of "
		       "%s: further SYNs are dropped",
		       text_count(queue, sizeof(queue), l->rqueue),
		       text_count(backlog, sizeof(backlog), l->wqueue));
	if (waiting)
		draft_evidence(&d, "%s on this host have got no answer yet",
			       words_count(waiting, "connect").text);
	if (tell_clients(ctx, &d, l) || waiting)
		d.f.severity = FINDING_CRITICAL;
	draft_title(&d, "%s does not accept fast enough on %s: its queue is full%s",
		    words_identity(owner.process).text, words_destination(&local).text,
		    d.f.severity == FINDING_CRITICAL ? ", connects hang" : "");
	draft_counter(&d, "the queue as it was at the end of the window");
	draft_fix(&d,
		  "find out what keeps it from accept(): a blocked thread, no file left (EMFILE), "
		  "too few workers. A larger backlog (listen(), net.core.somaxconn) is headroom, "
		  "not the cure");
	return draft_done(&d, ctx);
}

int finding_rule_accept_queue(const struct finding_context *ctx)
{
	const struct socket_list *all = ctx->facts->sockets;
	int err = 0;

	for (size_t i = 0; all && i < all->nr && !err; i++)
		if (all->at[i].state == SOCKET_LISTEN && all->at[i].rqueue > all->at[i].wqueue)
			err = tell(ctx, &all->at[i]);
	return err;
}
