// A worker of the agent: a process of its own that runs kernels, and can do nothing else.
//
// It is a fork of the agent, which has one thread, and runs no code of its host before it is in its sandbox. For the cores of SpacemiT's A100,
// which a process has to choose before its first vector instruction, the fork begins the agent's program anew; that has none of its own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi.h"
#include "agent.h"
#include "allowed.h"
#include "guest.h"
#include "protocol.h"

enum { NUM_COUNTERS = 2, FIRST_COUNT = 5 };  // the counts' place in the answers
static const rlim_t STACK_ROOM = 9 << 20;    // of a thread's stack, and what the system has beside it

static int counters[NUM_COUNTERS] = {-1, -1};
static int no_counters;  // the error

// The sandbox

// Like that of sandbox.c, and without anybody who may let more pass; no memory is both written and executed.
static unsigned short write_filter(struct sock_filter *filter) {
  unsigned short n = 0;
#define ADD(...) filter[n++] = (struct sock_filter)__VA_ARGS__
  ADD(LOAD(arch));
  ADD(IF(BPF_JEQ, ARCHITECTURE, 1, 0));
  ADD(RETURN(SECCOMP_RET_KILL_PROCESS));
  ADD(LOAD(nr));
  for (int i = 0; i < NUM_ALLOWED; i++) {
    if (allowed[i] == SYS_mmap || allowed[i] == SYS_mprotect || allowed[i] == SYS_sendmsg) continue;
    ADD(IF(BPF_JEQ, allowed[i], 0, 1));
    ADD(RETURN(SECCOMP_RET_ALLOW));
  }
  ADD(IF(BPF_JEQ, SYS_clone, 0, 3));
  ADD(LOAD(args[0]));
  ADD(IF(BPF_JSET, CLONE_THREAD, 0, 14));
  ADD(RETURN(SECCOMP_RET_ALLOW));
  ADD(IF(BPF_JEQ, SYS_tgkill, 0, 3));
  ADD(LOAD(args[0]));
  ADD(IF(BPF_JEQ, getpid(), 0, 10));
  ADD(RETURN(SECCOMP_RET_ALLOW));
  ADD(IF(BPF_JEQ, SYS_mprotect, 0, 3));
  ADD(LOAD(args[2]));
  ADD(IF(BPF_JSET, PROT_EXEC, 6, 0));
  ADD(RETURN(SECCOMP_RET_ALLOW));
  ADD(IF(BPF_JEQ, SYS_mmap, 0, 4));
  ADD(LOAD(args[2]));
  ADD(IF(BPF_JSET, PROT_EXEC, 0, 1));
  ADD(IF(BPF_JSET, PROT_WRITE, 1, 0));
  ADD(RETURN(SECCOMP_RET_ALLOW));
  ADD(RETURN(SECCOMP_RET_ERRNO | ENOSYS));
  return n;
}

// For all threads of this process. Whether it worked; else errno says why not.
static int enter_sandbox(void) {
  struct sock_filter filter[2 * NUM_ALLOWED + 40];
  struct sock_fprog program = {write_filter(filter), filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 0;
  return !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

// What a process that does this tells by its exit code: 0 or an error.
static int tried(int (*what)(void)) {
  pid_t child = fork();
  if (child < 0) return errno;
  if (!child) _exit(what() ? 0 : errno ? errno & 255 : 255);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

const char *why_no_sandbox(void) {
  int error = tried(enter_sandbox);
  return error ? strerror(error) : NULL;
}

static int sandboxed(void) { return enter_sandbox() || !agent.require_sandbox; }

// Counters

static int open_counters(void) {
  const uint64_t events[NUM_COUNTERS] = {PERF_COUNT_HW_CPU_CYCLES, PERF_COUNT_HW_INSTRUCTIONS};
  for (int i = 0; i < NUM_COUNTERS; i++) {
    struct perf_event_attr event = {.type = PERF_TYPE_HARDWARE, .size = sizeof event, .config = events[i]};
    event.inherit = event.exclude_kernel = event.exclude_hv = 1;  // of threads to come too
    counters[i] = (int)syscall(SYS_perf_event_open, &event, 0, -1, -1, 0);
    if (counters[i] < 0) return 0;
  }
  return 1;
}

const char *why_no_counters(void) {
  int error = tried(open_counters);
  return error ? strerror(error) : NULL;
}

static void count(int ends, uint64_t *answers) {
  static uint64_t before[NUM_COUNTERS];
  answers[FIRST_COUNT] = (uint64_t)(no_counters ? -no_counters : 1);
  for (int i = 0; i < NUM_COUNTERS && !no_counters; i++) {
    uint64_t value = 0;
    if (read(counters[i], &value, sizeof value) != sizeof value) answers[FIRST_COUNT] = 0;
    if (!ends) before[i] = value;
    answers[FIRST_COUNT + 1 + i] = value - before[i];
  }
}

// The process

static void limit(int resource, rlim_t most) { setrlimit(resource, &(struct rlimit){most, most}); }

static void run_on(const uint64_t cores[CORE_WORDS]) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < CORE_WORDS * 64 && i < CPU_SETSIZE; i++)
    if (cores[i / 64] >> i % 64 & 1) CPU_SET(i, &set);
  if (CPU_COUNT(&set) && sched_setaffinity(0, sizeof set, &set)) _exit(20);
}

// The fork, with nothing of the agent's but the file and the pipes: of the file's memory, it has what it maps itself.
static void separate(int *bell, int life) {
  munmap(agent.memory, agent.file_bytes);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setpgid(0, 0);
  int nowhere = open("/dev/null", O_RDWR);
  if (nowhere < 0 || dup2(life, 0) < 0 || dup2(nowhere, 1) < 0 || dup2(nowhere, 2) < 0) _exit(21);
  enum { FILE_PLACE = 3, BELL_PLACE = 4, ABOVE = 10 };
  int file = fcntl(agent.file, F_DUPFD, ABOVE), other = fcntl(*bell, F_DUPFD, ABOVE);
  if (dup2(file, FILE_PLACE) < 0 || dup2(other, BELL_PLACE) < 0) _exit(22);
  long most = sysconf(_SC_OPEN_MAX);
  if (most < 0 || most > 4096) most = 4096;
  for (int i = BELL_PLACE + 1; i < most; i++) close(i);
  agent.file = FILE_PLACE, *bell = BELL_PLACE;
}

static void work(int generation, int bell) {
  signal(SIGPIPE, SIG_IGN);
  if (!open_counters()) no_counters = errno ? errno : EINVAL;
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_DATA, agent.file_bytes + MAX_THREADS * STACK_ROOM);
  limit(RLIMIT_NOFILE, 16);
  const Guest guest = {agent.file, generation, bell, place_of, sandboxed, count};
  _exit(run_guest(&guest));
}

void become_worker(const WorkerKind *kind, int bell, int life) {
  separate(&bell, life);
  if (kind->ai_cores) {
    int file = open("/proc/set_ai_thread", O_WRONLY | O_CLOEXEC);
    char number[24], generation[12], code[24], arena[24];
    int size = snprintf(number, sizeof number, "%d", getpid());
    if (file < 0 || write(file, number, (size_t)size) != size) _exit(23);
    run_on(kind->cores);
    snprintf(generation, sizeof generation, "%u", kind->ime);
    snprintf(code, sizeof code, "%llu", (unsigned long long)agent.code.bytes);
    snprintf(arena, sizeof arena, "%llu", (unsigned long long)agent.arena.bytes);
    char *values[] = {"agent", "--worker", generation, code, arena, agent.require_sandbox ? "1" : "0", NULL}, *none[] = {NULL};
    execve("/proc/self/exe", values, none);
    _exit(24);
  }
  run_on(kind->cores);
  work((int)kind->ime, bell);
  _exit(25);
}

int worker_main(char **values) {
  agent.file = 3;
  agent.code = (Area){CODE_START, strtoull(values[1], NULL, 10)};
  agent.arena = (Area){ARENA_START, strtoull(values[2], NULL, 10)};
  agent.require_sandbox = atoi(values[3]);
  agent.file_bytes = CONTROL_BYTES + agent.code.bytes + agent.arena.bytes;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  work(atoi(values[0]), 4);
  return 1;
}
