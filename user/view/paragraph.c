/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/paragraph.h"

#include <string.h>

#include "user/base/text.h"
#include "user/view/describe.h"

#define MAX_TEXT 4096
#define MAX_WORD 512

static void break_line(FILE *out, unsigned int indent)
{
	fprintf(out, "\n%*s", (int)indent, "");
}

/* In pieces of a line's length. */
static unsigned int put_long_word(FILE *out, unsigned int indent, unsigned int room,
				  const char *word)
{
	unsigned int column = 0;

	for (; *word; word++) {
		if (((unsigned char)*word & 0xc0) != 0x80) {
			if (column == room) {
				break_line(out, indent);
				column = 0;
			}
			column++;
		}
		fputc(*word, out);
	}
	return column;
}

void put_paragraph(FILE *out, unsigned int width, const char *first, const char *text)
{
	unsigned int indent = text_columns(first), room = width - indent, column = 0;
	char clean[MAX_TEXT], word[MAX_WORD], *p = clean;

	text_clean(clean, sizeof(clean), text);
	fputs(first, out);
	while (*(p += strspn(p, " "))) {
		size_t len = strcspn(p, " ");
		unsigned int columns;

		snprintf(word, sizeof(word), "%.*s", (int)len, p);
		columns = text_columns(word);
		if (column && column + 1 + columns > room) {
			break_line(out, indent);
			column = 0;
		}
		if (column) {
			fputc(' ', out);
			column++;
		}
		if (columns > room) {
			column = put_long_word(out, indent, room, word);
		} else {
			fputs(word, out);
			column += columns;
		}
		p += len;
	}
	fputc('\n', out);
}
