/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/utf8.h"

#define MAX_ERRNO 4095 /* include/linux/err.h */

char *text_clean(char *dst, size_t size, const char *src)
{
	size_t n = 0;

	if (!size)
		return dst;
	while (src && *src) {
		uint32_t cp;
		unsigned int len = utf8_decode(src, &cp);
		bool bad = !len || utf8_is_control(cp);
		unsigned int out = bad ? 1 : len;

		if (n + out >= size)
			break;
		memcpy(dst + n, bad ? "?" : src, out);
		n += out;
		src += len ? len : 1;
	}
	dst[n] = '\0';
	return dst;
}

char *text_addr(char dst[ADDR_LEN], const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!memcmp(addr, mapped, sizeof(mapped)))
		inet_ntop(AF_INET, addr + 12, dst, ADDR_LEN);
	else
		inet_ntop(AF_INET6, addr, dst, ADDR_LEN);
	return dst;
}

const char *text_errno(int error)
{
	static _Thread_local char buf[24];
	const char *name = error > 0 ? strerrorname_np(error) : NULL;

	if (name)
		return name;
	snprintf(buf, sizeof(buf), "errno %d", error);
	return buf;
}

int text_errno_from_name(const char *name)
{
	static const struct {
		const char *name;
		int error;
	} aliases[] = {
		{"EWOULDBLOCK", EWOULDBLOCK}, {"EDEADLOCK", EDEADLOCK}, {"ENOTSUP", ENOTSUP}};
	size_t i;
	int error;

	if (*name >= '0' && *name <= '9') {
		char *end;
		long value;

		errno = 0;
		value = strtol(name, &end, 10);
		return *end || errno || value > MAX_ERRNO ? 0 : (int)value;
	}
	for (i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (!strcmp(name, aliases[i].name))
			return aliases[i].error;
	}
	for (error = 1; error <= MAX_ERRNO; error++) {
		const char *known = strerrorname_np(error);

		if (known && !strcmp(name, known))
			return error;
	}
	return 0;
}

char *text_count(char *dst, size_t size, uint64_t value)
{
	char digits[24], grouped[32];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, value);
	int i, n = 0;

	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			grouped[n++] = ',';
		grouped[n++] = digits[i];
	}
	grouped[n] = '\0';
	snprintf(dst, size, "%s", grouped);
	return dst;
}

/* value/unit with 3 significant digits and no trailing zeros. */
static void print_scaled(char *dst, size_t size, uint64_t ns, uint64_t unit, const char *name)
{
	double value = (double)ns / (double)unit;
	int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
	char number[32], *end;

	end = number + snprintf(number, sizeof(number), "%.*f", decimals, value) - 1;
	while (decimals && *end == '0')
		*end-- = '\0';
	if (*end == '.')
		*end = '\0';
	snprintf(dst, size, "%s %s", number, name);
}

char *text_duration(char *dst, size_t size, uint64_t ns)
{
	static const struct {
		uint64_t below, unit; /* below: where rounding would reach the next unit's 1 */
		const char *name;
	} small[] = {
		{1000, 1, "ns"},
		{999500, 1000, "us"},
		{999500000, 1000000, "ms"},
		{59950000000, 1000000000, "s"},
	};
	static const struct {
		uint64_t seconds, part;
		const char *name, *part_name;
	} large[] = {{86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}};
	uint64_t seconds = ns / 1000000000 + (ns % 1000000000 >= 500000000);
	size_t i;

	for (i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		if (ns < small[i].below) {
			print_scaled(dst, size, ns, small[i].unit, small[i].name);
			return dst;
		}
	}
	for (i = 0; i < 2 && seconds < large[i].seconds; i++)
		;
	if (seconds % large[i].seconds / large[i].part)
		snprintf(dst, size, "%" PRIu64 " %s %" PRIu64 " %s", seconds / large[i].seconds,
			 large[i].name, seconds % large[i].seconds / large[i].part,
			 large[i].part_name);
	else
		snprintf(dst, size, "%" PRIu64 " %s", seconds / large[i].seconds, large[i].name);
	return dst;
}

const char *text_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}
