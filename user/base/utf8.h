/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where one character of foreign text ends, for those who escape or cut it. */
#ifndef CHURN_BASE_UTF8_H
#define CHURN_BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Length in bytes of the UTF-8 sequence at s (terminated by NUL), its code point in *cp. 0 if it
 * is not valid: cut short, overlong, a surrogate or beyond U+10FFFF (RFC 3629).
 */
static inline unsigned int utf8_decode(const char *s, uint32_t *cp)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned int len, i;
	uint32_t c = u[0];

	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	if (c < 0xc2 || c > 0xf4)
		return 0;
	len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	c &= 0x7fU >> len;
	for (i = 1; i < len; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	if ((len == 3 && c < 0x800) || (c >= 0xd800 && c <= 0xdfff) ||
	    (len == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	*cp = c;
	return len;
}

/* What moves the cursor, colours, or turns the reading direction of the rest of the line. */
static inline bool utf8_is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x61c ||
	       (cp >= 0x200e && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

#endif /* CHURN_BASE_UTF8_H */
