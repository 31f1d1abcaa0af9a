/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/census.h"
#include "user/view/ports.h"
#include "user/view/report_rows.h"
#include "user/view/report_sections.h"

#define WORTH_IT     0.1 /* share of a pool that is not free */
#define DEFAULT_ROWS 5

void report_pools__print(const struct report_page *page, const struct model *m)
{
	const struct model_ports *ports = model__ports(m);
	struct ports_page p = {
		.no_header = page->opts->no_header,
		.colour = page->opts->colour,
		.width = page->width,
	};
	uint32_t nr = 0;

	if (!ports)
		return;
	p.pools = &ports->pools;
	p.holders = &ports->holders;
	/* The worst ones come first. */
	while (nr < ports->pools.nr &&
	       ports->pools.at[nr].free <= (1 - WORTH_IT) * ports->pools.at[nr].capacity)
		nr++;
	nr = report_limit(nr, page->opts->rows, DEFAULT_ROWS);
	if (!nr)
		return;
	fputc('\n', page->out);
	ports_rows__print(page->out, &p, nr);
}
