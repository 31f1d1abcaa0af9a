/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

#include "user/base/text.h"
#include "user/callsite/support.h"
#include "user/view/describe.h"
#include "user/view/doctor.h"
#include "user/view/paragraph.h"

#define NAME_COLUMNS	22
#define FLAVOUR_COLUMNS 22
#define SETTING_COLUMNS 34
#define VALUE_COLUMNS	14
#define LINE_LEN	512

static void put_heading(FILE *out, const char *text)
{
	const bool colour = view_colour(out);

	fprintf(out, "\n%s%s%s\n", colour ? "\033[1m" : "", text, colour ? "\033[0m" : "");
}

/* A name, and text that is wrapped beside it. */
static void put_entry(FILE *out, unsigned int columns, const char *name, const char *text)
{
	char first[LINE_LEN + 2];

	snprintf(first, sizeof(first), "%-*.*s ", (int)columns, LINE_LEN, name);
	put_paragraph(out, view_width(out), first, columns + 1, text);
}

static void put_machine(FILE *out, const struct diagnosis *d)
{
	const char *lockdown = doctor_lockdown_name(d->machine.lockdown);
	char text[LINE_LEN];

	put_entry(out, NAME_COLUMNS, "verdict", d->verdict);
	snprintf(text, sizeof(text), "%s %s", d->machine.release, d->machine.machine);
	put_entry(out, NAME_COLUMNS, "kernel", text);
	put_entry(out, NAME_COLUMNS, "BTF",
		  d->machine.btf
			  ? "yes"
			  : "no: /sys/kernel/btf/vmlinux is missing (CONFIG_DEBUG_INFO_BTF)");
	snprintf(text, sizeof(text), "%s: %s", lockdown ? lockdown : "unknown (no securityfs)",
		 doctor_lockdown_meaning(d->machine.lockdown));
	put_entry(out, NAME_COLUMNS, "lockdown", text);
	put_entry(out, NAME_COLUMNS, "PID namespace",
		  d->machine.host_pids
			  ? "the host's"
			  : "not the host's (a container: --pid=host): --pid and -- COMMAND "
			    "do not work, paths and call sites are missing");
}

static void put_privileges(FILE *out, const struct diagnosis *d)
{
	char text[LINE_LEN];

	put_heading(out, "CAPABILITIES");
	for (size_t i = 0; i < d->nr_privileges; i++) {
		const struct privilege *p = &d->privileges[i];

		snprintf(text, sizeof(text), "%s%s",
			 p->held ? "held" : "missing: ", p->held ? "" : p->without);
		put_entry(out, NAME_COLUMNS, p->name, text);
	}
	if (*d->missing) {
		snprintf(text, sizeof(text), "for tracing: %s (run as root)", d->missing);
		put_entry(out, NAME_COLUMNS, "missing", text);
	}
}

static void put_hook(FILE *out, const struct plan_hook *h, const struct plan_choice *c)
{
	char text[LINE_LEN], name[LINE_LEN];

	snprintf(name, sizeof(name), "%-*s %-*s", NAME_COLUMNS, h->name, FLAVOUR_COLUMNS,
		 c->flavour < 0 ? "-" : h->flavours[c->flavour].name);
	if (c->flavour < 0)
		snprintf(text, sizeof(text), "%s; without it %s", h->what,
			 h->without ? h->without : "there is nothing to trace");
	put_entry(out, NAME_COLUMNS + FLAVOUR_COLUMNS + 1, name, c->flavour < 0 ? text : h->what);
	for (int i = 0; i < PLAN_MAX_FLAVOURS; i++) {
		if (!c->error[i])
			continue;
		snprintf(text, sizeof(text), "not by %s: %s", h->flavours[i].name,
			 hook_why(h->flavours[i].programs[0].by, c->error[i]));
		put_entry(out, NAME_COLUMNS + 2, "", text);
	}
}

static void put_hooks(FILE *out, const struct diagnosis *d)
{
	put_heading(out, "HOOKS");
	if (!d->planned)
		fputs("not tried\n", out);
	for (size_t i = 0; d->planned && i < HOOK__COUNT; i++) {
		if (d->plan.at[i].wanted)
			put_hook(out, &hooks[i], &d->plan.at[i]);
	}
}

static void put_support(FILE *out, const struct diagnosis *d)
{
	char text[LINE_LEN];

	put_heading(out, "CALL SITES");
	if (d->machine.lockdown == LOCKDOWN_CONFIDENTIALITY)
		fputs("none: lockdown forbids to read the memory of processes\n", out);
	for (const struct support *s = callsite_support; s->runtime; s++) {
		snprintf(text, sizeof(text), "%s: %s", s->which, s->how);
		put_entry(out, NAME_COLUMNS, s->runtime, text);
	}
}

static void put_netns(FILE *out, const struct machine_netns *n)
{
	struct settings_line lines[SETTINGS_MAX_LINES];
	size_t nr = settings__explain(&n->settings, lines);
	char text[LINE_LEN], nr_text[32], name[LINE_LEN];
	int len;

	len = snprintf(text, sizeof(text), "NETWORK NAMESPACE %u", n->inum);
	if (n->own)
		len += snprintf(text + len, sizeof(text) - (size_t)len, " (ours)");
	else if (n->pid)
		len += snprintf(text + len, sizeof(text) - (size_t)len, " (of pid %u)", n->pid);
	if (n->more)
		len += snprintf(text + len, sizeof(text) - (size_t)len, " and %u more like it",
				n->more);
	snprintf(text + len, sizeof(text) - (size_t)len, ": %s in TIME_WAIT now",
		 text_count(nr_text, sizeof(nr_text), n->time_wait));
	put_heading(out, text);
	for (size_t i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "%-*s %-*s", SETTING_COLUMNS, lines[i].name,
			 VALUE_COLUMNS, lines[i].value);
		put_entry(out, SETTING_COLUMNS + VALUE_COLUMNS + 1, name, lines[i].meaning);
	}
	if (!nr)
		fputs("its settings cannot be read\n", out);
}

int doctor_table__print(FILE *out, const struct diagnosis *d)
{
	put_machine(out, d);
	put_privileges(out, d);
	put_hooks(out, d);
	put_support(out, d);
	for (uint32_t i = 0; i < d->settings.nr; i++)
		put_netns(out, &d->settings.at[i]);
	if (d->settings.denied)
		fprintf(out, "\n%u network namespace%s could not be entered (CAP_SYS_ADMIN)\n",
			d->settings.denied, d->settings.denied == 1 ? "" : "s");
	if (d->settings.hidden)
		fprintf(out,
			"\n%u process%s did not show %s network namespace (CAP_SYS_PTRACE, or "
			"gone)\n",
			d->settings.hidden, d->settings.hidden == 1 ? "" : "es",
			d->settings.hidden == 1 ? "its" : "their");
	return view_flush(out);
}
