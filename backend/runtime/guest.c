// The persistent riscv64 program that runs kernels for a host process, under QEMU.
//
// usage: guest GENERATION FD. FD is a file that host and guest share: its first bytes are the control block below, and the memory that both
// see at address A lies at offset A. Guest and host take turns: the guest reports an event and sleeps until the host answers it; the answer
// to READY and DONE is the next command. Kernels are mapped from the file too, each at an address that was never used before.
// GENERATION is that of the chip's matrix instructions, 0 for none: QEMU takes them for illegal ones, and the signal's handler carries them out.
// A kernel's access to memory that is not mapped is an event as well: the host may answer with that memory of its own process.
// Standard input is a pipe that the host holds open; its end means that the host is gone.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "ime.h"
#include "ime_call.h"
#include "memory.h"
#include "pool.h"
#include "protocol.h"
#include "signal_stack.h"
#include "trace.h"
#include "vectors.h"

enum { TAKEN = TRY_AGAIN + 1 };  // besides the host's answers to PAGE_FAULT: QEMU itself lies there

static Control *control;
static int file;

// What lies behind the control block.
static uint64_t *rows(void) { return (uint64_t *)(control + 1); }

static int paging;
static int generation;
static pthread_mutex_t speaking = PTHREAD_MUTEX_INITIALIZER;

static void futex(_Atomic uint32_t *word, int operation, uint32_t value) { syscall(SYS_futex, word, operation, value, NULL, NULL, 0); }

// Report an event and wait for the host's answer, which the caller finds in `control->operands`. The caller holds `speaking`.
static void tell_host(uint32_t event) {
  uint32_t seen = atomic_load(&control->command_bell);
  control->event = event;
  atomic_fetch_add(&control->event_bell, 1);
  futex(&control->event_bell, FUTEX_WAKE, 1);
  while (atomic_load(&control->command_bell) == seen) futex(&control->command_bell, FUTEX_WAIT, seen);
}

void write_output(const char *text, size_t size) {
  pthread_mutex_lock(&speaking);
  while (size) {
    size_t part = size < TEXT_BYTES ? size : TEXT_BYTES;
    memcpy(control->text, text, part);
    control->answers[0] = part;
    tell_host(PRINT);
    text += part, size -= part;
  }
  pthread_mutex_unlock(&speaking);
}

static int map_range(uint64_t start, uint64_t size, int rights, int flags) {
  return mmap((void *)start, size, rights, flags | MAP_FIXED_NOREPLACE, file, (off_t)start) != MAP_FAILED;
}

// Ask for the host's own memory around an address and map it. Two threads may miss the same page: the second only has to try again.
static int fetch_page(uint64_t address) {
  pthread_mutex_lock(&speaking);
  control->answers[0] = address;
  tell_host(PAGE_FAULT);
  uint64_t answer = control->operands[0], start = control->operands[1], size = control->operands[2];
  if (answer == MAP_IT && !map_range(start, size, (int)control->operands[3], MAP_SHARED)) answer = TAKEN;
  pthread_mutex_unlock(&speaking);
  return (int)answer;
}

// The instruction at an address, and 0 where there is a short one: it may be the last of its page.
static uint32_t word_at(uint64_t address) {
  uint16_t first;
  uint32_t word = 0;
  memcpy(&first, (const void *)address, sizeof first);
  if ((first & 3) == 3) memcpy(&word, (const void *)address, sizeof word);
  return word;
}

// A guest has one launch at a time, and the host watches over it.
uint32_t launch_begins(Pool *pool) { return 0; }
void launch_ends(Pool *pool, uint32_t number) {}
int must_poll(void) { return 0; }
void poll_caller(Pool *pool) {}
int output_is_ready(void) { return 1; }

static _Atomic int asked;

static void ask(Worker *worker, int signal) {
  if (!atomic_exchange(&asked, 1)) pthread_kill(atomic_load(&worker->thread), signal);
}

// Have one thread that runs a program report where it is, if any does.
static void ask_busy_thread(void) {
  atomic_store(&asked, 0);
  for (Pool *pool = atomic_load(&pools); pool; pool = pool->link) for_each_busy(pool, ask, SIGUSR1);
}

void on_signal(int signal, siginfo_t *info, void *frame, const VectorState *state) {
  Context *context = current_context();
  if (signal == SIGUSR1 && !context) {
    ask_busy_thread();
    return;
  }
  // Registers of a RISC-V signal frame: the program counter, then x1 (the return address) and on.
  uint64_t *registers = (uint64_t *)&((ucontext_t *)frame)->uc_mcontext;
  uint32_t word = signal == SIGILL ? word_at(registers[0]) : 0;
  int rule = word ? emulate_ime(word, generation, state) : IME_OTHER;
  if (rule == IME_DONE) {
    registers[0] += sizeof word;
    return;
  }
  uint64_t address = (uint64_t)info->si_addr;
  int answer = UNKNOWN;
  if (signal == SIGSEGV && info->si_code == SEGV_MAPERR && context && paging) answer = fetch_page(address);
  if (answer == MAP_IT || answer == TRY_AGAIN) return;
  pthread_mutex_lock(&speaking);
  uint64_t *out = control->answers;
  out[0] = answer == TAKEN ? 0 : (uint64_t)signal, out[1] = (uint64_t)info->si_code, out[2] = address, out[3] = registers[0], out[4] = registers[1];
  for (int i = 0; i < 3; i++) out[5 + i] = context ? (uint64_t)context->program_id[i] : UINT64_MAX;
  out[8] = rule == IME_OTHER ? 0 : (uint64_t)rule, out[9] = word;
  tell_host(FAULT);
  _exit(1);  // the kernel may have written anywhere: the host starts a fresh guest
}

static void *watch_host(void *unused) {
  char byte;
  ssize_t count;
  do count = read(STDIN_FILENO, &byte, 1);
  while (count > 0 || (count < 0 && errno == EINTR));
  _exit(0);
  return unused;
}

// Rows of start, size, rights and whether the mapping is private (a kernel's image).
static void map_ranges(void) {
  const uint64_t *row = rows();
  for (uint64_t i = 0; i < control->operands[0]; i++, row += 4) {
    if (!map_range(row[0], row[1], (int)row[2], row[3] ? MAP_PRIVATE : MAP_SHARED)) {
      control->answers[0] = (uint64_t)errno;
      return;
    }
    if (row[2] & PROT_EXEC) __builtin___clear_cache((char *)row[0], (char *)row[0] + row[1]);
  }
}

static void unmap_ranges(void) {
  const uint64_t *row = rows();
  for (uint64_t i = 0; i < control->operands[0]; i++, row += 2) munmap((void *)row[0], row[1]);
}

static void launch(void) {
  uint64_t in[OPERANDS];
  memcpy(in, control->operands, sizeof in);  // events of the launch use the control block
  uint64_t *arguments = malloc(in[2] ? in[2] : 1);
  if (!arguments) {
    control->answers[0] = NO_MEMORY;
    return;
  }
  memcpy(arguments, rows(), in[2]);
  Program program = {.kernel = (Kernel)in[0], .scratch_bytes = in[1]};
  paging = in[7] != 0;
  control->started = 1;
  uint64_t result = (uint64_t)run_grid(&program, arguments, (int32_t)in[3], (int32_t)in[4], (int32_t)in[5], (int32_t)in[6]);
  free(arguments);
  if (result == FAILED) {
    const Failure *failure = last_failure();
    for (int i = 0; i < 3; i++) control->answers[1 + i] = (uint64_t)failure->program_id[i];
    strcpy(control->text, failure->message);
  }
  control->answers[0] = result;
}

static void list_externals(void) {
  char *text = control->text;
  uint64_t count = 0;
  for (const External *row = externals; row->name; row++, count++) {
    text = stpcpy(text, row->name) + 1;
    rows()[count] = (uint64_t)row->address;
  }
  // Not for kernels, but for what the host puts in the place of their matrix instructions, or in front of accesses.
  text = stpcpy(text, "ime_call") + 1;
  rows()[count++] = (uint64_t)ime_call;
  text = stpcpy(text, "trace_access") + 1;
  rows()[count++] = (uint64_t)trace_access;
  control->answers[0] = count;
}

int main(int count, char **values) {
  if (count != 3) return 2;
  ime_call_generation = generation = atoi(values[1]);
  file = atoi(values[2]);
  control = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (control == MAP_FAILED) return 3;
  pthread_t watcher;
  if (pthread_create(&watcher, NULL, watch_host, NULL)) return 4;
  keep_memory_file();
  on_thread_start = use_signal_stack;
  use_signal_stack();
  struct sigaction action = {.sa_sigaction = enter_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  sigaddset(&action.sa_mask, SIGUSR1);  // it asks where the kernel is, not where a handler is
  const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGUSR1};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
  for (uint32_t event = READY;; event = DONE) {
    pthread_mutex_lock(&speaking);
    tell_host(event);
    pthread_mutex_unlock(&speaking);
    control->answers[0] = 0;
    switch (control->command) {
      case MAP: map_ranges(); break;
      case UNMAP: unmap_ranges(); break;
      case LAUNCH: launch(); break;
      case EXTERNALS: list_externals(); break;
    }
  }
}
