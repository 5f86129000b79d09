// Kernel code in this process that faults or does not end: the launch fails, and the process goes on.
//
// A fault is the kernel's where the thread runs a program, the runtime is not at work for it, and the instruction is in the kernel's code or in
// a function that kernels call (`externals`). Its handler then has the thread go on in `raise_fault`, on the part
// of the stack that the kernel had, which is ordinary code that fails the program as an assertion does. Any other fault goes to the handler
// that was there before: faulthandler's, or the end of the process.
// A thread that is to stop, or to look after its process, is sent a KNOCK. In the same code, which holds no locks and owns nothing, its handler
// may do anything that the thread itself could: it lets Python handle signals, and has a thread whose launch has failed go on in `stop_program`.
// Anywhere else it waits for the end of what the runtime does, or for the next knock.
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "guard.h"
#include "pool.h"
#include "signal_stack.h"

enum { MAX_RANGES = 8, CALL_WORDS = 64, NEAR_STACK = 1 << 20 };

typedef struct Range {
  uintptr_t start, end;
} Range;

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
enum { NUM_FAULTS = sizeof faults / sizeof *faults };
// Handlers that ours stands before, the last and the first: one that came after ours knows ours as the one before it.
static struct sigaction newest[NUM_FAULTS], oldest[NUM_FAULTS], before_knock;
static _Thread_local int passing __attribute__((tls_model("initial-exec")));  // a fault on to such a handler, which may pass it on itself
static Range functions[MAX_RANGES], runtime;  // the code with what kernels call, and this library
static int num_functions;
static _Thread_local int has_stack __attribute__((tls_model("initial-exec")));

// Python

static Python python;
static _Atomic int has_python;
static pthread_t main_thread;  // which Python runs handlers of signals on

int must_poll(void) { return atomic_load_explicit(&has_python, memory_order_relaxed) && pthread_equal(pthread_self(), main_thread); }

void poll_caller(Pool *pool) {
  if (!must_poll() || has_failed(pool)) return;
  int state = python.ensure();
  if (python.check_signals() < 0) {
    void **raised = pool->failure.raised;
    python.fetch(&raised[0], &raised[1], &raised[2]);
    record_failure(pool, INTERRUPTED, NULL, "");
  }
  python.release(state);
  if (has_failed(pool)) wake_blocked(pool);
}

void leave_python(void) {
  atomic_store(&has_python, 0);
  set_timeout(NULL);
}

static void become_main_thread(void) { main_thread = pthread_self(); }

// Where a thread is

static int is_in(const Range *range, uintptr_t address) { return address - range->start < range->end - range->start; }

static Range code_of(const Worker *worker) {
  const Program *program = worker->pool->program;
  return (Range){(uintptr_t)program->code, (uintptr_t)program->code + program->code_bytes};
}

#ifdef __x86_64__
static uintptr_t counter_of(const ucontext_t *frame) { return (uintptr_t)frame->uc_mcontext.gregs[REG_RIP]; }
static uintptr_t stack_of(const ucontext_t *frame) { return (uintptr_t)frame->uc_mcontext.gregs[REG_RSP]; }
static uintptr_t return_address(const ucontext_t *frame) { return 0; }  // on the stack

static void go_on_in(ucontext_t *frame, void (*function)(Worker *), Worker *worker) {
  greg_t *registers = frame->uc_mcontext.gregs;
  registers[REG_RIP] = (greg_t)function;
  registers[REG_RDI] = (greg_t)worker;
  registers[REG_RSP] = (greg_t)(((worker->stack - 256) & ~(uintptr_t)15) - 8);  // as behind a call
  registers[REG_EFL] &= ~0x400;                                                // strings go upwards
}
#else
static uintptr_t counter_of(const ucontext_t *frame) { return (uintptr_t)frame->uc_mcontext.__gregs[0]; }
static uintptr_t stack_of(const ucontext_t *frame) { return (uintptr_t)frame->uc_mcontext.__gregs[2]; }
static uintptr_t return_address(const ucontext_t *frame) { return (uintptr_t)frame->uc_mcontext.__gregs[1]; }

static void go_on_in(ucontext_t *frame, void (*function)(Worker *), Worker *worker) {
  frame->uc_mcontext.__gregs[0] = (uintptr_t)function;
  frame->uc_mcontext.__gregs[10] = (uintptr_t)worker;
  frame->uc_mcontext.__gregs[2] = (worker->stack - 256) & ~(uintptr_t)15;
}
#endif

// The place in the kernel's code that called the function that the thread is in; 0 where there is none.
static uintptr_t caller_of(const Worker *worker, const ucontext_t *frame, uintptr_t fault) {
  Range code = code_of(worker);
  uintptr_t stack = stack_of(frame), link = return_address(frame);
  if (is_in(&code, link)) return link - 1;
  if (stack % sizeof stack || stack >= worker->stack || fault - stack < CALL_WORDS * sizeof stack) return 0;
  const uintptr_t *word = (const uintptr_t *)stack;
  for (int i = 0; i < CALL_WORDS && (uintptr_t)(word + i) < worker->stack; i++)
    if (is_in(&code, word[i])) return word[i] - 1;
  return 0;
}

// In a function of the system that kernels call.
static int is_in_functions(uintptr_t counter) {
  for (int i = 0; i < num_functions; i++)
    if (is_in(&functions[i], counter)) return 1;
  return 0;
}

// In this library, which has some of what kernels call.
static int is_in_runtime(uintptr_t counter) { return is_in(&runtime, counter); }

// Whether a fault is the kernel's, and where in its code it is, 0 for elsewhere.
static int is_of_kernel(const Worker *worker, const ucontext_t *frame, const siginfo_t *info, uintptr_t *place) {
  uintptr_t counter = counter_of(frame), address = (uintptr_t)info->si_addr;
  Range code = code_of(worker);
  *place = counter;
  if (is_in(&code, counter)) return 1;
  *place = caller_of(worker, frame, address);
  if (info->si_signo == SIGSEGV && counter == address) return 1;  // the kernel has jumped to where no code is
  // Kernels may leave through a jump to a function, which then returns to the runtime; but `inside`, that is in no function of the system.
  return is_in_functions(counter) || (is_in_runtime(counter) && (*place || worker->touching));
}

// Handlers

// What has no handler of ours.
static void pass_on(const struct sigaction *old, int number, siginfo_t *info, void *frame) {
  if (old->sa_flags & SA_SIGINFO) {
    old->sa_sigaction(number, info, frame);
  } else if (old->sa_handler == SIG_DFL) {
    if (number == KNOCK) return;
    sigaction(number, old, NULL);
    if (info->si_code <= 0) raise(number);  // sent; a fault happens again
  } else if (old->sa_handler != SIG_IGN) {
    old->sa_handler(number);
  }
}

static void raise_fault(Worker *worker) {
  Pool *pool = worker->pool;
  enter_runtime(&worker->context);
  if (record_failure(pool, FAULTED, &worker->context, "")) {
    Failure *failure = &pool->failure;
    failure->signal = worker->fault.signal, failure->code = worker->fault.code;
    failure->address = worker->fault.address, failure->place = worker->fault.place;
    pthread_attr_t attributes;
    void *lowest;
    size_t size;
    if (failure->signal == SIGSEGV && !pthread_getattr_np(pthread_self(), &attributes)) {
      pthread_attr_getstack(&attributes, &lowest, &size);
      pthread_attr_destroy(&attributes);
      if (failure->address - ((uintptr_t)lowest - NEAR_STACK) < NEAR_STACK + 4096) failure->stack_bytes = size;
    }
  }
  wake_blocked(pool);
  _longjmp(worker->stop, 1);
}

static void on_fault(int number, siginfo_t *info, void *frame) {
  Worker *worker = get_running();
  uintptr_t place;
  if (worker && !worker->inside && info->si_code > 0 && is_of_kernel(worker, frame, info, &place)) {
    worker->fault = (Fault){number, info->si_code, (uintptr_t)info->si_addr, place};
    worker->inside = 1;
    go_on_in(frame, raise_fault, worker);
    return;
  }
  int old = passing;
  for (int i = 0; i < NUM_FAULTS; i++) {
    if (faults[i] != number) continue;
    passing = 1;
    pass_on(old && info->si_code <= 0 ? &oldest[i] : &newest[i], number, info, frame);
    passing = old;
  }
}

static void stop_program(Worker *worker) { _longjmp(worker->stop, 1); }

static void on_knock(int number, siginfo_t *info, void *frame) {
  if (info->si_code > 0 || info->si_pid != getpid()) {
    int old = passing;
    passing = 1;
    if (!old) pass_on(&before_knock, number, info, frame);
    passing = old;
    return;
  }
  int error = errno;
  Worker *worker = get_running();
  if (worker && worker->inside) {
    worker->knocked = 1;
  } else if (worker) {
    Pool *pool = worker->pool;
    Range code = code_of(worker);
    uintptr_t counter = counter_of(frame);
    uintptr_t place = is_in(&code, counter) ? counter : is_in_functions(counter) ? caller_of(worker, frame, 0) : 0;
    if (place) {
      worker->inside = 1;
      poll_caller(pool);
      worker->knocked = 0;
      if (has_failed(pool)) {
        if (atomic_load(&pool->status) == TIMED_OUT && !atomic_exchange(&pool->told, 1)) {
          memcpy(pool->failure.program_id, worker->context.program_id, sizeof worker->context.program_id);
          pool->failure.place = place;
        }
        go_on_in(frame, stop_program, worker);
      } else {
        worker->inside = 0;
      }
    }
  }
  errno = error;
}

// Threads

void prepare_thread(void) {
  if (has_stack) return;
  use_signal_stack();
  sigset_t needed;  // a thread may have been made with all signals blocked
  sigemptyset(&needed);
  sigaddset(&needed, KNOCK);
  for (int i = 0; i < NUM_FAULTS; i++) sigaddset(&needed, faults[i]);
  pthread_sigmask(SIG_UNBLOCK, &needed, NULL);
  has_stack = 1;
}

static int add_range(struct dl_phdr_info *info, size_t size, void *address) {
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + part->p_vaddr;
    Range range = {start, start + part->p_memsz};
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || !is_in(&range, (uintptr_t)address)) continue;
    if (is_in(&range, (uintptr_t)on_fault)) {
      runtime = range;
      return 1;
    }
    for (int j = 0; j < num_functions; j++)
      if (functions[j].start == start) return 1;
    if (num_functions < MAX_RANGES) functions[num_functions++] = range;
    return 1;
  }
  return 0;
}

void stand_first(void) {
  // Not deferred: a handler may be left by a jump, or go on for long.
  const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  struct sigaction first;
  for (int i = 0; i < NUM_FAULTS; i++) {
    if (sigaction(faults[i], NULL, &first) || (first.sa_flags & SA_SIGINFO && first.sa_sigaction == on_fault)) continue;
    newest[i] = first;
    sigaction(faults[i], &action, NULL);
  }
  const struct sigaction on_knocks = {.sa_sigaction = on_knock, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
  if (sigaction(KNOCK, NULL, &first) || (first.sa_flags & SA_SIGINFO && first.sa_sigaction == on_knock)) return;
  before_knock = first;
  sigaction(KNOCK, &on_knocks, NULL);
}

static _Atomic int installed;

int is_guarded(void) { return atomic_load_explicit(&installed, memory_order_relaxed); }

void install_guard(const Python *of_process) {
  if (of_process) {
    python = *of_process;
    set_timeout(python.timeout);
    main_thread = (pthread_t)of_process->main_thread;
    atomic_store(&has_python, 1);
  }
  if (is_guarded()) return;
  pthread_atfork(NULL, NULL, become_main_thread);
  dl_iterate_phdr(add_range, (void *)on_fault);
  for (const External *row = externals; row->name; row++) dl_iterate_phdr(add_range, row->address);
  on_thread_start = prepare_thread;
  for (int i = 0; i < NUM_FAULTS; i++) sigaction(faults[i], NULL, &oldest[i]);
  stand_first();
  atomic_store(&installed, 1);
}
