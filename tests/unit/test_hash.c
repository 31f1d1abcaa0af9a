/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keys that are alike, as those of one network are, must not end up in one bucket: a lookup would
 * go through all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/base/hash.h"

#define KEYS	16384
#define BUCKETS 2048 /* uthash lets at most ten keys be in one, on the average */
#define MOST	40   /* of random numbers: 8, and never 40 */
#define KEY_LEN 24

/* How many of the keys share the fullest bucket: they count up from 0 in those two bytes. */
static unsigned int fullest(size_t len, size_t low_byte, size_t high_byte)
{
	static unsigned int nr[BUCKETS];
	uint8_t key[KEY_LEN];
	unsigned int most = 0;

	memset(nr, 0, sizeof(nr));
	for (unsigned int i = 0; i < KEYS; i++) {
		unsigned int *in;

		memset(key, 0x5a, sizeof(key));
		key[low_byte] = (uint8_t)i;
		key[high_byte] = (uint8_t)(i >> 8);
		in = &nr[hash_words(key, len) % BUCKETS];
		if (++*in > most)
			most = *in;
	}
	return most;
}

static void test_wherever_they_differ(void **state)
{
	static const size_t lengths[] = {4, 8, 12, 16, 20, KEY_LEN};

	(void)state;
	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
		for (size_t low = 0; low < lengths[l]; low++) {
			for (size_t high = 0; high < lengths[l]; high++) {
				if (low != high)
					assert_in_range(fullest(lengths[l], low, high), 8, MOST);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wherever_they_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
