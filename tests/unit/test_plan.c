// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The planner on kernels of all kinds: each says by name what attaches there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/source/hooks.h"

/* What a kernel is like. An errno for each way to attach, 0: it works. */
struct machine {
	int error[BY_UPROBE + 1];
	bool since_7;
	int accept_args;    /* parameters of inet_csk_accept, 0: not known */
	const char *lacks;  /* a target that is not there, */
	int lacks_error;    /* and how the kernel says so */
	unsigned int tried; /* flavours */
	char log[1024];	    /* their first programs */
};

static int nr_args(void *ctx, const char *function)
{
	const struct machine *m = ctx;

	if (strcmp(function, "inet_csk_accept") != 0 || !m->accept_args)
		return -ENOENT;
	return m->accept_args;
}

static int try_flavour(void *ctx, const struct plan_flavour *f)
{
	struct machine *m = ctx;

	m->tried++;
	strcat(strcat(m->log, f->programs[0].name), " ");
	for (int i = 0; i < PLAN_MAX_PROGRAMS && f->programs[i].name; i++) {
		const struct plan_program *p = &f->programs[i];

		if (m->lacks && strcmp(m->lacks, p->target) == 0)
			return m->lacks_error;
		if (m->error[p->by])
			return m->error[p->by];
	}
	return 0;
}

static struct plan plan_on(struct machine *m, enum attach_flavour attach, bool command)
{
	const struct plan_request request = {.attach = attach, .command = command, .stacks = true};
	const struct plan_kernel kernel = {
		.ctx = m, .since_7 = m->since_7, .nr_args = nr_args, .try = try_flavour};
	struct plan p;

	m->log[0] = '\0';
	m->tried = 0;
	plan__make(&p, hooks, HOOK__COUNT, &request, &kernel);
	return p;
}

static const char *flavour_of(const struct plan *p, int hook)
{
	return p->at[hook].flavour < 0 ? NULL : hooks[hook].flavours[p->at[hook].flavour].name;
}

static const char *program_of(const struct plan *p, int hook)
{
	assert_true(p->at[hook].flavour >= 0);
	return hooks[hook].flavours[p->at[hook].flavour].programs[0].name;
}

/* fentry and kprobes refuse; this is the machine that tcpchurn was written on. */
static struct machine tracepoints_only(void)
{
	return (struct machine){.error = {[BY_FENTRY] = EPERM,
					  [BY_FEXIT] = EPERM,
					  [BY_KPROBE] = ENODEV,
					  [BY_KRETPROBE] = ENODEV},
				.accept_args = 2};
}

static void test_everything_works(void **state)
{
	struct machine m = {.accept_args = 2};
	struct plan p = plan_on(&m, ATTACH_AUTO, false);

	(void)state;
	assert_int_equal(p.missing, -1);
	assert_string_equal(flavour_of(&p, HOOK_STATE), "tp_btf");
	assert_string_equal(flavour_of(&p, HOOK_SEARCH4), "fexit");
	assert_string_equal(flavour_of(&p, HOOK_SEARCH6), "fexit");
	assert_string_equal(flavour_of(&p, HOOK_ACCEPT), "fexit");
	assert_string_equal(flavour_of(&p, HOOK_BIND), "fexit");
	/* The first try is enough: nothing worse is attached, not even for a moment. */
	assert_int_equal(m.tried, 9);
	for (int i = 0; i < HOOK__COUNT; i++)
		assert_int_equal(plan_choice__error(&p.at[i]), 0);
}

/* Where a program may be preempted, those that know of it come first. */
static void test_preempted(void **state)
{
	struct machine m = {.since_7 = true, .accept_args = 2};
	struct plan p = plan_on(&m, ATTACH_AUTO, false);

	(void)state;
	assert_string_equal(program_of(&p, HOOK_STATE), "process_7_tp_btf");
	p = plan_on(&m, ATTACH_PLAIN, false);
	assert_string_equal(program_of(&p, HOOK_STATE), "process_7_raw_tp");
	m.since_7 = false;
	p = plan_on(&m, ATTACH_AUTO, false);
	assert_string_equal(program_of(&p, HOOK_STATE), "process_tp_btf");
	p = plan_on(&m, ATTACH_PLAIN, false);
	assert_string_equal(program_of(&p, HOOK_STATE), "process_raw_tp");
}

static void test_tracepoints_only(void **state)
{
	struct machine m = tracepoints_only();
	struct plan p = plan_on(&m, ATTACH_AUTO, false);

	(void)state;
	assert_int_equal(p.missing, -1);
	assert_string_equal(flavour_of(&p, HOOK_STATE), "tp_btf");
	assert_null(flavour_of(&p, HOOK_SEARCH4));
	assert_null(flavour_of(&p, HOOK_ACCEPT));
	assert_int_equal(plan_choice__error(&p.at[HOOK_SEARCH4]), EPERM);
	assert_int_equal(p.at[HOOK_SEARCH4].error[1], ENODEV);
}

/* Argument lists differ, and a wrong one loads: only the kernel's BTF decides. */
static void test_accept_by_btf(void **state)
{
	struct machine m = {.accept_args = 4};
	struct plan p = plan_on(&m, ATTACH_AUTO, false);

	(void)state;
	assert_string_equal(program_of(&p, HOOK_ACCEPT), "accept4_fexit");
	assert_null(strstr(m.log, "accept2_fexit"));
	m.accept_args = 2;
	p = plan_on(&m, ATTACH_AUTO, false);
	assert_string_equal(program_of(&p, HOOK_ACCEPT), "accept2_fexit");
	assert_null(strstr(m.log, "accept4_fexit"));
	assert_int_equal(plan_choice__error(&p.at[HOOK_ACCEPT]), 0);
	/* Neither, or not known: a return probe needs no arguments. */
	for (m.accept_args = 0; m.accept_args <= 3; m.accept_args += 3) {
		p = plan_on(&m, ATTACH_AUTO, false);
		assert_string_equal(program_of(&p, HOOK_ACCEPT), "accept_kretprobe");
	}
}

/* Chosen hook by hook: one without fentry does not take it from the others. */
static void test_hook_by_hook(void **state)
{
	struct machine m = {.accept_args = 4, .lacks = "inet_hash_connect", .lacks_error = E2BIG};
	struct plan p = plan_on(&m, ATTACH_AUTO, false);

	(void)state;
	assert_string_equal(program_of(&p, HOOK_SEARCH4), "syn_fentry");
	assert_int_equal(p.at[HOOK_SEARCH4].error[0], E2BIG);
	assert_string_equal(program_of(&p, HOOK_SEARCH6), "search6_fexit");
	assert_string_equal(program_of(&p, HOOK_ACCEPT), "accept4_fexit");
}

static void test_kprobes_only(void **state)
{
	struct machine m = {.error = {[BY_FENTRY] = 524, [BY_FEXIT] = 524}, .accept_args = 4};
	struct plan p = plan_on(&m, ATTACH_AUTO, false);

	(void)state;
	assert_string_equal(program_of(&p, HOOK_SEARCH4), "search4_kprobe");
	assert_string_equal(program_of(&p, HOOK_ACCEPT), "accept_kretprobe");
	assert_string_equal(program_of(&p, HOOK_BIND), "bind_kprobe");
	/* A pair is no use by half. */
	m.error[BY_KRETPROBE] = EINVAL;
	p = plan_on(&m, ATTACH_AUTO, false);
	assert_string_equal(program_of(&p, HOOK_SEARCH4), "syn_kprobe");
	assert_null(flavour_of(&p, HOOK_BIND));
}

static void test_forced(void **state)
{
	struct machine m = {.accept_args = 2};
	struct plan p = plan_on(&m, ATTACH_TRACEPOINT, false);

	(void)state;
	assert_int_equal(p.missing, -1);
	assert_null(flavour_of(&p, HOOK_SEARCH4));
	assert_null(flavour_of(&p, HOOK_ACCEPT));
	assert_string_equal(flavour_of(&p, HOOK_STATE), "tp_btf");
	p = plan_on(&m, ATTACH_PLAIN, false);
	assert_string_equal(flavour_of(&p, HOOK_STATE), "raw_tp");
	assert_string_equal(flavour_of(&p, HOOK_CENSUS), "iter");
	p = plan_on(&m, ATTACH_KPROBE, false);
	assert_int_equal(p.missing, -1);
	assert_string_equal(program_of(&p, HOOK_SEARCH4), "search4_kprobe");
	assert_string_equal(program_of(&p, HOOK_ACCEPT), "accept_kretprobe");
	assert_string_equal(flavour_of(&p, HOOK_STATE), "tp_btf");
	p = plan_on(&m, ATTACH_FENTRY, false);
	assert_int_equal(p.missing, -1);
	assert_string_equal(program_of(&p, HOOK_SEARCH6), "search6_fexit");
}

/* What is forced and does not attach is missing; the same kernel does without it when free. */
static void test_forced_and_missing(void **state)
{
	struct machine m = tracepoints_only();
	struct plan p = plan_on(&m, ATTACH_FENTRY, false);

	(void)state;
	assert_int_equal(p.missing, HOOK_SEARCH4);
	p = plan_on(&m, ATTACH_KPROBE, false);
	assert_int_equal(p.missing, HOOK_SEARCH4);
	assert_int_equal(plan_choice__error(&p.at[HOOK_SEARCH4]), ENODEV);
	m = (struct machine){.error = {[BY_RAW_TP] = ENOENT}, .accept_args = 2};
	p = plan_on(&m, ATTACH_PLAIN, false);
	assert_int_equal(p.missing, HOOK_STATE);
	p = plan_on(&m, ATTACH_TRACEPOINT, false);
	assert_int_equal(p.missing, -1);
}

/* A kernel without IPv6 lacks nothing; one that hides IPv4's function does. */
static void test_no_ipv6(void **state)
{
	struct machine m = {.accept_args = 2, .lacks = "inet6_hash_connect", .lacks_error = ENOENT};
	struct plan p;

	(void)state;
	m.error[BY_KPROBE] = ENOENT;
	m.error[BY_FENTRY] = ENOENT;
	p = plan_on(&m, ATTACH_FENTRY, false);
	assert_null(flavour_of(&p, HOOK_SEARCH6));
	assert_int_equal(p.missing, -1);
	m.lacks = "inet_hash_connect";
	p = plan_on(&m, ATTACH_FENTRY, false);
	assert_int_equal(p.missing, HOOK_SEARCH4);
}

static void test_nothing_works(void **state)
{
	struct machine m = tracepoints_only();
	struct plan p;

	(void)state;
	m.error[BY_TP_BTF] = EPERM;
	m.error[BY_RAW_TP] = EACCES;
	p = plan_on(&m, ATTACH_AUTO, false);
	assert_int_equal(p.missing, HOOK_STATE);
	m.error[BY_RAW_TP] = 0;
	p = plan_on(&m, ATTACH_AUTO, false);
	assert_int_equal(p.missing, -1);
	assert_string_equal(flavour_of(&p, HOOK_STATE), "raw_tp");
	/* Nobody follows descendants without fork. */
	p = plan_on(&m, ATTACH_AUTO, true);
	assert_int_equal(p.missing, HOOK_FORK);
}

static void test_purposes(void **state)
{
	struct machine m = {.accept_args = 2};
	const struct plan_request targets = {.targets = true};
	const struct plan_kernel kernel = {.ctx = &m, .nr_args = nr_args, .try = try_flavour};
	struct plan p = plan_on(&m, ATTACH_AUTO, false);

	(void)state;
	assert_false(p.at[HOOK_FORK].wanted || p.at[HOOK_EXIT].wanted);
	p = plan_on(&m, ATTACH_AUTO, true);
	assert_true(p.at[HOOK_FORK].wanted && p.at[HOOK_EXIT].wanted);
	plan__make(&p, hooks, HOOK__COUNT, &targets, &kernel);
	assert_true(!p.at[HOOK_FORK].wanted && p.at[HOOK_EXIT].wanted);
	assert_false(p.at[HOOK_FREED].wanted); /* nobody asked for stacks */
}

/* Tracepoints alone are just that. Where files cannot be attached to, nothing that is needed
 * lacks. */
static void test_uprobe(void **state)
{
	static const enum attach_flavour with[] = {ATTACH_AUTO, ATTACH_FENTRY, ATTACH_KPROBE},
					 without[] = {ATTACH_TRACEPOINT, ATTACH_PLAIN};
	struct machine m = {.accept_args = 2};
	struct plan p;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		p = plan_on(&m, with[i], false);
		assert_string_equal(program_of(&p, HOOK_FREED), "code_freed");
	}
	for (size_t i = 0; i < 2; i++) {
		p = plan_on(&m, without[i], false);
		assert_null(flavour_of(&p, HOOK_FREED));
		assert_int_equal(plan_choice__error(&p.at[HOOK_FREED]), 0);
	}
	m.error[BY_UPROBE] = ENODEV;
	for (size_t i = 0; i < 3; i++) {
		p = plan_on(&m, with[i], false);
		assert_null(flavour_of(&p, HOOK_FREED));
		assert_int_equal(plan_choice__error(&p.at[HOOK_FREED]), ENODEV);
		assert_int_equal(p.missing, -1);
	}
}

/* What costs the whole machine is used when asked for, and then it must be there. */
static void test_costly(void **state)
{
	struct machine m = tracepoints_only();
	const struct plan_request asked = {.costly = 1u << HOOK_BIND};
	const struct plan_kernel kernel = {.ctx = &m, .nr_args = nr_args, .try = try_flavour};
	struct plan p = plan_on(&m, ATTACH_AUTO, false);

	(void)state;
	assert_null(flavour_of(&p, HOOK_BIND));
	assert_int_equal(p.missing, -1);
	m.log[0] = '\0';
	plan__make(&p, hooks, HOOK__COUNT, &asked, &kernel);
	assert_string_equal(program_of(&p, HOOK_BIND), "bind_enter_tp");
	assert_null(flavour_of(&p, HOOK_ACCEPT)); /* the other one was not asked for */
	assert_int_equal(p.missing, -1);
	m.error[BY_TP] = ENOENT;
	m.log[0] = '\0';
	plan__make(&p, hooks, HOOK__COUNT, &asked, &kernel);
	assert_int_equal(p.missing, HOOK_BIND);
	m = (struct machine){0};
	plan__make(&p, hooks, HOOK__COUNT, &asked, &kernel);
	assert_string_equal(program_of(&p, HOOK_BIND), "bind_fexit");
}

/* The same for accept(), which all programs of the flavour have to see. */
static void test_costly_accepts(void **state)
{
	struct machine m = tracepoints_only();
	struct plan_request asked = {.costly = 1u << HOOK_ACCEPT};
	const struct plan_kernel kernel = {.ctx = &m, .nr_args = nr_args, .try = try_flavour};
	struct plan p;

	(void)state;
	m.log[0] = '\0';
	plan__make(&p, hooks, HOOK__COUNT, &asked, &kernel);
	assert_string_equal(program_of(&p, HOOK_ACCEPT), "accept_exit_tp");
	assert_null(flavour_of(&p, HOOK_BIND));
	assert_int_equal(p.missing, -1);
	/* Plain programs do not wait for accept(): nothing would be found. */
	asked.attach = ATTACH_PLAIN;
	plan__make(&p, hooks, HOOK__COUNT, &asked, &kernel);
	assert_int_equal(p.missing, HOOK_ACCEPT);
	asked.attach = ATTACH_AUTO;
	for (int i = 0; i < PLAN_MAX_PROGRAMS; i++) {
		m.lacks = hooks[HOOK_ACCEPT].flavours[3].programs[i].target;
		m.lacks_error = ENOENT;
		assert_non_null(m.lacks);
		m.log[0] = '\0';
		plan__make(&p, hooks, HOOK__COUNT, &asked, &kernel);
		assert_int_equal(p.missing, HOOK_ACCEPT);
	}
	m = (struct machine){.accept_args = 2};
	plan__make(&p, hooks, HOOK__COUNT, &asked, &kernel);
	assert_string_equal(program_of(&p, HOOK_ACCEPT), "accept2_fexit");
}

/* Every reason has words, also one that nobody thought of. */
static void test_reasons(void **state)
{
	(void)state;
	assert_non_null(strstr(hook_why(BY_FEXIT, EPERM), "policy"));
	assert_non_null(strstr(hook_why(BY_KPROBE, ENODEV), "no kprobes"));
	assert_non_null(strstr(hook_why(BY_FEXIT, 524), "Not supported"));
	assert_non_null(strstr(hook_why(BY_TP_BTF, 524), "Not supported"));
	assert_string_equal(hook_why(BY_FEXIT, EIO), strerror(EIO));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_works), cmocka_unit_test(test_preempted),
		cmocka_unit_test(test_tracepoints_only), cmocka_unit_test(test_accept_by_btf),
		cmocka_unit_test(test_hook_by_hook),	 cmocka_unit_test(test_kprobes_only),
		cmocka_unit_test(test_forced),		 cmocka_unit_test(test_forced_and_missing),
		cmocka_unit_test(test_no_ipv6),		 cmocka_unit_test(test_nothing_works),
		cmocka_unit_test(test_purposes),	 cmocka_unit_test(test_uprobe),
		cmocka_unit_test(test_costly),		 cmocka_unit_test(test_costly_accepts),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
