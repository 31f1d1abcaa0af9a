/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/record_check.h"

bool record_is_sound(const struct churn_header *h, size_t size)
{
	const struct churn_stack_copy *copy = (const void *)h;
	const struct churn_py_stack *py = (const void *)h;
	const struct churn_stack *s = (const void *)h;

	if (size < sizeof(*h) || h->size > size)
		return false;
	switch (h->type) {
	case CHURN_WAKE:
		return true;
	case CHURN_PROCESS:
		return size >= sizeof(struct churn_process) &&
		       ((const struct churn_process *)h)->args_len <= CHURN_ARGS_LEN;
	case CHURN_EXEC:
		return size >= sizeof(struct churn_exec);
	case CHURN_STACK:
		return size >= offsetof(struct churn_stack, pc) && s->nr <= CHURN_MAX_FRAMES &&
		       size >= offsetof(struct churn_stack, pc) + s->nr * sizeof(s->pc[0]);
	case CHURN_STACK_COPY:
		return size >= offsetof(struct churn_stack_copy, bytes) &&
		       copy->len <= CHURN_COPY_LEN &&
		       size >= offsetof(struct churn_stack_copy, bytes) + copy->len;
	case CHURN_PY_STACK:
	case CHURN_CALLS:
		return size >= offsetof(struct churn_py_stack, frames) &&
		       py->nr <= CHURN_MAX_PY_FRAMES &&
		       size >= offsetof(struct churn_py_stack, frames) +
				       py->nr * sizeof(py->frames[0]);
	case CHURN_CONNECT:
	case CHURN_ACCEPT:
		return size >= sizeof(struct churn_open);
	case CHURN_FAILED:
	case CHURN_CLOSE:
	case CHURN_BIND_FAILED:
		return size >= sizeof(struct churn_end);
	}
	return false;
}
