// Runs a program that may open files, start processes and so on only for as long as its parent lets it.
//
// usage: sandbox SOCKET PROGRAM ARGUMENTS... The system calls that computing takes are let through. Any other waits for whoever holds the
// descriptor that goes over SOCKET, and has no effect (ENOSYS) when nobody holds it any longer: the parent lets all through while the program
// starts, then closes it, which cannot be undone.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "allowed.h"

// The filter; gives its length.
static unsigned short write_filter(struct sock_filter *filter) {
  unsigned short n = 0;
#define ADD(...) filter[n++] = (struct sock_filter)__VA_ARGS__
  ADD(LOAD(arch));
  ADD(IF(BPF_JEQ, ARCHITECTURE, 1, 0));
  ADD(RETURN(SECCOMP_RET_KILL_PROCESS));
  ADD(LOAD(nr));
  for (int i = 0; i < NUM_ALLOWED; i++) {
    ADD(IF(BPF_JEQ, allowed[i], 0, 1));
    ADD(RETURN(SECCOMP_RET_ALLOW));
  }
  // A thread, not a process; the C library does without clone3, whose flags a filter does not see.
  ADD(IF(BPF_JEQ, SYS_clone, 0, 3));
  ADD(LOAD(args[0]));
  ADD(IF(BPF_JSET, CLONE_THREAD, 0, 5));
  ADD(RETURN(SECCOMP_RET_ALLOW));
  // Signals to itself.
  ADD(IF(BPF_JEQ, SYS_tgkill, 0, 3));
  ADD(LOAD(args[0]));
  ADD(IF(BPF_JEQ, getpid(), 0, 1));
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
