/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A resolver's kernel side that learns nothing. */
#ifndef TESTS_UNIT_TEACH_H
#define TESTS_UNIT_TEACH_H

#include "user/callsite/resolver.h"

static inline void no_rule(void *ctx, const struct churn_rule_key *key,
			   const struct churn_rule *rule)
{
	(void)ctx;
	(void)key;
	(void)rule;
}

static inline void no_walked(void *ctx, const struct churn_id *process)
{
	(void)ctx;
	(void)process;
}

static inline void no_python(void *ctx, const struct churn_id *process,
			     const struct churn_python *python)
{
	(void)ctx;
	(void)process;
	(void)python;
}

static inline void no_freeing(void *ctx, const struct churn_id *process,
			      const struct python_freeing *where)
{
	(void)ctx;
	(void)process;
	(void)where;
}

static inline uint64_t no_code(void *ctx, const struct churn_id *process)
{
	(void)ctx;
	(void)process;
	return 0;
}

static inline struct resolver_teach teach_nobody(void)
{
	return (struct resolver_teach){.rule = no_rule,
				       .walked = no_walked,
				       .python = no_python,
				       .freeing = no_freeing,
				       .code = no_code};
}

#endif /* TESTS_UNIT_TEACH_H */
