// The process that runs kernels for a host process: under QEMU (guest_main.c), or for the agent on a board (worker.c).
//
// Host and guest share a file: its first bytes are the control block below, and `place` says where in it the memory of an address lies.
// Guest and host take turns: the guest reports an event and sleeps until the host answers it; the answer
// to READY and DONE is the next command. Kernels are mapped from the file too.
// QEMU takes matrix instructions for illegal ones, and the signal's handler carries them out.
// A kernel's access to memory that is not mapped is an event as well: the host may answer with memory that is to be mapped.
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
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "guest.h"
#include "ime.h"
#include "memory.h"
#include "pool.h"
#include "protocol.h"
#include "signal_stack.h"
#include "vectors.h"

enum { TAKEN = TRY_AGAIN + 1 };  // besides the host's answers to PAGE_FAULT: QEMU itself lies there

static Control *control;
static Guest guest;

// What lies behind the control block.
static uint64_t *rows(void) { return (uint64_t *)(control + 1); }

static int paging;
static pthread_mutex_t speaking = PTHREAD_MUTEX_INITIALIZER;

static void futex(_Atomic uint32_t *word, int operation, uint32_t value) { syscall(SYS_futex, word, operation, value, NULL, NULL, 0); }

// Report an event and wait for the host's answer, which the caller finds in `control->operands`. The caller holds `speaking`.
static void tell_host(uint32_t event) {
  uint32_t seen = atomic_load(&control->command_bell);
  control->event = event;
  atomic_fetch_add(&control->event_bell, 1);
  if (guest.bell < 0)
    futex(&control->event_bell, FUTEX_WAKE, 1);
  else if (write(guest.bell, "", 1) != 1)
    _exit(0);
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

static int map_range(uint64_t start, uint64_t size, int rights, int is_private) {
  int flags = (is_private ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED_NOREPLACE;
  if (mmap((void *)start, size, rights, flags, guest.file, (off_t)guest.place(start)) == MAP_FAILED) return 0;
  if (rights & PROT_EXEC) __builtin___clear_cache((char *)start, (char *)start + size);
  return 1;
}

// Ask for the memory around an address and map it. Two threads may miss the same page: the second only has to try again.
static int fetch_page(uint64_t address) {
  pthread_mutex_lock(&speaking);
  control->answers[0] = address;
  tell_host(PAGE_FAULT);
  const uint64_t *in = control->operands;
  uint64_t answer = in[0];
  if (answer == MAP_IT && !map_range(in[1], in[2], (int)in[3], in[4] != 0)) answer = TAKEN;
  pthread_mutex_unlock(&speaking);
  return (int)answer;
}

#ifdef __riscv
// The instruction at an address, and 0 where there is a short one: it may be the last of its page.
static uint32_t word_at(uint64_t address) {
  uint16_t first;
  uint32_t word = 0;
  memcpy(&first, (const void *)address, sizeof first);
  if ((first & 3) == 3) memcpy(&word, (const void *)address, sizeof word);
  return word;
}

// Carries out the matrix instruction at the program counter, if there is one: IME_DONE, the rule that it breaks, or IME_OTHER.
static int emulate(uint64_t *counter, uint32_t *word, const VectorState *state) {
  *word = word_at(*counter);
  int rule = *word ? emulate_ime(*word, guest.generation, state) : IME_OTHER;
  if (rule == IME_DONE) *counter += sizeof *word;
  return rule;
}
// Registers of a RISC-V signal frame: the program counter, then x1 (the return address) and on.
static uint64_t *counter_of(void *frame) { return (uint64_t *)&((ucontext_t *)frame)->uc_mcontext; }
static uint64_t link_of(void *frame) { return counter_of(frame)[1]; }
#else
static int emulate(uint64_t *counter, uint32_t *word, const VectorState *state) { return IME_OTHER; }
static uint64_t *counter_of(void *frame) { return (uint64_t *)&((ucontext_t *)frame)->uc_mcontext.gregs[REG_RIP]; }
static uint64_t link_of(void *frame) { return 0; }  // on the stack
#endif

static uint64_t launches;

// Whether this is the first time that the thread is refused this access in this launch. QEMU says so, too, of a page that was missing when the
// access was made and that another thread has had mapped meanwhile: then the access only has to be made again.
static int is_refused_first(uint64_t counter, uint64_t address) {
  static _Thread_local uint64_t last[3];
  const uint64_t now[3] = {launches, counter, address};
  int is_first = memcmp(last, now, sizeof now) != 0;
  memcpy(last, now, sizeof now);
  return is_first;
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
  uint64_t *counter = counter_of(frame);
  uint32_t word = 0;
  int rule = signal == SIGILL ? emulate(counter, &word, state) : IME_OTHER;
  if (rule == IME_DONE) return;
  uint64_t address = (uint64_t)info->si_addr;
  int answer = UNKNOWN;
  if (signal == SIGSEGV && info->si_code == SEGV_MAPERR && context && paging) answer = fetch_page(address);
  if (signal == SIGSEGV && info->si_code == SEGV_ACCERR && context && paging && is_refused_first(*counter, address)) return;
  if (answer == MAP_IT || answer == TRY_AGAIN) return;
  pthread_mutex_lock(&speaking);
  uint64_t *out = control->answers;
  out[0] = answer == TAKEN ? 0 : (uint64_t)signal, out[1] = (uint64_t)info->si_code, out[2] = address, out[3] = *counter, out[4] = link_of(frame);
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
    if (!map_range(row[0], row[1], (int)row[2], row[3] != 0)) {
      control->answers[0] = (uint64_t)errno;
      return;
    }
  }
}

static void unmap_ranges(void) {
  const uint64_t *row = rows();
  for (uint64_t i = 0; i < control->operands[0]; i++, row += 2) munmap((void *)row[0], row[1]);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

// So many bytes of other memory go through the caches.
static void flush(uint64_t bytes) {
  static unsigned char *other;
  static uint64_t size;
  if (size < bytes) {
    free(other);
    other = has_memory(bytes) ? malloc(bytes) : NULL;
    size = other ? bytes : 0;
  }
  static unsigned char value;
  if (size) memset(other, value++, bytes < size ? bytes : size);
}

// One launch or several, timed: their nanoseconds lie in the rows, their number is the fifth answer.
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
  launches++;
  control->started = 1;
  uint64_t result, count = 0, most = (CONTROL_BYTES - sizeof *control) / sizeof(uint64_t);
  memset(control->answers + 5, 0, 3 * sizeof *control->answers);
  if (guest.count && in[10]) guest.count(0, control->answers);
  do {
    flush(in[9]);
    uint64_t start = now();
    result = (uint64_t)run_grid(&program, arguments, (int32_t)in[3], (int32_t)in[4], (int32_t)in[5], (int32_t)in[6]);
    rows()[count++] = now() - start;
  } while (result == OK && count < in[8] && count < most);
  if (guest.count && in[10]) guest.count(1, control->answers);
  control->answers[4] = count;
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
  // Not for kernels, but for what the host puts among their instructions.
  for (const External *row = guest.more; row && row->name; row++, count++) {
    text = stpcpy(text, row->name) + 1;
    rows()[count] = (uint64_t)row->address;
  }
  control->answers[0] = count;
}

int run_guest(const Guest *described) {
  guest = *described;
  control = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, guest.file, 0);
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
  if (guest.ready && !guest.ready()) return 5;
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
