// Runs a program that may open files, start processes and so on only for as long as its parent lets it.
//
// usage: sandbox SOCKET PROGRAM ARGUMENTS... The system calls that computing takes are let through. Any other waits for whoever holds the
// descriptor that goes over SOCKET, and has no effect (ENOSYS) when nobody holds it any longer: the parent lets all through while the program
// starts, then closes it, which cannot be undone.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

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
};
enum { NUM_ALLOWED = sizeof allowed / sizeof *allowed };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)

// The filter; gives its length.
static unsigned short write_filter(struct sock_filter *filter) {
  unsigned short n = 0;
#define ADD(...) filter[n++] = (struct sock_filter)__VA_ARGS__
  ADD(LOAD(arch));
  ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
  ADD(RETURN(SECCOMP_RET_KILL_PROCESS));
  ADD(LOAD(nr));
  for (int i = 0; i < NUM_ALLOWED; i++) {
    ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1));
    ADD(RETURN(SECCOMP_RET_ALLOW));
  }
  // A thread, not a process; the C library does without clone3, whose flags a filter does not see.
  ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3));
  ADD(LOAD(args[0]));
  ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 5));
  ADD(RETURN(SECCOMP_RET_ALLOW));
  // Signals to itself.
  ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 3));
  ADD(LOAD(args[0]));
  ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)getpid(), 0, 1));
  ADD(RETURN(SECCOMP_RET_ALLOW));
  ADD(RETURN(SECCOMP_RET_USER_NOTIF));
  return n;
}

static int fail(const char *what) {
  fprintf(stderr, "the sandbox cannot be made: %s: %s\n", what, strerror(errno));
  return 125;
}

static int send_descriptor(int socket, int descriptor) {
  char byte = 0;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
  memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
  return sendmsg(socket, &message, 0) == 1;
}

int main(int count, char **values) {
  if (count < 3) return 2;
  int socket = atoi(values[1]);
  struct sock_filter filter[2 * NUM_ALLOWED + 20];
  struct sock_fprog program = {write_filter(filter), filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return fail("PR_SET_NO_NEW_PRIVS");
  int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (listener < 0) return fail("seccomp");
  if (!send_descriptor(socket, listener)) return fail("sendmsg");
  close(listener), close(socket);
  execv(values[2], values + 2);
  return fail(values[2]);
}
