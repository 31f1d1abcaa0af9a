/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

#include "user/base/clock.h"
#include "user/base/json.h"
#include "user/base/text.h"
#include "user/callsite/support.h"
#include "user/view/doctor.h"
#include "user/view/pieces.h"

static void put_machine(struct json *j, const struct diagnosis *d)
{
	json__object(j, "kernel");
	json__string(j, "release", d->machine.release);
	json__string(j, "machine", d->machine.machine);
	json__bool(j, "btf", d->machine.btf);
	json__string(j, "lockdown", doctor_lockdown_name(d->machine.lockdown));
	json__bool(j, "host_pid_namespace", d->machine.host_pids);
	json__close(j);
}

static void put_privileges(struct json *j, const struct diagnosis *d)
{
	json__array(j, "capabilities");
	for (size_t i = 0; i < d->nr_privileges; i++) {
		const struct privilege *p = &d->privileges[i];

		json__object(j, NULL);
		json__string(j, "name", p->name);
		json__bool(j, "held", p->held);
		json__bool(j, "required", p->required);
		json__string(j, "without", p->held ? NULL : p->without);
		json__close(j);
	}
	json__close(j);
	json__string(j, "missing_capabilities", *d->missing ? d->missing : NULL);
}

static void put_hook(struct json *j, const struct plan_hook *h, const struct plan_choice *c)
{
	json__object(j, NULL);
	json__string(j, "hook", h->name);
	json__string(j, "what", h->what);
	json__bool(j, "required", !h->without);
	if (c->flavour >= 0)
		json__string(j, "flavour", h->flavours[c->flavour].name);
	else
		json__string(j, "without", h->without);
	json__array(j, "failed");
	for (int i = 0; i < PLAN_MAX_FLAVOURS; i++) {
		if (!c->error[i])
			continue;
		json__object(j, NULL);
		json__string(j, "flavour", h->flavours[i].name);
		json__string(j, "error", text_errno(c->error[i]));
		json__string(j, "why", hook_why(h->flavours[i].programs[0].by, c->error[i]));
		json__close(j);
	}
	json__close(j);
	json__close(j);
}

static void put_support(struct json *j)
{
	json__array(j, "callsites");
	for (const struct support *s = callsite_support; s->runtime; s++) {
		json__object(j, NULL);
		json__string(j, "runtime", s->runtime);
		json__string(j, "which", s->which);
		json__string(j, "how", s->how);
		json__close(j);
	}
	json__close(j);
}

static void put_netns(struct json *j, const struct machine_netns *n)
{
	struct settings_line lines[SETTINGS_MAX_LINES];
	size_t nr = settings__explain(&n->settings, lines);

	json__object(j, NULL);
	json__uint(j, "netns", n->inum);
	if (n->pid)
		json__uint(j, "pid", n->pid);
	json__bool(j, "own", n->own);
	json__uint(j, "others_alike", n->more);
	json__uint(j, "time_wait", n->time_wait);
	json__array(j, "settings");
	for (size_t i = 0; i < nr; i++) {
		json__object(j, NULL);
		json__string(j, "name", lines[i].name);
		json__string(j, "value", lines[i].value);
		json__string(j, "meaning", lines[i].meaning);
		json__close(j);
	}
	json__close(j);
	json__close(j);
}

int doctor_json__print(FILE *out, const struct diagnosis *d)
{
	struct json j = {0};

	json_begin_event(&j, "doctor", clock_ns(CLOCK_REALTIME));
	json__bool(&j, "works", d->works);
	json__string(&j, "verdict", d->verdict);
	put_machine(&j, d);
	put_privileges(&j, d);
	json__array(&j, "hooks");
	for (size_t i = 0; d->planned && i < HOOK__COUNT; i++) {
		if (d->plan.at[i].wanted)
			put_hook(&j, &hooks[i], &d->plan.at[i]);
	}
	json__close(&j);
	put_support(&j);
	json__array(&j, "network_namespaces");
	for (uint32_t i = 0; i < d->settings.nr; i++)
		put_netns(&j, &d->settings.at[i]);
	json__close(&j);
	json__uint(&j, "network_namespaces_denied", d->settings.denied);
	json__uint(&j, "processes_hidden", d->settings.hidden);
	return json_end_event(&j, out);
}
