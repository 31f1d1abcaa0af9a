/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the rules behind the findings share: writing one down, and the usual words. */
#ifndef CHURN_MODEL_FINDING_DRAFT_H
#define CHURN_MODEL_FINDING_DRAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/findings.h"

/* What costs are measured against when the real range is not known: net.ipv4.ip_local_port_range
 * 32768-60999, Linux's default, and how long TIME_WAIT lasts (TCP_TIMEWAIT_LEN). */
#define DEFAULT_RANGE_PORTS 28232
#define DEFAULT_RANGE_TEXT  "the default range of 28,232 ports"
#define TIME_WAIT_SECONDS   60

/* Data segments sent that may still be one exchange: TLS takes three beside the request. */
#define ONE_EXCHANGE_SEGMENTS 4

struct finding_context {
	const struct model *model;
	uint64_t window_ns;
	const struct finding_facts *facts; /* never NULL; what is not known in it is */
	struct findings *out;
};

/* A rule looks at one flow, and adds what it finds. 0 or -ENOMEM. */
typedef int (*finding_rule)(const struct finding_context *ctx, const struct flow *f);

int finding_rule_function_local(const struct finding_context *ctx, const struct flow *f);
int finding_rule_reuse(const struct finding_context *ctx, const struct flow *f);
int finding_rule_peer_closes(const struct finding_context *ctx, const struct flow *f);
int finding_rule_polling(const struct finding_context *ctx, const struct flow *f);
int finding_rule_port_exhaustion(const struct finding_context *ctx, const struct flow *f);
int finding_rule_port_pressure(const struct finding_context *ctx, const struct flow *f);
int finding_rule_collision(const struct finding_context *ctx, const struct flow *f);

/* A rule that looks at the host's sockets, once. 0 or -ENOMEM. */
typedef int (*finding_host_rule)(const struct finding_context *ctx);

int finding_rule_bind(const struct finding_context *ctx);
int finding_rule_close_wait(const struct finding_context *ctx);
int finding_rule_accept_queue(const struct finding_context *ctx);
int finding_rule_hanging(const struct finding_context *ctx);

/* --- writing ---------------------------------------------------------------------------------- */

struct finding_draft {
	struct finding f;
	uint32_t nr_evidence, nr_counter;
	bool failed; /* out of memory */
};

struct finding_draft draft_new(const char *id, enum finding_severity severity,
			       const struct flow *f);
/* About a process, traced (a group) or not; both may be NULL. */
struct finding_draft draft_about(const char *id, enum finding_severity severity,
				 const struct group *g, const struct process_identity *p);
void draft_title(struct finding_draft *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void draft_evidence(struct finding_draft *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void draft_counter(struct finding_draft *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void draft_fix(struct finding_draft *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds one, for those who read findings by program. */
void draft_holder(struct finding_draft *d, const struct finding_holder *h);
/* What weakens any conclusion: losses, a short window, several processes in the row. */
void draft_usual_doubts(struct finding_draft *d, const struct finding_context *ctx,
			const struct flow *f);
/* Hands it over to ctx->out; one without evidence is dropped. 0 or -ENOMEM. */
int draft_done(struct finding_draft *d, const struct finding_context *ctx);
void finding__clear(struct finding *f);

/* Sets `under` of all; they are sorted. 0 or -ENOMEM. */
int findings_join(struct findings *all);

/* --- words ------------------------------------------------------------------------------------ */

#define WORDS_LEN 256

struct words {
	char text[WORDS_LEN];
};

/* "127.0.0.1:8888", "[::1]:443". */
struct words words_destination(const struct destination *d);
/* The row's name, safe for a terminal. */
struct words words_program(const struct group *g);
/* The same with its number, "dnsfwd [pid 7]", or how many they are. */
struct words words_process(const struct group *g);
/* The same of a process, NULL: "an unknown process". */
struct words words_identity(const struct process_identity *p);
/* "1,234 opens": the plural is the noun with an s. */
struct words words_count(uint64_t nr, const char *noun);
/* "check_health (health.py:42)"; empty: nothing is known. */
struct words words_callsite(const struct callsite *c);
struct words words_frame(const struct frame *f);
/* "6.88", "1,204". */
struct words words_rate(double per_second);
struct words words_duration(uint64_t ns);
/* "742 sockets in TIME_WAIT, 2.6 % of the default range of 28,232 ports", of a rate that is kept
 * up, to a destination: no more than its namespace allows, which it says then. */
struct words words_time_wait(const struct model *m, const struct destination *d, double per_second);

double finding_rate(uint64_t nr, uint64_t window_ns);
/* What to do about it, in the words of the program's runtime: a constant. */
const char *finding_fix(const struct group *g, const struct callsite *c);

/* The first call site with a name, most opens first; NULL: unknown. */
const struct callsite *finding_main_callsite(const struct flow *f);
/* Source ports that its connections occupy at the end of the window: parked or in use. */
uint64_t finding_ports_held(const struct flow *f);
/* Whether two flows draw on the same source ports; where that is not known: may draw. */
bool finding_same_pool(const struct flow *a, const struct flow *b);
/* Closed by this side, in whatever way. */
uint64_t finding_closed_by_us(const struct flow *f);

#endif /* CHURN_MODEL_FINDING_DRAFT_H */
