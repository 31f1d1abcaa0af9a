/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Talk for people, on stderr, one line a message: "object: what happened: why". All but plain
 * information begins with the program's name, as a script's log wants it. */
#ifndef CHURN_BASE_LOG_H
#define CHURN_BASE_LOG_H

#include <stdarg.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* The least severe level that is printed; default LOG_INFO. */
void log_set_level(enum log_level level);

void log_print(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_vprint(enum log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

#define log_error(...) log_print(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_print(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_print(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_print(LOG_DEBUG, __VA_ARGS__)

#endif /* CHURN_BASE_LOG_H */
