/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/what_if.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/parse.h"

#define MAX_ADDRESSES	1000
#define DEFAULT_IDLE_NS 30000000000ULL

const struct what_if what_if_nothing = {.tw_reuse = -1, .idle_ns = DEFAULT_IDLE_NS};

/* --- parsing ---------------------------------------------------------------------------------- */

static int set_range(struct what_if *w, const char *value)
{
	return parse_port_range(&w->low, &w->high, value);
}

static int set_tw_reuse(struct what_if *w, const char *value)
{
	uint64_t mode;
	int err = parse_uint(&mode, value, TW_REUSE_OFF, TW_REUSE_LOOPBACK);

	if (!err)
		w->tw_reuse = mode;
	return err;
}

static int set_count(uint32_t *out, const char *value, uint64_t max)
{
	uint64_t count;
	int err = parse_uint(&count, value, 1, max);

	if (!err)
		*out = count;
	return err;
}

static int set_destinations(struct what_if *w, const char *value)
{
	return set_count(&w->destinations, value, MAX_ADDRESSES);
}

static int set_sources(struct what_if *w, const char *value)
{
	return set_count(&w->sources, value, MAX_ADDRESSES);
}

static int set_pool(struct what_if *w, const char *value)
{
	return set_count(&w->connections, value, UINT16_MAX);
}

static int set_idle(struct what_if *w, const char *value)
{
	return parse_duration(&w->idle_ns, value);
}

static int set_one(struct what_if *w, char *text)
{
	static const struct {
		const char *name;
		int (*set)(struct what_if *w, const char *value);
	} settings[] = {
		{"range", set_range},
		{"tw_reuse", set_tw_reuse},
		{"destinations", set_destinations},
		{"sources", set_sources},
		{"pool", set_pool},
		{"idle", set_idle},
	};
	char *value = strchr(text, '=');

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (strcmp(text, settings[i].name) == 0)
			return settings[i].set(w, value);
	}
	return -EINVAL;
}

int what_if__parse(struct what_if *out, const char *text)
{
	char *copy = strdup(text), *rest = copy, *piece;
	struct what_if w = *out;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (piece = strsep(&rest, ",")))
		err = set_one(&w, piece);
	free(copy);
	if (err)
		return err;
	w.given = true;
	*out = w;
	return 0;
}

/* --- outcomes --------------------------------------------------------------------------------- */

/* The changes, one at a time, in the order of advice. */
struct change {
	bool (*asked)(const struct what_if *w);
	void (*take)(struct what_if *out, const struct what_if *w);
	void (*describe)(char *dst, size_t size, const struct what_if *w);
};

static bool asked_pool(const struct what_if *w)
{
	return w->connections;
}

static void take_pool(struct what_if *out, const struct what_if *w)
{
	out->connections = w->connections;
	out->idle_ns = w->idle_ns;
}

static void describe_pool(char *dst, size_t size, const struct what_if *w)
{
	snprintf(dst, size, "pool=%u,idle=%gs", w->connections, (double)w->idle_ns / 1e9);
}

static bool asked_reuse(const struct what_if *w)
{
	return w->tw_reuse >= 0;
}

static void take_reuse(struct what_if *out, const struct what_if *w)
{
	out->tw_reuse = w->tw_reuse;
}

static void describe_reuse(char *dst, size_t size, const struct what_if *w)
{
	snprintf(dst, size, "tw_reuse=%d", w->tw_reuse);
}

static bool asked_destinations(const struct what_if *w)
{
	return w->destinations;
}

static void take_destinations(struct what_if *out, const struct what_if *w)
{
	out->destinations = w->destinations;
}

static void describe_destinations(char *dst, size_t size, const struct what_if *w)
{
	snprintf(dst, size, "destinations=%u", w->destinations);
}

static bool asked_sources(const struct what_if *w)
{
	return w->sources;
}

static void take_sources(struct what_if *out, const struct what_if *w)
{
	out->sources = w->sources;
}

static void describe_sources(char *dst, size_t size, const struct what_if *w)
{
	snprintf(dst, size, "sources=%u", w->sources);
}

static bool asked_range(const struct what_if *w)
{
	return w->high;
}

static void take_range(struct what_if *out, const struct what_if *w)
{
	out->low = w->low;
	out->high = w->high;
}

static void describe_range(char *dst, size_t size, const struct what_if *w)
{
	snprintf(dst, size, "range=%u-%u", w->low, w->high);
}

static const struct change changes[] = {
	{asked_pool, take_pool, describe_pool},
	{asked_reuse, take_reuse, describe_reuse},
	{asked_destinations, take_destinations, describe_destinations},
	{asked_sources, take_sources, describe_sources},
	{asked_range, take_range, describe_range},
};

#define CHANGES (sizeof(changes) / sizeof(changes[0]))

_Static_assert(CHANGES + 2 <= WHAT_IF_OUTCOMES, "now, each of them, all of them");

/* The same sockets under other rules. */
struct world {
	struct port_rules *rules;
	uint32_t nr_rules;
	struct port_pools pools;
};

static int world_make(struct world *w, const struct what_if *what,
		      const struct socket_list *sockets, const struct port_rules *rules,
		      uint32_t nr_rules)
{
	struct port_pools_options po = {.nr_rules = nr_rules};

	memset(w, 0, sizeof(*w));
	w->rules = malloc((nr_rules + 1) * sizeof(*w->rules));
	if (!w->rules)
		return -ENOMEM;
	memcpy(w->rules, rules, nr_rules * sizeof(*w->rules));
	w->nr_rules = nr_rules;
	for (uint32_t i = 0; i < nr_rules; i++) {
		struct port_rules *r = &w->rules[i];

		if (what->high && r->high) {
			r->low = what->low;
			r->high = what->high;
		}
		if (what->tw_reuse >= 0)
			r->tw_reuse = what->tw_reuse;
	}
	po.rules = w->rules;
	return port_pools__make(&w->pools, sockets, &po);
}

static void world_clear(struct world *w)
{
	port_pools__clear(&w->pools);
	free(w->rules);
}

/* The pool there; *unused becomes it when none of its ports are in the range there. */
static const struct port_pool *world_find(const struct world *w, const struct port_pool_key *key,
					  struct port_pool *unused)
{
	for (uint32_t i = 0; i < w->pools.nr; i++) {
		if (!memcmp(&w->pools.at[i].key, key, sizeof(*key)))
			return &w->pools.at[i];
	}
	for (uint32_t i = 0; i < w->nr_rules; i++) {
		if (w->rules[i].netns == key->netns)
			port_pool__unused(unused, key, &w->rules[i]);
	}
	return unused;
}

/* The opens that a pool of connections leaves over. */
static double opens_left(const struct what_if *w, const struct port_pool *p)
{
	double rate = p->rate_per_second, open = p->nr[PORT_ESTABLISHED];

	if (!w->connections || rate <= 0)
		return rate;
	if (1e9 / rate > (double)w->idle_ns)
		return rate; /* each time it is asked the last connection has been dropped */
	return w->connections >= open ? 0 : rate * (open - w->connections) / open;
}

static void judge(struct what_if_outcome *o, const struct what_if *w, const struct port_pool *now,
		  const struct port_pool *then)
{
	uint32_t addresses = (w->destinations + 1) * (w->sources + 1);
	double rate = opens_left(w, now), parked = rate * TIME_WAIT_MS / 1000;

	o->capacity = (uint64_t)then->capacity * addresses;
	o->sustainable = port_pool__sustainable(then) * addresses;
	o->opens_per_second = rate;
	if (parked > o->capacity)
		parked = o->capacity;
	if (parked > then->rules->max_time_wait)
		parked = then->rules->max_time_wait;
	o->time_wait_peak = rate < 0 ? -1 : parked;
	o->seconds_left = rate < 0 ? -1
				   : port_pool__exhaustion(
					     then, (struct port_load){.parked = rate / addresses});
}

/* One column of the table: `what` done to each pool. */
static void fill(struct what_ifs *out, const struct what_if *what, const char *name,
		 const struct port_pools *pools, const struct world *world)
{
	for (uint32_t i = 0; i < pools->nr; i++) {
		struct what_if_outcome *o = &out->of_pool[i][out->nr];
		struct port_pool unused = pools->at[i];

		snprintf(o->what, sizeof(o->what), "%s", name);
		judge(o, what, &pools->at[i], world_find(world, &pools->at[i].key, &unused));
	}
	out->nr++;
}

static int add_outcome(struct what_ifs *out, const struct what_if *what, const char *name,
		       const struct port_pools *pools, const struct socket_list *sockets,
		       const struct port_rules *rules, uint32_t nr_rules)
{
	struct world world;
	int err = world_make(&world, what, sockets, rules, nr_rules);

	if (!err)
		fill(out, what, name, pools, &world);
	world_clear(&world);
	return err;
}

int what_ifs__make(struct what_ifs *out, const struct what_if *w, const struct port_pools *pools,
		   const struct socket_list *sockets, const struct port_rules *rules,
		   uint32_t nr_rules)
{
	char name[sizeof(out->of_pool[0][0].what)];
	unsigned int asked = 0;
	int err;

	memset(out, 0, sizeof(*out));
	out->of_pool = calloc(pools->nr + 1, sizeof(*out->of_pool));
	if (!out->of_pool)
		return -ENOMEM;
	err = add_outcome(out, &what_if_nothing, "now", pools, sockets, rules, nr_rules);
	for (size_t i = 0; !err && i < CHANGES; i++) {
		struct what_if one = what_if_nothing;

		if (!changes[i].asked(w))
			continue;
		asked++;
		changes[i].take(&one, w);
		changes[i].describe(name, sizeof(name), w);
		err = add_outcome(out, &one, name, pools, sockets, rules, nr_rules);
	}
	if (!err && asked > 1)
		err = add_outcome(out, w, "all of these", pools, sockets, rules, nr_rules);
	if (err)
		what_ifs__clear(out);
	return err;
}

void what_ifs__clear(struct what_ifs *w)
{
	free(w->of_pool);
	memset(w, 0, sizeof(*w));
}
