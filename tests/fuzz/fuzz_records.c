/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records of the kernel side: three lanes as they are written, their heads first, and what the
 * records in them hold. A copied stack is walked by rules that are made of the input too.
 */
#include "tests/fuzz/fuzz.h"

#include "user/callsite/unwind.h"
#include "user/source/lanes.h"
#include "user/source/record_check.h"

#define NR_LANES 3
#define SIZE	 CHURN_LANE_MIN

static uint64_t hash_of(const void *ctx, uint64_t pc)
{
	return (pc + *(const uint32_t *)ctx) * 0x9e3779b97f4a7c15ULL;
}

/* Any rule at all, the same at the same place, some of them guesses. */
static bool any_rule(void *ctx, uint64_t pc, bool return_address, struct churn_rule *rule)
{
	uint64_t hash = hash_of(ctx, pc + return_address);

	rule->kind = (uint8_t)(hash >> 61);
	rule->cfa_off = (int32_t)(hash >> 8) >> (hash & 31);
	rule->fp_slot = (int16_t)(hash >> 40) >> (hash >> 58 & 15);
	return hash >> 56 & 1;
}

static bool any_answer(void *ctx, uint64_t pc, const struct churn_rule *rule, uint64_t caller)
{
	fuzz_require(rule != NULL, "a rule");
	return hash_of(ctx, pc ^ caller) >> 63;
}

static int on_record(void *ctx, const struct churn_header *h, size_t size)
{
	static struct churn_stack out;
	struct churn_stack_copy *copy;

	fuzz_require(h->size <= size, "a record is longer than it is");
	if (!record_is_sound(h, size) || h->type != CHURN_STACK_COPY)
		return 0;
	/* As long as it is, not a byte more. */
	copy = malloc(size);
	fuzz_require(copy, "no memory");
	memcpy(copy, h, size);
	unwind_copy(copy, &(struct unwind_rules){ctx, any_rule, any_answer}, &out);
	fuzz_require(out.nr && out.nr <= CHURN_MAX_FRAMES, "frames");
	free(copy);
	return 0;
}

/* What the ring has: a record of any size. */
static void one_record(const uint8_t *data, size_t size, uint32_t *seed)
{
	struct churn_header *h = malloc(size ? size : 1);

	fuzz_require(h, "no memory");
	memcpy(h, data, size);
	if (size >= sizeof(*h) && h->size <= size)
		on_record(seed, h, size);
	else
		fuzz_require(!record_is_sound(h, size), "a record that is not all there");
	free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint32_t seed = (uint32_t)fuzz_number(&in, 4);
	uint64_t heads[NR_LANES], tails[NR_LANES];
	char *memory = calloc(NR_LANES, lanes__stride(SIZE));
	struct lanes *l = lanes__new(memory, NR_LANES, SIZE);

	fuzz_require(memory && l, "no memory");
	one_record(in.at, in.left, &seed);
	for (int i = 0; i < NR_LANES; i++)
		heads[i] = fuzz_number(&in, 2);
	for (int i = 0; i < NR_LANES; i++) {
		struct churn_lane *lane = (void *)(memory + i * lanes__stride(SIZE));
		size_t most = (in.left + 2) / 3;

		fuzz_take(&in, lane + 1,
			  most < SIZE + CHURN_LANE_SLACK ? most : SIZE + CHURN_LANE_SLACK);
		lane->head = heads[i];
	}
	for (int i = 0; i < 2; i++) {
		lanes__look(l);
		lanes__deliver(l, i ? UINT64_MAX : seed, on_record, &seed);
	}
	for (int i = 0; i < NR_LANES; i++) {
		tails[i] = ((struct churn_lane *)(void *)(memory + i * lanes__stride(SIZE)))->tail;
		fuzz_require(tails[i] == heads[i], "a lane is not read to its end");
	}
	lanes__free(l);
	free(memory);
	return 0;
}
