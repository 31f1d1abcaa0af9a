/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/paragraph.h"

#include <stdbool.h>
#include <string.h>

#include "user/base/text.h"
#include "user/view/describe.h"

#define MAX_TEXT 4096
#define MAX_UNIT 2

struct cursor {
	FILE *out;
	unsigned int width, indent;
	unsigned int column;
	bool fresh; /* nothing but the indent on this line */
};

static void break_line(struct cursor *c)
{
	fprintf(c->out, "\n%*s", (int)c->indent, "");
	c->column = c->indent;
	c->fresh = true;
}

static void put_word(struct cursor *c, const char *word)
{
	unsigned int columns = text_columns(word);

	if (!c->fresh && c->column + 1 + columns > c->width) {
		break_line(c);
	} else if (!c->fresh) {
		fputc(' ', c->out);
		c->column++;
	}
	for (; *word; word++) {
		if (((unsigned char)*word & 0xc0) != 0x80) {
			if (c->column == c->width)
				break_line(c);
			c->column++;
		}
		fputc(*word, c->out);
	}
	c->fresh = false;
}

/* Length of the word at p, with its unit where it is a number: "10 s", "413 x". */
static size_t word_length(const char *p)
{
	size_t len = strcspn(p, " "), unit;

	if (*p < '0' || *p > '9' || p[len] != ' ')
		return len;
	unit = strcspn(p + len + 1, " ");
	return unit && unit <= MAX_UNIT ? len + 1 + unit : len;
}

void put_paragraph(FILE *out, unsigned int width, const char *first, unsigned int indent,
		   const char *text)
{
	struct cursor c = {out, width, indent, text_columns(first), true};
	char clean[MAX_TEXT], word[MAX_TEXT], *p = clean;

	text_clean(clean, sizeof(clean), text);
	fputs(first, out);
	while (*(p += strspn(p, " "))) {
		size_t len = word_length(p);

		snprintf(word, sizeof(word), "%.*s", (int)len, p);
		put_word(&c, word);
		p += len;
	}
	fputc('\n', out);
}
