/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What differs between architectures: the registers of a task at its system call. */
#ifndef CHURN_VMLINUX_ARCH_H
#define CHURN_VMLINUX_ARCH_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
	union {
		struct {
			u64 regs[31];
			u64 sp;
			u64 pc;
		};
	};
};

struct thread_struct {
	struct {
		unsigned long tp_value;
	} uw;
};

#pragma clang attribute pop

/* Of the kernel's stacks with pages of 4 KB (arch/arm64/include/asm/memory.h, without KASAN). */
#define THREAD_SIZE 16384

/* TPIDR_EL0, as it was when the thread last lost its CPU. glibc's pthread_self() lies below it. */
#define THREAD_POINTER(btf, task) READ(btf, task, thread.uw.tp_value)

/* READ() is in bpf/drift.h. */
#define REGS_PC(btf, regs) READ(btf, regs, pc)
#define REGS_SP(btf, regs) READ(btf, regs, sp)
#define REGS_FP(btf, regs) READ(btf, regs, regs[29])

/* Of a kprobe's context. */
#define CALL_ARG1(ctx)	 ((ctx)->regs[0])
#define CALL_ARG2(ctx)	 ((ctx)->regs[1])
#define CALL_RESULT(ctx) ((ctx)->regs[0])

/* What was written before is seen before this is: an exchange orders both ways. */
#define STORE_RELEASE(ptr, value) ((void)__sync_lock_test_and_set(ptr, value))

/* rt_sigframe on the stack at a signal trampoline: siginfo (128), ucontext up to its sigcontext
 * (176), the fault's address (8), x0 to x30, sp, pc (arch/arm64/include/uapi/asm/sigcontext.h). */
#define SIGFRAME_FP 544
#define SIGFRAME_SP 560
#define SIGFRAME_PC 568

#endif /* CHURN_VMLINUX_ARCH_H */
