/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "user/base/array.h"
#include "user/model/callsite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* After the four that it needs. */
#include <cmocka.h>

#define LIBC   "/usr/lib/x86_64-linux-gnu/libc.so.6"
#define PYTHON "/usr/bin/python3.11"

struct sample {
	const char *function, *file, *module;
};

struct expectation {
	const char *name;
	int frame;
	struct sample stack[8]; /* ends at an empty one */
};

static const struct expectation expectations[] = {
	{"the program's own frame",
	 2,
	 {{"connect", NULL, LIBC},
	  {"Curl_connect", NULL, "/usr/lib/x86_64-linux-gnu/libcurl.so.4.8.0"},
	  {"check_health", "/srv/app/health.c", "/srv/app/health"},
	  {"main", "/srv/app/health.c", "/srv/app/health"},
	  {"__libc_start_main", NULL, LIBC},
	  {"_start", NULL, "/srv/app/health"}}},
	{"a program in /usr/bin, stripped: an offset is better than a library",
	 2,
	 {{"connect", NULL, LIBC},
	  {"curl_multi_perform", NULL, "/usr/lib/x86_64-linux-gnu/libcurl.so.4"},
	  {NULL, NULL, "/usr/bin/curl"},
	  {"__libc_start_main", NULL, LIBC}}},
	{"a program in a library directory is no library",
	 1,
	 {{"connect", NULL, LIBC}, {"git_connect", NULL, "/usr/lib/git-core/git-remote-http"}}},
	{"an application's own shared object",
	 1,
	 {{"connect", NULL, LIBC}, {"dial", NULL, "/opt/app/lib/libdial.so"}}},
	{"a bundled libssl, a local library",
	 3,
	 {{"connect", NULL, "/lib64/libc.so.6"},
	  {"BIO_connect", NULL, "/opt/app/lib/libcrypto.so.3"},
	  {"x", NULL, "/usr/local/lib/libx.so"},
	  {"main", NULL, "/opt/app/bin/app"}}},
	{"libc in a static executable",
	 2,
	 {{"__libc_connect", "../sysdeps/connect.c", "/srv/static"},
	  {"connect", NULL, "/srv/static"},
	  {"run", "/src/run.c", "/srv/static"},
	  {"__libc_start_call_main", NULL, "/srv/static"}}},
	{"a thread",
	 1,
	 {{"connect", NULL, LIBC},
	  {"worker", NULL, "/srv/app"},
	  {"start_thread", NULL, LIBC},
	  {"clone3", NULL, LIBC}}},
	{"nothing but the start of a program: nobody's in particular",
	 -1,
	 {{NULL, NULL, LIBC}, {"connect", NULL, LIBC}, {"_start", NULL, "/srv/app"}}},
	{"an interpreter's own frames",
	 -1,
	 {{"connect", NULL, LIBC}, {NULL, NULL, PYTHON}, {"Py_RunMain", NULL, PYTHON}}},
	{"its module that connects, which any Python program may have called",
	 -1,
	 {{"connect", NULL, LIBC},
	  {"internal_connect", "/build/Modules/socketmodule.c",
	   "/usr/lib/python3.11/lib-dynload/_socket.cpython-311-x86_64-linux-gnu.so"},
	  {"Py_RunMain", NULL, PYTHON}}},
	{"but not another extension, which says what was called",
	 1,
	 {{"connect", NULL, LIBC},
	  {"PQconnectPoll", NULL, "/usr/lib/x86_64-linux-gnu/libpq.so.5"},
	  {"Py_RunMain", NULL, PYTHON}}},
	{"Java: outside its own packages, and what has a name before what has none",
	 4,
	 {{"connect", NULL, LIBC},
	  {"Java_sun_nio_ch_Net_connect0", NULL, "/usr/lib/jvm/lib/libnio.so"},
	  {"java.net.Socket.<init>", NULL, "[java]"},
	  {NULL, NULL, "[java: still interpreted]"},
	  {"Shop.dial", NULL, "[java]"},
	  {"StubRoutines (1)", NULL, "[java]"},
	  {"JavaMain", NULL, "/usr/lib/jvm/lib/libjli.so"}}},
	{"Java without names: what to do about it says more than a library",
	 2,
	 {{"connect", NULL, LIBC},
	  {"Java_sun_nio_ch_Net_connect0", NULL, "/usr/lib/jvm/lib/libnio.so"},
	  {NULL, NULL, "[java: to see callers, run with -XX:+PreserveFramePointer]"}}},
	{"Java, nothing but its own packages",
	 2,
	 {{"connect", NULL, LIBC},
	  {"Java_sun_nio_ch_Net_connect0", NULL, "/usr/lib/jvm/lib/libnio.so"},
	  {"java.net.Socket.connect", NULL, "[java]"},
	  {"StubRoutines (1)", NULL, "[java]"}}},
	{"Python: the caller of requests",
	 4,
	 {{"connect", "/usr/lib/python3.11/socket.py", NULL},
	  {"_new_conn", "/srv/venv/lib/python3.11/site-packages/urllib3/connection.py", NULL},
	  {"send", "/usr/lib/python3/dist-packages/requests/adapters.py", NULL},
	  {"_call_with_frames_removed", "<frozen importlib._bootstrap>", NULL},
	  {"check_health", "/srv/app/health.py", NULL},
	  {"main", "/srv/app/main.py", NULL}}},
	{"Python functions named as libc's are the application's",
	 0,
	 {{"connect", "/srv/app/db.py", NULL}, {"main", "/srv/app/main.py", NULL}}},
	{"node: generated code below its own C++",
	 3,
	 {{"connect", NULL, LIBC},
	  {"node::TCPWrap::Connect", NULL, "/opt/node/bin/node"},
	  {"connect", "node:net", "[jit]"},
	  {"poll", "/srv/app/poll.js", "[jit]"}}},
	{"node: why nobody is there, when nobody is",
	 3,
	 {{"connect", NULL, LIBC},
	  {"node::TCPWrap::Connect", NULL, "/opt/node/bin/node"},
	  {NULL, NULL, "[jit]"},
	  {NULL, NULL, "[node: from its event loop, caller unknown]"}}},
	{"Perl's pp_bind() is also its connect(): an interpreter's own code tells nothing",
	 2,
	 {{"connect", NULL, LIBC},
	  {"Perl_pp_bind", NULL, "/usr/bin/perl"},
	  {NULL, NULL, "[perl: which line is not known]"}}},
	{"and what one may call a mapping is no reason",
	 -1,
	 {{"connect", NULL, LIBC},
	  {"Perl_pp_bind", NULL, "/usr/bin/perl"},
	  {NULL, NULL, "[anon:x: y]"}}},
	{"generated code without a name is nobody",
	 2,
	 {{"connect", NULL, LIBC}, {NULL, NULL, "[jit]"}, {"main", NULL, "/srv/app"}}},
	{"templates from a header, inlined",
	 1,
	 {{"do_connect<int>", "/usr/include/boost/asio/detail/socket_ops.ipp", "/srv/app"},
	  {"app::dial", "/src/dial.cc", "/srv/app"}}},
	{"Rust",
	 1,
	 {{"std::net::tcp::TcpStream::connect", "/rustc/90b35a/library/std/src/net/tcp.rs",
	   "/srv/app"},
	  {"app::dial", "src/main.rs", "/srv/app"}}},
	{"Go, built with -trimpath",
	 3,
	 {{"syscall.connect", "syscall/zsyscall_linux_amd64.go", "/srv/app"},
	  {"net.(*Dialer).DialContext", "net/dial.go", "/srv/app"},
	  {"github.com/lib/pq.dial", "github.com/lib/pq@v1.10.9/conn.go", "/srv/app"},
	  {"example.com/shop/internal/db.Open", "example.com/shop/internal/db/db.go", "/srv/app"},
	  {"main.main", "example.com/shop/main.go", "/srv/app"}}},
	{"Go: a goroutine of net/http",
	 2,
	 {{"syscall.connect", "/usr/lib/go-1.24/src/syscall/zsyscall_linux_amd64.go", "/srv/app"},
	  {"net.(*Dialer).DialContext", "/usr/lib/go-1.24/src/net/dial.go", "/srv/app"},
	  {"net/http.(*Transport).dial", "/usr/lib/go-1.24/src/net/http/transport.go", "/srv/app"},
	  {"runtime.goexit", "/usr/lib/go-1.24/src/runtime/asm_amd64.s", "/srv/app"}}},
	{"unknown addresses only", -1, {{NULL, NULL, "[jit]"}}},
};

static struct stack_trace make_trace(const struct sample *samples, struct frame frames[8])
{
	struct stack_trace t = {.frames = frames, .language = "native"};

	memset(frames, 0, 8 * sizeof(*frames));
	while (t.nr < 8 && (samples[t.nr].function || samples[t.nr].module)) {
		frames[t.nr].function = (char *)samples[t.nr].function;
		frames[t.nr].file = (char *)samples[t.nr].file;
		frames[t.nr].module = (char *)samples[t.nr].module;
		t.nr++;
	}
	return t;
}

static void test_application_frame(void **state)
{
	struct frame frames[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expectations); i++) {
		struct stack_trace t = make_trace(expectations[i].stack, frames);
		int got = stack_trace__application_frame(&t, NULL, 0);

		if (got != expectations[i].frame)
			fail_msg("%s: frame %d, expected %d", expectations[i].name, got,
				 expectations[i].frame);
	}
}

/* The frame that is not known may be the one; in native code it is a library without symbols. */
static void test_function_that_has_gone(void **state)
{
	struct frame frames[3] = {
		{.function = (char *)"connect", .file = (char *)"/usr/lib/python3.11/socket.py"},
		{.pc = 7},
		{.function = (char *)"caller", .file = (char *)"/srv/app/main.py"},
	};
	struct stack_trace t = {.frames = frames, .nr = 3, .language = "python"};

	(void)state;
	assert_int_equal(stack_trace__application_frame(&t, NULL, 0), -1);
	t.language = "native";
	assert_int_equal(stack_trace__application_frame(&t, NULL, 0), 2);
	/* Whatever called what is known is of no account. */
	t.language = "python";
	frames[1] = frames[2];
	frames[2] = (struct frame){.pc = 7};
	assert_int_equal(stack_trace__application_frame(&t, NULL, 0), 1);
}

static void test_empty_stack(void **state)
{
	const struct stack_trace t = {};

	(void)state;
	assert_int_equal(stack_trace__application_frame(&t, NULL, 0), -1);
}

static void test_skip(void **state)
{
	static const struct sample samples[8] = {
		{"connect", NULL, LIBC},
		{"pool_get", "/srv/app/pool.c", "/srv/app/app"},
		{"rpc_call", "/srv/app/rpc/call.c", "/srv/app/app"},
		{"plugin", NULL, "/srv/app/plugin.so"},
		{"handler", "/srv/app/handler.c", "/srv/app/app"},
	};
	static const char *const skip[] = {"pool_*", "*/rpc/*", "*/plugin.so"};
	struct frame frames[8];
	struct stack_trace t = make_trace(samples, frames);

	(void)state;
	assert_int_equal(stack_trace__application_frame(&t, skip, 0), 1);
	assert_int_equal(stack_trace__application_frame(&t, skip, 1), 2);
	assert_int_equal(stack_trace__application_frame(&t, skip, 2), 3);
	assert_int_equal(stack_trace__application_frame(&t, skip, 3), 4);
}

static void test_callsite_id(void **state)
{
	struct frame f = {.function = (char *)"dial",
			  .file = (char *)"/src/dial.c",
			  .module = (char *)"/srv/app",
			  .line = 7,
			  .offset = 0x1000};
	uint64_t id = frame__callsite_id(&f);
	struct frame other = f;

	(void)state;
	assert_true(id);
	/* Another directory, another build with the same source: the same call site. */
	other.module = (char *)"/mnt/image/srv/app";
	other.offset = 0x2000;
	other.pc = 42;
	assert_true(frame__callsite_id(&other) == id);
	other.line = 8;
	assert_true(frame__callsite_id(&other) != id);
	other = f;
	other.function = (char *)"dia";
	other.file = (char *)"l/src/dial.c";
	assert_true(frame__callsite_id(&other) != id);

	other = (struct frame){.module = (char *)"/srv/app", .offset = 1};
	id = frame__callsite_id(&other);
	other.offset = 2;
	assert_true(frame__callsite_id(&other) != id);
	assert_true(frame__callsite_id(&(struct frame){}));
}

static void test_copy(void **state)
{
	struct frame frames[8];
	struct stack_trace t = make_trace(expectations[0].stack, frames), copy, empty;

	(void)state;
	t.id = 9;
	t.truncated = true;
	frames[0].inlined = true;
	assert_int_equal(stack_trace__copy(&copy, &t), 0);
	assert_int_equal(copy.id, 9);
	assert_int_equal(copy.nr, t.nr);
	assert_true(copy.truncated);
	assert_true(copy.frames[0].inlined);
	assert_string_equal(copy.language, "native");
	for (uint32_t i = 0; i < t.nr; i++) {
		assert_string_equal(copy.frames[i].function, frames[i].function);
		assert_ptr_not_equal(copy.frames[i].function, frames[i].function);
		assert_true(!copy.frames[i].file == !frames[i].file);
	}
	stack_trace__clear(&copy);
	assert_int_equal(copy.nr, 0);
	stack_trace__clear(&copy);

	assert_int_equal(stack_trace__copy(&empty, &copy), 0);
	assert_int_equal(empty.nr, 0);
	stack_trace__clear(&empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_application_frame),
		cmocka_unit_test(test_function_that_has_gone),
		cmocka_unit_test(test_empty_stack),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_callsite_id),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
