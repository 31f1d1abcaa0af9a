/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options: how to trace, for how long, and what the exit code says. */
#include <errno.h>
#include <string.h>

#include "user/base/array.h"
#include "user/base/log.h"
#include "user/base/parse.h"
#include "user/cmd/options_entry.h"
#include "user/model/findings.h"

static int opt_duration(struct options *o, const char *arg)
{
	return parse_duration(&o->duration_ns, arg);
}

static int opt_input(struct options *o, const char *arg)
{
	o->input = arg;
	return arg[0] ? 0 : -EINVAL;
}

static int opt_output_file(struct options *o, const char *arg)
{
	o->output_file = arg;
	return arg[0] ? 0 : -EINVAL;
}

static int opt_buffer_size(struct options *o, const char *arg)
{
	uint64_t size;

	if (parse_size(&size, arg, 4096, 1 << 30))
		return -EINVAL;
	o->buffer_size = size;
	return 0;
}

static int opt_max_conns(struct options *o, const char *arg)
{
	uint64_t nr;

	if (parse_uint(&nr, arg, 1, 16777216))
		return -EINVAL;
	o->max_conns = nr;
	return 0;
}

static int opt_attach(struct options *o, const char *arg)
{
	static const struct {
		const char *name;
		enum attach_flavour flavour;
	} names[] = {{"auto", ATTACH_AUTO},
		     {"tracepoint", ATTACH_TRACEPOINT},
		     {"plain-tracepoint", ATTACH_PLAIN},
		     {"fentry", ATTACH_FENTRY},
		     {"kprobe", ATTACH_KPROBE}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(arg, names[i].name) == 0) {
			o->attach = names[i].flavour;
			return 0;
		}
	}
	return -EINVAL;
}

static int add_fail_if(struct options *o, const char *arg)
{
	uint32_t bit = finding_bit(arg);

	o->fail_if |= bit;
	return bit ? 0 : -EINVAL;
}

static int opt_fail_if(struct options *o, const char *arg)
{
	return option_pieces(o, arg, add_fail_if);
}

static int opt_verbose(struct options *o, const char *arg)
{
	(void)o;
	(void)arg;
	log_set_level(LOG_DEBUG);
	return 0;
}

const struct option_entry options_run[] = {
	{'d', "duration", "TIME", "end after this long (500ms, 10s, 5m)", PARSE_DURATION_RANGE,
	 OPTIONS_LIVE | OPTIONS_PORTS, PARSED_BY(opt_duration)},
	{'i', "input", "FILE",
	 "read a recording (- is standard input) instead of tracing; no filters then",
	 "a file name", OPTIONS_INPUT | OPTIONS_RECORDED, PARSED_BY(opt_input)},
	{'O', "output-file", "FILE", "write there (- is standard output)", "a file name",
	 OPTIONS_OUTPUT, PARSED_BY(opt_output_file)},
	{0, "fail-if", "FINDING[,..]", "exit 1 when one of these is found: " FINDING_NAMES,
	 FINDING_NAMES, OPTIONS_REPORT, PARSED_BY(opt_fail_if)},
	{0, "fail-on-loss", NULL, "exit 4 when events were lost", NULL,
	 OPTIONS_LIVE | OPTIONS_INPUT, SETS(fail_on_loss)},
	{0, "no-callsites", NULL, "do not capture user stacks", NULL, OPTIONS_LIVE,
	 SETS(no_callsites)},
	{0, "bind-failures", NULL,
	 "see bind() run out of ports also where that makes each system call of the machine "
	 "slower, by about 40 ns",
	 NULL, OPTIONS_LIVE, SETS(bind_failures)},
	{0, "accepts", NULL,
	 "see accept(), so who accepts a connection and from which line, also where that makes "
	 "each system call of the machine slower, by about 40 ns",
	 NULL, OPTIONS_LIVE, SETS(accepts)},
	{0, "attach", "FLAVOUR", "auto, tracepoint, plain-tracepoint, fentry or kprobe",
	 "auto, tracepoint, plain-tracepoint, fentry or kprobe", OPTIONS_LIVE | OPTIONS_ATTACH,
	 PARSED_BY(opt_attach)},
	{0, "buffer-size", "SIZE", "for events, all CPUs together (default 16M)", "4K to 1G",
	 OPTIONS_LIVE, PARSED_BY(opt_buffer_size)},
	{0, "max-conns", "N", "connections followed at once (default 65536; less below 4 GiB)",
	 "1 to 16777216", OPTIONS_LIVE | OPTIONS_MODEL, PARSED_BY(opt_max_conns)},
	{'v', "verbose", NULL, "say more, on standard error", NULL, 0, PARSED_BY(opt_verbose)},
	{0},
};
