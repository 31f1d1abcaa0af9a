/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/socket_iter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/event.h"
#include "bpf/socket_census.skel.h"
#include "user/base/clock.h"
#include "user/base/log.h"
#include "user/source/bpf_log.h"
#include "user/source/machine.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpointer-arith"
#include "bpf/socket_census.lskel.h"
#pragma GCC diagnostic pop

#define CHUNK 1024 /* sockets read at once; the kernel gives up to 32 KB a time */

struct socket_iter {
	int link; /* keeps the program */
	uint32_t jiffy_us;
};

/* The link, or -errno. */
static int link_to(int program)
{
	int fd = bpf_link_create(program, 0, BPF_TRACE_ITER, NULL);

	return fd < 0 ? -errno : fd;
}

/* The kernel itself relocates the program, by a program that loads it: 4 ms instead of the 25 that
 * libbpf takes to read all types of the kernel. Not before 5.17, nor under
 * lockdown=confidentiality. */
static int attach_light(void)
{
	struct socket_census_light *skel = socket_census_light__open();
	int err;

	if (!skel)
		return -ENOMEM;
	err = socket_census_light__load(skel);
	if (!err)
		err = link_to(skel->progs.tcp_census.prog_fd);
	socket_census_light__destroy(skel);
	return err;
}

static int attach_by_libbpf(bool cookies)
{
	struct socket_census *skel = socket_census__open();
	int err;

	if (!skel)
		return -errno;
	skel->rodata->cfg_cookies = cookies;
	err = socket_census__load(skel);
	if (!err)
		err = link_to(bpf_program__fd(skel->progs.tcp_census));
	socket_census__destroy(skel);
	return err;
}

struct socket_iter *socket_iter__open(void)
{
	struct socket_iter *it = calloc(1, sizeof(*it));
	int err;

	if (!it)
		return NULL;
	it->jiffy_us = machine_jiffy_ns() / 1000;
	bpf_log_to_debug();
	it->link = attach_light();
	if (it->link < 0) {
		log_debug("census: libbpf loads it: %s", strerror(-it->link));
		it->link = attach_by_libbpf(true);
	}
	if (it->link < 0)
		it->link = attach_by_libbpf(false);
	if (it->link >= 0)
		return it;
	err = -it->link;
	socket_iter__free(it);
	errno = err;
	return NULL;
}

void socket_iter__free(struct socket_iter *it)
{
	if (!it)
		return;
	if (it->link >= 0)
		close(it->link);
	free(it);
}

/* How long until it is old enough to be taken over: tcp_twsk_unique(), net/ipv4/tcp_ipv4.c. */
static uint32_t young_ms(const struct churn_socket *s, uint32_t delay_ms, uint64_t now_ms)
{
	int32_t left;

	if (!s->ts_recent_stamp)
		return 0;
	if (s->has_entry_stamp)
		left = (int32_t)(s->entry_stamp + delay_ms + 1 - (uint32_t)now_ms);
	else
		left = (int32_t)((s->ts_recent_stamp + 1) * 1000 - (uint32_t)now_ms);
	return left > 0 ? left : 0;
}

/* What all sockets of a read have in common. */
struct reading {
	uint32_t netns, delay_ms, jiffy_us;
	uint64_t now_ms;
};

static int add_socket(const struct reading *r, struct socket_list *l,
		      const struct churn_socket *from)
{
	static const uint8_t bound[] = {SOCKET_NO, SOCKET_YES, SOCKET_UNKNOWN};
	struct tcp_socket *s = socket_list__add(l);
	int32_t left = (int32_t)from->timer_jiffies;

	if (!s)
		return -ENOMEM;
	s->cookie = from->cookie;
	s->inode = from->inode;
	s->netns = r->netns;
	s->uid = from->uid;
	s->rqueue = from->rqueue;
	s->wqueue = from->wqueue;
	s->idle_ms = UINT32_MAX;
	s->device = from->device;
	memcpy(s->local_addr, from->local_addr, sizeof(s->local_addr));
	memcpy(s->peer_addr, from->peer_addr, sizeof(s->peer_addr));
	s->local_port = from->local_port;
	s->peer_port = from->peer_port;
	s->range_low = from->range_low;
	s->range_high = from->range_high;
	s->range_by_two = from->range_by_two;
	s->family = from->family;
	s->state = from->state == SOCKET_NEW_SYN_RECV ? SOCKET_SYN_RECV : from->state;
	s->time_wait = from->time_wait;
	s->port_bound = bound[from->port_bound % 3];
	if (s->time_wait) {
		s->timer_ms = left > 0 ? (uint64_t)left * r->jiffy_us / 1000 : 0;
		s->timestamps = from->ts_recent_stamp ? SOCKET_YES : SOCKET_NO;
		s->young_ms = young_ms(from, r->delay_ms, r->now_ms);
	}
	return 0;
}

int socket_iter__read(const struct socket_iter *it, struct socket_list *l, uint32_t netns,
		      uint32_t reuse_delay_ms)
{
	struct reading r = {.netns = netns, .delay_ms = reuse_delay_ms, .jiffy_us = it->jiffy_us};
	struct churn_socket *chunk = malloc(CHUNK * sizeof(*chunk));
	size_t have = 0;
	int fd, err = 0;
	ssize_t n;

	if (!chunk)
		return -ENOMEM;
	fd = bpf_iter_create(it->link);
	if (fd < 0) {
		free(chunk);
		return fd;
	}
	while (!err) {
		n = read(fd, (char *)chunk + have, CHUNK * sizeof(*chunk) - have);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0) {
			err = n < 0 ? -errno : have ? -EBADMSG : 0;
			break;
		}
		have += n;
		r.now_ms = clock_ns(CLOCK_MONOTONIC) / NS_PER_MS;
		for (size_t i = 0; !err && i < have / sizeof(*chunk); i++)
			err = add_socket(&r, l, &chunk[i]);
		/* The kernel writes whole ones, but what read() returns may end anywhere. */
		n = have % sizeof(*chunk);
		memmove(chunk, (char *)chunk + have - n, n);
		have = n;
	}
	close(fd);
	free(chunk);
	return err;
}
