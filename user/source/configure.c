/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/configure.h"

#include <bpf/libbpf.h>
#include <string.h>

#include "bpf/tcpchurn.skel.h"
#include "user/base/array.h"
#include "user/source/lanes.h"
#include "user/source/machine.h"
#include "user/source/netns.h"

#define CONN_BUCKET_SLOTS 8	     /* BUCKET_SLOTS in bpf/table.h */
#define MAX_RING	  (2U << 20) /* the ring buffer holds processes and stacks */
#define WALKS		  2048	     /* kept by all CPUs together, but */
#define WALKS_MIN	  128	     /* by each */

static void configure_filter(struct tcpchurn *skel, const struct filter *f)
{
	skel->rodata->cfg_family = f->family;
	skel->rodata->cfg_by_target |= f->nr_pids > 0;
	memcpy(skel->rodata->cfg_comm, f->comm, sizeof(f->comm));
	skel->rodata->cfg_by_uid = f->by_uid;
	skel->rodata->cfg_uid = f->uid;
	skel->rodata->cfg_cgroup = f->cgroup;
	skel->rodata->cfg_cgroup_level = f->cgroup_level;
	skel->rodata->cfg_netns = f->netns;
	skel->rodata->cfg_netns_cookie = f->netns ? netns_cookie(f->netns) : 0;
	skel->rodata->cfg_nr_peer_ports = f->nr_peer_ports;
	memcpy(skel->rodata->cfg_peer_ports, f->peer_ports, sizeof(f->peer_ports));
	skel->rodata->cfg_nr_local_ports = f->nr_local_ports;
	memcpy(skel->rodata->cfg_local_ports, f->local_ports, sizeof(f->local_ports));
	skel->rodata->cfg_nr_src = f->nr_src;
	memcpy(skel->rodata->cfg_src, f->src, sizeof(f->src));
	skel->rodata->cfg_nr_dst = f->nr_dst;
	memcpy(skel->rodata->cfg_dst, f->dst, sizeof(f->dst));
	skel->rodata->cfg_failed_only = f->failed_only;
	skel->rodata->cfg_errno = f->error;
}

/* The table finds room for all until it is two thirds full and more (bpf/table.h). A small one
 * needs more, for chance has more to say there. The plain programs have a hash map instead. */
static int configure_table(struct tcpchurn *skel, uint32_t max_conns)
{
	uint32_t buckets = max_conns / 2 * 3 / CONN_BUCKET_SLOTS + 64;
	int err;

	if (skel->rodata->cfg_plain)
		return bpf_map__set_max_entries(skel->maps.conn_hash, max_conns);
	skel->rodata->cfg_buckets = buckets;
	err = bpf_map__set_max_entries(skel->maps.conn_keys, buckets);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.conn_states, buckets * CONN_BUCKET_SLOTS);
	return err;
}

/* The largest lanes, a power of two each, that take no more than `buffer_size` together. */
static uint32_t lane_size(uint32_t nr, uint32_t buffer_size)
{
	uint32_t share = buffer_size / nr, size;

	for (size = CHURN_LANE_MIN; size * 2 <= share && size < CHURN_LANE_MAX; size *= 2)
		;
	return size;
}

static int configure_buffers(struct tcpchurn *skel, const struct configuration *c)
{
	/* Of a CPU: one has a writer only where accept() is seen. */
	uint32_t each = c->accepts ? CHURN_LANES : CHURN_LANES - 1, nr = c->nr_online_cpus * each;
	uint32_t ring = c->opts->buffer_size, size = lane_size(nr, ring);
	int err;

	skel->rodata->cfg_lane_size = size;
	skel->rodata->cfg_lanes = each;
	err = bpf_map__set_value_size(skel->maps.lanes, lanes__stride(size));
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.lanes, nr);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.events,
					       ring < MAX_RING ? ring : MAX_RING);
	return err;
}

/* The kernel allocates maps in full: those that nobody looks into this time have one entry. */
static int shrink_unused(struct tcpchurn *skel, const struct configuration *c)
{
	bool stacks = skel->rodata->cfg_stacks;
	const struct {
		struct bpf_map *map;
		bool used;
	} maps[] = {
		{skel->maps.targets, skel->rodata->cfg_by_target},
		{skel->maps.binding, c->opts->bind_failures},
		{skel->maps.calls, c->kretprobes},
		{skel->maps.rules, stacks},
		{skel->maps.codes, stacks},
		{skel->maps.copies, stacks},
		{skel->maps.known_stacks, stacks},
		{skel->maps.pythons, stacks},
		{skel->maps.py_threads, stacks},
		{skel->maps.py_freed, c->uprobes},
	};
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(maps); i++) {
		if (!maps[i].used)
			err = bpf_map__set_max_entries(maps[i].map, 1);
	}
	return err;
}

/* Each CPU has its own, in a power of two. */
static int configure_walks(struct tcpchurn *skel, const struct configuration *c)
{
	uint32_t each = WALKS_MIN;

	while (2 * each * c->nr_cpus <= WALKS)
		each *= 2;
	if (!skel->rodata->cfg_stacks)
		each = 1;
	skel->rodata->cfg_walks = each;
	return bpf_map__set_max_entries(skel->maps.walks, each);
}

int configure(struct tcpchurn *skel, const struct configuration *c)
{
	int err;

	skel->rodata->cfg_plain = c->plain;
	skel->rodata->cfg_jiffy_ns = machine_jiffy_ns();
	skel->rodata->cfg_stacks = c->opts->stacks && c->user_memory;
	skel->rodata->cfg_user_memory = c->user_memory;
	skel->rodata->cfg_accepts = c->accepts;
	skel->rodata->cfg_by_target = c->opts->command > 0;
	configure_filter(skel, c->opts->filter);
	err = configure_buffers(skel, c);
	if (!err)
		err = configure_table(skel, c->opts->max_conns);
	if (!err)
		err = configure_walks(skel, c);
	if (!err)
		err = shrink_unused(skel, c);
	return err;
}
