/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names that a file or a process may have: demangled, cleaned for a terminal, escaped for JSON. */
#include "tests/fuzz/fuzz.h"

#define JSMN_STATIC
#define JSMN_STRICT
#include <jsmn.h>

#include "user/base/json.h"
#include "user/base/text.h"
#include "user/callsite/demangle.h"
#include "user/callsite/maps.h"

static void check_json(const char *text)
{
	struct json json = {};
	jsmn_parser parser;

	for (int keep = 0; keep < 2; keep++) {
		json.keep_bytes = keep;
		json__begin(&json);
		json__string(&json, "name", text);
		fuzz_require(!json__finish(&json), "no memory");
		jsmn_init(&parser);
		fuzz_require(jsmn_parse(&parser, json.buf, json.len, NULL, 0) == 3, "not JSON");
		fuzz_require(memchr(json.buf, '\n', json.len) == json.buf + json.len - 1, "lines");
	}
	json__free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *name, clean[64];
	struct maps maps;

	fuzz_require(text, "no memory");
	memcpy(text, data, size);
	text[size] = '\0';
	name = demangle(text);
	fuzz_require(name && strlen(name) <= (size < 8192 ? 8192 : size), "a name");
	check_json(name);
	for (size_t n = 1; n <= sizeof(clean); n += 9) {
		text_clean(clean, n, name);
		fuzz_require(strlen(clean) < n, "longer than there is room");
		fuzz_check_terminal(clean, strlen(clean));
	}
	free(name);
	fuzz_require(!maps__parse(&maps, text), "no memory");
	maps__clear(&maps);
	free(text);
	return 0;
}
