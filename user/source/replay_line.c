/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/replay_line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "user/base/clock.h"

#define FIRST_TOKENS 256
#define MAX_TOKENS   (1 << 18)

struct key {
	const char *name;
	size_t len; /* of the name */
	enum field field;
	const struct key *members; /* of an object that we look into */
};

#define FIELD(name, field)                                                                         \
	{                                                                                          \
		name, sizeof(name) - 1, field, NULL                                                \
	}
#define OBJECT(name, members)                                                                      \
	{                                                                                          \
		name, sizeof(name) - 1, F_NONE, members                                            \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, 0, F_NONE, NULL                                                              \
	}

static const struct key in_event[] = {FIELD("name", F_EVENT), END};
static const struct key in_executable[] = {FIELD("path", F_EXE), END};
static const struct key in_user[] = {FIELD("id", F_UID), END};
static const struct key in_linux[] = {FIELD("cgroup", F_CGROUP), FIELD("cgroup_id", F_CGROUP_ID),
				      END};
static const struct key in_container[] = {FIELD("id", F_CONTAINER), END};
static const struct key in_thread[] = {FIELD("id", F_TID), FIELD("name", F_THREAD_NAME), END};
static const struct key in_local[] = {FIELD("address", F_LOCAL_ADDR), FIELD("port", F_LOCAL_PORT),
				      END};
static const struct key in_peer[] = {FIELD("address", F_PEER_ADDR), FIELD("port", F_PEER_PORT),
				     END};
static const struct key in_network[] = {OBJECT("local", in_local), OBJECT("peer", in_peer),
					FIELD("type", F_FAMILY), END};
static const struct key in_socket[] = {FIELD("cookie", F_COOKIE), END};
static const struct key in_connect[] = {FIELD("duration_ns", F_CONNECT_NS),
					FIELD("port_search_ns", F_SEARCH_NS), END};
static const struct key in_failure[] = {FIELD("cause", F_CAUSE), END};
static const struct key in_time_wait[] = {FIELD("owner", F_TIME_WAIT), END};
static const struct key in_lost[] = {FIELD("by_reason", F_LOST), END};

static const struct key in_process[] = {
	FIELD("pid", F_PID),
	FIELD("start_ns", F_START_NS),
	FIELD("exec_id", F_EXEC_ID),
	FIELD("parent_pid", F_PARENT_PID),
	FIELD("comm", F_COMM),
	FIELD("parent_comm", F_PARENT_COMM),
	FIELD("kernel", F_KERNEL),
	FIELD("command_args", F_ARGS),
	OBJECT("executable", in_executable),
	OBJECT("user", in_user),
	OBJECT("linux", in_linux),
	END,
};

static const struct key in_connection[] = {
	FIELD("lifetime_ns", F_LIFETIME_NS),
	FIELD("ending_lag_ns", F_ENDING_LAG_NS),
	FIELD("bytes_sent", F_BYTES_SENT),
	FIELD("bytes_received", F_BYTES_RECEIVED),
	FIELD("segments_out", F_SEGS_OUT),
	FIELD("segments_in", F_SEGS_IN),
	FIELD("data_segments_out", F_DATA_SEGS_OUT),
	FIELD("data_segments_in", F_DATA_SEGS_IN),
	FIELD("idle_ns", F_IDLE_NS),
	END,
};

static const struct key in_close[] = {FIELD("initiator", F_INITIATOR),
				      FIELD("stack", F_CLOSE_STACK), END};
static const struct key in_stack[] = {FIELD("id", F_STACK), FIELD("language", F_LANGUAGE),
				      FIELD("truncated", F_TRUNCATED), FIELD("frames", F_FRAMES),
				      END};

static const struct key in_census[] = {
	FIELD("sockets", F_CENSUS_SOCKETS),	    FIELD("port_rules", F_CENSUS_RULES),
	FIELD("partial", F_CENSUS_PARTIAL),	    FIELD("netns", F_CENSUS_NETNS),
	FIELD("time_wait_limits", F_CENSUS_LIMITS), END,
};

static const struct key in_port_rules[] = {
	FIELD("low", F_RANGE_LOW),
	FIELD("high", F_RANGE_HIGH),
	FIELD("tw_reuse", F_TW_REUSE),
	FIELD("timestamps", F_TIMESTAMPS),
	FIELD("reuse_delay_ms", F_REUSE_DELAY_MS),
	FIELD("reserved", F_RESERVED),
	END,
};

static const struct key in_tcpchurn[] = {
	FIELD("context", F_CONTEXT),
	OBJECT("socket", in_socket),
	OBJECT("connect", in_connect),
	OBJECT("connection", in_connection),
	FIELD("open_ns", F_OPEN_NS),
	FIELD("established_ns", F_ESTABLISHED_NS),
	FIELD("ending_ns", F_ENDING_NS),
	FIELD("netns", F_NETNS),
	FIELD("role", F_ROLE),
	FIELD("attribution", F_ATTRIBUTION),
	OBJECT("stack", in_stack),
	OBJECT("close", in_close),
	OBJECT("time_wait", in_time_wait),
	FIELD("activation", F_ACTIVATION),
	FIELD("activation_frame", F_ACTIVATION_FRAME),
	FIELD("errno", F_ERRNO),
	OBJECT("failure", in_failure),
	FIELD("in_progress", F_IN_PROGRESS),
	FIELD("older_closes", F_OLDER),
	OBJECT("lost", in_lost),
	FIELD("start_ns", F_TRACE_START_NS),
	FIELD("some_processes", F_SOME_PROCESSES),
	FIELD("pids", F_PIDS),
	OBJECT("census", in_census),
	OBJECT("port_rules", in_port_rules),
	FIELD("device", F_DEVICE),
	FIELD("sockets", F_SOCKETS),
	END,
};

static const struct key in_line[] = {
	FIELD("schema", F_SCHEMA),
	OBJECT("event", in_event),
	FIELD("time", F_TIME),
	OBJECT("network", in_network),
	OBJECT("tcpchurn", in_tcpchurn),
	OBJECT("process", in_process),
	OBJECT("thread", in_thread),
	OBJECT("container", in_container),
	END,
};

static const struct key in_frame[] = {
	FIELD("function", F_FUNCTION),
	FIELD("file", F_FILE),
	FIELD("line", F_LINE),
	FIELD("module", F_MODULE),
	FIELD("pc", F_PC),
	FIELD("offset", F_OFFSET),
	FIELD("inlined", F_INLINED),
	END,
};

struct line {
	char *text;
	jsmntok_t *tok;
	unsigned int cap;
	int nr;
	int at[F__COUNT]; /* index of the value's token, 0: absent (0 is the line itself) */
	/* The calendar is the costly part of a time, and the same for a second's worth of lines. */
	char second[20];
	uint64_t second_ns;
};

struct line *line__new(void)
{
	struct line *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->cap = FIRST_TOKENS;
	l->tok = calloc(l->cap, sizeof(*l->tok));
	if (!l->tok) {
		free(l);
		return NULL;
	}
	return l;
}

void line__free(struct line *l)
{
	if (!l)
		return;
	free(l->tok);
	free(l);
}

/* The token after a value and all that is in it. */
static int after(const struct line *l, int i)
{
	int end = l->tok[i].end;

	for (i++; i < l->nr && l->tok[i].start < end; i++)
		;
	return i;
}

static const struct key *find_key(const struct line *l, const struct key *keys, int i)
{
	const char *name = l->text + l->tok[i].start;
	size_t len = (size_t)(l->tok[i].end - l->tok[i].start);

	for (; keys->name; keys++) {
		if (keys->len == len && !memcmp(keys->name, name, len))
			return keys;
	}
	return NULL;
}

/* A member's name must be a string with exactly one value, inside of its object. */
static bool is_member(const struct line *l, int object, int i)
{
	return i + 1 < l->nr && l->tok[i].type == JSMN_STRING && l->tok[i].size == 1 &&
	       l->tok[i].end > l->tok[i].start && l->tok[i + 1].start < l->tok[object].end;
}

/* As deep as the tables above are. */
static int collect(struct line *l, int object, const struct key *keys)
{
	int i, nr = l->tok[object].size, err;

	if (l->tok[object].type != JSMN_OBJECT)
		return -EBADMSG;
	for (i = object + 1; nr--; i = after(l, i + 1)) {
		const struct key *key;

		if (!is_member(l, object, i))
			return -EBADMSG;
		key = find_key(l, keys, i);
		if (!key)
			continue;
		if (key->members) {
			err = collect(l, i + 1, key->members);
			if (err)
				return err;
		} else {
			l->at[key->field] = i + 1;
		}
	}
	return 0;
}

int line__parse(struct line *l, char *text, size_t len)
{
	jsmn_parser parser;
	jsmntok_t *tok;

	l->text = text;
	memset(l->at, 0, sizeof(l->at));
	jsmn_init(&parser);
	while ((l->nr = jsmn_parse(&parser, text, len, l->tok, l->cap)) == JSMN_ERROR_NOMEM) {
		if (l->cap >= MAX_TOKENS)
			return -EBADMSG;
		tok = realloc(l->tok, 2 * l->cap * sizeof(*tok));
		if (!tok)
			return -ENOMEM;
		l->tok = tok;
		l->cap *= 2;
	}
	if (l->nr < 1 || l->tok[0].type != JSMN_OBJECT || after(l, 0) != l->nr)
		return -EBADMSG;
	return collect(l, 0, in_line);
}

bool line__has(const struct line *l, enum field f)
{
	return l->at[f];
}

static bool parse_uint(const struct line *l, int i, uint64_t max, uint64_t *out)
{
	const char *p = l->text + l->tok[i].start, *end = l->text + l->tok[i].end;
	uint64_t value = 0;

	if (l->tok[i].type != JSMN_PRIMITIVE || p == end)
		return false;
	for (; p < end; p++) {
		unsigned int digit = (unsigned char)*p - (unsigned int)'0';

		if (digit > 9 || value > UINT64_MAX / 10)
			return false;
		value *= 10;
		if (value + digit < value)
			return false;
		value += digit;
	}
	if (value > max)
		return false;
	*out = value;
	return true;
}

bool line__uint(struct line *l, enum field f, uint64_t max, uint64_t *out)
{
	return !l->at[f] || parse_uint(l, l->at[f], max, out);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool line__hex(struct line *l, enum field f, uint64_t *out)
{
	const jsmntok_t *t = &l->tok[l->at[f]];
	uint64_t value = 0;
	int i;

	if (!l->at[f])
		return true;
	if (t->type != JSMN_STRING || t->end == t->start || t->end - t->start > 16)
		return false;
	for (i = t->start; i < t->end; i++) {
		int digit = hex_digit(l->text[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (unsigned int)digit;
	}
	*out = value;
	return true;
}

bool line__bool(struct line *l, enum field f, bool *out)
{
	const jsmntok_t *t = &l->tok[l->at[f]];

	if (!l->at[f])
		return true;
	if (t->type != JSMN_PRIMITIVE || (l->text[t->start] != 't' && l->text[t->start] != 'f'))
		return false;
	*out = l->text[t->start] == 't';
	return true;
}

/* The 4 digits after "\u"; jsmn has checked that they are there. */
static unsigned int code_unit(const char *p)
{
	return (unsigned int)(hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 | hex_digit(p[2]) << 4 |
			      hex_digit(p[3]));
}

static char *put_utf8(char *out, uint32_t cp)
{
	if (cp < 0x80) {
		*out++ = (char)cp;
	} else if (cp < 0x800) {
		*out++ = (char)(0xc0 | cp >> 6);
		*out++ = (char)(0x80 | (cp & 0x3f));
	} else if (cp < 0x10000) {
		*out++ = (char)(0xe0 | cp >> 12);
		*out++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*out++ = (char)(0x80 | (cp & 0x3f));
	} else {
		*out++ = (char)(0xf0 | cp >> 18);
		*out++ = (char)(0x80 | (cp >> 12 & 0x3f));
		*out++ = (char)(0x80 | (cp >> 6 & 0x3f));
		*out++ = (char)(0x80 | (cp & 0x3f));
	}
	return out;
}

/* What "\uXXXX" at *in stands for: a character, or a byte that was no UTF-8 (json.h). */
static char *put_unicode(char *out, const char **in, const char *end)
{
	uint32_t cp = code_unit(*in + 2);

	*in += 6;
	if (cp >= 0xd800 && cp < 0xdc00 && end - *in >= 6 && (*in)[0] == '\\' && (*in)[1] == 'u') {
		unsigned int low = code_unit(*in + 2);

		if (low >= 0xdc00 && low < 0xe000) {
			*in += 6;
			return put_utf8(out, 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00));
		}
	}
	if (cp >= 0xdc80 && cp <= 0xdcff) {
		*out++ = (char)(cp & 0xff);
		return out;
	}
	return put_utf8(out, cp >= 0xd800 && cp < 0xe000 ? 0xfffd : cp);
}

/* In place: what an escape stands for is never longer. NULL: has a NUL in it. */
static char *take_string(struct line *l, int i)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	char *start = l->text + l->tok[i].start, *end = l->text + l->tok[i].end, *out;
	const char *in;

	out = memchr(start, '\\', (size_t)(end - start));
	if (!out)
		out = end;
	for (in = out; in < end;) {
		const char *known;

		if (*in != '\\') {
			*out++ = *in++;
		} else if (in[1] == 'u') {
			out = put_unicode(out, &in, end);
		} else {
			known = strchr(from, in[1]);
			*out++ = known ? to[known - from] : in[1];
			in += 2;
		}
	}
	*out = '\0';
	return memchr(start, '\0', (size_t)(out - start)) ? NULL : start;
}

bool line__string(struct line *l, enum field f, char **out)
{
	char *s;

	if (!l->at[f])
		return true;
	if (l->tok[l->at[f]].type != JSMN_STRING)
		return false;
	s = take_string(l, l->at[f]);
	if (s)
		*out = s;
	return s;
}

bool line__name(struct line *l, enum field f, int (*from_name)(const char *), uint8_t *out)
{
	char *name = NULL;
	int value;

	if (!line__string(l, f, &name))
		return false;
	if (!name)
		return true;
	value = from_name(name);
	if (value < 0)
		return false;
	*out = (uint8_t)value;
	return true;
}

static bool parse_second(const char *p, uint64_t *ns)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	struct tm tm = {0};
	time_t t;
	int i;

	for (i = 0; form[i]; i++) {
		if (form[i] == 'd' ? p[i] < '0' || p[i] > '9' : p[i] != form[i])
			return false;
	}
#define TWO(i) ((p[i] - '0') * 10 + p[(i) + 1] - '0')
	tm.tm_year = TWO(0) * 100 + TWO(2) - 1900;
	tm.tm_mon = TWO(5) - 1;
	tm.tm_mday = TWO(8);
	tm.tm_hour = TWO(11);
	tm.tm_min = TWO(14);
	tm.tm_sec = TWO(17);
#undef TWO
	t = timegm(&tm);
	if (t < 0 || (uint64_t)t >= UINT64_MAX / NS_PER_SEC)
		return false;
	*ns = (uint64_t)t * NS_PER_SEC;
	return true;
}

bool line__time(struct line *l, enum field f, uint64_t *out)
{
	const jsmntok_t *t = &l->tok[l->at[f]];
	const char *p = l->text + t->start;
	uint64_t fraction = 0;
	int i;

	if (!l->at[f])
		return true;
	if (t->type != JSMN_STRING || t->end - t->start != 30 || p[19] != '.' || p[29] != 'Z')
		return false;
	if (memcmp(l->second, p, 19)) {
		if (!parse_second(p, &l->second_ns))
			return false;
		memcpy(l->second, p, 19);
	}
	for (i = 20; i < 29; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		fraction = fraction * 10 + (uint64_t)(p[i] - '0');
	}
	*out = l->second_ns + fraction;
	return true;
}

/* Index of the next element, 0: none. */
static int next_element(struct line *l, enum field f, int *it, jsmntype_t type, bool *bad)
{
	int list = l->at[f], i;

	if (!list)
		return 0;
	if (l->tok[list].type != type) {
		*bad = true;
		return 0;
	}
	i = *it ? *it : list + 1;
	return i < l->nr && l->tok[i].start < l->tok[list].end ? i : 0;
}

bool line__next_string(struct line *l, enum field f, int *it, char **out, bool *bad)
{
	int i = next_element(l, f, it, JSMN_ARRAY, bad);

	if (!i)
		return false;
	if (l->tok[i].type != JSMN_STRING || !(*out = take_string(l, i))) {
		*bad = true;
		return false;
	}
	*it = i + 1;
	return true;
}

bool line__next_number(struct line *l, enum field f, int *it, uint64_t *out, bool *bad)
{
	int i = next_element(l, f, it, JSMN_ARRAY, bad);

	if (!i)
		return false;
	if (!parse_uint(l, i, UINT64_MAX, out)) {
		*bad = true;
		return false;
	}
	*it = i + 1;
	return true;
}

bool line__next_uint(struct line *l, enum field f, int *it, char **key, uint64_t *out, bool *bad)
{
	int i = next_element(l, f, it, JSMN_OBJECT, bad);

	if (!i)
		return false;
	if (!is_member(l, l->at[f], i) || !parse_uint(l, i + 1, UINT64_MAX, out) ||
	    !(*key = take_string(l, i))) {
		*bad = true;
		return false;
	}
	*it = i + 2;
	return true;
}

bool line__next_frame(struct line *l, enum field f, int *it, bool *bad)
{
	int i = next_element(l, f, it, JSMN_ARRAY, bad);

	if (!i)
		return false;
	memset(&l->at[F_FUNCTION], 0, (F__COUNT - F_FUNCTION) * sizeof(l->at[0]));
	if (collect(l, i, in_frame)) {
		*bad = true;
		return false;
	}
	*it = after(l, i);
	return true;
}
