/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/model/callsite.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"

#define FNV_BASIS 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

void stack_trace__clear(struct stack_trace *s)
{
	for (uint32_t i = 0; s->frames && i < s->nr; i++) {
		free(s->frames[i].function);
		free(s->frames[i].file);
		free(s->frames[i].module);
	}
	free(s->frames);
	*s = (struct stack_trace){};
}

static int copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int copy_frame(struct frame *to, const struct frame *from)
{
	*to = *from;
	to->function = NULL;
	to->file = NULL;
	to->module = NULL;
	if (copy_string(&to->function, from->function) || copy_string(&to->file, from->file) ||
	    copy_string(&to->module, from->module))
		return -ENOMEM;
	return 0;
}

int stack_trace__copy(struct stack_trace *dst, const struct stack_trace *src)
{
	*dst = *src;
	dst->nr = 0;
	dst->frames = NULL;
	if (!src->nr)
		return 0;
	dst->frames = calloc(src->nr, sizeof(*dst->frames));
	if (!dst->frames) {
		*dst = (struct stack_trace){};
		return -ENOMEM;
	}
	while (dst->nr < src->nr) {
		uint32_t i = dst->nr++;

		if (copy_frame(&dst->frames[i], &src->frames[i])) {
			stack_trace__clear(dst);
			return -ENOMEM;
		}
	}
	return 0;
}

/* What is library: all globs of a row match, NULL matches anything, known or not. */
struct library_rule {
	const char *function;
	const char *file;
	const char *module;
};

static const struct library_rule library_rules[] = {
	/* Where programs and threads start: nobody wrote these into an application. */
	{"_start", NULL, "/*"},
	{"__libc_start_*", NULL, "/*"},
	{"start_thread", NULL, "/*"},
	{"clone", NULL, "/*"},
	{"clone3", NULL, "/*"},
	{"__clone*", NULL, "/*"},
	{"_dl_start*", NULL, "/*"},
	{"__restore_rt", NULL, "/*"},

	/* libc in a static executable. */
	{"connect", NULL, "/*"},
	{"__connect", NULL, "/*"},
	{"__libc_connect", NULL, "/*"},
	{"accept", NULL, "/*"},
	{"accept4", NULL, "/*"},
	{"close", NULL, "/*"},
	{"__close", NULL, "/*"},
	{"shutdown", NULL, "/*"},
	{"syscall", NULL, "/*"},
	{"__syscall*", NULL, "/*"},
	{"getaddrinfo", NULL, "/*"},

	/* Shared objects of the system. An executable there is a program like any other. */
	{NULL, NULL, "/lib*/*.so"},
	{NULL, NULL, "/lib*/*.so.*"},
	{NULL, NULL, "/usr/lib*/*.so"},
	{NULL, NULL, "/usr/lib*/*.so.*"},
	{NULL, NULL, "/usr/local/lib*/*.so"},
	{NULL, NULL, "/usr/local/lib*/*.so.*"},
	{NULL, NULL, "/nix/store/*.so"},
	{NULL, NULL, "/nix/store/*.so.*"},
	{NULL, NULL, "[[]vdso]"},
	{NULL, NULL, "[[]vsyscall]"},

	/* libc, runtimes and network libraries, wherever they are installed. */
	{NULL, NULL, "*/libc.so*"},
	{NULL, NULL, "*/libc-[0-9]*.so"},
	{NULL, NULL, "*/libc.musl-*.so*"},
	{NULL, NULL, "*/libpthread[-.]*so*"},
	{NULL, NULL, "*/libresolv[-.]*so*"},
	{NULL, NULL, "*/ld-*.so*"},
	{NULL, NULL, "*/libgcc_s[-.]*so*"},
	{NULL, NULL, "*/libstdc++*.so*"},
	{NULL, NULL, "*/libc++*.so*"},
	{NULL, NULL, "*/libssl[-.]*so*"},
	{NULL, NULL, "*/libcrypto[-.]*so*"},
	{NULL, NULL, "*/libgnutls*.so*"},
	{NULL, NULL, "*/libcurl*.so*"},
	{NULL, NULL, "*/libnghttp*.so*"},
	{NULL, NULL, "*/libuv*.so*"},
	{NULL, NULL, "*/libev[-.]*so*"},
	{NULL, NULL, "*/libevent*.so*"},
	{NULL, NULL, "*/libpq[-.]*so*"},
	{NULL, NULL, "*/libhiredis*.so*"},
	{NULL, NULL, "*/libpython*.so*"},
	{NULL, NULL, "*.cpython-*.so"},
	{NULL, NULL, "*.abi3.so"},
	{NULL, NULL, "*/libnode.so*"},
	{NULL, NULL, "*/libruby*.so*"},
	{NULL, NULL, "*/libperl.so*"},
	{NULL, NULL, "*/libphp*.so*"},
	{NULL, NULL, "*/libjvm.so"},
	{NULL, NULL, "*/lib/libnet.so"},
	{NULL, NULL, "*/lib/libnio.so"},
	{NULL, NULL, "*/lib/libjava.so"},
	{NULL, NULL, "*/lib/libjli.so"},
	{NULL, NULL, "*/lib/*/libjli.so"},
	{NULL, NULL, "*/libcoreclr.so"},
	{NULL, NULL, "*/libclrjit.so"},
	{NULL, NULL, "*/libSystem.Native.so"},

	/* Interpreters: their own frames run somebody else's program. */
	{NULL, NULL, "*/python"},
	{NULL, NULL, "*/python[0-9]*"},
	{NULL, NULL, "*/node"},
	{NULL, NULL, "*/nodejs"},
	{NULL, NULL, "*/pypy[0-9]*"},
	{NULL, NULL, "*/ruby"},
	{NULL, NULL, "*/ruby[0-9]*"},
	{NULL, NULL, "*/perl"},
	{NULL, NULL, "*/perl[0-9]*"},
	{NULL, NULL, "*/php"},
	{NULL, NULL, "*/php[0-9]*"},
	{NULL, NULL, "*/php-fpm*"},
	{NULL, NULL, "*/bin/java"},
	{NULL, NULL, "*/dotnet"},
	{NULL, NULL, "*/lua"},
	{NULL, NULL, "*/lua[0-9]*"},
	{NULL, NULL, "*/luajit*"},

	/* Source that came with a language or a package manager. */
	{NULL, "<frozen *", NULL},
	{NULL, "*/lib/python[0-9]*", NULL},
	{NULL, "*/lib64/python[0-9]*", NULL},
	{NULL, "*/lib/pypy[0-9]*", NULL},
	{NULL, "*/python[0-9]*.zip/*", NULL},
	{NULL, "*/site-packages/*", NULL},
	{NULL, "*/dist-packages/*", NULL},
	{NULL, "node:*", NULL},
	{NULL, "internal/*", "[[]jit]"},
	{NULL, "*/node_modules/*", NULL},
	{NULL, "/usr/include/*", NULL},
	{NULL, "/usr/local/include/*", NULL},
	{NULL, "/rustc/*", NULL},
	{NULL, "*/.cargo/registry/*", NULL},
	{NULL, "/usr/local/go/src/*", NULL},
	{NULL, "/usr/lib/go*/src/*", NULL},
	{NULL, "/usr/share/gocode/src/*", NULL},
	{NULL, "*/go/pkg/mod/*", NULL},
	{NULL, "*@v[0-9]*/*.go", NULL},

	/* Libraries that are compiled into the program. */
	{"std::*", NULL, NULL},
	{"<std::*", NULL, NULL},
	{"boost::asio::*", NULL, NULL},
	{"tokio::*", NULL, NULL},
	{"<tokio::*", NULL, NULL},

	/* Go's standard library, which has no path of its own in a program built with -trimpath. */
	{"runtime.*", NULL, "/*"},
	{"runtime/*", NULL, "/*"},
	{"syscall.*", NULL, "/*"},
	{"internal/*", NULL, "/*"},
	{"bufio.*", NULL, "/*"},
	{"context.*", NULL, "/*"},
	{"crypto/*", NULL, "/*"},
	{"database/sql.*", NULL, "/*"},
	{"io.*", NULL, "/*"},
	{"net.*", NULL, "/*"},
	{"net/*", NULL, "/*"},
	{"os.*", NULL, "/*"},
	{"sync.*", NULL, "/*"},
	{"vendor/golang.org/*", NULL, "/*"},

	/* What a JIT compiler needs for itself. */
	{"Builtin:*", NULL, "[[]jit]"},
	{"BytecodeHandler:*", NULL, "[[]jit]"},
	{"Stub:*", NULL, "[[]jit]"},
	{"Interpreter*", NULL, "[[]jit]"},
	{"StubRoutines*", NULL, "[[]jit]"},
	{"call_stub", NULL, "[[]jit]"},

	/* Java's own packages, its clients and servers, and the JVM's stubs. */
	{"* *", NULL, "[[]java]"},
	{"*_stub", NULL, "[[]java]"},
	{"*Blob", NULL, "[[]java]"},
	{"java.*", NULL, "[[]java]"},
	{"javax.*", NULL, "[[]java]"},
	{"jdk.*", NULL, "[[]java]"},
	{"sun.*", NULL, "[[]java]"},
	{"com.sun.*", NULL, "[[]java]"},
	{"com.mysql.*", NULL, "[[]java]"},
	{"com.zaxxer.*", NULL, "[[]java]"},
	{"feign.*", NULL, "[[]java]"},
	{"io.grpc.*", NULL, "[[]java]"},
	{"io.lettuce.*", NULL, "[[]java]"},
	{"io.netty.*", NULL, "[[]java]"},
	{"kotlin.*", NULL, "[[]java]"},
	{"kotlinx.*", NULL, "[[]java]"},
	{"okhttp3.*", NULL, "[[]java]"},
	{"okio.*", NULL, "[[]java]"},
	{"org.apache.catalina.*", NULL, "[[]java]"},
	{"org.apache.hc.*", NULL, "[[]java]"},
	{"org.apache.http.*", NULL, "[[]java]"},
	{"org.apache.tomcat.*", NULL, "[[]java]"},
	{"org.eclipse.jetty.*", NULL, "[[]java]"},
	{"org.postgresql.*", NULL, "[[]java]"},
	{"org.springframework.*", NULL, "[[]java]"},
	{"reactor.*", NULL, "[[]java]"},
	{"redis.clients.*", NULL, "[[]java]"},
	{"retrofit2.*", NULL, "[[]java]"},
	{"scala.*", NULL, "[[]java]"},
};

static bool glob_matches(const char *glob, const char *text)
{
	return !glob || (text && !fnmatch(glob, text, 0));
}

static bool is_library(const struct frame *f)
{
	for (size_t i = 0; i < sizeof(library_rules) / sizeof(library_rules[0]); i++) {
		const struct library_rule *r = &library_rules[i];

		if (glob_matches(r->module, f->module) && glob_matches(r->file, f->file) &&
		    glob_matches(r->function, f->function))
			return true;
	}
	return false;
}

/* The same under every program: a connect() in it could be anybody's. */
static bool is_runtime(const struct frame *f)
{
	static const char *const modules[] = {
		"libc.so*",	     "libc-*.so",    "libjvm.so",   "libjli.so",   "libnet.so",
		"libnio.so",	     "ld-linux*",    "ld-musl*",    "libpthread*", "libpython*",
		"_socket.cpython-*", "python[0-9]*", "node",	    "nodejs",	   "libstdc++*",
		"[[]vdso]",	     "perl",	     "perl5*",	    "libperl.so*", "php",
		"php[0-9]*",	     "php-fpm*",     "libphp*.so*", "ruby",	   "ruby[0-9]*",
		"libruby*.so*",	     "libnode.so*"};
	static const char *const functions[] = {"_start",    "__libc_start_*", "start_thread",
						"clone*",    "runtime.*",      "syscall.*",
						"runtime/*", "internal/*",     "net.*"};
	const char *module = f->module ? text_base_name(f->module) : NULL;

	for (size_t i = 0; module && i < sizeof(modules) / sizeof(modules[0]); i++)
		if (!fnmatch(modules[i], module, 0))
			return true;
	for (size_t i = 0; f->function && i < sizeof(functions) / sizeof(functions[0]); i++)
		if (!fnmatch(functions[i], f->function, 0))
			return true;
	return f->file && !strncmp(f->file, "node:", 5);
}

static bool is_skipped(const struct frame *f, const char *const *skip, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if ((f->function && !fnmatch(skip[i], f->function, 0)) ||
		    (f->file && !fnmatch(skip[i], f->file, 0)) ||
		    (f->module && !fnmatch(skip[i], f->module, 0)))
			return true;
	return false;
}

/* Enough is known to tell it from others: generated code without a name has only an address. */
static bool is_known(const struct frame *f)
{
	return f->function || f->file || (f->module && f->module[0] == '/');
}

/* A function of the interpreter's that had gone before it could be read: it may well be the
 * application's, and then its caller is not the call site. */
static bool has_gone(const struct stack_trace *s, const struct frame *f)
{
	return s->language && !strcmp(s->language, "python") && !f->function && !f->file &&
	       !f->module;
}

bool frame__is_reason(const struct frame *f)
{
	static const char *const starts[] = {"[java: ", "[node: ", "[perl: ", "[php: ", "[ruby: "};

	for (size_t i = 0; f->module && i < sizeof(starts) / sizeof(starts[0]); i++)
		if (!strncmp(f->module, starts[i], strlen(starts[i])))
			return true;
	return false;
}

int stack_trace__application_frame(const struct stack_trace *s, const char *const *skip,
				   size_t nr_skip)
{
	if (!s->nr)
		return -1;
	for (uint32_t i = 0; i < s->nr; i++) {
		const struct frame *f = &s->frames[i];

		if (has_gone(s, f))
			return -1;
		if (is_known(f) && !is_skipped(f, skip, nr_skip) && !is_library(f))
			return (int)i;
	}
	/* Why nothing of the application is there, or what one can do about it. */
	for (uint32_t i = 0; i < s->nr; i++)
		if (frame__is_reason(&s->frames[i]))
			return (int)i;
	/* Only libraries: the one that was called says something, libc and interpreters do not. */
	for (uint32_t i = 0; i < s->nr; i++)
		if (is_known(&s->frames[i]) && !is_runtime(&s->frames[i]))
			return (int)i;
	return -1;
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size--)
		hash = (hash ^ *at++) * FNV_PRIME;
	return hash;
}

/* With its NUL: "ab","c" must not be "a","bc". */
static uint64_t hash_string(uint64_t hash, const char *text)
{
	return hash_bytes(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

uint64_t frame__callsite_id(const struct frame *f)
{
	uint64_t hash = FNV_BASIS;

	hash = hash_string(hash, f->module ? text_base_name(f->module) : NULL);
	hash = hash_string(hash, f->function);
	hash = hash_string(hash, f->file);
	hash = hash_bytes(hash, &f->line, sizeof(f->line));
	if (!f->function)
		hash = hash_bytes(hash, &f->offset, sizeof(f->offset));
	return hash ? hash : 1;
}

uint64_t stack_trace__path_id(const struct stack_trace *s)
{
	uint64_t hash = FNV_BASIS;

	for (uint32_t i = 0; i < s->nr; i++) {
		const struct frame *f = &s->frames[i];
		uint64_t id = frame__callsite_id(f);

		hash = hash_bytes(hash, &id, sizeof(id));
		if (!f->function && !f->file && !f->module)
			hash = hash_bytes(hash, &f->pc, sizeof(f->pc));
	}
	return hash;
}
