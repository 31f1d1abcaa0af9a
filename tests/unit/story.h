/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Invented connections, told to a model record by record. Times in ns from 1 s on. */
#ifndef TESTS_UNIT_STORY_H
#define TESTS_UNIT_STORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/sockets.h"

#include "user/model/findings.h"
#include "user/model/model.h"

#define US 1000ULL
#define MS 1000000ULL
#define S  1000000000ULL

struct story {
	struct model *m;
	uint64_t now;
	uint64_t next_id;
	struct annotation a;   /* of the last record */
	struct findings found; /* as last drawn */
};

static inline void story_begin(struct story *s, const struct model_options *opts)
{
	memset(s, 0, sizeof(*s));
	s->m = model__new(opts);
	assert_non_null(s->m);
	s->now = S;
	s->next_id = 1;
}

static inline void story_end(struct story *s)
{
	findings__clear(&s->found);
	model__free(s->m);
}

static inline struct churn_id who(uint32_t tgid)
{
	return (struct churn_id){.start_ns = tgid * S, .tgid = tgid, .exec_id = 1};
}

static inline void story_process(struct story *s, uint32_t tgid, uint32_t parent, const char *exe,
				 const char *const *argv)
{
	struct process_identity p = {.id = who(tgid), .parent_tgid = parent};
	const char *base = strrchr(exe, '/');
	char path[256];

	base = base ? base + 1 : exe;
	snprintf(p.comm, sizeof(p.comm), "%.15s", base);
	snprintf(path, sizeof(path), "%s", exe);
	p.exe = path;
	p.argv = (char **)argv;
	assert_int_equal(model__process(s->m, &p), 0);
}

/* A connection of `tgid` (0: nobody) from its next port to 127.0.0.1:`port`, as it stands now. */
static inline struct churn_conn dial(struct story *s, uint32_t tgid, uint16_t port)
{
	struct churn_conn c = {.id = s->next_id,
			       .open_ns = s->now,
			       .established_ns = s->now + 30 * US,
			       .owner = tgid ? who(tgid) : (struct churn_id){0},
			       .tid = tgid,
			       .netns = 1,
			       .local_port = (uint16_t)(32768 + s->next_id % 28000),
			       .peer_port = port,
			       .family = 4,
			       .role = CHURN_CLIENT,
			       .attribution = CHURN_OWNER_EXACT,
			       .comm = "dialer"};

	s->next_id++;
	loopback(c.local_addr);
	loopback(c.peer_addr);
	return c;
}

/* The other end of a client's connection, owned by `tgid`. */
static inline struct churn_conn answer(struct story *s, const struct churn_conn *client,
				       uint32_t tgid)
{
	struct churn_conn c = *client;

	c.id = s->next_id++;
	c.open_ns = c.established_ns = client->established_ns + 10 * US;
	c.owner = tgid ? who(tgid) : (struct churn_id){0};
	c.role = CHURN_SERVER;
	c.local_port = client->peer_port;
	c.peer_port = client->local_port;
	c.attribution = tgid ? CHURN_OWNER_LISTENER : CHURN_OWNER_UNKNOWN;
	c.stack = 0;
	memcpy(c.local_addr, client->peer_addr, sizeof(c.local_addr));
	memcpy(c.peer_addr, client->local_addr, sizeof(c.peer_addr));
	memset(c.comm, 0, sizeof(c.comm));
	return c;
}

static inline void opened(struct story *s, const struct churn_conn *c)
{
	struct churn_open e = {.h = {.ts_ns = c->established_ns,
				     .type = c->role == CHURN_CLIENT ? CHURN_CONNECT : CHURN_ACCEPT,
				     .size = sizeof(e)},
			       .conn = *c};

	assert_int_equal(model__open(s->m, &e, &s->a), 0);
}

/* The close record as of now: one exchange, whose last byte came `idle` ago. */
static inline struct churn_end ended(const struct story *s, const struct churn_conn *c,
				     enum churn_initiator initiator, uint64_t idle)
{
	struct churn_end e = {.h = {.ts_ns = s->now, .type = CHURN_CLOSE, .size = sizeof(e)},
			      .conn = *c,
			      .bytes_sent = 100,
			      .bytes_received = 200,
			      .idle_ns = idle,
			      .ending_ns = s->now,
			      .data_segs_out = 1,
			      .data_segs_in = 1};

	e.conn.initiator = (uint8_t)initiator;
	e.time_wait = initiator == CHURN_END_PEER ? CHURN_TIME_WAIT_PEER : CHURN_TIME_WAIT_LOCAL;
	return e;
}

static inline void tell_end(struct story *s, const struct churn_end *e)
{
	assert_int_equal(model__end(s->m, e, &s->a), 0);
}

static inline void closed(struct story *s, const struct churn_conn *c,
			  enum churn_initiator initiator)
{
	struct churn_end e = ended(s, c, initiator, 0);

	tell_end(s, &e);
}

static inline void failed(struct story *s, struct churn_conn c, int error, enum churn_cause cause)
{
	struct churn_end e = {.h = {.ts_ns = s->now, .type = CHURN_FAILED, .size = sizeof(e)},
			      .conn = c,
			      .error = (uint16_t)error,
			      .cause = (uint8_t)cause};

	e.conn.established_ns = 0;
	e.conn.local_port = 0;
	tell_end(s, &e);
}

/* `n` connections one after the other, each `life` long, `pause` after the one before. */
static inline void one_by_one(struct story *s, uint32_t tgid, uint16_t port, int n, uint64_t life,
			      uint64_t pause, enum churn_initiator initiator, uint64_t stack)
{
	for (int i = 0; i < n; i++) {
		struct churn_conn c = dial(s, tgid, port);

		c.stack = stack;
		opened(s, &c);
		s->now += life;
		closed(s, &c, initiator);
		s->now += pause;
	}
}

static inline void story_stack(struct story *s, uint64_t id, const char *function, uint32_t line)
{
	char name[64], file[] = "/srv/app/health.c", module[] = "/srv/app/poller";
	struct frame f = {.file = file, .module = module, .line = line, .pc = 0x1000 + id};
	struct stack_trace t = {.id = id, .nr = 1, .language = "native", .frames = &f};

	snprintf(name, sizeof(name), "%s", function ? function : "");
	f.function = function ? name : NULL;
	assert_int_equal(model__stack(s->m, &t), 0);
}

static inline const struct group *group_at(struct story *s, uint32_t i)
{
	uint32_t nr;
	const struct group *const *groups;

	assert_int_equal(model__seal(s->m), 0);
	groups = model__groups(s->m, &nr);
	assert_true(i < nr);
	return groups[i];
}

static inline const struct group *group_named(struct story *s, const char *program)
{
	uint32_t nr;
	const struct group *const *groups;

	assert_int_equal(model__seal(s->m), 0);
	groups = model__groups(s->m, &nr);
	for (uint32_t i = 0; i < nr; i++)
		if (!strcmp(groups[i]->program, program))
			return groups[i];
	return NULL;
}

static inline const struct flow *flow_of(struct story *s, const char *program)
{
	const struct group *g = group_named(s, program);

	assert_non_null(g);
	assert_true(g->nr_flows > 0);
	return g->flows[0];
}

static inline void story_draw(struct story *s, uint64_t window_ns,
			      const struct finding_facts *facts)
{
	findings__clear(&s->found);
	assert_int_equal(model__seal(s->m), 0);
	assert_int_equal(findings__draw(&s->found, s->m, window_ns, facts), 0);
}

static inline const struct finding *finding_named(const struct findings *f, const char *id)
{
	for (uint32_t i = 0; i < f->nr; i++)
		if (!strcmp(f->at[i].id, id))
			return &f->at[i];
	return NULL;
}

static inline const struct finding *story_finding(const struct story *s, const char *id)
{
	return finding_named(&s->found, id);
}

/* Whether a line of the evidence, or counter-evidence, has that in it. */
static inline bool says(char *const *lines, const char *part)
{
	for (; *lines; lines++)
		if (strstr(*lines, part))
			return true;
	return false;
}

#endif /* TESTS_UNIT_STORY_H */
