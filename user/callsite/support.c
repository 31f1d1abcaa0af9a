/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/support.h"

#include <stddef.h>

const struct support callsite_support[] = {
	{"native", "C, C++, Rust, Go",
	 "by call frame information, frame pointers or not; lines from DWARF, functions from "
	 "symbols"},
	{"cpython", "3.8 to 3.14, not free-threaded",
	 "by the interpreter's frames: function, file and line"},
	{"jit", "Node.js, Java, .NET and others that write /tmp/perf-PID.map",
	 "by frame pointers and that file (node --perf-basic-prof)"},
	{NULL, NULL, NULL},
};
