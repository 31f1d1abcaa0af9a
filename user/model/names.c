/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/names.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bpf/event.h"
#include "user/base/array.h"
#include "user/base/clock.h"

static const char *const roles[] = {
	[CHURN_CLIENT] = "client",
	[CHURN_SERVER] = "server",
};

static const char *const attributions[] = {
	[CHURN_OWNER_UNKNOWN] = "none",
	[CHURN_OWNER_LISTENER] = "listener",
	[CHURN_OWNER_EXACT] = "exact",
};

static const char *const initiators[] = {
	[CHURN_END_LOCAL] = "local", [CHURN_END_PEER] = "peer", [CHURN_END_RESET] = "reset",
	[CHURN_END_ABORT] = "abort", [CHURN_END_EXIT] = "exit", [CHURN_END_TIMEOUT] = "timeout",
};

static const char *const owners[] = {
	[CHURN_TIME_WAIT_LOCAL] = "local",
	[CHURN_TIME_WAIT_PEER] = "peer",
	[CHURN_TIME_WAIT_NONE] = "none",
};

static const char *const activations[] = {
	[CHURN_ACTIVATION_RETURNED] = "returned",
	[CHURN_ACTIVATION_LATER] = "later",
	[CHURN_ACTIVATION_EARLIER] = "earlier",
	[CHURN_ACTIVATION_ELSEWHERE] = "elsewhere",
};

static const char *const causes[] = {
	[CHURN_CAUSE_EPHEMERAL_EXHAUSTED] = "ephemeral_exhausted",
	[CHURN_CAUSE_BIND_EXHAUSTED] = "bind_exhausted",
	[CHURN_CAUSE_TUPLE_IN_USE] = "tuple_in_use",
	[CHURN_CAUSE_NO_SOURCE_ADDRESS] = "no_source_address",
	[CHURN_CAUSE_REFUSED] = "refused",
	[CHURN_CAUSE_TIMEOUT] = "timeout",
	[CHURN_CAUSE_UNREACHABLE] = "unreachable",
	[CHURN_CAUSE_RESET] = "reset",
	[CHURN_CAUSE_ABORTED] = "aborted",
};

static const char *const cause_words[] = {
	[CHURN_CAUSE_EPHEMERAL_EXHAUSTED] = "no free source port",
	[CHURN_CAUSE_BIND_EXHAUSTED] = "bind() found no free port",
	[CHURN_CAUSE_TUPLE_IN_USE] = "the bound source port is in use",
	[CHURN_CAUSE_NO_SOURCE_ADDRESS] = "no local address for it",
	[CHURN_CAUSE_REFUSED] = "refused",
	[CHURN_CAUSE_TIMEOUT] = "no answer in time",
	[CHURN_CAUSE_UNREACHABLE] = "unreachable",
	[CHURN_CAUSE_RESET] = "reset by the peer",
	[CHURN_CAUSE_ABORTED] = "given up before it was established",
};

static const char *const losses[] = {
	[CHURN_LOST_RING_OPEN] = "ring_open",	    [CHURN_LOST_RING_FAILED] = "ring_failed",
	[CHURN_LOST_RING_CLOSE] = "ring_close",	    [CHURN_LOST_RING_PROCESS] = "ring_process",
	[CHURN_LOST_RING_STACK] = "ring_stack",	    [CHURN_LOST_CONN_MAP] = "conn_map",
	[CHURN_LOST_LISTENER_MAP] = "listener_map", [CHURN_LOST_STACK_READ] = "stack_read",
	[CHURN_LOST_STACK_COPY] = "stack_copy",	    [CHURN_LOST_ARGS_READ] = "args_read",
	[CHURN_LOST_TARGET_MAP] = "target_map",	    [CHURN_LOST_REENTRY] = "reentry",
};

static const char *const loss_words[] = {
	[CHURN_LOST_RING_OPEN] = "opens: ring buffer full",
	[CHURN_LOST_RING_FAILED] = "failed connects: ring buffer full",
	[CHURN_LOST_RING_CLOSE] = "closes: ring buffer full",
	[CHURN_LOST_RING_PROCESS] = "process records: ring buffer full",
	[CHURN_LOST_RING_STACK] = "stacks: ring buffer full",
	[CHURN_LOST_CONN_MAP] = "connections not followed: connection table full",
	[CHURN_LOST_LISTENER_MAP] = "listeners not followed: listener table full",
	[CHURN_LOST_STACK_READ] = "stacks that could not be read",
	[CHURN_LOST_STACK_COPY] = "new stacks not resolved: too many at once",
	[CHURN_LOST_ARGS_READ] = "command lines that could not be read",
	[CHURN_LOST_TARGET_MAP] = "descendants of the command not followed: target table full",
	[CHURN_LOST_REENTRY] = "state changes missed: the hook was busy on that CPU",
};

_Static_assert(ARRAY_SIZE(initiators) == CHURN_END__COUNT, "a name for each");
_Static_assert(ARRAY_SIZE(causes) == CHURN_CAUSE__COUNT, "a name for each");
_Static_assert(ARRAY_SIZE(cause_words) == CHURN_CAUSE__COUNT, "words for each");
_Static_assert(ARRAY_SIZE(losses) == CHURN_LOST__COUNT, "a name for each");
_Static_assert(ARRAY_SIZE(loss_words) == CHURN_LOST__COUNT, "words for each");

static const char *lookup(const char *const *names, size_t nr, unsigned int value)
{
	return value < nr ? names[value] : NULL;
}

static int find(const char *const *names, size_t nr, const char *name)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (names[i] && !strcmp(names[i], name))
			return (int)i;
	}
	return -1;
}

const char *name_role(unsigned int role)
{
	return lookup(roles, ARRAY_SIZE(roles), role);
}

const char *name_attribution(unsigned int a)
{
	return lookup(attributions, ARRAY_SIZE(attributions), a);
}

const char *name_initiator(unsigned int who)
{
	return lookup(initiators, ARRAY_SIZE(initiators), who);
}

const char *name_cause(unsigned int cause)
{
	return lookup(causes, ARRAY_SIZE(causes), cause);
}

const char *name_activation(unsigned int a)
{
	return lookup(activations, ARRAY_SIZE(activations), a);
}

const char *name_time_wait(unsigned int owner)
{
	return lookup(owners, ARRAY_SIZE(owners), owner);
}

const char *name_lost(unsigned int reason)
{
	return lookup(losses, ARRAY_SIZE(losses), reason);
}

const char *words_cause(unsigned int cause)
{
	const char *words = lookup(cause_words, ARRAY_SIZE(cause_words), cause);

	return words ? words : "cause unknown";
}

const char *words_lost(unsigned int reason)
{
	const char *words = lookup(loss_words, ARRAY_SIZE(loss_words), reason);

	return words ? words : "reason unknown";
}

int role_from_name(const char *name)
{
	return find(roles, ARRAY_SIZE(roles), name);
}

int attribution_from_name(const char *name)
{
	return find(attributions, ARRAY_SIZE(attributions), name);
}

int initiator_from_name(const char *name)
{
	return find(initiators, ARRAY_SIZE(initiators), name);
}

int cause_from_name(const char *name)
{
	return find(causes, ARRAY_SIZE(causes), name);
}

int activation_from_name(const char *name)
{
	return find(activations, ARRAY_SIZE(activations), name);
}

int time_wait_from_name(const char *name)
{
	return find(owners, ARRAY_SIZE(owners), name);
}

int lost_from_name(const char *name)
{
	return find(losses, ARRAY_SIZE(losses), name);
}

static void put_digits(char *p, unsigned int digits, uint64_t value)
{
	while (digits--) {
		p[digits] = (char)('0' + value % 10);
		value /= 10;
	}
}

char *time_rfc3339(char dst[TIME_TEXT_LEN], uint64_t wall_ns)
{
	/* The calendar once a second, not once a line. */
	static _Thread_local char text[TIME_TEXT_LEN] = "1970-01-01T00:00:00.000000000Z";
	static _Thread_local uint64_t text_sec;
	uint64_t sec = wall_ns / NS_PER_SEC;

	if (sec != text_sec) {
		time_t t = (time_t)sec;
		struct tm tm;

		gmtime_r(&t, &tm);
		put_digits(text, 4, (uint64_t)tm.tm_year + 1900);
		put_digits(text + 5, 2, (uint64_t)tm.tm_mon + 1);
		put_digits(text + 8, 2, (uint64_t)tm.tm_mday);
		put_digits(text + 11, 2, (uint64_t)tm.tm_hour);
		put_digits(text + 14, 2, (uint64_t)tm.tm_min);
		put_digits(text + 17, 2, (uint64_t)tm.tm_sec);
		text_sec = sec;
	}
	memcpy(dst, text, sizeof(text));
	put_digits(dst + 20, 9, wall_ns % NS_PER_SEC);
	return dst;
}

char *time_clock(char dst[TIME_TEXT_LEN], uint64_t wall_ns)
{
	time_t t = (time_t)(wall_ns / NS_PER_SEC);
	struct tm tm;

	localtime_r(&t, &tm);
	snprintf(dst, TIME_TEXT_LEN, "%02d:%02d:%02d.%03u", tm.tm_hour, tm.tm_min, tm.tm_sec,
		 (unsigned int)(wall_ns % NS_PER_SEC / 1000000));
	return dst;
}
