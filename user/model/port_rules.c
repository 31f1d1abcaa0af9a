/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/port_rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOPBACK_DEVICE 1 /* LOOPBACK_IFINDEX, include/net/flow.h */

void port_rules__init(struct port_rules *r)
{
	memset(r, 0, sizeof(*r));
	r->low = 32768;
	r->high = 60999;
	r->tw_reuse = TW_REUSE_LOOPBACK;
	r->timestamps = true;
	r->reuse_delay_ms = 1000;
	r->max_time_wait = TIME_WAIT_NO_LIMIT;
}

/* A port, and *text behind it; 0: none. */
static unsigned int read_port(const char **text)
{
	char *end;
	unsigned long port;

	if (!isdigit((unsigned char)**text))
		return 0;
	port = strtoul(*text, &end, 10);
	*text = end;
	return port <= 65535 ? port : 0;
}

int port_rules__set_range(struct port_rules *r, const char *text)
{
	unsigned int low = read_port(&text), high;

	text += strspn(text, " \t");
	high = read_port(&text);
	text += strspn(text, "\n");
	if (!low || high < low || *text)
		return -EINVAL;
	r->low = low;
	r->high = high;
	return 0;
}

int port_rules__set_reserved(struct port_rules *r, const char *text)
{
	uint64_t bits[65536 / 64] = {};

	while (isdigit((unsigned char)*text)) {
		unsigned int low = read_port(&text), high = low;

		if (*text == '-') {
			text++;
			high = read_port(&text);
		}
		if (!low || high < low)
			return -EINVAL;
		for (unsigned int port = low; port <= high; port++)
			bits[port / 64] |= 1ULL << (port % 64);
		text += *text == ',';
	}
	if (text[strspn(text, "\n")])
		return -EINVAL;
	memcpy(r->reserved, bits, sizeof(bits));
	return 0;
}

bool port_rules__of_socket(struct port_rules *out, const struct port_rules *netns,
			   const struct tcp_socket *s)
{
	if (!s->range_low && !s->range_high)
		return false;
	*out = *netns;
	/* A bound outside of the namespace's range is passed over. */
	if (out->low <= s->range_low && s->range_low <= out->high)
		out->low = s->range_low;
	if (out->low <= s->range_high && s->range_high <= out->high)
		out->high = s->range_high;
	out->every_port = !s->range_by_two;
	return true;
}

/*
 * With an odd number of ports the search makes steps of two through one port less, but wraps only
 * behind the last one: begun anywhere but at `low` it comes by `high` and never by `low`, begun
 * there the other way round. Where it begins is random, so that `low` is as good as lost; with
 * three ports it always begins there.
 */
bool port_rules__offers(const struct port_rules *r, uint16_t port)
{
	unsigned int count = r->high - r->low + 1;
	uint16_t lost = count == 3 ? r->high : r->low;

	return port >= r->low && port <= r->high &&
	       !(count > 1 && count % 2 && port == lost && !r->every_port) &&
	       !(r->reserved[port / 64] & (1ULL << (port % 64)));
}

/* As the kernel sees it: connections to an address of our own on another device are not. */
static bool is_loopback(const struct tcp_socket *s)
{
	return s->device == LOOPBACK_DEVICE || addr_is_loopback(s->local_addr) ||
	       addr_is_loopback(s->peer_addr);
}

bool port_rules__reusable_later(const struct port_rules *r, const struct tcp_socket *s)
{
	if (!s->time_wait || s->state != SOCKET_TIME_WAIT || r->tw_reuse == TW_REUSE_OFF)
		return false;
	if (s->timestamps == SOCKET_NO || (s->timestamps == SOCKET_UNKNOWN && !r->timestamps))
		return false;
	return r->tw_reuse == TW_REUSE_ALL || is_loopback(s);
}

bool port_rules__reusable(const struct port_rules *r, const struct tcp_socket *s)
{
	return port_rules__reusable_later(r, s) && !s->young_ms;
}
