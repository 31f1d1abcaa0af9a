/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What decides which source ports connect() may choose from in a network namespace: the sysctls,
 * as text from /proc/sys/net or from a what-if.
 */
#ifndef CHURN_MODEL_PORT_RULES_H
#define CHURN_MODEL_PORT_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "user/model/socket.h"
#include "user/model/time_wait.h"

#define TIME_WAIT_MS 60000 /* TCP_TIMEWAIT_LEN, include/net/tcp.h: a constant of the kernel */

/* net.ipv4.tcp_tw_reuse */
enum tw_reuse { TW_REUSE_OFF, TW_REUSE_ALL, TW_REUSE_LOOPBACK };

struct port_rules {
	uint32_t netns;
	uint16_t low, high; /* net.ipv4.ip_local_port_range, inclusive; high 0: unknown */
	uint8_t tw_reuse;   /* enum tw_reuse */
	bool every_port;    /* of an odd number of ports, too, none is lost: not searched by two */
	bool timestamps;    /* net.ipv4.tcp_timestamps: without them nothing is reused */
	/* net.ipv4.tcp_tw_reuse_delay; before 6.14 a TIME_WAIT waits for the next full second. */
	uint32_t reuse_delay_ms;
	/* net.ipv4.tcp_max_tw_buckets: of all pools together; or TIME_WAIT_NO_LIMIT. */
	uint32_t max_time_wait;
	uint64_t reserved[65536 / 64]; /* bit set: net.ipv4.ip_local_reserved_ports */
};

/* The kernel's defaults. */
void port_rules__init(struct port_rules *r);

/* "32768\t60999". 0 or -EINVAL, then *r is as before. */
int port_rules__set_range(struct port_rules *r, const char *text);
/* "8080,9000-9100" or empty. 0 or -EINVAL. */
int port_rules__set_reserved(struct port_rules *r, const char *text);

/*
 * The rules for a socket that has set IP_LOCAL_PORT_RANGE: inet_sk_get_local_port_range() in
 * net/ipv4/inet_connection_sock.c; since 6.8 it then looks at every port. False: it has not.
 */
bool port_rules__of_socket(struct port_rules *out, const struct port_rules *netns,
			   const struct tcp_socket *s);

/* Whether connect() may choose the port, were nobody using it: __inet_hash_connect() in
 * net/ipv4/inet_hashtables.c. An odd number of ports loses one. */
bool port_rules__offers(const struct port_rules *r, uint16_t port);

/*
 * Whether connect() may take over this TIME_WAIT (or FIN_WAIT2) now: tcp_twsk_unique() in
 * net/ipv4/tcp_ipv4.c. What the census does not know of it is assumed to be as usual.
 */
bool port_rules__reusable(const struct port_rules *r, const struct tcp_socket *s);

/* Whether it will be once it is old enough, which tcp_tw_reuse_delay says. */
bool port_rules__reusable_later(const struct port_rules *r, const struct tcp_socket *s);

#endif /* CHURN_MODEL_PORT_RULES_H */
