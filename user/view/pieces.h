/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* JSON objects that a trace line and a report have in common. */
#ifndef CHURN_VIEW_PIECES_H
#define CHURN_VIEW_PIECES_H

#include "user/model/model.h"
#include "user/base/json.h"

#define VIEW_SCHEMA "tcpchurn/1"

/* The document's outer object with schema, event.name and time; the caller goes on with it. */
void json_begin_event(struct json *j, const char *name, uint64_t wall_ns);
/* Ends, writes, flushes and frees it. 0 or -errno. */
int json_end_event(struct json *j, FILE *out);

/* "process": all that is known of one process. */
void json_process(struct json *j, const char *key, const struct process_identity *p);
/* The members that processes of a group have in common, without the object around them. */
void json_program(struct json *j, const struct process_identity *p);
void json_container(struct json *j, const struct process_identity *p);
/* "peer_process": pid and executable.name. */
void json_peer(struct json *j, const char *key, const struct process_identity *p);

/* function, file, line and module of a frame as members; offset where the function is not known. */
void json_frame(struct json *j, const struct frame *f);
/* id, the same of its application frame, and language, as members; what is not known (an id of 0,
 * no stack, a frame below 0) is left out. */
void json_callsite(struct json *j, uint64_t id, const struct stack_trace *s, int frame);
/* "stack": an array of frames, innermost first. */
void json_stack(struct json *j, const char *key, const struct stack_trace *s);

/* "failures": {"EADDRNOTAVAIL": n} */
void json_failures(struct json *j, const char *key, const struct error_counts *c);
/* "totals" */
void json_totals(struct json *j, const struct model_totals *t);
/* "lost": {"events": n, "by_reason": {..}}, the reasons whose counter is not zero. */
void json_lost(struct json *j, const uint64_t lost[CHURN_LOST__COUNT], uint64_t lost_user);

#endif /* CHURN_VIEW_PIECES_H */
