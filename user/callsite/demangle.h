/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names of C++ and Rust functions as their authors wrote them, without parameters. */
#ifndef CHURN_CALLSITE_DEMANGLE_H
#define CHURN_CALLSITE_DEMANGLE_H

/* A new string: the demangled name, or a copy of one that is not mangled. NULL: no memory. */
char *demangle(const char *symbol);

#endif /* CHURN_CALLSITE_DEMANGLE_H */
