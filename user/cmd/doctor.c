/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "user/cmd/commands.h"
#include "user/cmd/run.h"
#include "user/source/hooks.h"
#include "user/source/live.h"
#include "user/source/privilege.h"
#include "user/base/json.h"

/* What there is to say, before it becomes a table or JSON. */
struct diagnosis {
	struct utsname host;
	bool btf;
	char missing[64]; /* capabilities, "": none */
	struct live_hooks hooks;
	int exit_code;
};

static const char *verdict(const struct diagnosis *d)
{
	switch (d->exit_code) {
	case EXIT_OK:
		return "tcpchurn works here";
	case EXIT_PRIVILEGE:
		return "not privileged";
	case EXIT_UNAVAILABLE:
		return "the kernel lacks what tcpchurn needs";
	}
	return "the BPF programs cannot be loaded";
}

static void print_table(FILE *out, const struct diagnosis *d)
{
	fprintf(out, "%-22s %s\n", "verdict", verdict(d));
	fprintf(out, "%-22s %s %s\n", "kernel", d->host.release, d->host.machine);
	fprintf(out, "%-22s %s\n", "BTF",
		d->btf ? "yes" : "no: /sys/kernel/btf/vmlinux is missing");
	fprintf(out, "%-22s %s%s\n", "privilege", d->missing[0] ? "missing: " : "enough",
		d->missing);
	for (size_t i = 0; i < d->hooks.nr; i++) {
		const struct plan_hook *h = &d->hooks.hooks[i];
		const struct plan_choice *c = &d->hooks.choices[i];

		fprintf(out, "%-22s %-8s for %s\n", h->name,
			c->flavour >= 0 ? h->flavours[c->flavour].name : "-", h->what);
		for (int k = 0; k < PLAN_MAX_FLAVOURS; k++) {
			if (c->error[k])
				fprintf(out, "%-22s   not %s: %s\n", "", h->flavours[k].name,
					hook_why(h->flavours[k].programs[0].by, c->error[k]));
		}
	}
}

static int print_json(FILE *out, const struct diagnosis *d)
{
	struct json j = {};
	int err;

	json__begin(&j);
	json__string(&j, "schema", "tcpchurn/1");
	json__object(&j, "event");
	json__string(&j, "name", "doctor");
	json__close(&j);
	json__bool(&j, "works", d->exit_code == EXIT_OK);
	json__string(&j, "verdict", verdict(d));
	json__object(&j, "kernel");
	json__string(&j, "release", d->host.release);
	json__string(&j, "machine", d->host.machine);
	json__bool(&j, "btf", d->btf);
	json__close(&j);
	json__string(&j, "missing_capabilities", d->missing[0] ? d->missing : NULL);
	json__array(&j, "hooks");
	for (size_t i = 0; i < d->hooks.nr; i++) {
		const struct plan_hook *h = &d->hooks.hooks[i];
		const struct plan_choice *c = &d->hooks.choices[i];

		json__object(&j, NULL);
		json__string(&j, "hook", h->name);
		json__string(&j, "flavour", c->flavour >= 0 ? h->flavours[c->flavour].name : NULL);
		json__string(&j, "what", h->what);
		json__close(&j);
	}
	err = json__write(&j, out);
	json__free(&j);
	return err;
}

static int doctor_run(const struct options *opts)
{
	struct live_options lo = {
		.filter = &opts->filter,
		.attach = opts->attach,
		.buffer_size = opts->buffer_size,
		.max_conns = opts->max_conns,
		.stacks = true,
		.command = getpid(), /* as if for a command: tries those hooks too */
	};
	struct diagnosis d = {.btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0};
	struct live *live;
	FILE *out;
	int closed;

	out = run_output(opts);
	if (!out)
		return EXIT_INTERNAL;
	uname(&d.host);
	privilege_check_tracing(d.missing, sizeof(d.missing));
	live = live__open(&lo);
	if (!live)
		d.exit_code = errno == EPERM	 ? EXIT_PRIVILEGE
			      : errno == ENOTSUP ? EXIT_UNAVAILABLE
						 : EXIT_INTERNAL;
	else
		d.hooks = live__hooks(live);
	if (opts->format == VIEW_JSON)
		print_json(out, &d);
	else
		print_table(out, &d);
	live__free(live);
	closed = run_output_close(opts, out);
	return d.exit_code ? d.exit_code : closed;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = "What attaches on this machine, what does not, and why.",
	.sets = OPTIONS_FORMAT | OPTIONS_OUTPUT | OPTIONS_ATTACH,
	.run = doctor_run,
};
