/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "user/base/log.h"
#include "user/cmd/commands.h"
#include "user/cmd/run.h"
#include "user/source/live.h"
#include "user/view/doctor.h"

static const char *verdict_of(int exit_code)
{
	switch (exit_code) {
	case EXIT_OK:
		return "tcpchurn works here";
	case EXIT_PRIVILEGE:
		return "not privileged";
	case EXIT_UNAVAILABLE:
		return "the kernel lacks what tcpchurn needs";
	}
	return "the BPF programs cannot be loaded";
}

/* Attaches all there is, as if for a command, and lets go of it. An exit code. */
static int try_tracing(const struct options *opts, struct diagnosis *d)
{
	struct live_options lo = {
		.filter = &opts->filter,
		.attach = opts->attach,
		.buffer_size = opts->buffer_size,
		.max_conns = opts->max_conns,
		.stacks = true,
		.plan = &d->plan,
		.command = getpid(),
	};
	struct live *live = live__open(&lo);
	int err = live ? 0 : errno;

	live__free(live);
	d->planned = d->plan.at[HOOK_STATE].wanted;
	switch (err) {
	case 0:
		return EXIT_OK;
	case EPERM:
		return EXIT_PRIVILEGE;
	case ENOTSUP:
		return EXIT_UNAVAILABLE;
	}
	return EXIT_INTERNAL;
}

static int doctor_run(const struct options *opts)
{
	char missing[128] = "";
	struct diagnosis d = {.missing = missing};
	FILE *out = run_output(opts);
	int code, closed, err;

	if (!out)
		return EXIT_INTERNAL;
	machine_look(&d.machine);
	d.nr_privileges = privilege_list(d.privileges);
	privilege_check_tracing(missing, sizeof(missing));
	/* Before tracing, which gives up what this takes. */
	err = machine_settings__read(&d.settings);
	if (err)
		log_warn("cannot read the settings of network namespaces: %s", strerror(-err));
	code = try_tracing(opts, &d);
	d.works = code == EXIT_OK;
	d.verdict = verdict_of(code);
	run_output_begin(out);
	err = opts->format == VIEW_JSON ? doctor_json__print(out, &d)
					: doctor_table__print(out, &d);
	machine_settings__clear(&d.settings);
	closed = run_output_close(opts, out);
	if (code == EXIT_OK && err && err != -EPIPE)
		code = EXIT_INTERNAL;
	return code ? code : closed;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.brief = "what attaches on this machine, what does not and why, and settings that matter",
	.about = "What attaches on this machine, what does not, and why; the privileges and "
		 "settings that matter, with what each means.",
	.examples =
		"  tcpchurn doctor\n"
		"  tcpchurn doctor --attach kprobe          # whether that flavour would work\n",
	.sets = OPTIONS_TABLE_JSON | OPTIONS_OUTPUT | OPTIONS_ATTACH,
	.run = doctor_run,
};
