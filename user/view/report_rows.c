/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/view/report_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/array.h"

int report_by_from_name(enum report_by *out, const char *name)
{
	if (!strcmp(name, "callsite"))
		*out = REPORT_BY_CALLSITE;
	else if (!strcmp(name, "dest"))
		*out = REPORT_BY_DESTINATION;
	else
		return -EINVAL;
	return 0;
}

int report_sort_from_name(enum report_sort *out, const char *name)
{
	static const char *const names[] = {
		[REPORT_SORT_OPENS] = "opens",	       [REPORT_SORT_FAILURES] = "failures",
		[REPORT_SORT_AVOIDABLE] = "avoidable", [REPORT_SORT_SHORT] = "short",
		[REPORT_SORT_TIME_WAIT] = "time_wait", [REPORT_SORT_ACCEPTS] = "accepts",
		[REPORT_SORT_NAME] = "name",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], name)) {
			*out = (enum report_sort)i;
			return 0;
		}
	}
	return -EINVAL;
}

uint32_t report_limit(uint32_t nr, uint32_t asked, uint32_t by_default)
{
	uint32_t limit = asked ? asked : by_default;

	return limit && limit < nr ? limit : nr;
}

double report_rate(uint64_t nr, uint64_t duration_ns)
{
	return duration_ns ? (double)nr * 1e9 / (double)duration_ns : 0;
}

uint64_t report_parked(const struct group *g)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < g->nr_flows; i++)
		sum += g->flows[i]->time_wait;
	return sum;
}

uint64_t report_time_waits(const struct model *m, uint32_t netns)
{
	uint32_t nr;
	const struct group *const *groups = model__groups(m, &nr);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < nr; i++) {
		for (uint32_t k = 0; k < groups[i]->nr_flows; k++) {
			const struct flow *f = groups[i]->flows[k];

			sum += f->dest.netns == netns ? f->time_wait : 0;
		}
		for (uint32_t k = 0; k < groups[i]->nr_services; k++) {
			const struct service *s = groups[i]->services[k];

			sum += s->netns == netns ? s->time_wait : 0;
		}
	}
	return sum;
}

static uint64_t group_value(const struct group *g, enum report_sort sort)
{
	switch (sort) {
	case REPORT_SORT_FAILURES:
		return g->failed;
	case REPORT_SORT_AVOIDABLE:
		return g->avoidable;
	case REPORT_SORT_SHORT:
		return g->short_lived;
	case REPORT_SORT_TIME_WAIT:
		return report_parked(g);
	case REPORT_SORT_ACCEPTS:
		return g->accepts;
	default:
		return g->opens + g->failed;
	}
}

/* qsort_r(3): the order asked for, then the model's own. */
static int compare_groups(const void *a, const void *b, void *arg)
{
	const struct group *x = *(const struct group *const *)a;
	const struct group *y = *(const struct group *const *)b;
	enum report_sort sort = *(const enum report_sort *)arg;
	uint64_t vx = group_value(x, sort), vy = group_value(y, sort);

	if (sort != REPORT_SORT_NAME && vx != vy)
		return vx < vy ? 1 : -1;
	if (sort != REPORT_SORT_NAME && x->opens + x->failed != y->opens + y->failed)
		return x->opens + x->failed < y->opens + y->failed ? 1 : -1;
	if (sort != REPORT_SORT_NAME && x->accepts != y->accepts)
		return x->accepts < y->accepts ? 1 : -1;
	return strcmp(x->program, y->program);
}

const struct group **report_groups(const struct model *m, enum report_sort sort, uint32_t *nr)
{
	const struct group *const *groups = model__groups(m, nr);
	const struct group **sorted = calloc(*nr + 1, sizeof(*sorted));

	if (!sorted) {
		*nr = 1;
		return NULL;
	}
	if (*nr)
		memcpy(sorted, groups, *nr * sizeof(*sorted));
	qsort_r(sorted, *nr, sizeof(*sorted), compare_groups, &sort);
	return sorted;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_destinations(const struct destination *a, const struct destination *b)
{
	int order = memcmp(a->addr, b->addr, sizeof(a->addr));

	if (!order)
		order = compare_u64(a->port, b->port);
	return order ? order : compare_u64(a->netns, b->netns);
}

static int compare_keys(const struct pivot_part *a, const struct pivot_part *b, enum report_by by)
{
	if (by == REPORT_BY_DESTINATION)
		return compare_destinations(&a->flow->dest, &b->flow->dest);
	return compare_u64(a->site ? a->site->id : 0, b->site ? b->site->id : 0);
}

static uint64_t part_size(const struct pivot_part *p)
{
	return p->site ? p->site->opens + p->site->failures : p->flow->opens + p->flow->failed;
}

static int compare_parts(const void *a, const void *b, void *arg)
{
	const struct pivot_part *x = a, *y = b;
	int order = compare_keys(x, y, *(const enum report_by *)arg);

	return order ? order : compare_u64(part_size(y), part_size(x));
}

static uint64_t row_value(const struct pivot_row *r, enum report_sort sort)
{
	switch (sort) {
	case REPORT_SORT_FAILURES:
		return r->failures;
	case REPORT_SORT_AVOIDABLE:
		return r->avoidable;
	case REPORT_SORT_SHORT:
		return r->short_lived;
	case REPORT_SORT_TIME_WAIT:
		return r->time_wait;
	default:
		return r->opens + r->failures;
	}
}

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct pivot_row *x = a, *y = b;
	enum report_sort sort = *(const enum report_sort *)arg;
	int order = compare_u64(row_value(y, sort), row_value(x, sort));

	if (!order)
		order = compare_u64(y->opens + y->failures, x->opens + x->failures);
	/* Of equal ones the order of their keys, which is that of the parts. */
	return order ? order : compare_u64((uintptr_t)x->parts, (uintptr_t)y->parts);
}

static uint32_t collect_parts(struct pivot_part *parts, const struct model *m, enum report_by by)
{
	uint32_t nr_groups, nr = 0, g, f, s;
	const struct group *const *groups = model__groups(m, &nr_groups);

	for (g = 0; g < nr_groups; g++) {
		for (f = 0; f < groups[g]->nr_flows; f++) {
			const struct flow *flow = groups[g]->flows[f];
			uint32_t sites = by == REPORT_BY_CALLSITE ? flow->nr_callsites : 0;

			for (s = 0; s < (sites ? sites : 1); s++) {
				if (parts)
					parts[nr] = (struct pivot_part){
						flow, sites ? &flow->callsites[s] : NULL};
				nr++;
			}
		}
	}
	return nr;
}

static void add_part(struct pivot_row *r, const struct pivot_part *p)
{
	r->nr_parts++;
	if (p->site) {
		r->opens += p->site->opens;
		r->failures += p->site->failures;
		r->avoidable += p->site->avoidable;
		r->short_lived += p->site->short_lived;
		return;
	}
	r->opens += p->flow->opens;
	r->failures += p->flow->failed;
	r->avoidable += p->flow->avoidable;
	r->short_lived += p->flow->short_lived;
	r->time_wait += p->flow->time_wait;
}

int pivot__make(struct pivot *p, const struct model *m, enum report_by by, enum report_sort sort)
{
	uint32_t i;

	memset(p, 0, sizeof(*p));
	p->nr_parts = collect_parts(NULL, m, by);
	p->parts = calloc(p->nr_parts + 1, sizeof(*p->parts));
	p->rows = calloc(p->nr_parts + 1, sizeof(*p->rows));
	if (!p->parts || !p->rows) {
		pivot__clear(p);
		return -ENOMEM;
	}
	collect_parts(p->parts, m, by);
	qsort_r(p->parts, p->nr_parts, sizeof(*p->parts), compare_parts, &by);
	for (i = 0; i < p->nr_parts; i++) {
		if (!i || compare_keys(&p->parts[i - 1], &p->parts[i], by))
			p->rows[p->nr_rows++].parts = &p->parts[i];
		add_part(&p->rows[p->nr_rows - 1], &p->parts[i]);
	}
	qsort_r(p->rows, p->nr_rows, sizeof(*p->rows), compare_rows, &sort);
	return 0;
}

void pivot__clear(struct pivot *p)
{
	free(p->parts);
	free(p->rows);
	memset(p, 0, sizeof(*p));
}
