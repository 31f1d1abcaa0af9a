/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/describe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/event.h"
#include "user/base/text.h"
#include "user/model/names.h"

#define ELLIPSIS "..."
#define NAME_LEN 160

bool address_known(const uint8_t addr[16])
{
	static const uint8_t none[16], mapped_none[16] = {[10] = 0xff, [11] = 0xff};

	return memcmp(addr, none, 16) && memcmp(addr, mapped_none, 16);
}

char *describe_endpoint(char dst[ENDPOINT_LEN], const uint8_t addr[16], uint16_t port)
{
	char text[ADDR_LEN] = "-", number[8] = "-";

	if (!address_known(addr) && !port) {
		memcpy(dst, "-", 2);
		return dst;
	}
	if (address_known(addr))
		text_addr(text, addr);
	if (port)
		snprintf(number, sizeof(number), "%u", port);
	snprintf(dst, ENDPOINT_LEN, strchr(text, ':') ? "[%s]:%s" : "%s:%s", text, number);
	return dst;
}

char *describe_frame(char *dst, size_t size, const struct frame *f, bool full)
{
	char function[NAME_LEN], file[NAME_LEN * 2], module[NAME_LEN];

	text_clean(function, sizeof(function), f->function);
	text_clean(file, sizeof(file), f->file ? full ? f->file : text_base_name(f->file) : NULL);
	text_clean(module, sizeof(module), f->module ? text_base_name(f->module) : NULL);
	if (*function && *file && f->line)
		snprintf(dst, size, "%s (%s:%u)", function, file, f->line);
	else if (*function && (*file || *module))
		snprintf(dst, size, "%s (%s)", function, *file ? file : module);
	else if (*function)
		snprintf(dst, size, "%s", function);
	else if (*file)
		snprintf(dst, size, "%s:%u", file, f->line);
	else if (*module == '[' && !f->offset)
		snprintf(dst, size, "%s", module);
	else if (*module)
		snprintf(dst, size, "%s+0x%" PRIx64, module, f->offset);
	else
		snprintf(dst, size, "0x%" PRIx64, f->pc);
	return dst;
}

char *describe_callsite(char *dst, size_t size, const struct stack_trace *s, int frame)
{
	*dst = '\0';
	if (s && frame >= 0 && (uint32_t)frame < s->nr)
		describe_frame(dst, size, &s->frames[frame], false);
	return dst;
}

char *describe_peer(char *dst, size_t size, const struct process_identity *p)
{
	char raw[NAME_LEN], name[NAME_LEN];

	process_identity__program(p, raw, sizeof(raw));
	text_clean(name, sizeof(name), raw);
	snprintf(dst, size, "%s, pid %u", name, p->id.tgid);
	return dst;
}

char *describe_group(char *dst, size_t size, const struct group *g)
{
	char name[NAME_LEN], parent[NAME_LEN], nr[32];

	text_clean(name, sizeof(name), g->program);
	text_clean(parent, sizeof(parent), g->sample.parent_comm);
	if (g->nr_processes == 1 && g->sample.id.tgid)
		snprintf(dst, size, "%s [pid %u]", name, g->sample.id.tgid);
	else if (g->nr_processes < 2)
		snprintf(dst, size, "%s", name);
	else
		snprintf(dst, size, "%s [%s processes%s%s]", name,
			 text_count(nr, sizeof(nr), g->nr_processes), *parent ? " of " : "",
			 parent);
	return dst;
}

char *describe_error(char *dst, size_t size, unsigned int error, unsigned int cause)
{
	static const unsigned char obvious[] = {CHURN_CAUSE_UNKNOWN, CHURN_CAUSE_REFUSED,
						CHURN_CAUSE_TIMEOUT, CHURN_CAUSE_UNREACHABLE,
						CHURN_CAUSE_RESET};

	if (!error)
		snprintf(dst, size, "%s", words_cause(cause));
	else if (memchr(obvious, (int)cause, sizeof(obvious)))
		snprintf(dst, size, "%s", text_errno((int)error));
	else
		snprintf(dst, size, "%s, %s", text_errno((int)error), words_cause(cause));
	return dst;
}

char *describe_rate(char *dst, size_t size, double rate)
{
	uint64_t tenths = (uint64_t)(rate * 10 + 0.5);
	char whole[32];

	if (tenths >= 100000)
		return text_count(dst, size, (tenths + 5) / 10);
	snprintf(dst, size, "%s.%u", text_count(whole, sizeof(whole), tenths / 10),
		 (unsigned int)(tenths % 10));
	return dst;
}

char *join_args(const struct process_identity *p)
{
	size_t len = 1;
	char **arg, *text, *end;

	if (!p->argv)
		return NULL;
	for (arg = p->argv; *arg; arg++)
		len += strlen(*arg) + 1;
	text = malloc(len);
	if (!text)
		return NULL;
	end = text;
	for (arg = p->argv; *arg; arg++) {
		if (arg != p->argv)
			*end++ = ' ';
		end = stpcpy(end, *arg);
	}
	*end = '\0';
	return text;
}

static bool starts_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

unsigned int text_columns(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += starts_character(*text);
	return n;
}

/* Where the character number n begins. */
static char *character(char *text, unsigned int n)
{
	for (; *text; text++) {
		if (starts_character(*text) && !n--)
			break;
	}
	return text;
}

char *text_shorten(char *text, unsigned int columns)
{
	const unsigned int dots = sizeof(ELLIPSIS) - 1;
	unsigned int have = text_columns(text), head, tail;
	char *cut, *rest;

	if (have <= columns)
		return text;
	if (columns <= dots + 1) {
		*character(text, columns) = '\0';
		return text;
	}
	tail = (columns - dots) / 2;
	head = columns - dots - tail;
	cut = character(text, head);
	rest = character(text, have - tail);
	memcpy(cut, ELLIPSIS, dots);
	memmove(cut + dots, rest, strlen(rest) + 1);
	return text;
}

static void put_blanks(FILE *out, unsigned int n)
{
	fprintf(out, "%*s", (int)n, "");
}

void put_left(FILE *out, const char *text, unsigned int columns)
{
	unsigned int have = text_columns(text);

	fputs(text, out);
	if (have < columns)
		put_blanks(out, columns - have);
}

void put_right(FILE *out, const char *text, unsigned int columns)
{
	unsigned int have = text_columns(text);

	if (have < columns)
		put_blanks(out, columns - have);
	fputs(text, out);
}
