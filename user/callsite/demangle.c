/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/demangle.h"

#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

/* Longer ones are left as they are: the work, and the result, can grow much faster than the
 * name. */
#define MAX_MANGLED   2048
#define MAX_DEMANGLED 8192

char *demangle(const char *symbol)
{
	char *name = NULL;

	if ((!strncmp(symbol, "_Z", 2) || !strncmp(symbol, "_R", 2)) &&
	    strlen(symbol) <= MAX_MANGLED)
		name = cplus_demangle(symbol, DMGL_ANSI | DMGL_AUTO);
	if (name && strlen(name) > MAX_DEMANGLED) {
		free(name);
		name = NULL;
	}
	return name ? name : strdup(symbol);
}
