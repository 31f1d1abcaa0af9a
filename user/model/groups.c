/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/groups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/model/error_counts.h"

#define KEY_LEN	     8192
#define KEY_SEP	     "\x1f" /* in a name only on purpose, and then rows merge at worst */
#define CONTAINER_ID 12	    /* digits shown, as docker does */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

/* --- which row -------------------------------------------------------------------------------- */

/*
 * Only what the kernel captured itself goes in: /proc resolves the executable's links and names the
 * container, but may be too late for a short-lived process, and "/bin/curl" and "/usr/bin/curl" of
 * one script would be two rows. A script stands for its interpreter ("python3", "python3.11").
 */
static void key_by_program(char *key, const struct process_identity *p)
{
	const char *script = process_identity__script(p);
	const char *name = p->exe ? text_base_name(p->exe) : p->comm;

	snprintf(key, KEY_LEN,
		 "P" KEY_SEP "%s" KEY_SEP "%s" KEY_SEP "%u" KEY_SEP "%s" KEY_SEP "%llx" KEY_SEP
		 "%s",
		 script ? "" : name, or_empty(script), p->parent_tgid, p->parent_comm,
		 (unsigned long long)p->cgroup, p->cgroup ? "" : or_empty(p->container_id));
}

static void key_by_pid(char *key, const struct process_identity *p)
{
	snprintf(key, KEY_LEN, "I" KEY_SEP "%u" KEY_SEP "%llu" KEY_SEP "%u", p->id.tgid,
		 (unsigned long long)p->id.start_ns, p->id.exec_id);
}

static void key_by_exe(char *key, const struct process_identity *p)
{
	snprintf(key, KEY_LEN, "E" KEY_SEP "%s", p->exe ? p->exe : p->comm);
}

static void key_by_comm(char *key, const struct process_identity *p)
{
	snprintf(key, KEY_LEN, "C" KEY_SEP "%s", p->comm);
}

static void key_by_container(char *key, const struct process_identity *p)
{
	snprintf(key, KEY_LEN, "O" KEY_SEP "%s", or_empty(p->container_id));
}

static void name_by_program(char *name, size_t size, const struct process_identity *p)
{
	process_identity__program(p, name, (unsigned int)size);
}

static void name_by_exe(char *name, size_t size, const struct process_identity *p)
{
	snprintf(name, size, "%s", p->exe ? text_base_name(p->exe) : p->comm);
}

static void name_by_comm(char *name, size_t size, const struct process_identity *p)
{
	snprintf(name, size, "%s", p->comm);
}

static void name_by_container(char *name, size_t size, const struct process_identity *p)
{
	if (p->container_id)
		snprintf(name, size, "%.*s", CONTAINER_ID, p->container_id);
	else
		snprintf(name, size, "(no container)");
}

static const struct {
	void (*key)(char *key, const struct process_identity *p);
	void (*name)(char *name, size_t size, const struct process_identity *p);
} kinds[] = {
	[MODEL_BY_PROGRAM] = {key_by_program, name_by_program},
	[MODEL_BY_PID] = {key_by_pid, name_by_program},
	[MODEL_BY_EXE] = {key_by_exe, name_by_exe},
	[MODEL_BY_COMM] = {key_by_comm, name_by_comm},
	[MODEL_BY_CONTAINER] = {key_by_container, name_by_container},
};

static struct group_state *find_group(const struct group_table *t, const char *key)
{
	struct group_state *g;

	HASH_FIND_STR(t->by_key, key, g);
	return g;
}

static struct group_state *make_group(struct group_table *t, const char *key)
{
	struct group_state *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->key = strdup(key);
	if (!g->key)
		goto fail;
	g->pub.pids = g->pids;
	HASH_ADD_KEYPTR(hh, t->by_key, g->key, strlen(g->key), g);
	if (!g->hh.tbl)
		goto fail;
	return g;
fail:
	free(g->key);
	free(g);
	return NULL;
}

static struct group_state *other_group(struct group_table *t)
{
	struct group_state *g = find_group(t, GROUP_OTHER);

	if (!g)
		g = make_group(t, GROUP_OTHER);
	if (g)
		snprintf(g->pub.program, sizeof(g->pub.program), "%s", GROUP_OTHER);
	return g;
}

/* Once for each process: a key is long. */
static __attribute__((noinline)) struct group_state *
assign_group(struct group_table *t, struct process *p, const char *comm)
{
	struct process_identity unknown = {0};
	const struct process_identity *identity = p ? &p->identity : &unknown;
	struct group_state *g;
	char key[KEY_LEN];

	memcpy(unknown.comm, comm, strnlen(comm, CHURN_COMM_LEN));
	if (p && (p->known || t->by == MODEL_BY_PID))
		kinds[t->by].key(key, identity);
	else
		snprintf(key, sizeof(key), "?" KEY_SEP "%s", identity->comm);
	g = find_group(t, key);
	if (!g && HASH_COUNT(t->by_key) >= t->max) {
		g = other_group(t);
	} else if (!g) {
		g = make_group(t, key);
		if (!g || process_identity__copy(&g->pub.sample, identity))
			return NULL; /* an empty row is harmless: sealing leaves it out */
		if (p && p->known)
			kinds[t->by].name(g->pub.program, sizeof(g->pub.program), identity);
		else
			snprintf(g->pub.program, sizeof(g->pub.program), "%s",
				 identity->comm[0] ? identity->comm : GROUP_UNKNOWN);
	}
	if (p)
		p->group = g;
	return g;
}

struct group_state *group_table__get(struct group_table *t, struct process *p, const char *comm)
{
	return p && p->group ? p->group : assign_group(t, p, comm);
}

void group__count_process(struct group_state *g, struct process *p)
{
	if (!p || p->counted_in == g)
		return;
	p->counted_in = g;
	g->pub.nr_processes++;
	for (uint32_t i = 0; i < g->pub.nr_pids; i++)
		if (g->pids[i] == p->identity.id.tgid)
			return;
	if (g->pub.nr_pids < sizeof(g->pids) / sizeof(g->pids[0]))
		g->pids[g->pub.nr_pids++] = p->identity.id.tgid;
}

/* --- what it has ------------------------------------------------------------------------------ */

int group__add_flow(struct group_state *g, const struct flow *f)
{
	if (g->pub.nr_flows == g->cap_flows) {
		uint32_t cap = g->cap_flows ? g->cap_flows * 2 : 2;
		const struct flow **grown = realloc(g->flows, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		g->flows = grown;
		g->cap_flows = cap;
		g->pub.flows = grown;
	}
	g->flows[g->pub.nr_flows++] = f;
	return 0;
}

static int add_service(struct group_state *g, const struct service *s)
{
	if (g->nr_services == g->cap_services) {
		uint32_t cap = g->cap_services ? g->cap_services * 2 : 2;
		const struct service **grown = realloc(g->services, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		g->services = grown;
		g->cap_services = cap;
		g->pub.services = grown;
	}
	g->services[g->nr_services++] = s;
	return 0;
}

static struct service_state *find_service(const struct group_table *t,
					  const struct service_key *key)
{
	struct service_state *s;

	HASH_FIND(hh, t->services, key, sizeof(*key), s);
	return s;
}

struct service_state *group_table__service(struct group_table *t, struct group_state *g,
					   uint32_t netns, uint16_t port)
{
	struct service_key key = {.group = g, .netns = netns, .port = port};
	struct service_state *s = g->last_service;

	if (s && s->key.netns == netns && s->key.port == port)
		return s;
	s = find_service(t, &key);
	if (!s && HASH_COUNT(t->services) >= t->max_services) {
		key.netns = key.port = 0;
		s = find_service(t, &key);
	}
	if (s) {
		g->last_service = s;
		return s;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = key;
	s->pub.group = &g->pub;
	s->pub.netns = key.netns;
	s->pub.port = (uint16_t)key.port;
	HASH_ADD(hh, t->services, key, sizeof(s->key), s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	if (add_service(g, &s->pub)) {
		HASH_DEL(t->services, s);
		free(s);
		return NULL;
	}
	return s;
}

int service__count_site(struct service_state *s, struct site_table *t, uint64_t stack,
			struct site **held)
{
	struct site *site;

	if (!stack)
		return 0;
	site = site_table__get(t, &s->sites, stack);
	if (!site)
		return -ENOMEM;
	site__counts(site)->opens++;
	if (held)
		*held = site;
	else
		site__release(site);
	return 0;
}

/* --- order ------------------------------------------------------------------------------------ */

static int compare_flows(const void *a, const void *b)
{
	const struct flow *x = *(const struct flow *const *)a;
	const struct flow *y = *(const struct flow *const *)b;
	uint64_t nr_x = x->opens + x->failed, nr_y = y->opens + y->failed;

	if (nr_x != nr_y)
		return nr_x < nr_y ? 1 : -1;
	return memcmp(&x->dest, &y->dest, sizeof(x->dest));
}

static int compare_services(const void *a, const void *b)
{
	const struct service *x = *(const struct service *const *)a;
	const struct service *y = *(const struct service *const *)b;
	uint64_t nr_x = x->accepts + x->closes, nr_y = y->accepts + y->closes;

	if (nr_x != nr_y)
		return nr_x < nr_y ? 1 : -1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return x->netns < y->netns ? -1 : x->netns > y->netns;
}

void group__seal(struct group_state *g)
{
	error_counts__sort(&g->pub.failures);
	if (g->pub.nr_flows > 1)
		qsort(g->flows, g->pub.nr_flows, sizeof(*g->flows), compare_flows);
	if (g->nr_services > 1)
		qsort(g->services, g->nr_services, sizeof(*g->services), compare_services);
	g->pub.nr_services = g->nr_services;
	while (g->pub.nr_services) {
		const struct service *last = g->services[g->pub.nr_services - 1];

		if (last->accepts || last->closes)
			break;
		g->pub.nr_services--;
	}
}

void group_table__clear(struct group_table *t)
{
	struct service_state *s, *next_service;
	struct group_state *g, *next_group;

	HASH_ITER (hh, t->services, s, next_service) {
		HASH_DEL(t->services, s);
		site_list__clear(&s->sites);
		free(s);
	}
	HASH_ITER (hh, t->by_key, g, next_group) {
		HASH_DEL(t->by_key, g);
		process_identity__clear(&g->pub.sample);
		error_counts__clear(&g->pub.failures);
		free(g->flows);
		free(g->services);
		free(g->key);
		free(g);
	}
}
