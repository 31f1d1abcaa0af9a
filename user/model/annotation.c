/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/annotation.h"

#include <string.h>

static void annotate_stack(const struct model *m, uint64_t id, const struct stack_trace **stack,
			   int *frame, uint64_t *callsite)
{
	const struct stack_entry *s = stack_table__find(&m->stacks, id);

	*stack = s ? &s->trace : NULL;
	*frame = s ? s->frame : -1;
	if (callsite)
		*callsite = s ? s->callsite_id : 0;
}

void annotation__of(const struct model *m, const struct churn_conn *rec, const struct conn *c,
		    struct annotation *a)
{
	memset(a, 0, sizeof(*a));
	a->process = process__identity(process_table__find(&m->processes, &rec->owner));
	if (!a->process && c)
		a->process = process__identity(c->process);
	if (c && c->mate)
		a->peer = process__identity(c->mate->process);
	annotate_stack(m, rec->stack, &a->stack, &a->frame, &a->callsite_id);
	a->close_frame = -1;
}

void annotation__of_end(const struct model *m, const struct churn_end *e, const struct conn *c,
			struct annotation *a)
{
	annotation__of(m, &e->conn, c, a);
	annotate_stack(m, e->close_stack, &a->close_stack, &a->close_frame, NULL);
	a->avoidable = c && c->avoidable;
}
