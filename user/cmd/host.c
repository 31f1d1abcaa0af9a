/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/cmd/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/log.h"
#include "user/source/census.h"
#include "user/source/holders.h"

#define MIN_AGE_MS 1000 /* younger sockets in CLOSE_WAIT are on their way */

struct host {
	struct census_result waiting; /* the few states that leaks and queues show in, with ages */
	struct holders *holders;
	struct leaks leaks;
	struct finding_facts facts;
};

static int take(struct census_result *out, const struct options *opts, uint32_t states)
{
	const struct census_options co = {
		.netns = opts->filter.netns,
		.states = states,
		.idle = true,
	};

	return census_once(&co, out);
}

void host_tell_waiting(const struct options *opts, struct model *m)
{
	struct census_result census = {0};
	struct holders *holders = NULL;
	int err = take(&census, opts, 1u << SOCKET_CLOSE_WAIT);

	if (!err) {
		holders = holders__new(&census.sockets);
		err = holders ? 0 : -errno;
	}
	for (size_t i = 0; !err && i < census.sockets.nr; i++) {
		const struct tcp_socket *s = &census.sockets.at[i];

		err = model__waiting(m, s, holders__process(holders, s));
	}
	if (err)
		log_debug("sockets in CLOSE_WAIT before the trace: %s", strerror(-err));
	holders__free(holders);
	census_result__clear(&census);
}

bool host_names_processes(const struct options *opts)
{
	const struct filter *f = &opts->filter;

	return opts->command || f->nr_pids || f->comm[0] || f->by_uid || f->cgroup;
}

static int look(struct host *h, const struct options *opts)
{
	int err = take(&h->waiting, opts, LEAK_STATES | 1u << SOCKET_SYN_SENT);

	if (err)
		return err;
	h->holders = holders__new(&h->waiting.sockets);
	if (!h->holders)
		return -errno;
	return leaks__make(&h->leaks, &h->waiting.sockets, MIN_AGE_MS, holders__find_leak,
			   h->holders);
}

struct host *host__look(const struct options *opts)
{
	struct host *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return NULL;
	err = look(h, opts);
	if (err) {
		host__free(h);
		errno = -err;
		return NULL;
	}
	h->facts = (struct finding_facts){
		.leaks = &h->leaks,
		.sockets = &h->waiting.sockets,
		.find_owner = holders__find_leak,
		.owners = h->holders,
		.followed_only = host_names_processes(opts),
	};
	return h;
}

void host__free(struct host *h)
{
	if (!h)
		return;
	leaks__clear(&h->leaks);
	holders__free(h->holders);
	census_result__clear(&h->waiting);
	free(h);
}

const struct finding_facts *host__facts(const struct host *h)
{
	return &h->facts;
}
