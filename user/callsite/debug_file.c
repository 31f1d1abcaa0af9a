/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/callsite/debug_file.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "user/callsite/elf_open.h"
#include "user/callsite/proc.h"

#define DEBUG_DIR     "/usr/lib/debug"
#define MAX_BUILD_ID  64
#define MAX_CRC_BYTES (512LL << 20)

static bool has_build_id(int fd, const void *build_id, size_t len)
{
	Elf *elf = elf_open(fd);
	const void *found;
	bool same;

	same = elf && dwelf_elf_gnu_build_id(elf, &found) == (ssize_t)len &&
	       !memcmp(found, build_id, len);
	elf_end(elf);
	return same;
}

static int open_by_build_id(int root, const void *build_id, size_t len)
{
	char path[sizeof(DEBUG_DIR) + 2 * MAX_BUILD_ID + 32];
	const uint8_t *id = build_id;
	int fd, at;

	if (len < 2 || len > MAX_BUILD_ID)
		return -ENOENT;
	at = snprintf(path, sizeof(path), DEBUG_DIR "/.build-id/%02x/", id[0]);
	for (size_t i = 1; i < len; i++)
		at += snprintf(path + at, sizeof(path) - (size_t)at, "%02x", id[i]);
	snprintf(path + at, sizeof(path) - (size_t)at, ".debug");
	fd = proc__open_in_root(root, path, NULL);
	if (fd >= 0 && !has_build_id(fd, build_id, len)) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

static bool has_crc(int fd, uint32_t crc)
{
	uint8_t buf[65536];
	uLong sum = crc32(0, NULL, 0);
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		sum = crc32(sum, buf, (uInt)n);
		at += n;
		if (at > MAX_CRC_BYTES)
			return false;
	}
	return !n && sum == crc;
}

static int open_by_link(Elf *elf, int root, const char *path, const void *build_id, size_t len)
{
	static const char *const dirs[] = {"", DEBUG_DIR};
	const char *name, *slash;
	GElf_Word crc = 0;

	name = dwelf_elf_gnu_debuglink(elf, &crc);
	slash = path ? strrchr(path, '/') : NULL;
	if (!name || !*name || strchr(name, '/') || !slash)
		return -ENOENT;
	/* Beside the file, in .debug beside it, and below /usr/lib/debug, as gdb(1) looks. */
	for (int i = 0; i < 3; i++) {
		char candidate[PATH_MAX];
		int fd;

		if (snprintf(candidate, sizeof(candidate), "%s%.*s/%s%s", dirs[i / 2],
			     (int)(slash - path), path, i == 1 ? ".debug/" : "",
			     name) >= (int)sizeof(candidate))
			continue;
		fd = proc__open_in_root(root, candidate, NULL);
		if (fd < 0)
			continue;
		if (len ? has_build_id(fd, build_id, len) : has_crc(fd, crc))
			return fd;
		close(fd);
	}
	return -ENOENT;
}

int debug_file__open(Elf *elf, int root, const char *path)
{
	const void *build_id = NULL;
	ssize_t len;
	int fd = -ENOENT;

	len = dwelf_elf_gnu_build_id(elf, &build_id);
	if (len < 0)
		len = 0;
	if (root >= 0)
		fd = open_by_build_id(root, build_id, (size_t)len);
	if (fd < 0)
		fd = debug_file__open_shared(build_id, (size_t)len);
	if (fd < 0 && root >= 0)
		fd = open_by_link(elf, root, path, build_id, (size_t)len);
	return fd;
}

int debug_file__open_shared(const void *build_id, size_t len)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (root < 0)
		return -errno;
	fd = open_by_build_id(root, build_id, len);
	close(root);
	return fd;
}
