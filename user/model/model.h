/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The model: from records of single connections to who opens how many connections to where, how
 * short they live, who ends them, which failed, and which opens a pool would have spared.
 *
 * Plain C over plain structs: knows no socket, no BPF, no terminal. Fed in ring order by a live
 * trace or a recording; read by the views through the const structs below. One thread.
 */
#ifndef CHURN_MODEL_MODEL_H
#define CHURN_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event.h"
#include "user/model/callsite.h"
#include "user/model/histogram.h"
#include "user/model/process.h"

/* How processes are put together into rows. */
enum model_group_by {
	MODEL_BY_PROGRAM, /* default: same program under the same parent (40 curls of one script) */
	MODEL_BY_PID,
	MODEL_BY_EXE,
	MODEL_BY_COMM,
	MODEL_BY_CONTAINER,
};

struct model_options {
	enum model_group_by by;
	uint64_t short_ns;	  /* shorter-lived connections count as short */
	uint64_t reuse_window_ns; /* how long a pool would keep an idle connection */
	uint32_t max_conns;	  /* live connections followed; more are counted as lost */
	uint32_t max_groups;	  /* rows; more go to one row named "~other" */
	uint32_t max_time_wait;	  /* TIME_WAITs whose owners are remembered, for the census */
	const char *const *callsite_skip;
	size_t nr_callsite_skip;
};

/* Defaults: MODEL_BY_PROGRAM, 1 s, 30 s, 262144, 4096. */
extern const struct model_options model_default_options;

struct error_count {
	uint16_t error; /* errno */
	uint8_t cause;	/* enum churn_cause */
	uint64_t nr;
};

/* How many, by (errno, cause); sorted by count, descending, when read through the model. */
struct error_counts {
	struct error_count *at;
	uint32_t nr;
};

struct destination {
	uint32_t netns;
	uint8_t family; /* 4 or 6 */
	uint16_t port;	/* host order */
	uint8_t addr[16];
};

/* A way through the code to a call site. */
struct callsite_path {
	uint64_t id; /* stack_trace__path_id() */
	const struct stack_trace *stack;
	int frame;   /* index of the application frame in stack */
	uint64_t nr; /* opens and failures: all that came this way where by_other_paths is 0, at
			least these otherwise */
};

/* A place in the code from which a flow's connections came, or at which a service's were
 * accepted. */
struct callsite {
	uint64_t id; /* frame__callsite_id(), 0: not resolved (yet) or no stack */
	uint64_t opens;
	uint64_t failures;
	uint64_t avoidable;
	uint64_t short_lived;
	const struct callsite_path *paths; /* most frequent first */
	uint32_t nr_paths;
	uint64_t by_other_paths; /* opens and failures beside those of paths: of too many others, or
				    without a known stack */
	const struct stack_trace *stack; /* of the most frequent path, NULL: unknown */
	int frame;			 /* index of the application frame in stack, -1: none */
	/* Where those of its connections whose end was looked at were ended, and the call that most
	 * of RETURNED speak of, and of those LATER that activation_one_call() believes (NULL:
	 * unknown). */
	uint64_t ends[CHURN_ACTIVATION__COUNT];
	const struct frame *owner;
	uint64_t owner_ends;		       /* how many of them */
	const struct stack_trace *close_stack; /* a sample, NULL: unknown */
	int close_frame;
};

/* Connects that met a connection of the same four-tuple in CLOSE_WAIT on the accepting side. */
struct collisions {
	uint64_t healed;	/* established, after an RST had ended the stale connection */
	uint64_t hung;		/* given up, or timed out */
	struct histogram delay; /* ns, of the connects that were healed */
	uint64_t hung_ns;	/* the longest of those that hung */
	uint64_t waited_ns;	/* the longest time that one had been in CLOSE_WAIT, 0: unknown */
	/* Of the latest, or rather of the latest of which it is known who had not closed. */
	const struct process_identity *holder; /* who had not, NULL: unknown */
	uint64_t holder_stack;		       /* where that one was accepted, 0: unknown */
	uint8_t client_addr[16];	       /* where the connect came from */
	uint16_t client_port;
};

/* One group of processes and one destination. */
struct flow {
	const struct group *group;
	struct destination dest;
	uint64_t opens; /* established active opens */
	uint64_t failed;
	uint64_t closes;
	uint64_t short_lived;
	uint64_t avoidable;
	uint64_t time_wait; /* closes that left a TIME_WAIT on this side */
	/* Of those: less than TIME_WAIT's 60 s before the last record, and no more than
	 * net.ipv4.tcp_max_tw_buckets. */
	uint64_t parked;
	uint8_t local_addr[16]; /* where its connections start from, zeroes: unknown */
	bool several_local;	/* there are more than the one above */
	uint64_t closed_by[CHURN_END__COUNT];
	uint64_t
		peer_closed_idle; /* of those by the peer: after a second or more without payload */
	struct error_counts failures;
	struct histogram lifetime; /* ns, of closed connections, until the first FIN */
	struct histogram connect;  /* ns, SYN_SENT to ESTABLISHED */
	/* ns, the search for a source port, of opens and failures; where no hook sees it, connect
	 * and, of failed searches, the time to the failure: the search and what comes after it. */
	struct histogram search, search_at_most;
	struct histogram interval; /* ns, between successive opens and failures of the group */
	struct histogram requests; /* data segments sent per closed connection */
	uint64_t bytes_sent, bytes_received;
	uint32_t live, live_peak;	     /* connections open at once, over all processes */
	uint32_t pool_peak;		     /* the same, the largest of any one process */
	uint64_t first_ns, last_ns;	     /* of opens and failures */
	const struct collisions *collisions; /* NULL: none */
	const struct process_identity *peer; /* other end on this host, NULL: remote or unknown */
	const struct callsite *callsites;    /* sorted: opens + failures, descending */
	uint32_t nr_callsites;
};

/* Opens a second of a flow while it is at work. 0: a burst that has been quiet at now_ns (0: not
 * known) for longer than it took; < 0: too few to tell. */
double flow__working_rate(const struct flow *f, uint64_t now_ns);
/* The share of its closes that left a TIME_WAIT here, 0 to 1; 0 when there was none. */
double flow__parking_share(const struct flow *f);

/* Connections accepted on one local port. */
struct service {
	const struct group *group;
	uint32_t netns;
	uint16_t port;
	uint64_t accepts;
	uint64_t closes;
	uint64_t closed_by[CHURN_END__COUNT];
	uint64_t time_wait;
	uint32_t live, live_peak;
	/* From where in the code they were accepted, as far as that was seen: opens are accepts. */
	const struct callsite *callsites;
	uint32_t nr_callsites;
};

/* A row of the report: processes of the same kind. */
struct group {
	struct process_identity sample; /* of one member; only common facts may be printed when
					   nr_processes > 1: exe, comm, parent, container */
	char program[64];		/* process_identity__program() of it, or "~other" */
	uint32_t nr_processes;		/* that opened, failed or accepted */
	const uint32_t *pids;		/* the first of them */
	uint32_t nr_pids;
	uint64_t opens, failed, accepts, closes, short_lived, avoidable, time_wait;
	uint64_t bind_failures; /* bind() to port 0: no port; no opens, so not among the failed */
	uint64_t bind_stack;	/* of one of these, 0: unknown */
	uint8_t bind_addr[16];	/* the address that it was for */
	uint32_t bind_netns;
	struct error_counts failures;
	const struct flow *const *flows; /* sorted: opens + failures, descending */
	uint32_t nr_flows;
	const struct service *const *services;
	uint32_t nr_services;
};

struct model_totals {
	uint64_t opens, accepts, closes, failures, short_lived, avoidable, bind_failures;
	uint64_t in_progress;	/* active opens neither established nor failed: set by the source */
	uint64_t orphan_closes; /* of connections whose open record was lost */
	uint64_t older_closes;	/* of connections from before the trace: set by the source */
	uint64_t corrected;	/* connections that a census did not find: their end was missed */
	uint64_t unattributed_callsite; /* opens and failures without a call site */
	uint64_t unattributed_process;	/* opens, failures and accepts without a process */
	uint64_t lost[CHURN_LOST__COUNT];
	uint64_t
		lost_user; /* max_conns reached in user space, records of a wrong size, bad lines */
};

struct model;

/* NULL with errno set. The options are copied; the strings behind them must outlive the model. */
struct model *model__new(const struct model_options *opts);
void model__free(struct model *m);

/* What the model knows of the connection that an event is about; valid until the next input. */
struct annotation {
	const struct process_identity *process; /* owner, NULL: unknown */
	const struct process_identity
		*peer;			 /* owner of the other end on this host, NULL: unknown */
	const struct stack_trace *stack; /* at open, NULL: unknown */
	int frame;			 /* application frame in stack, -1: none */
	uint64_t callsite_id;		 /* 0: unknown */
	const struct stack_trace *close_stack;
	int close_frame;
	bool avoidable; /* of an active open; on a close, of the open that it ends */
};

/* Input, in the order in which it happened. They return 0 or -ENOMEM. `a` may be NULL. */
int model__process(struct model *m, const struct process_identity *p); /* copied */
int model__stack(struct model *m,
		 const struct stack_trace *s); /* copied; may come after its opens */
int model__open(struct model *m, const struct churn_open *e, struct annotation *a);
int model__end(struct model *m, const struct churn_end *e, struct annotation *a);
/* A socket in CLOSE_WAIT that is older than the trace, and its process (NULL: unknown): not of more
 * than half as many as may be live. */
struct tcp_socket;
int model__waiting(struct model *m, const struct tcp_socket *s, const struct process_identity *p);
/* Loss counters are absolute, as the source reads them. */
void model__set_lost(struct model *m, const uint64_t lost[CHURN_LOST__COUNT], uint64_t user);
void model__set_in_progress(struct model *m, uint64_t nr);
void model__set_older_closes(struct model *m, uint64_t nr);

/* The process behind an id, NULL: unknown. Valid until the next input. */
const struct process_identity *model__find_process(const struct model *m,
						   const struct churn_id *id);
/* The row that counts a process, NULL: it has not opened, failed or accepted anything. */
const struct group *model__group_of(const struct model *m, const struct process_identity *p);
/* Those that the user named, by their PIDs. 0 or -ENOMEM. */
int model__follow(struct model *m, const uint32_t *pids, uint32_t nr);
/* Whether a process is in a row or was named. NULL is nobody. */
bool model__follows(const struct model *m, const struct process_identity *p);
/* The call site of a stack, as a sample of one; frame -1: unknown. */
struct callsite model__find_callsite(const struct model *m, uint64_t stack);

/*
 * Output. model__seal() brings lists and orders up to date (call sites are merged by application
 * frame, rows sorted by opens + failures descending) and may be called again after more input.
 * What is returned is valid until the next input or seal.
 */
int model__seal(struct model *m);
const struct model_totals *model__totals(const struct model *m);
const struct group *const *model__groups(const struct model *m, uint32_t *nr);

#endif /* CHURN_MODEL_MODEL_H */
