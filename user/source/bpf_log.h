/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What libbpf says, in our log. */
#ifndef CHURN_SOURCE_BPF_LOG_H
#define CHURN_SOURCE_BPF_LOG_H

/* Its warnings are for -v: what they mean for the user is said by who called it. */
void bpf_log_to_debug(void);

#endif /* CHURN_SOURCE_BPF_LOG_H */
