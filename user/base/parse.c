/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/base/parse.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/array.h"

/* The number that the text begins with; *end: what follows it. */
static int parse_digits(uint64_t *out, const char *text, char **end)
{
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, end, 10);
	return errno ? -EINVAL : 0;
}

int parse_uint(uint64_t *out, const char *text, uint64_t min, uint64_t max)
{
	uint64_t value;
	char *end;

	if (parse_digits(&value, text, &end) || *end || value < min || value > max)
		return -EINVAL;
	*out = value;
	return 0;
}

int parse_duration(uint64_t *out, const char *text)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"", 1e9},	  {"us", 1e3},	 {"ms", 1e6},	{"s", 1e9},
		     {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
	double value;
	char *end;

	/* strtod() also takes signs, spaces, "inf" and hexadecimal. */
	if (!isdigit((unsigned char)text[0]) || strpbrk(text, "xX"))
		return -EINVAL;
	value = strtod(text, &end);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		value *= units[i].ns;
		if (value < 1e3 || value > 365 * 86400e9)
			return -EINVAL;
		*out = (uint64_t)value;
		return 0;
	}
	return -EINVAL;
}

int parse_size(uint64_t *out, const char *text, uint64_t min, uint64_t max)
{
	static const char units[] = "KMG";
	const char *unit;
	uint64_t value;
	char *end;

	if (parse_digits(&value, text, &end) || value > UINT64_MAX >> 30)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return -EINVAL;
		value <<= 10 * (unit - units + 1);
	}
	if (value < min || value > max)
		return -EINVAL;
	*out = value;
	return 0;
}

int parse_port_range(uint16_t *low, uint16_t *high, const char *text)
{
	const char *dash = strchr(text, '-');
	uint64_t from, to;
	char first[8];

	if (!dash) {
		if (parse_uint(&from, text, 1, 65535))
			return -EINVAL;
		to = from;
	} else {
		if ((size_t)(dash - text) >= sizeof(first))
			return -EINVAL;
		memcpy(first, text, dash - text);
		first[dash - text] = '\0';
		if (parse_uint(&from, first, 1, 65535) || parse_uint(&to, dash + 1, from, 65535))
			return -EINVAL;
	}
	*low = from;
	*high = to;
	return 0;
}

int parse_cidr(void *net, void *mask, const char *text)
{
	uint8_t addr[16] = {[10] = 0xff, [11] = 0xff}, bits[16] = {};
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char host[INET6_ADDRSTRLEN];
	uint64_t prefix, mapped;

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, addr + 12) == 1)
		mapped = 96;
	else if (inet_pton(AF_INET6, host, addr) == 1)
		mapped = 0;
	else
		return -EINVAL;
	prefix = 128 - mapped;
	if (slash && parse_uint(&prefix, slash + 1, 0, 128 - mapped))
		return -EINVAL;
	prefix += mapped;
	for (uint64_t i = 0; i < prefix; i++)
		bits[i / 8] |= 0x80 >> (i % 8);
	for (int i = 0; i < 16; i++)
		addr[i] &= bits[i];
	memcpy(net, addr, sizeof(addr));
	memcpy(mask, bits, sizeof(bits));
	return 0;
}
