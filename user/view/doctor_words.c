/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/doctor.h"

const char *doctor_lockdown_name(enum lockdown l)
{
	static const char *const names[] = {
		[LOCKDOWN_NONE] = "none",
		[LOCKDOWN_INTEGRITY] = "integrity",
		[LOCKDOWN_CONFIDENTIALITY] = "confidentiality",
	};

	return names[l];
}

const char *doctor_lockdown_meaning(enum lockdown l)
{
	if (l == LOCKDOWN_CONFIDENTIALITY)
		return "BPF may not read memory by address: kprobes, plain tracepoints, call sites "
		       "and command lines are off";
	return l == LOCKDOWN_UNKNOWN ? "if in force, it may restrict tcpchurn"
				     : "does not restrict tcpchurn";
}
