/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What differs between architectures: the registers of a task at its system call, and those of a
 * function that a kprobe is on. */
#ifndef CHURN_VMLINUX_ARCH_H
#define CHURN_VMLINUX_ARCH_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
	unsigned long bp;
	unsigned long ax;
	unsigned long si;
	unsigned long di;
	unsigned long ip;
	unsigned long sp;
};

struct thread_struct {
	unsigned long fsbase;
};

#pragma clang attribute pop

/* Of the kernel's stacks (arch/x86/include/asm/page_64_types.h, without KASAN). */
#define THREAD_SIZE 16384

/* pthread_self() of a thread, in glibc and musl. */
#define THREAD_POINTER(btf, task) READ(btf, task, thread.fsbase)

/* READ() is in bpf/drift.h. */
#define REGS_PC(btf, regs) READ(btf, regs, ip)
#define REGS_SP(btf, regs) READ(btf, regs, sp)
#define REGS_FP(btf, regs) READ(btf, regs, bp)

/* Of a kprobe's context. */
#define CALL_ARG1(regs)	  ((regs)->di)
#define CALL_ARG2(regs)	  ((regs)->si)
#define CALL_RESULT(regs) ((regs)->ax)

/* What was written before is seen before this is: stores keep their order here. */
#define STORE_RELEASE(ptr, value)                                                                  \
	do {                                                                                       \
		barrier();                                                                         \
		*(volatile typeof(*(ptr)) *)(ptr) = (value);                                       \
	} while (0)

/* rt_sigframe on the stack at a signal trampoline: pretcode is popped, ucontext follows; offsets
 * of the saved registers from there (arch/x86/include/uapi/asm/sigcontext.h). */
#define SIGFRAME_FP 120 /* uc_mcontext (40) + gregs[REG_RBP] (10 * 8) */
#define SIGFRAME_SP 160 /* gregs[REG_RSP] (15 * 8) */
#define SIGFRAME_PC 168 /* gregs[REG_RIP] (16 * 8) */

#endif /* CHURN_VMLINUX_ARCH_H */
