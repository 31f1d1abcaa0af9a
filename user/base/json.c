/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/base/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/utf8.h"

#define JSON_FIRST_SIZE 4096

static char *reserve(struct json *j, size_t n)
{
	size_t cap = j->cap ? j->cap : JSON_FIRST_SIZE;
	char *buf;

	if (j->error)
		return NULL;
	if (j->len + n <= j->cap)
		return j->buf + j->len;
	while (cap < j->len + n)
		cap *= 2;
	buf = realloc(j->buf, cap);
	if (!buf) {
		j->error = -ENOMEM;
		return NULL;
	}
	j->buf = buf;
	j->cap = cap;
	return buf + j->len;
}

static void put(struct json *j, const char *text, size_t n)
{
	char *p = reserve(j, n);

	if (p) {
		memcpy(p, text, n);
		j->len += n;
	}
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escape(struct json *j, unsigned int unit)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = {
		'\\',	       'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15],
		hex[unit & 15]};

	put(j, text, sizeof(text));
}

/* One character that cannot be copied without a look; returns its length. */
static size_t put_special(struct json *j, const char *s)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *known = strchr(from, *s);
	uint32_t cp;
	unsigned int len = utf8_decode(s, &cp);

	if (known) {
		char text[2] = {'\\', to[known - from]};

		put(j, text, sizeof(text));
	} else if (!len) {
		put_escape(j, j->keep_bytes ? 0xdc00U + (unsigned char)*s : 0xfffdU);
	} else if (utf8_is_control(cp)) { /* for whoever reads it on a terminal */
		put_escape(j, cp);
	} else {
		put(j, s, len);
	}
	return len ? len : 1;
}

static void put_string(struct json *j, const char *s)
{
	put(j, "\"", 1);
	while (*s) {
		const char *start = s;

		while (is_plain((unsigned char)*s))
			s++;
		put(j, start, (size_t)(s - start));
		if (*s)
			s += put_special(j, s);
	}
	put(j, "\"", 1);
}

static void put_key(struct json *j, const char *key)
{
	if (j->comma)
		put(j, ",", 1);
	j->comma = true;
	if (key) {
		put(j, "\"", 1); /* keys are ours: nothing to escape */
		put(j, key, strlen(key));
		put(j, "\":", 2);
	}
}

static void open_level(struct json *j, const char *key, const char *opener, char closer)
{
	put_key(j, key);
	if (j->depth == JSON_MAX_DEPTH) {
		j->error = j->error ? j->error : -E2BIG;
		return;
	}
	put(j, opener, 1);
	j->closers[j->depth++] = closer;
	j->comma = false;
}

void json__free(struct json *j)
{
	free(j->buf);
	memset(j, 0, sizeof(*j));
}

void json__begin(struct json *j)
{
	j->len = 0;
	j->depth = 0;
	j->error = 0;
	j->comma = false;
	open_level(j, NULL, "{", '}');
}

void json__object(struct json *j, const char *key)
{
	open_level(j, key, "{", '}');
}

void json__array(struct json *j, const char *key)
{
	open_level(j, key, "[", ']');
}

void json__close(struct json *j)
{
	if (!j->depth)
		return;
	put(j, &j->closers[--j->depth], 1);
	j->comma = true;
}

void json__string(struct json *j, const char *key, const char *value)
{
	if (!value)
		return;
	put_key(j, key);
	put_string(j, value);
}

static void put_digits(struct json *j, uint64_t value, unsigned int base)
{
	char text[20], *p = text + sizeof(text);

	do {
		*--p = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put(j, p, (size_t)(text + sizeof(text) - p));
}

void json__uint(struct json *j, const char *key, uint64_t value)
{
	put_key(j, key);
	put_digits(j, value, 10);
}

void json__hex(struct json *j, const char *key, uint64_t value)
{
	put_key(j, key);
	put(j, "\"", 1);
	put_digits(j, value, 16);
	put(j, "\"", 1);
}

void json__double(struct json *j, const char *key, double value)
{
	char text[32];
	int len;

	if (!isfinite(value))
		return;
	len = snprintf(text, sizeof(text), "%.10g", value);
	put_key(j, key);
	put(j, text, (size_t)len);
}

void json__bool(struct json *j, const char *key, bool value)
{
	put_key(j, key);
	put(j, value ? "true" : "false", value ? 4 : 5);
}

int json__finish(struct json *j)
{
	while (j->depth)
		json__close(j);
	put(j, "\n", 1);
	return j->error;
}

int json__write(struct json *j, FILE *out)
{
	int err = json__finish(j);

	if (err)
		return err;
	errno = 0;
	/* A line-buffered stream may take it all in and fail to pass it on. */
	if (fwrite(j->buf, 1, j->len, out) != j->len || ferror(out))
		return errno ? -errno : -EIO;
	return 0;
}
