/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* uthash that reports want of memory instead of ending the program: after HASH_ADD*, an element
 * whose hh.tbl is NULL was not added. Keys are memory: zero the padding of a struct key first. */
#ifndef CHURN_BASE_HASH_H
#define CHURN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Our keys are a few machine words: half the time of uthash's own, which goes byte by byte. A
 * product tells of a bit only above it, and buckets are numbered by the low ones: the last bytes of
 * an address, at the upper end of a word, need the second round to get there.
 */
static inline uint32_t hash_words(const void *key, size_t len)
{
	const uint8_t *at = key;
	uint64_t hash = len, word;

	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	if (len) {
		word = 0;
		memcpy(&word, at, len);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return (uint32_t)((hash * 0x9e3779b97f4a7c15ULL) >> 32);
}

#define HASH_FUNCTION(key, len, hash) ((hash) = hash_words((key), (len)))
#define HASH_NONFATAL_OOM	      1

#include <uthash.h>

#endif /* CHURN_BASE_HASH_H */
