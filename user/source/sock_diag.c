/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Netlink by hand: one request, one loop. (libmnl's callback runner gives up at NLM_F_DUMP_INTR
 * and drops what came with it, which we keep and mark.)
 */
#include "user/source/sock_diag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_LEN     (64 << 10) /* a dump comes in pieces of up to 32 KB */
#define TIMER_TIMEWAIT 3	  /* idiag_timer, net/ipv4/inet_diag.c */
#define TIMEOUT_S      10	  /* for a kernel that never answers */

static void read_addr(uint8_t dst[16], uint8_t family, const __be32 src[4])
{
	if (family == AF_INET6) {
		memcpy(dst, src, 16);
		return;
	}
	dst[10] = dst[11] = 0xff;
	memcpy(dst + 12, src, 4);
}

static bool is_mapped(const uint8_t addr[16])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(addr, prefix, sizeof(prefix));
}

/* The kernel's struct tcp_info only grows: what an older one does not have is not there. */
static void read_info(struct tcp_socket *s, const struct rtattr *attr, int len)
{
	struct tcp_info info;

	for (; RTA_OK(attr, len); attr = RTA_NEXT(attr, len)) {
		size_t size = RTA_PAYLOAD(attr);

		if (attr->rta_type != INET_DIAG_INFO ||
		    size < offsetof(struct tcp_info, tcpi_last_ack_recv) + sizeof(__u32))
			continue;
		memset(&info, 0, sizeof(info));
		memcpy(&info, RTA_DATA(attr), size < sizeof(info) ? size : sizeof(info));
		s->idle_ms = info.tcpi_last_ack_recv;
	}
}

static int add_socket(struct socket_list *l, const struct sock_diag_query *q,
		      const struct nlmsghdr *h)
{
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	struct tcp_socket *s;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return -EBADMSG;
	s = socket_list__add(l);
	if (!s)
		return -ENOMEM;
	s->cookie = m->id.idiag_cookie[0] | (uint64_t)m->id.idiag_cookie[1] << 32;
	s->inode = m->idiag_inode;
	s->netns = q->netns;
	s->uid = m->idiag_uid;
	s->rqueue = m->idiag_rqueue;
	s->wqueue = m->idiag_wqueue;
	s->timer_ms = m->idiag_timer ? m->idiag_expires : 0;
	s->idle_ms = UINT32_MAX;
	s->device = m->id.idiag_if;
	read_addr(s->local_addr, m->idiag_family, m->id.idiag_src);
	read_addr(s->peer_addr, m->idiag_family, m->id.idiag_dst);
	s->local_port = ntohs(m->id.idiag_sport);
	s->peer_port = ntohs(m->id.idiag_dport);
	s->family = m->idiag_family == AF_INET || is_mapped(s->peer_addr) ? 4 : 6;
	/* No other closed socket is in any table. */
	s->state = m->idiag_state == SOCKET_CLOSE ? SOCKET_BOUND : m->idiag_state;
	s->time_wait = m->idiag_timer == TIMER_TIMEWAIT;
	if (s->state == SOCKET_LISTEN || s->state == SOCKET_BOUND)
		s->port_bound = SOCKET_YES;
	read_info(s, (const struct rtattr *)(m + 1), h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	return 0;
}

/*
 * The oldest of the requests, for both families at once: each dump walks the whole table, which
 * all namespaces share, and the newer request knows only one family a dump.
 */
static int send_request(int fd, const struct sock_diag_query *q)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req r;
	} msg = {
		.h = {.nlmsg_len = sizeof(msg),
		      .nlmsg_type = TCPDIAG_GETSOCK,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.r = {.idiag_family = AF_INET,
		      .idiag_ext = q->idle ? 1 << (INET_DIAG_INFO - 1) : 0,
		      .idiag_states = q->states},
	};
	ssize_t n = send(fd, &msg, sizeof(msg), 0);

	return n < 0 ? -errno : n == sizeof(msg) ? 0 : -EIO;
}

int sock_diag__answer(struct socket_list *l, const struct sock_diag_query *q, const void *buf,
		      size_t size, bool *interrupted)
{
	const struct nlmsghdr *h = buf;
	int err = 0, len = (int)size;

	for (; !err && len > 0 && NLMSG_OK(h, (unsigned int)len); h = NLMSG_NEXT(h, len)) {
		const struct nlmsgerr *e = NLMSG_DATA(h);
		const int *done = NLMSG_DATA(h);

		*interrupted |= h->nlmsg_flags & NLM_F_DUMP_INTR;
		if (h->nlmsg_type == NLMSG_DONE)
			return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*done)) && *done < 0 ? *done : 0;
		if (h->nlmsg_type == NLMSG_ERROR)
			return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error ? e->error
										    : -EBADMSG;
		if (h->nlmsg_type == TCPDIAG_GETSOCK || h->nlmsg_type == SOCK_DIAG_BY_FAMILY)
			err = add_socket(l, q, h);
	}
	return err ? err : 1;
}

static int read_answers(int fd, struct socket_list *l, const struct sock_diag_query *q)
{
	char *buf = malloc(ANSWER_LEN);
	bool interrupted = false;
	int ret = buf ? 1 : -ENOMEM;

	while (ret > 0) {
		ssize_t n = recv(fd, buf, ANSWER_LEN, MSG_TRUNC);

		if (n < 0)
			ret = errno == EINTR ? 1 : errno == EAGAIN ? -ETIMEDOUT : -errno;
		else if (n == 0 || n > ANSWER_LEN)
			ret = -EBADMSG;
		else
			ret = sock_diag__answer(l, q, buf, (size_t)n, &interrupted);
	}
	free(buf);
	if (ret == -ENOENT || ret == -EOPNOTSUPP)
		return -ENOTSUP;
	return ret ? ret : interrupted ? -EINTR : 0;
}

int sock_diag__read(struct socket_list *l, const struct sock_diag_query *q)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), err;

	if (fd < 0)
		return errno == EPROTONOSUPPORT ? -ENOTSUP : -errno;
	err = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ? -errno : 0;
	if (!err)
		err = send_request(fd, q);
	if (!err)
		err = read_answers(fd, l, q);
	close(fd);
	return err;
}
