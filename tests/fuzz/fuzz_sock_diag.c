/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An answer of sock_diag(7). */
#include "tests/fuzz/fuzz.h"

#include "user/source/sock_diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sock_diag_query query = {.states = ~0U, .idle = true};
	struct socket_list list = {};
	bool interrupted = false;
	void *answer = malloc(size ? size : 1); /* aligned as a buffer is */

	fuzz_require(answer, "no memory");
	memcpy(answer, data, size);
	sock_diag__answer(&list, &query, answer, size, &interrupted);
	fuzz_require(list.nr <= size / 16, "more sockets than fit");
	socket_list__clear(&list);
	free(answer);
	return 0;
}
