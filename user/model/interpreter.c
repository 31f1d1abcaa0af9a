/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/interpreter.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* From the manual pages: python(1), node(1), bash(1), perlrun(1), ruby(1), php(1). */
struct interpreter {
	const char *name;
	const char *text;     /* short options that carry the program as text, or mean stdin */
	const char *module;   /* short options whose value is the program */
	const char *value;    /* short options with a value: attached, or the next argument */
	const char *attached; /* short options whose value is the rest of the argument, if any */
	const char *const *long_text;  /* long options that carry the program as text */
	const char *const *long_value; /* long options whose value is the next argument */
};

static const char *const python_value[] = {"--check-hash-based-pycs", NULL};
static const char *const node_text[] = {"--eval", "--print", "--interactive", NULL};
static const char *const node_value[] = {
	"--require",  "--import", "--loader",	    "--experimental-loader", "--conditions",
	"--env-file", "--title",  "--icu-data-dir", "--input-type",	     NULL};
static const char *const bash_value[] = {"--rcfile", "--init-file", NULL};
static const char *const php_text[] = {"--run", "--server", "--process-code", NULL};
static const char *const php_value[] = {"--define", "--php-ini", "--docroot", NULL};
static const char *const none[] = {NULL};

static const struct interpreter interpreters[] = {
	{"python", "c", "m", "WXQ", "", none, python_value},
	{"pypy", "c", "m", "WXQ", "", none, python_value},
	{"node", "epi", "", "rC", "", node_text, node_value},
	{"nodejs", "epi", "", "rC", "", node_text, node_value},
	{"bash", "cs", "", "oO", "", none, bash_value},
	{"sh", "cs", "", "o", "", none, none},
	{"dash", "cs", "", "o", "", none, none},
	{"zsh", "cs", "", "o", "", none, none},
	{"ksh", "cs", "", "o", "", none, none},
	{"perl", "eE", "", "I", "0CdDFilmMVx", none, none},
	{"ruby", "e", "", "ICrE", "0FiKTWx", none, none},
	{"php", "rRBES", "fF", "cdzt", "", php_text, php_value},
};

const struct interpreter *interpreter_find(const char *name)
{
	for (size_t i = 0; i < sizeof(interpreters) / sizeof(interpreters[0]); i++) {
		size_t len = strlen(interpreters[i].name);

		/* "python3.11" but not "php-fpm8.2", which runs no script of its own. */
		if (!strncmp(name, interpreters[i].name, len) &&
		    name[len + strspn(name + len, "0123456789.")] == '\0')
			return &interpreters[i];
	}
	return NULL;
}

static bool listed(const char *const *list, const char *arg)
{
	for (; *list; list++)
		if (!strcmp(*list, arg))
			return true;
	return false;
}

enum option {
	OPTION_FLAG,
	OPTION_VALUE_NEXT,
	OPTION_TEXT,
	OPTION_PROGRAM_HERE,
	OPTION_PROGRAM_NEXT
};

static enum option long_option(const struct interpreter *in, const char *arg)
{
	size_t len = strcspn(arg, "=");

	for (const char *const *t = in->long_text; *t; t++)
		if (!strncmp(*t, arg, len) && (*t)[len] == '\0')
			return OPTION_TEXT;
	return listed(in->long_value, arg) ? OPTION_VALUE_NEXT : OPTION_FLAG;
}

/* A cluster of short options ("-uBm"); *here is set to a program inside of it. */
static enum option short_options(const struct interpreter *in, const char *arg, const char **here)
{
	for (const char *c = arg + 1; *c; c++) {
		if (strchr(in->text, *c))
			return OPTION_TEXT;
		if (strchr(in->module, *c)) {
			*here = c + 1;
			return c[1] ? OPTION_PROGRAM_HERE : OPTION_PROGRAM_NEXT;
		}
		if (strchr(in->value, *c))
			return c[1] ? OPTION_FLAG : OPTION_VALUE_NEXT;
		if (strchr(in->attached, *c))
			return OPTION_FLAG;
	}
	return OPTION_FLAG;
}

static enum option classify(const struct interpreter *in, const char *arg, const char **here)
{
	if (arg[0] == '-' && arg[1] == '-')
		return long_option(in, arg);
	if (arg[0] == '+') /* set +o of the shells */
		return arg[1] && strchr(in->value, arg[1]) ? OPTION_VALUE_NEXT : OPTION_FLAG;
	return short_options(in, arg, here);
}

const char *interpreter_script(const struct interpreter *in, char *const *argv)
{
	bool shell = strchr(in->text, 's') != NULL;
	const char *here = NULL;

	if (!argv || !argv[0])
		return NULL;
	for (size_t i = 1; argv[i]; i++) {
		const char *arg = argv[i];

		if (!strcmp(arg, "-"))
			return NULL;
		if (!strcmp(arg, "--"))
			return argv[i + 1];
		if (arg[0] != '-' && !(shell && arg[0] == '+')) {
			if (!strcmp(arg, "inspect") && !strncmp(in->name, "node", 4))
				continue;
			return arg[0] ? arg : NULL;
		}
		switch (classify(in, arg, &here)) {
		case OPTION_TEXT:
			return NULL;
		case OPTION_PROGRAM_HERE:
			return here;
		case OPTION_PROGRAM_NEXT:
			return argv[i + 1];
		case OPTION_VALUE_NEXT:
			if (!argv[++i])
				return NULL;
			break;
		case OPTION_FLAG:
			break;
		}
	}
	return NULL;
}
