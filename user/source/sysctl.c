/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/parse.h"

#define NUMBERS_LEN  64
#define RESERVED_LEN (256 << 10) /* the longest list is of 32768 single ports */

/* In one read(), which the kernel answers from one moment. To be freed; NULL with errno set. */
static char *read_text(const char *name, size_t size)
{
	char path[96], *text = malloc(size);
	ssize_t len;
	int fd;

	if (!text)
		return NULL;
	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, text, size - 1);
	if (fd >= 0)
		close(fd);
	if (len < 0) {
		free(text);
		return NULL;
	}
	while (len && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	return text;
}

static int read_number(uint64_t *out, const char *name, uint64_t max)
{
	char *text = read_text(name, NUMBERS_LEN);
	int err = text ? parse_uint(out, text, 0, max) : -errno;

	free(text);
	return err;
}

static int apply(struct port_rules *r, const char *name, size_t size,
		 int (*set)(struct port_rules *r, const char *text))
{
	char *text = read_text(name, size);
	int err = text ? set(r, text) : -errno;

	free(text);
	return err;
}

uint32_t sysctl_max_time_wait(void)
{
	uint64_t value;

	return read_number(&value, "ipv4/tcp_max_tw_buckets", INT32_MAX) ? TIME_WAIT_NO_LIMIT
									 : (uint32_t)value;
}

int sysctl_port_rules(struct port_rules *out, uint32_t netns)
{
	uint64_t value;
	int err, ret;

	port_rules__init(out);
	out->netns = netns;
	ret = apply(out, "ipv4/ip_local_port_range", NUMBERS_LEN, port_rules__set_range);
	if (ret)
		out->high = 0;
	err = apply(out, "ipv4/ip_local_reserved_ports", RESERVED_LEN, port_rules__set_reserved);
	ret = ret ? ret : err;
	err = read_number(&value, "ipv4/tcp_tw_reuse", 2);
	if (!err)
		out->tw_reuse = value;
	ret = ret ? ret : err;
	/* Since 6.14; before, it is a second. */
	if (!read_number(&value, "ipv4/tcp_tw_reuse_delay", 60000))
		out->reuse_delay_ms = value;
	if (!read_number(&value, "ipv4/tcp_timestamps", 2))
		out->timestamps = value != 0;
	out->max_time_wait = sysctl_max_time_wait();
	return ret;
}

void sysctl_settings(struct settings *out, uint32_t netns)
{
	static const char *const names[SETTING__COUNT] = {
		[SETTING_MAX_TW_BUCKETS] = "ipv4/tcp_max_tw_buckets",
		[SETTING_SOMAXCONN] = "core/somaxconn",
		[SETTING_FIN_TIMEOUT] = "ipv4/tcp_fin_timeout",
	};
	uint64_t delay;

	memset(out, 0, sizeof(*out));
	sysctl_port_rules(&out->rules, netns);
	out->has_reuse_delay = !read_number(&delay, "ipv4/tcp_tw_reuse_delay", 60000);
	for (int i = 0; i < SETTING__COUNT; i++)
		out->at[i].known = !read_number(&out->at[i].value, names[i], UINT32_MAX);
}
