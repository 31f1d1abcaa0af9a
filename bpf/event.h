/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ABI between the BPF programs and user space: what travels through the ring buffer.
 *
 * Included by both sides, and nothing else is. Fixed widths, explicit padding; times are
 * CLOCK_MONOTONIC nanoseconds unless said otherwise; ports are in host order; addresses are 16
 * bytes in network order, an IPv4 one as ::ffff:a.b.c.d; 0 or all zeroes means "unknown".
 */
#ifndef CHURN_EVENT_H
#define CHURN_EVENT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define CHURN_COMM_LEN	 16
#define CHURN_NAME_LEN	 40  /* of a path component, NUL-terminated */
#define CHURN_PATH_DEPTH 8   /* components of the executable's path */
#define CHURN_EXE_LEN	 128 /* path as given to execve(), NUL-terminated, cut if longer */
#define CHURN_ARGS_LEN	 512 /* NUL-separated arguments, cut if longer */
#define CHURN_MAX_FRAMES 127 /* deepest user stack that is kept */

enum churn_type {
	CHURN_WAKE = 1,	  /* struct churn_header: a lane fills up */
	CHURN_PROCESS,	  /* struct churn_process: before the first record that names it */
	CHURN_EXEC,	  /* struct churn_exec: a program begins */
	CHURN_STACK,	  /* struct churn_stack: before the first record that names it */
	CHURN_STACK_COPY, /* struct churn_stack_copy: the same, still to be unwound */
	CHURN_PY_STACK,	  /* struct churn_py_stack: the same, of a CPython thread */
	CHURN_CALLS,   /* struct churn_py_stack: the calls in progress at a sampled open or end */
	CHURN_CONNECT, /* struct churn_open: an active open was established */
	CHURN_ACCEPT,  /* struct churn_open: a passive open was established */
	CHURN_FAILED,  /* struct churn_end: an active open failed */
	CHURN_CLOSE,   /* struct churn_end: an established connection ended */
	CHURN_BIND_FAILED, /* struct churn_end: bind() to port 0 found no port; no destination */
};

enum churn_role {
	CHURN_CLIENT = 1, /* active open */
	CHURN_SERVER,	  /* passive open */
};

/* How sure the owner of a connection is. */
enum churn_attribution {
	CHURN_OWNER_UNKNOWN,
	CHURN_OWNER_LISTENER, /* passive open: who holds the listening socket */
	CHURN_OWNER_EXACT,    /* seen in the process's own context */
};

/* Who ended a connection: the sender of the first FIN or RST. */
enum churn_initiator {
	CHURN_END_UNKNOWN,
	CHURN_END_LOCAL,   /* our FIN came first: close() or shutdown() */
	CHURN_END_PEER,	   /* the peer's FIN came first */
	CHURN_END_RESET,   /* the peer sent RST */
	CHURN_END_ABORT,   /* we sent RST: SO_LINGER 0, unread data, ss -K */
	CHURN_END_EXIT,	   /* our FIN came first because the process exited */
	CHURN_END_TIMEOUT, /* retransmission or keep-alive gave up */
	CHURN_END__COUNT
};

/* Why an active open failed. */
enum churn_cause {
	CHURN_CAUSE_UNKNOWN,
	CHURN_CAUSE_EPHEMERAL_EXHAUSTED, /* connect() found no free source port: EADDRNOTAVAIL */
	CHURN_CAUSE_BIND_EXHAUSTED,	 /* bind() to port 0 found no free port: EADDRINUSE */
	CHURN_CAUSE_TUPLE_IN_USE,	 /* an explicitly bound source port: EADDRNOTAVAIL */
	CHURN_CAUSE_NO_SOURCE_ADDRESS,	 /* no local address for that destination: EADDRNOTAVAIL */
	CHURN_CAUSE_REFUSED,
	CHURN_CAUSE_TIMEOUT,
	CHURN_CAUSE_UNREACHABLE,
	CHURN_CAUSE_RESET,
	CHURN_CAUSE_ABORTED, /* closed, or killed, before it was established */
	CHURN_CAUSE__COUNT
};

/* Which side parks the four-tuple in TIME_WAIT. */
enum churn_time_wait {
	CHURN_TIME_WAIT_UNKNOWN,
	CHURN_TIME_WAIT_LOCAL,
	CHURN_TIME_WAIT_PEER,
	CHURN_TIME_WAIT_NONE, /* reset, aborted, timed out */
};

/*
 * Where a connection was ended, seen from the calls in progress when it was opened; only sampled
 * connections are told. The kernel leaves it unknown: user space compares the two stacks.
 */
enum churn_activation {
	CHURN_ACTIVATION_UNKNOWN,
	CHURN_ACTIVATION_RETURNED,  /* when a call had just returned: its locals died */
	CHURN_ACTIVATION_LATER,	    /* later in a call that had been in progress */
	CHURN_ACTIVATION_EARLIER,   /* at an earlier place of that call: a reconnect, or a loop */
	CHURN_ACTIVATION_ELSEWHERE, /* in another thread, or from an event loop */
	CHURN_ACTIVATION__COUNT
};

/* Why the kernel side could not deliver something; index into the loss counters. */
enum churn_lost {
	CHURN_LOST_RING_OPEN,	 /* ring buffer full: a connect or accept record */
	CHURN_LOST_RING_FAILED,	 /* ring buffer full: a failure record */
	CHURN_LOST_RING_CLOSE,	 /* ring buffer full: a close record */
	CHURN_LOST_RING_PROCESS, /* ring buffer full: a process record (it is sent again) */
	CHURN_LOST_RING_STACK, /* ring buffer full: a stack record (sent again at the next open) */
	CHURN_LOST_CONN_MAP,   /* connection map full: this connection is not followed at all */
	CHURN_LOST_LISTENER_MAP, /* listener map full: its accepts have no owner */
	CHURN_LOST_STACK_READ,	 /* the user stack could not be read */
	CHURN_LOST_STACK_COPY,	 /* too many unknown stacks at once: not copied, or not resolved */
	CHURN_LOST_ARGS_READ,	 /* the command line could not be read */
	CHURN_LOST_TARGET_MAP,	 /* target map full: a descendant of the command is not followed */
	CHURN_LOST_REENTRY,	 /* the hook was busy on that CPU: a state transition was missed */
	CHURN_LOST__COUNT
};

/* One run of one executable by one process: exec and PID reuse make another. */
struct churn_id {
	__u64 start_ns; /* start of the process, CLOCK_BOOTTIME */
	__u32 tgid;
	__u32 exec_id; /* counts the process's execve() calls, inherited over fork() */
};

struct churn_header {
	__u64 ts_ns;
	__u32 type; /* enum churn_type */
	__u32 size; /* of the whole record, bytes */
};

/* An identity of our own making: it serves to join the records of a connection, and says nothing to
 * anybody else. The kernel counts cookies up from 1. */
#define CHURN_ID_OWN (1ULL << 63)

/* What is known of a connection from its open on. The close record repeats it, so that losing one
 * record of a connection does not make the other one useless. */
struct churn_conn {
	__u64 id;	       /* socket cookie; where there is none, one with CHURN_ID_OWN set */
	__u64 open_ns;	       /* CLOSE->SYN_SENT; passive: SYN_RECV->ESTABLISHED */
	__u64 established_ns;  /* 0: never was */
	__u64 stack;	       /* id of the user stack at open, 0: none */
	struct churn_id owner; /* tgid 0: unknown */
	__u32 tid;	       /* thread that opened it */
	__u32 netns;	       /* inode number of the network namespace */
	__u16 local_port;      /* 0 in a failed port search */
	__u16 peer_port;
	__u8 family;		   /* 4 or 6, as on the wire: an IPv4-mapped socket is 4 */
	__u8 role;		   /* enum churn_role */
	__u8 attribution;	   /* enum churn_attribution */
	__u8 initiator;		   /* enum churn_initiator, known once the connection is ending */
	char comm[CHURN_COMM_LEN]; /* name of the thread that opened it */
	__u8 local_addr[16];
	__u8 peer_addr[16];
	__u32 search_ns; /* the search for a source port took, at most UINT32_MAX; 0: not seen */
	__u32 pad;
};

/* 0: not known. */
static inline __attribute__((always_inline)) __u64 churn_cookie(const struct churn_conn *conn)
{
	return conn->id & CHURN_ID_OWN ? 0 : conn->id;
}

struct churn_open {
	struct churn_header h;
	struct churn_conn conn;
};

struct churn_end {
	struct churn_header h;
	struct churn_conn conn;
	__u64 close_stack;    /* id of the user stack at the first FIN or RST, 0: none */
	__u64 bytes_sent;     /* payload, without retransmissions */
	__u64 bytes_received; /* payload */
	__u64 idle_ns;	      /* since the last payload in either direction, or since established */
	__u64 ending_ns; /* first FIN sent or received, 0: unknown; the record may lag seconds */
	__u32 segs_out;
	__u32 segs_in;
	__u32 data_segs_out; /* segments with payload; an upper bound for the requests sent */
	__u32 data_segs_in;
	__u16 error;	       /* errno as connect() or the next read() reports it, 0: none */
	__u8 cause;	       /* enum churn_cause, of a failed open */
	__u8 time_wait;	       /* enum churn_time_wait */
	__u8 activation;       /* enum churn_activation */
	__u8 activation_frame; /* of the stack at open: the call in question, 0 the innermost */
	__u8 pad[2];
};

/*
 * Records of connections travel in lanes: rings in memory that both sides map, one a CPU and
 * program, with one writer and one reader each. Everything else comes through the ring buffer.
 */
struct churn_lane {
	__u64 head; /* bytes written since the start: the kernel side's */
	__u64 pad[7];
	__u64 tail; /* bytes read: user space's */
	__u64 pad_tail[7];
	/* The bytes: a power of two, and as much more as lets no record wrap. */
};

#define CHURN_LANES	 3 /* a CPU, at the most */
#define CHURN_LANE_MIN	 4096
#define CHURN_LANE_MAX	 (2 << 20) /* before 5.16 or so, no map element may exceed 4 MiB */
#define CHURN_LANE_SLACK 256

/* Identity of a process, captured in its own context at its first open or listen. */
struct churn_process {
	struct churn_header h;
	struct churn_id id;
	__u64 cgroup; /* id of its cgroup v2 */
	__u32 parent_tgid;
	__u32 uid;
	__u32 kernel; /* 1: a kernel thread */
	__u32 args_len;
	__u64 exe_inode;	   /* of the executable, with */
	__u32 exe_dev;		   /* the kernel's dev_t of its file system */
	__u32 nr_path;		   /* components below, 0: unknown (too deep, or a long name) */
	char comm[CHURN_COMM_LEN]; /* of the thread group leader */
	char parent_comm[CHURN_COMM_LEN];
	char path[CHURN_PATH_DEPTH]
		 [CHURN_NAME_LEN]; /* of exe_inode in its file system, last one first */
	char exe[CHURN_EXE_LEN];
	char args[CHURN_ARGS_LEN];
};

/* A program has just begun, or runs CPython when the trace begins: time to get to know its files,
 * before it connects. */
struct churn_exec {
	struct churn_header h;
	struct churn_id id;
};

/* A user stack, shipped once for each distinct one; the record is cut after the last frame. */
struct churn_stack {
	struct churn_header h;
	__u64 id; /* hash over the process and the frames */
	struct churn_id process;
	__u64 code; /* changes when code of the process has gone: see churn_rule_key */
	__u32 tid;
	__u16 nr;		    /* frames */
	__u16 truncated;	    /* 1: deeper than CHURN_MAX_FRAMES */
	__u64 pc[CHURN_MAX_FRAMES]; /* innermost first: pc[0] is exact, others return addresses */
};

#define CHURN_COPY_LEN 16384

/* The top of a user stack that could not be walked in the kernel, because the rule of some frame
 * was not known yet. User space walks the copy and hands the rules in; cut after `len` bytes. */
struct churn_stack_copy {
	struct churn_header h;
	__u64 id; /* unique */
	struct churn_id process;
	__u64 code; /* as churn_stack.code */
	__u32 tid;
	__u32 len;
	__u64 pc, sp, fp; /* registers at the system call; bytes[0] stands at sp */
	__u64 missing;	  /* the program counter whose rule was not known; may be beyond the copy */
	__u8 bytes[CHURN_COPY_LEN];
};

#define CHURN_MAX_PY_FRAMES 64

/* A running call, of a Python function or, in CHURN_CALLS, a native one. */
struct churn_py_frame {
	__u64 frame; /* address of its frame (native: its CFA): tells one activation from another */
	__u64 code;  /* address of the code object; native: 0 */
	__u64 instr; /* 3.8 to 3.10: f_lasti; later: address of an instruction in the code object;
		      * native: program counter */
	__u64 content; /* CHURN_PY_STACK: hash of what is told of the code object, made of, each
			* from 0 on, first line, and length and bytes of name, line table and file
			* name; 0: unknown */
};

/* The stack of a CPython thread, innermost call first; as struct churn_stack. */
struct churn_py_stack {
	struct churn_header h;
	__u64 id;
	struct churn_id process;
	__u32 tid;
	__u16 nr;
	__u8 truncated;
	__u8 closing; /* CHURN_CALLS: 1 at the first FIN or RST, 0 at open */
	__u64 conn;   /* CHURN_CALLS: churn_conn.id */
	struct churn_py_frame frames[CHURN_MAX_PY_FRAMES];
};

/* A TCP socket, as the census (iter/tcp) writes it: no ring buffer record. */
struct churn_socket {
	__u64 cookie; /* 0 before kernel 5.12 */
	__u64 inode;
	__u32 uid;
	__u32 rqueue, wqueue; /* bytes; LISTEN: not accepted yet, and the backlog */
	__u32 timer_jiffies;  /* until the end of TIME_WAIT; may be past: negative */
	__u32 device;
	__u32 ts_recent_stamp; /* TIME_WAIT: CLOCK_MONOTONIC in s, 0: no timestamps */
	__u32 entry_stamp;     /* TIME_WAIT, since 6.14: CLOCK_MONOTONIC in ms */
	__u16 local_port, peer_port;
	__u8 local_addr[16];
	__u8 peer_addr[16];
	__u8 family; /* 4 or 6, as on the wire */
	__u8 state;
	__u8 time_wait;	      /* 1: a TIME_WAIT mini-socket */
	__u8 port_bound;      /* 1: connect() must not share its port, 2: unknown */
	__u8 has_entry_stamp; /* 1: this kernel has it */
	__u8 range_by_two;    /* 1: its own range is searched as that of the namespace is: to 6.7 */
	__u16 range_low, range_high; /* IP_LOCAL_PORT_RANGE as given, 0: no bound */
	__u8 pad[2];
};

/* --- not records: configuration and counters ------------------------------------------------- */

#define CHURN_MAX_PORTS 16
#define CHURN_MAX_CIDRS 16

struct churn_port_range {
	__u16 low, high; /* inclusive */
};

struct churn_cidr {
	__u32 net[4]; /* network order, IPv4 as ::ffff:a.b.c.d; host bits are 0 */
	__u32 mask[4];
};

/* How to get from a frame to its caller (DWARF CFI, reduced to what compilers emit). */
enum churn_rule_kind {
	CHURN_RULE_NONE,     /* nothing is known: the walk ends here */
	CHURN_RULE_SP,	     /* CFA = stack pointer + cfa_off */
	CHURN_RULE_FP,	     /* CFA = frame pointer + cfa_off */
	CHURN_RULE_FP_DEREF, /* CFA = *(frame pointer + cfa_off): realigned stacks */
	CHURN_RULE_PLT,	     /* x86: CFA = stack pointer + 8, + 16 where (pc & 15) >= cfa_off */
	CHURN_RULE_SIGNAL,   /* the kernel's signal frame: all registers are saved there */
	CHURN_RULE_STOP,     /* the outermost frame */
};

#define CHURN_FP_SAME 0	       /* fp_slot: the register still has the caller's value */
#define CHURN_FP_LOST (-32768) /* fp_slot: it cannot be restored */

struct churn_rule {
	__u8 kind; /* enum churn_rule_kind */
	__u8 pad;
	/* Where the caller's frame pointer was saved: CFA + fp_slot, or one of CHURN_FP_*; with
	 * CHURN_RULE_FP_DEREF frame pointer + fp_slot, where 0 is a place like any other. */
	__s16 fp_slot;
	__s32 cfa_off;
};

#define CHURN_PY_NONE 0xffff

/* Where a process's CPython keeps what leads to its frames: an address, and byte offsets. */
struct churn_python {
	__u64 runtime; /* address of _PyRuntime, which ends with the state of the main
			* interpreter */
	__u32 runtime_len;
	/* In that interpreter's state: what changes before a code object takes the place of another
	 * one. NONE before 3.13: bpf/python_freed.h. */
	__u16 generation;
	__u16 generation_len; /* 4: code objects made so far, stuck at 0 when there were too many;
			       * 8: code objects freed so far */
	__u16 thread_interpreter;
	__u16 interpreters_head;
	__u16 interpreter_next;
	__u16 threads_head;
	__u16 thread_next;
	__u16 thread_id; /* pthread_self() of the thread */
	__u16 thread_frame;
	__u16 cframe_frame; /* the frame in the cframe that thread_frame leads to, or NONE */
	__u16 frame_previous;
	__u16 frame_code;
	__u16 frame_instr;
	__u16 frame_owner; /* NONE before 3.12 */
	__u8 instr_bytes;  /* 4 or 8 */
	__u8 code_tag;	   /* low bits of frame_code that are no part of the address */
	/* In a code object: what stands between its first line and the line table never changes, */
	__u16 identity;
	__u16 identity_len;
	__u16 code_version; /* in it: a number that no other one has, unless 0. NONE before 3.12 */
	__u16 code_first_line;
	__u16 code_filename;
	__u16 code_name; /* that is shown: the qualified one, where there is one */
	__u16 code_lines;
	__u16 text_ascii, text_compact; /* in a str: the characters */
};

/* In a str and in a bytes object, 3.8 to 3.14; the hash may not be computed yet. */
#define CHURN_PY_CONTENT_LENGTH 16
#define CHURN_PY_CONTENT_HASH	24
#define CHURN_PY_TEXT_STATE	32
#define CHURN_PY_BYTES		32
#define CHURN_PY_NO_HASH	(~0ULL)
#define CHURN_PY_MAX_TEXT	2048  /* characters that are compared; longer ones are unknown */
#define CHURN_PY_MAX_BYTES	65536 /* the same, of a line table */
#define CHURN_PY_IDENTITY_MAX	128

/* A rule belongs to an address in one run of one executable by one process, for as long as what is
 * mapped there stays. */
struct churn_rule_key {
	__u64 pc;
	__u64 code; /* churn_stack.code */
};

/* splitmix64's finaliser: every value and its place change the whole hash. */
static inline __attribute__((always_inline)) __u64 churn_mix(__u64 hash, __u64 value)
{
	hash ^= value;
	hash *= 0xbf58476d1ce4e5b9ULL;
	hash ^= hash >> 29;
	return hash;
}

static inline __attribute__((always_inline)) __u64 churn_process_key(const struct churn_id *id)
{
	return id->start_ns ^ ((__u64)id->tgid << 40) ^ ((__u64)id->exec_id << 20);
}

/* What the addresses of a process stand for, as long as no code of it is unmapped. */
struct churn_code {
	__u64 generation; /* when it began, CLOCK_MONOTONIC; with the process it makes a key */
	__u64 pages;	  /* of executable mappings, at the last look */
};

static inline __attribute__((always_inline)) __u64 churn_code_key(__u64 process,
								  const struct churn_code *c)
{
	return process + c->generation;
}

/* Kept per CPU. */
struct churn_counters {
	__u64 lost[CHURN_LOST__COUNT];
	__u64 attempts; /* active opens followed */
	__u64 outcomes; /* of those: established, failed, lost, or found not to match the filters */
	__u64 held;	/* passive opens that were not told before accept() */
	__u64 unheld;	/* of those: accepted, ended, or found not to match the filters */
	__u64 older;	/* ends of connections that were opened before the trace, or not followed */
	__u64 stood_in; /* state changes that found the other program of the hook to be skipped */
};

_Static_assert(sizeof(struct churn_id) == 16, "ABI");
_Static_assert(sizeof(struct churn_header) == 16, "ABI");
_Static_assert(sizeof(struct churn_conn) == 120, "ABI");
_Static_assert(sizeof(struct churn_open) == 136, "ABI");
_Static_assert(sizeof(struct churn_end) == 200, "ABI");
_Static_assert(__builtin_offsetof(struct churn_end, activation_frame) == 197, "ABI");
_Static_assert(sizeof(struct churn_lane) == 128, "ABI");
_Static_assert(sizeof(struct churn_end) <= CHURN_LANE_SLACK, "a record does not wrap");
_Static_assert(__builtin_offsetof(struct churn_process, args) == 552, "ABI");
_Static_assert(__builtin_offsetof(struct churn_stack, pc) == 56, "ABI");
_Static_assert(__builtin_offsetof(struct churn_stack_copy, bytes) == 88, "ABI");
_Static_assert(__builtin_offsetof(struct churn_py_stack, frames) == 56, "ABI");
_Static_assert(sizeof(struct churn_socket) == 92 + 4, "ABI");
_Static_assert(__builtin_offsetof(struct churn_socket, has_entry_stamp) == 84, "ABI");
_Static_assert(sizeof(struct churn_rule) == 8, "ABI");
_Static_assert(sizeof(struct churn_py_frame) == 32, "ABI");
_Static_assert(sizeof(struct churn_python) == 64, "ABI");

#endif /* CHURN_EVENT_H */
