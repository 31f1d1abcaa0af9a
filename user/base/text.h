/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Text from outside (comm, command lines, file names) made safe to show; names of constants. */
#ifndef CHURN_BASE_TEXT_H
#define CHURN_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define ADDR_LEN 46 /* INET6_ADDRSTRLEN */

/*
 * Copies src to dst for a terminal: control characters and bytes that are not valid UTF-8 become
 * '?', the result is cut at a character boundary and always terminated. NULL reads as "".
 * Returns dst.
 */
char *text_clean(char *dst, size_t size, const char *src);

/* 16 bytes in network order, IPv4 as ::ffff:a.b.c.d, which is written as a.b.c.d. Returns dst. */
char *text_addr(char dst[ADDR_LEN], const uint8_t addr[16]);

/* "EADDRNOTAVAIL" for 99; "errno 999" in a static buffer of the thread for one without a name. */
const char *text_errno(int error);

/* 0 if there is no such name. Accepts "EADDRNOTAVAIL" and "99". */
int text_errno_from_name(const char *name);

/* 1234567 as "1,234,567". Returns dst. */
char *text_count(char *dst, size_t size, uint64_t value);

/* A duration for people, 3 significant digits: "14 us", "1.7 ms", "2.5 s", "3 m 20 s". */
char *text_duration(char *dst, size_t size, uint64_t ns);

/* Last component of a path; the whole where there is no '/'. Never NULL for a non-NULL path. */
const char *text_base_name(const char *path);

#endif /* CHURN_BASE_TEXT_H */
