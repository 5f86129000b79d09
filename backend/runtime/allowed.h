// System calls that computing takes, which a sandbox lets through.
#pragma once
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#ifdef __x86_64__
enum { ARCHITECTURE = AUDIT_ARCH_X86_64 };
#else
enum { ARCHITECTURE = AUDIT_ARCH_RISCV64 };
#endif

static const int allowed[] = {
    // memory
    SYS_brk, SYS_madvise, SYS_membarrier, SYS_mincore, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_msync, SYS_munmap,
    // what is open
    SYS_close, SYS_fstat, SYS_lseek, SYS_ppoll, SYS_pread64, SYS_pwrite64, SYS_read, SYS_readv, SYS_sendmsg, SYS_write, SYS_writev,
    // threads and signals
    SYS_exit, SYS_exit_group, SYS_futex, SYS_get_robust_list, SYS_getpid, SYS_gettid, SYS_restart_syscall, SYS_rseq, SYS_rt_sigaction,
    SYS_rt_sigpending, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_sched_getaffinity, SYS_sched_yield,
    SYS_set_robust_list, SYS_set_tid_address, SYS_sigaltstack,
    // time, chance, names
    SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_getrandom, SYS_gettimeofday, SYS_nanosleep, SYS_uname,
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef __riscv
    259,  // riscv_flush_icache, which older headers lack
#endif
};
enum { NUM_ALLOWED = sizeof allowed / sizeof *allowed };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define IF(comparison, value, yes, no) BPF_JUMP(BPF_JMP | comparison | BPF_K, (unsigned)(value), yes, no)
