/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One line of a recording, taken apart: which of the keys that we know are there, and their
 * values, checked. Works in place, allocates nothing but its token array.
 */
#ifndef CHURN_SOURCE_REPLAY_LINE_H
#define CHURN_SOURCE_REPLAY_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field {
	F_NONE,
	F_SCHEMA,
	F_EVENT,
	F_TIME,
	F_PID,
	F_START_NS,
	F_EXEC_ID,
	F_PARENT_PID,
	F_COMM,
	F_PARENT_COMM,
	F_KERNEL,
	F_EXE,
	F_ARGS,
	F_UID,
	F_CGROUP,
	F_CGROUP_ID,
	F_CONTAINER,
	F_TID,
	F_THREAD_NAME,
	F_FAMILY,
	F_LOCAL_ADDR,
	F_LOCAL_PORT,
	F_PEER_ADDR,
	F_PEER_PORT,
	F_TRACE_START_NS,
	F_SOME_PROCESSES,
	F_PIDS,
	F_CONTEXT,
	F_NETNS,
	F_COOKIE,
	F_ROLE,
	F_ATTRIBUTION,
	F_ERRNO,
	F_CAUSE,
	F_CONNECT_NS,
	F_SEARCH_NS,
	F_OPEN_NS,
	F_ESTABLISHED_NS,
	F_LIFETIME_NS,
	F_ENDING_NS,
	F_ENDING_LAG_NS,
	F_BYTES_SENT,
	F_BYTES_RECEIVED,
	F_SEGS_OUT,
	F_SEGS_IN,
	F_DATA_SEGS_OUT,
	F_DATA_SEGS_IN,
	F_IDLE_NS,
	F_ACTIVATION,
	F_ACTIVATION_FRAME,
	F_INITIATOR,
	F_CLOSE_STACK,
	F_TIME_WAIT,
	F_STACK,
	F_LANGUAGE,
	F_TRUNCATED,
	F_FRAMES,
	F_IN_PROGRESS,
	F_OLDER,
	F_LOST,
	F_CENSUS_SOCKETS,
	F_CENSUS_RULES,
	F_CENSUS_PARTIAL,
	F_CENSUS_NETNS,
	F_CENSUS_LIMITS,
	F_RANGE_LOW,
	F_RANGE_HIGH,
	F_TW_REUSE,
	F_TIMESTAMPS,
	F_REUSE_DELAY_MS,
	F_RESERVED,
	F_DEVICE,
	F_SOCKETS,
	F_FUNCTION,
	F_FILE,
	F_LINE,
	F_MODULE,
	F_PC,
	F_OFFSET,
	F_INLINED,
	F__COUNT
};

struct line;

/* NULL with errno set. */
struct line *line__new(void);
void line__free(struct line *l);

/* `text` is changed and must outlive the use of the fields. 0, or -EBADMSG, -ENOMEM. */
int line__parse(struct line *l, char *text, size_t len);

/*
 * The value of a field. They return false when it is there but not what it should be; when it is
 * absent they return true and leave *out alone. A string may be taken once; it is in the text.
 */
bool line__uint(struct line *l, enum field f, uint64_t max, uint64_t *out);
bool line__hex(struct line *l, enum field f, uint64_t *out);
bool line__bool(struct line *l, enum field f, bool *out);
bool line__string(struct line *l, enum field f, char **out);
/* "2026-01-31T23:59:59.123456789Z" as CLOCK_REALTIME ns. */
bool line__time(struct line *l, enum field f, uint64_t *out);
/* Through one of the *_from_name() functions. */
bool line__name(struct line *l, enum field f, int (*from_name)(const char *), uint8_t *out);
bool line__has(const struct line *l, enum field f);

/*
 * The elements of an array or the members of an object: false from the first call that finds no
 * more (also when the field is absent). *it is 0 at first.
 */
bool line__next_string(struct line *l, enum field f, int *it, char **out, bool *bad);
bool line__next_number(struct line *l, enum field f, int *it, uint64_t *out, bool *bad);
bool line__next_uint(struct line *l, enum field f, int *it, char **key, uint64_t *out, bool *bad);
/* Makes the fields F_FUNCTION.. those of the next object. */
bool line__next_frame(struct line *l, enum field f, int *it, bool *bad);

#endif /* CHURN_SOURCE_REPLAY_LINE_H */
