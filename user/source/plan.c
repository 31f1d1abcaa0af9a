/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/source/plan.h"

#include <errno.h>
#include <string.h>

#define BIT(by) (1u << (by))

#define TRACEPOINTS (BIT(BY_TP_BTF) | BIT(BY_RAW_TP) | BIT(BY_TP))
#define TRAMPOLINES (BIT(BY_FENTRY) | BIT(BY_FEXIT))
#define PROBES	    (BIT(BY_KPROBE) | BIT(BY_KRETPROBE))
#define UPROBES	    BIT(BY_UPROBE)

/* Of tracepoints and of functions, the ways that a request leaves. */
static const struct {
	unsigned int tracepoints, functions;
} allowed[] = {
	[ATTACH_AUTO] = {TRACEPOINTS, TRAMPOLINES | PROBES | UPROBES},
	[ATTACH_TRACEPOINT] = {TRACEPOINTS, 0},
	[ATTACH_PLAIN] = {BIT(BY_RAW_TP) | BIT(BY_TP), 0},
	[ATTACH_FENTRY] = {TRACEPOINTS, TRAMPOLINES | UPROBES},
	[ATTACH_KPROBE] = {TRACEPOINTS, PROBES | UPROBES},
};

static bool hook_is_wanted(const struct plan_hook *h, const struct plan_request *r)
{
	return (h->purpose != FOR_COMMAND || r->command) &&
	       (h->purpose != FOR_STACKS || r->stacks) &&
	       (h->purpose != FOR_TARGETS || r->targets || r->command);
}

static bool hook_is_function(const struct plan_hook *h)
{
	return BIT(h->flavours[0].programs[0].by) & (TRAMPOLINES | PROBES);
}

/* Whether a request speaks of this hook: of several tracepoint flavours, or of a function. */
static bool hook_has_choice(const struct plan_hook *h)
{
	return h->flavours[1].name || h->flavours[0].programs[0].by == BY_UPROBE;
}

static bool flavour_is_asked(const struct plan_hook *h, const struct plan_flavour *f,
			     enum attach_flavour attach)
{
	unsigned int ways = allowed[attach].tracepoints | allowed[attach].functions | BIT(BY_ITER);

	/* Beside plain programs it finds nothing: these keep no connection back for accept(). */
	if (attach == ATTACH_PLAIN && f->since_5_12 && (BIT(f->programs[0].by) & TRACEPOINTS))
		return false;
	return !hook_has_choice(h) || (BIT(f->programs[0].by) & ways);
}

/* `costly`: whatever this hook costs, it was asked for. */
static bool is_forced(const struct plan_hook *h, enum attach_flavour attach, bool costly)
{
	return costly ||
	       (hook_is_function(h) && (attach == ATTACH_FENTRY || attach == ATTACH_KPROBE));
}

static bool lacks_function(const struct plan_choice *c)
{
	int error = plan_choice__error(c);

	return error == ENOENT || error == ESRCH;
}

static void choose(struct plan_choice *c, const struct plan_hook *h, enum attach_flavour attach,
		   bool costly, const struct plan_kernel *kernel)
{
	for (int i = 0; i < PLAN_MAX_FLAVOURS && h->flavours[i].name && c->flavour < 0; i++) {
		const struct plan_flavour *f = &h->flavours[i];

		if (!flavour_is_asked(h, f, attach) || (f->costly && !costly))
			continue;
		/* A flavour for another kernel is none that failed. */
		if ((f->since_7 && !kernel->since_7) ||
		    (f->nr_args &&
		     kernel->nr_args(kernel->ctx, f->programs[0].target) != f->nr_args))
			continue;
		c->error[i] = kernel->try(kernel->ctx, f);
		if (!c->error[i])
			c->flavour = i;
	}
}

void plan__make(struct plan *p, const struct plan_hook *hooks, size_t nr,
		const struct plan_request *request, const struct plan_kernel *kernel)
{
	memset(p, 0, sizeof(*p));
	p->missing = -1;
	for (size_t i = 0; i < nr; i++) {
		const struct plan_hook *h = &hooks[i];
		struct plan_choice *c = &p->at[i];
		bool costly = request->costly & BIT(i);
		bool needed = !h->without || is_forced(h, request->attach, costly);

		c->flavour = -1;
		c->wanted = hook_is_wanted(h, request);
		if (!c->wanted)
			continue;
		choose(c, h, request->attach, costly, kernel);
		if (c->flavour < 0 && needed && p->missing < 0 &&
		    !(h->may_lack && lacks_function(c)))
			p->missing = (int)i;
	}
}

int plan_choice__error(const struct plan_choice *c)
{
	for (int i = 0; i < PLAN_MAX_FLAVOURS; i++) {
		if (c->error[i])
			return c->error[i];
	}
	return 0;
}
