/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Command lines of interpreters: which argument is the program. */
#ifndef CHURN_MODEL_INTERPRETER_H
#define CHURN_MODEL_INTERPRETER_H

struct interpreter;

/* By the base name of an executable ("python3.11"); NULL: not an interpreter. */
const struct interpreter *interpreter_find(const char *name);

/* The script, or the module of python -m, as it stands in argv; NULL: program text or stdin. */
const char *interpreter_script(const struct interpreter *in, char *const *argv);

#endif /* CHURN_MODEL_INTERPRETER_H */
