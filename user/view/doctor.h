/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The diagnosis of `doctor`, for people and as JSON. */
#ifndef CHURN_VIEW_DOCTOR_H
#define CHURN_VIEW_DOCTOR_H

#include <stdio.h>

#include "user/source/hooks.h"
#include "user/source/machine.h"
#include "user/source/privilege.h"
#include "user/view/format.h"

struct diagnosis {
	bool works;
	const char *verdict; /* "tcpchurn works here" */
	struct machine machine;
	struct privilege privileges[PRIVILEGES_MAX];
	size_t nr_privileges;
	const char *missing; /* what tracing lacks: "CAP_BPF and CAP_PERFMON", "": nothing */
	bool planned;	     /* the plan below was made */
	struct plan plan;
	struct machine_settings settings;
};

/* 0 or -errno. */
int doctor_table__print(FILE *out, const struct diagnosis *d);
int doctor_json__print(FILE *out, const struct diagnosis *d);

/* Shared by both. */
const char *doctor_lockdown_name(enum lockdown l);    /* NULL: unknown */
const char *doctor_lockdown_meaning(enum lockdown l); /* never NULL */

#endif /* CHURN_VIEW_DOCTOR_H */
