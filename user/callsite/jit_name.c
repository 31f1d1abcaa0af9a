/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/jit_name.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/array.h"

/* V8's LogEventListener::CodeTag, old and new; then one character for the tier of the code. */
static const char *const v8_tags[] = {"JS:", "LazyCompile:", "Function:", "Script:", "Eval:"};
static const char v8_tiers[] = "~^+*'";

/* How a file name may begin; a function's name may have blanks in it, "get body" say. */
static const char *const file_starts[] = {" /", " file:", " node:", " internal/", " webpack"};

static const char *skip_v8_tag(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(v8_tags); i++) {
		size_t len = strlen(v8_tags[i]);

		if (strncmp(name, v8_tags[i], len))
			continue;
		name += len;
		return *name && strchr(v8_tiers, *name) ? name + 1 : name;
	}
	return NULL;
}

/* The number after the last ':' before `end`, which moves to that ':'. False: there is none. */
static bool take_number(const char *start, const char **end, uint32_t *value)
{
	const char *at = *end;
	unsigned long number;

	while (at > start && isdigit((unsigned char)at[-1]))
		at--;
	if (at == *end || *end - at > 9 || at == start || at[-1] != ':')
		return false;
	number = strtoul(at, NULL, 10);
	*value = (uint32_t)number;
	*end = at - 1;
	return true;
}

static const char *find_file(const char *text)
{
	const char *at;

	for (size_t i = 0; i < ARRAY_SIZE(file_starts); i++) {
		at = strstr(text, file_starts[i]);
		if (at)
			return at;
	}
	return strchr(text, ' ');
}

/* "void Shop.dial(java.lang.String, int)": without the types, which are long. */
static char *java_method(const char *name)
{
	const char *arguments = strchr(name, '('), *start = arguments;

	while (start && start > name && start[-1] != ' ')
		start--;
	return start && start < arguments ? strndup(start, (size_t)(arguments - start)) : NULL;
}

int jit_name__parse_java(const char *name, struct location *out)
{
	*out = (struct location){.function = java_method(name)};
	if (!out->function)
		out->function = strdup(name);
	return out->function ? 0 : -ENOMEM;
}

int jit_name__parse(const char *name, struct location *out)
{
	const char *text = skip_v8_tag(name), *blank, *end, *file;
	uint32_t column;

	*out = (struct location){};
	blank = text ? find_file(text) : NULL;
	end = text ? text + strlen(text) : NULL;
	if (!blank || !take_number(blank, &end, &column) || !take_number(blank, &end, &out->line)) {
		out->line = 0;
		out->function = strdup(name);
		return out->function ? 0 : -ENOMEM;
	}
	file = blank + 1;
	if (!strncmp(file, "file://", 7))
		file += 7;
	out->function =
		blank == text ? strdup("(anonymous)") : strndup(text, (size_t)(blank - text));
	out->file = strndup(file, (size_t)(end - file));
	if (out->function && out->file)
		return 0;
	location__clear(out);
	return -ENOMEM;
}
