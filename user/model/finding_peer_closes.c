/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* peer-closes: the server ends each connection right after the exchange. */
#include "user/base/text.h"
#include "user/model/finding_draft.h"

#define MIN_CLOSES   3
#define WARNING_RATE 10 /* closes a second, where handshakes begin to weigh on the server */

int finding_rule_peer_closes(const struct finding_context *ctx, const struct flow *f)
{
	uint64_t peer = f->closed_by[CHURN_END_PEER];
	uint64_t prompt = peer - f->peer_closed_idle;
	uint64_t segments = histogram__quantile(&f->requests, 0.5);
	double rate = finding_rate(f->opens, ctx->window_ns);
	char nr[32], program[64];
	struct finding_draft d;

	if (f->closes < MIN_CLOSES || peer * 2 <= f->closes || prompt * 2 <= f->closes ||
	    segments > ONE_EXCHANGE_SEGMENTS)
		return 0;
	d = draft_new("peer-closes", rate >= WARNING_RATE ? FINDING_WARNING : FINDING_INFO, f);
	d.f.callsite = finding_main_callsite(f);
	d.f.weight = (double)peer;
	draft_title(&d, "%s ends %s of %s", words_destination(&f->dest).text,
		    peer == f->closes ? "each connection" : "most connections",
		    words_program(f->group).text);
	draft_evidence(&d, "first FIN by the peer in %s of %s", text_count(nr, sizeof(nr), peer),
		       words_count(f->closes, "close").text);
	draft_evidence(&d, "in %s of them less than a second after the last payload",
		       text_count(nr, sizeof(nr), prompt));
	draft_evidence(&d, "median %s sent per connection",
		       words_count(segments, "data segment").text);
	if (f->peer) {
		struct words w;

		process_identity__program(f->peer, program, sizeof(program));
		text_clean(w.text, sizeof(w.text), program);
		draft_evidence(&d, "the peer is %s, process %u on this host", w.text,
			       f->peer->id.tgid);
	}
	if (finding_closed_by_us(f))
		draft_counter(&d, "first FIN by us in %s",
			      words_count(finding_closed_by_us(f), "close").text);
	if (!segments)
		draft_counter(&d, "nothing was sent on most of the connections: the server may be "
				  "refusing them by closing");
	draft_counter(&d, "payload is not read: the client may itself have asked for that "
			  "(Connection: close, an agent without keep-alive, HTTP/1.0)");
	draft_usual_doubts(&d, ctx, f);
	draft_fix(&d,
		  "see who asks for it. If the client does (a Connection: close header, an HTTP "
		  "agent without keep-alive), let it keep connections: %s. Else let the server: "
		  "keep-alive switched on, and a timeout longer than the pause between requests; "
		  "until then no pool in the client can help",
		  finding_fix(f->group, d.f.callsite));
	return draft_done(&d, ctx);
}
