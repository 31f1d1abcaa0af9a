/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Values of the command line, parsed strictly: the whole string, a unit where one belongs, within
 * the range. Each returns 0 or -EINVAL and then leaves *out alone.
 */
#ifndef CHURN_BASE_PARSE_H
#define CHURN_BASE_PARSE_H

#include <stdint.h>

/* Decimal digits only. */
int parse_uint(uint64_t *out, const char *text, uint64_t min, uint64_t max);

/* "500ms", "10s", "5m", "1h"; a bare number is seconds, fractions are fine ("1.5s"). In ns. */
#define PARSE_DURATION_RANGE "1us to 365d; units us, ms, s, m, h, d"
int parse_duration(uint64_t *out, const char *text);

/* "4096", "64K", "8M", "1G"; powers of 1024. In bytes. */
int parse_size(uint64_t *out, const char *text, uint64_t min, uint64_t max);

/* "80" or "8000-8999". */
int parse_port_range(uint16_t *low, uint16_t *high, const char *text);

/* "10.0.0.0/8", "::1", "fe80::/10"; IPv4 becomes ::ffff:a.b.c.d with 96 bits more of prefix. Both
 * outputs are 16 bytes in network order; host bits of the address are cleared. */
int parse_cidr(void *net, void *mask, const char *text);

#endif /* CHURN_BASE_PARSE_H */
