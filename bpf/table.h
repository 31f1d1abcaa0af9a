/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of connections, from open to end, keyed by the address of the struct sock.
 *
 * Two array maps instead of a hash map: its locks and free lists cost more than everything else we
 * do in the hook. A bucket is a cache line of eight keys; a key may stand in either of two buckets,
 * and goes into the first, where it is found sooner, or, when that has two, into the emptier one,
 * which fills three quarters of the table before one finds no place.
 * Array elements are reached without a call, and a slot is claimed with one atomic instruction.
 * After that only the socket's own transitions touch it, one at a time: the kernel holds the
 * socket's lock.
 *
 * The slab re-uses the address at once. But every way out of TCP passes through TCP_CLOSE, where
 * the entry is deleted. What a missed CLOSE has left is nobody's: an open takes it over, and a
 * socket that is not followed does not find it, for its cookie is another.
 */
#ifndef CHURN_TABLE_H
#define CHURN_TABLE_H

#include "bpf/drift.h"
#include "bpf/maps.h"

#define BUCKET_SLOTS 8
#define FIRST_SLOTS  2 /* that are taken without a look at the second bucket */

struct bucket {
	u64 key[BUCKET_SLOTS]; /* 0: free */
};

/* Two cache lines, as often as there may be connections: what is not known at the same time shares
 * its place. It begins as struct churn_conn does. */
struct conn_state {
	u64 id;
	u64 open_ns;
	u64 established_ns;
	u64 stack;
	struct churn_id owner;
	u32 tid;
	u32 netns;
	u16 local_port;
	u16 peer_port;
	u8 family;
	u8 role;
	u8 attribution;
	u8 initiator;
	char comm[CHURN_COMM_LEN];

	u32 held;    /* enum held */
	u8 sampled;  /* 1: the calls in progress at its end are wanted, */
	u8 captured; /* 1: and were taken. Never while it is held. */
	u16 pad;
	union {
		struct { /* until it is established */
			u32 search_ns;
			s32 search; /* for a source port: 0 not seen, 1 found one, -errno */
		};
		u64 ending_ns; /* then: first FIN in either direction, 0: none yet */
	};
	union {
		struct { /* unless `captured`: then the socket still has them */
			u8 local_addr[16];
			u8 peer_addr[16];
		};
		u64 close_stack;
	};
};

_Static_assert(sizeof(struct conn_state) == 128, "two cache lines");
_Static_assert(__builtin_offsetof(struct conn_state, held) ==
		       __builtin_offsetof(struct churn_conn, local_addr),
	       "it begins as a churn_conn");

/* A passive open, between its handshake and accept(); told when it is known who accepts. */
enum held {
	HELD_NOT,
	HELD_WAITING,
	HELD_UNWANTED, /* the same; its listener is none of the processes that are traced */
	HELD_TAKING,   /* accept() has found it this moment, and owns the entry */
	HELD_ENDED,    /* it ended meanwhile: accept() releases the entry */
};

/* cfg_buckets elements. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bucket);
} conn_keys SEC(".maps");

/* BUCKET_SLOTS times as many. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct conn_state);
} conn_states SEC(".maps");

const volatile __u32 cfg_buckets = 1;

/* The same for the plain programs, which run where there is no atomic compare-and-swap (before
 * 5.12) and so no way to claim a slot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u64);
	__type(value, struct conn_state);
} conn_hash SEC(".maps");

/* Where an entry is. */
struct conn_entry {
	u64 *slot; /* where its key stands, NULL: in the hash map */
	u64 key;
	struct conn_state *state;
};

/*
 * The verifier forbids arithmetic on a typed pointer, but lets the difference of two be a number.
 * So a socket's key is how far it lies from a variable of ours: as unique, and never 0. Programs
 * without types, to which a socket is a number, learn where the variable is by storing its address.
 */
static __always_inline u64 table_key(const struct sock *sk, const bool btf)
{
	static volatile u64 ready_at; /* every CPU writes the same */
	u64 key = (u64)sk;

	if (btf) {
		asm volatile("%0 -= %1" : "+r"(key) : "r"(&ready));
		return key;
	}
	ready_at = (u64)&ready;
	return key - ready_at;
}

static __always_inline u64 table_hash(u64 key)
{
	key ^= key >> 32;
	key *= 0x9e3779b97f4a7c15ULL;
	return key ^ (key >> 29);
}

static __always_inline u32 table_bucket(u64 hash, u32 choice)
{
	return (u64)(u32)(choice ? hash >> 32 : hash) * cfg_buckets >> 32;
}

/* The slot of the bucket that holds the key, or, with `claim`, a free one that now does; counted
 * over the whole table and from 1 on. 0: none. */
static __always_inline u32 table_probe(u32 index, u64 key, const bool claim)
{
	struct bucket *b = bpf_map_lookup_elem(&conn_keys, &index);

	if (!b)
		return 0;
	for (u32 i = 0; i < BUCKET_SLOTS; i++) {
		if (claim ? !b->key[i] && !__sync_val_compare_and_swap(&b->key[i], 0, key)
			  : b->key[i] == key)
			return index * BUCKET_SLOTS + i + 1;
	}
	return 0;
}

static __always_inline u32 table_nr_used(u32 index)
{
	struct bucket *b = bpf_map_lookup_elem(&conn_keys, &index);
	u32 nr = 0;

	for (u32 i = 0; b && i < BUCKET_SLOTS; i++) {
		u64 key = b->key[i], minus = -key;

		/* Or it is made branches, and the verifier walks every combination of them. */
		barrier_var(minus);
		nr += (key | minus) >> 63;
	}
	return nr;
}

/* Some key has gone into its second bucket. Before that nobody looks there: it is one more cache
 * line of another CPU's, for each new socket and each that is not followed. */
bool table_uses_second = false;

/* Global functions are verified by themselves: what comes after the search is then not walked for
 * each slot in which it may end. */
__noinline u32 table_search(u64 key)
{
	u64 hash = table_hash(key);
	u32 slot = table_probe(table_bucket(hash, 0), key, false);

	if (slot || !table_uses_second)
		return slot;
	return table_probe(table_bucket(hash, 1), key, false);
}

__noinline u32 table_take(u64 key)
{
	u64 hash = table_hash(key);
	u32 first = table_bucket(hash, 0), second = table_bucket(hash, 1);
	u32 slot = table_search(key), used;

	if (slot)
		return slot;
	used = table_nr_used(first);
	if (used < FIRST_SLOTS || table_nr_used(second) >= used) {
		slot = table_probe(first, key, true);
		if (slot)
			return slot;
	}
	if (!table_uses_second)
		table_uses_second = true; /* before the key is there */
	slot = table_probe(second, key, true);
	return slot ?: table_probe(first, key, true);
}

static __always_inline bool table_slot(struct conn_entry *e, u32 slot)
{
	u32 at = slot - 1, index = at / BUCKET_SLOTS;
	struct bucket *b;

	if (!slot)
		return false;
	b = bpf_map_lookup_elem(&conn_keys, &index);
	e->state = bpf_map_lookup_elem(&conn_states, &at);
	if (!b || !e->state)
		return false;
	e->slot = &b->key[at & (BUCKET_SLOTS - 1)];
	return true;
}

static __always_inline bool table_hashed(struct conn_entry *e, u64 key)
{
	e->key = key;
	e->state = bpf_map_lookup_elem(&conn_hash, &key);
	return e->state != NULL;
}

static __always_inline bool table_find(struct conn_entry *e, const struct sock *sk, const bool btf)
{
	u64 key = table_key(sk, btf);

	if (cfg_plain)
		return table_hashed(e, key);
	return table_slot(e, table_search(key)) && socket_is(sk, e->state->id, btf);
}

/* An entry for the key, its state as it was left; false: no room. */
static __always_inline bool table_claim(struct conn_entry *e, u64 key, const bool btf)
{
	static const struct conn_state blank;

	if (btf)
		return table_slot(e, table_take(key));
	bpf_map_update_elem(&conn_hash, &key, &blank, BPF_NOEXIST);
	return table_hashed(e, key);
}

static __always_inline void table_release(struct conn_entry *e)
{
	if (cfg_plain)
		bpf_map_delete_elem(&conn_hash, &e->key);
	else
		*(volatile u64 *)e->slot = 0;
}

#endif /* CHURN_TABLE_H */
