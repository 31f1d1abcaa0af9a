/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * deep [--moving] ADDRESS:PORT SECONDS: opens connections from below seventeen frames, one after
 * the other, a byte each way, closed by a reset, and prints as tools/churn does how many there
 * were. To be built without frame pointers. With --moving the stack begins elsewhere each time, so
 * that what a tracer remembers of earlier ones is of no use to it.
 */
#include <alloca.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PLACES 4096 /* where a moving stack may begin: more than a tracer will remember */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

__attribute__((noinline)) static int dial(const struct sockaddr_in *to)
{
	const struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;
	char byte = 'x';

	rc = connect(fd, (const struct sockaddr *)to, sizeof(*to));
	if (!rc && (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1))
		rc = -1;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	return rc;
}

/* Frames of different sizes; the empty asm keeps a call from becoming a jump. */
#define LEVEL(name, next, size)                                                                    \
	__attribute__((noinline)) static int name(const struct sockaddr_in *to)                    \
	{                                                                                          \
		volatile char room[size];                                                          \
		int rc;                                                                            \
                                                                                                   \
		room[0] = 1;                                                                       \
		rc = next(to);                                                                     \
		room[(size)-1] = room[0];                                                          \
		return rc;                                                                         \
	}

LEVEL(level10, dial, 24)
LEVEL(level9, level10, 40)
LEVEL(level8, level9, 136)
LEVEL(level7, level8, 24)
LEVEL(level6, level7, 264)
LEVEL(level5, level6, 56)
LEVEL(level4, level5, 24)
LEVEL(level3, level4, 72)
LEVEL(level2, level3, 120)
LEVEL(level1, level2, 24)

__attribute__((noinline)) static int start(const struct sockaddr_in *to, bool moving)
{
	static uint32_t seed = 1;
	volatile char *room;
	int rc;

	seed = seed * 1664525 + 1013904223;
	room = alloca(moving ? 16 + 16 * (seed >> 16) % (16 * PLACES) : 16);
	room[0] = 1;
	rc = level1(to);
	room[0] = 0;
	return rc;
}

static int parse(struct sockaddr_in *to, char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		return -1;
	*colon = '\0';
	to->sin_family = AF_INET;
	to->sin_port = htons((uint16_t)atoi(colon + 1));
	return inet_pton(AF_INET, text, &to->sin_addr) == 1 ? 0 : -1;
}

int main(int argc, char **argv)
{
	bool moving = argc > 1 && strcmp(argv[1], "--moving") == 0;
	struct sockaddr_in to = {};
	unsigned long nr = 0;
	double begin = now(), end;

	argc -= moving;
	argv += moving;
	if (argc != 3 || parse(&to, argv[1])) {
		fputs("usage: deep [--moving] ADDRESS:PORT SECONDS\n", stderr);
		return 64;
	}
	end = begin + atof(argv[2]);
	for (; now() < end; nr++) {
		if (start(&to, moving)) {
			perror("deep");
			return 1;
		}
	}
	printf("{\"established\":%lu,\"errno\":{},\"per_second\":%.1f}\n", nr,
	       (double)nr / (now() - begin));
	return 0;
}
