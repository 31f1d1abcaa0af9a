/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the model knows of the connection that a record is about; `c` is NULL if it is not
 * followed. */
#ifndef CHURN_MODEL_ANNOTATION_H
#define CHURN_MODEL_ANNOTATION_H

#include "user/model/state.h"

void annotation__of(const struct model *m, const struct churn_conn *rec, const struct conn *c,
		    struct annotation *a);
void annotation__of_end(const struct model *m, const struct churn_end *e, const struct conn *c,
			struct annotation *a);

#endif /* CHURN_MODEL_ANNOTATION_H */
