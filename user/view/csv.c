/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/csv.h"

#include <inttypes.h>
#include <string.h>

#include "user/base/text.h"

#define FIELD_LEN 4096

void csv_first(FILE *out, const char *text)
{
	char clean[FIELD_LEN], *p;

	text_clean(clean, sizeof(clean), text);
	if (!strpbrk(clean, "\",")) {
		fputs(clean, out);
		return;
	}
	fputc('"', out);
	for (p = clean; *p; p++) {
		if (*p == '"')
			fputc('"', out);
		fputc(*p, out);
	}
	fputc('"', out);
}

void csv_text(FILE *out, const char *text)
{
	fputc(',', out);
	csv_first(out, text);
}

void csv_uint(FILE *out, uint64_t value)
{
	fprintf(out, ",%" PRIu64, value);
}

void csv_empty(FILE *out)
{
	fputc(',', out);
}
