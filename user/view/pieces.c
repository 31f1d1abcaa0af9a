/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/pieces.h"

#include <stdlib.h>

#include "user/base/text.h"
#include "user/model/names.h"
#include "user/model/sink.h"
#include "user/view/describe.h"
#include "user/view/format.h"

void json_begin_event(struct json *j, const char *name, uint64_t wall_ns)
{
	char time[TIME_TEXT_LEN];

	json__begin(j);
	json__string(j, "schema", VIEW_SCHEMA);
	json__object(j, "event");
	json__string(j, "name", name);
	json__close(j);
	json__string(j, "time", time_rfc3339(time, wall_ns));
}

int json_end_event(struct json *j, FILE *out)
{
	int err = json__write(j, out);

	json__free(j);
	return err ? err : view_flush(out);
}

static const char *executable_name(const struct process_identity *p)
{
	if (p->exe && *p->exe)
		return text_base_name(p->exe);
	return *p->comm ? p->comm : NULL;
}

void json_program(struct json *j, const struct process_identity *p)
{
	json__object(j, "executable");
	json__string(j, "name", executable_name(p));
	json__string(j, "path", p->exe);
	json__close(j);
}

void json_process(struct json *j, const char *key, const struct process_identity *p)
{
	char *command_line = join_args(p);

	json__object(j, key);
	json__uint(j, "pid", p->id.tgid);
	if (p->parent_tgid)
		json__uint(j, "parent_pid", p->parent_tgid);
	json_program(j, p);
	json__string(j, "command_line", command_line);
	json__object(j, "user");
	json__uint(j, "id", p->uid);
	json__close(j);
	if (p->cgroup_path) {
		json__object(j, "linux");
		json__string(j, "cgroup", p->cgroup_path);
		json__close(j);
	}
	json__close(j);
	free(command_line);
}

void json_container(struct json *j, const struct process_identity *p)
{
	if (!p->container_id)
		return;
	json__object(j, "container");
	json__string(j, "id", p->container_id);
	json__close(j);
}

void json_peer(struct json *j, const char *key, const struct process_identity *p)
{
	if (!p)
		return;
	json__object(j, key);
	json__uint(j, "pid", p->id.tgid);
	json__object(j, "executable");
	json__string(j, "name", executable_name(p));
	json__close(j);
	json__close(j);
}

void json_frame(struct json *j, const struct frame *f)
{
	json__string(j, "function", f->function);
	json__string(j, "file", f->file);
	if (f->line)
		json__uint(j, "line", f->line);
	json__string(j, "module", f->module);
	if (!f->function && f->module)
		json__uint(j, "offset", f->offset);
}

void json_callsite(struct json *j, uint64_t id, const struct stack_trace *s, int frame)
{
	if (id)
		json__hex(j, "id", id);
	if (s && frame >= 0 && (uint32_t)frame < s->nr)
		json_frame(j, &s->frames[frame]);
	if (s)
		json__string(j, "language", s->language);
}

void json_stack(struct json *j, const char *key, const struct stack_trace *s)
{
	uint32_t i;

	if (!s)
		return;
	json__array(j, key);
	for (i = 0; i < s->nr; i++) {
		json__object(j, NULL);
		json_frame(j, &s->frames[i]);
		json__close(j);
	}
	json__close(j);
}

void json_failures(struct json *j, const char *key, const struct error_counts *c)
{
	uint32_t i, k;

	json__object(j, key);
	for (i = 0; i < c->nr; i++) {
		uint64_t nr = 0;

		/* One key for each errno: its causes are counted together. */
		for (k = 0; k < i && c->at[k].error != c->at[i].error; k++)
			;
		if (k < i)
			continue;
		for (; k < c->nr; k++)
			nr += c->at[k].error == c->at[i].error ? c->at[k].nr : 0;
		json__uint(j, c->at[i].error ? text_errno(c->at[i].error) : "unknown", nr);
	}
	json__close(j);
}

void json_totals(struct json *j, const struct model_totals *t)
{
	json__object(j, "totals");
	json__uint(j, "opens", t->opens);
	json__uint(j, "accepts", t->accepts);
	json__uint(j, "closes", t->closes);
	json__uint(j, "failures", t->failures);
	json__uint(j, "short_lived", t->short_lived);
	json__uint(j, "avoidable", t->avoidable);
	json__uint(j, "bind_failures", t->bind_failures);
	json__uint(j, "in_progress", t->in_progress);
	json__uint(j, "orphan_closes", t->orphan_closes);
	json__uint(j, "older_closes", t->older_closes);
	json__uint(j, "corrected", t->corrected);
	json__close(j);
}

void json_lost(struct json *j, const uint64_t lost[CHURN_LOST__COUNT], uint64_t lost_user)
{
	uint64_t events = lost_user;
	unsigned int i;

	for (i = 0; i < CHURN_LOST__COUNT; i++)
		events += lost_is_event(i) ? lost[i] : 0;
	json__object(j, "lost");
	json__uint(j, "events", events);
	json__object(j, "by_reason");
	for (i = 0; i < CHURN_LOST__COUNT; i++) {
		if (lost[i])
			json__uint(j, name_lost(i), lost[i]);
	}
	if (lost_user)
		json__uint(j, "user", lost_user);
	json__close(j);
	json__close(j);
}
