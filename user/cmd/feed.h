/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A sink that feeds a model. */
#ifndef CHURN_CMD_FEED_H
#define CHURN_CMD_FEED_H

#include "user/cmd/options.h"
#include "user/model/model.h"
#include "user/model/sink.h"

struct feed {
	struct model *model;
	const struct options *opts;
};

/* A model as the options want it, which remembers whose the TIME_WAITs are. NULL with errno set. */
struct model *feed_model(const struct options *opts);
/* `f` must outlive it. Functions may be replaced. */
struct sink feed_sink(struct feed *f);

#endif /* CHURN_CMD_FEED_H */
