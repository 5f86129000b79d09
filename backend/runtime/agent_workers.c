// The agent's worker: started when a launch needs one, watched over while it runs programs, ended by its faults.
//
// It maps what it touches: an access to memory that it has not mapped is a question, which the table of ranges answers. The agent believes
// nothing that stands in the control block, where kernels may write: numbers are bounded, addresses looked up.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"
#include "agent.h"
#include "protocol.h"

typedef enum Happening { EVENT, CANCEL, DEATH, TIMEOUT } Happening;

static const uint64_t SECOND = 1000000000, NEVER = UINT64_MAX;
static const uint64_t LONGEST_START = 30, LONGEST_STEP = 30, LONGEST_REPORT = 2;  // seconds

static WorkerKind kind;
static pid_t worker;
static int bell = -1, life = -1;
static Control *control;

static uint64_t *rows(void) { return (uint64_t *)(control + 1); }
enum { ROW_BYTES = CONTROL_BYTES - sizeof(Control) };

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t in_seconds(uint64_t seconds) { return now() + seconds * SECOND; }

// The worker has been waited for: its exit code, or the negative number of the signal that ended it.
static int forget_worker(int status) {
  worker = 0;
  close(bell), close(life);
  bell = life = -1;
  for (uint32_t i = 0; i < count_ranges(); i++) range_number(i)->mapped = 0;
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int status_of_dead(void) {
  int status = 0;
  while (waitpid(worker, &status, 0) < 0 && errno == EINTR) continue;
  return forget_worker(status);
}

static int kill_worker(void) {
  kill(worker, SIGKILL);
  return status_of_dead();
}

void end_worker(void) {
  if (worker) kill_worker();
}

void set_worker_kind(const WorkerKind *wanted) {
  end_worker();
  kind = *wanted;
}

static void answer(uint32_t command) {
  control->command = command;
  atomic_fetch_add(&control->command_bell, 1);
  syscall(SYS_futex, &control->command_bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static Happening wait_for(uint64_t deadline, int watch_link) {
  for (;;) {
    struct pollfd of[2] = {{.fd = bell, .events = POLLIN}, {.fd = watch_link ? link_to_watch() : -1, .events = POLLIN}};
    uint64_t time = deadline == NEVER ? 0 : now();
    if (time > deadline) return TIMEOUT;
    uint64_t milliseconds = (deadline - time) / 1000000 + 1;
    int found = poll(of, 2, deadline == NEVER ? -1 : milliseconds < 1000000 ? (int)milliseconds : 1000000);
    if (found < 0 && errno != EINTR) fail("poll: %s", strerror(errno));
    if (found <= 0) continue;
    if (of[0].revents) {
      char byte;
      return read(bell, &byte, 1) == 1 ? EVENT : DEATH;
    }
    if (of[1].revents && link_is_ready()) return CANCEL;
  }
}

static const char *why(int status, char text[64]) {
  static const char *const codes[] = {"it cannot run on the cores that were asked for", "it has no /dev/null", "it has no descriptors left",
                                      "/proc/set_ai_thread does not take it", "the agent cannot be executed"};
  if (status >= 20 && status < 25) return codes[status - 20];
  snprintf(text, 64, status < 0 ? "it was ended by signal %d" : "it ended with code %d", status < 0 ? -status : status);
  return text;
}

// Start the worker and wait until it is ready.
static void start_worker(void) {
  control = (Control *)agent.memory;
  memset(control, 0, offsetof(Control, text));
  int bells[2], lives[2];
  if (pipe2(bells, O_CLOEXEC) || pipe2(lives, O_CLOEXEC)) fail("no pipe for a worker: %s", strerror(errno));
  worker = fork();
  if (worker < 0) fail("no process for a worker: %s", strerror(errno));
  if (!worker) become_worker(&kind, bells[1], lives[0]);
  close(bells[1]), close(lives[0]);
  bell = bells[0], life = lives[1];
  Happening happened = wait_for(in_seconds(LONGEST_START), 0);
  char text[64];
  if (happened == DEATH) fail("a worker cannot be started: %s", why(status_of_dead(), text));
  if (happened != EVENT || control->event != READY) fail("a worker cannot be started: it does not answer");
}

void unmap_in_worker(uint64_t start, uint64_t bytes) {
  uint64_t count = 0;
  for (uint64_t at = start; worker && at < start + bytes;) {
    Range *range = range_at(at);
    at = range->end;
    if (!range->mapped) continue;
    rows()[2 * count] = range->start, rows()[2 * count + 1] = range->end - range->start;
    range->mapped = 0;
    if (2 * ++count * sizeof(uint64_t) < ROW_BYTES - 16 && at < start + bytes) continue;
    control->operands[0] = count, count = 0;
    answer(UNMAP);
    if (wait_for(in_seconds(LONGEST_STEP), 0) != EVENT || control->event != DONE) kill_worker();
  }
  if (!count || !worker) return;
  control->operands[0] = count;
  answer(UNMAP);
  if (wait_for(in_seconds(LONGEST_STEP), 0) != EVENT || control->event != DONE) kill_worker();
}

// Launches

static void report(uint32_t sequence, const FaultReport *fault) {
  struct iovec part = {(void *)fault, sizeof *fault};
  send_frame(FRAME_FAULT, sequence, &part, 1);
}

static void report_end(uint32_t sequence, uint32_t ended, int status) {
  report(sequence, &(FaultReport){.ended = ended, .program = {-1, -1, -1}, .status = status});
}

// What the worker says of a fault, after which it can only be ended.
static void report_fault(uint32_t sequence, uint32_t ended) {
  uint64_t said[OPERANDS];
  memcpy(said, control->answers, sizeof said);
  kill_worker();
  FaultReport fault = {.ended = ended == ENDED_SIGNAL && !said[0] ? ENDED_TAKEN : ended, .located = 1};
  fault.signal = (int32_t)said[0], fault.code = (int32_t)said[1], fault.address = said[2], fault.counter = said[3], fault.link = said[4];
  for (int i = 0; i < 3; i++) fault.program[i] = (int32_t)said[5 + i];
  fault.rule = (uint32_t)said[8], fault.word = (uint32_t)said[9];
  report(sequence, &fault);
}

static void report_done(uint32_t sequence, uint32_t most) {
  Done done = {.status = (uint32_t)control->answers[0], .counted = (int32_t)control->answers[5], .megahertz = most > 1 ? megahertz() : 0};
  done.cycles = control->answers[6], done.instructions = control->answers[7];
  uint64_t repeats = control->answers[4];
  done.repeats = repeats <= most ? (uint32_t)repeats : most;
  for (int i = 0; i < 3; i++) done.program[i] = done.status == FAILED ? (int32_t)control->answers[1 + i] : -1;
  done.message_bytes = done.status == FAILED ? (uint32_t)strnlen(control->text, FAILURE_BYTES) : 0;
  struct iovec parts[3] = {{&done, sizeof done}, {rows(), done.repeats * sizeof(uint64_t)}, {control->text, done.message_bytes}};
  send_frame(FRAME_DONE, sequence, parts, 3);
}

static void answer_page_fault(void) {
  Range *range = range_at(control->answers[0]);
  uint64_t *out = control->operands;
  memset(out, 0, 5 * sizeof *out);
  out[0] = range ? range->mapped ? TRY_AGAIN : MAP_IT : UNKNOWN;
  if (out[0] == MAP_IT) {
    out[1] = range->start, out[2] = range->end - range->start, out[3] = (uint64_t)range->rights, out[4] = (uint64_t)range->is_private;
    range->mapped = 1;
  }
  answer(0);
}

static void print_text(uint32_t sequence) {
  uint64_t bytes = control->answers[0];
  struct iovec part = {control->text, bytes < TEXT_BYTES ? bytes : TEXT_BYTES};
  send_frame(FRAME_PRINT, sequence, &part, 1);
  answer(0);
}

// Ask each of the worker's threads where it is: one that runs a program says it, as a fault.
static void ask_threads(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", worker);
  DIR *threads = opendir(path);
  for (struct dirent *entry; threads && (entry = readdir(threads));)
    if (entry->d_name[0] != '.') syscall(SYS_tgkill, worker, atoi(entry->d_name), SIGUSR1);
  if (threads) closedir(threads);
}

static void stop_late(uint32_t sequence) {
  ask_threads();
  uint64_t deadline = in_seconds(LONGEST_REPORT);
  Happening happened;
  while ((happened = wait_for(deadline, 0)) == EVENT) {
    if (control->event == FAULT) {
      report_fault(sequence, ENDED_TIMED_OUT);
      return;
    }
    if (control->event == DONE) break;
    if (control->event == PAGE_FAULT) answer_page_fault();
    else answer(0);
  }
  if (worker) kill_worker();
  report_end(sequence, ENDED_TIMED_OUT, 0);
}

// Turns

// Launches that are timed take turns with those of other agents of this user: a lock in a file that anybody may find, and that holds nothing.
static int open_lock(void) {
  const char *folder = getenv("TMPDIR");
  char path[PATH_MAX];
  int length = snprintf(path, sizeof path, "%s/triton-spacemit-%u.lock", folder && *folder ? folder : P_tmpdir, (unsigned)getuid());
  return length >= (int)sizeof path ? -1 : open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

// Wait for the lock; whether a CANCEL came meanwhile. Without such a file there are no turns.
static int take_turn(int lock) {
  while (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
    struct pollfd link = {.fd = link_to_watch(), .events = POLLIN};
    if (poll(&link, 1, 10) > 0 && link_is_ready()) return 0;
  }
  return 1;
}

static void launch_in_turn(uint32_t sequence, const Launching *order, const void *slots, uint64_t slot_bytes);

void launch(uint32_t sequence, const Launching *order, const void *slots, uint64_t slot_bytes) {
  int lock = order->repeats > 1 ? open_lock() : -1;
  if (take_turn(lock))
    launch_in_turn(sequence, order, slots, slot_bytes);
  else
    report_end(sequence, ENDED_CANCELLED, 0);
  if (lock >= 0) close(lock);
}

static void launch_in_turn(uint32_t sequence, const Launching *order, const void *slots, uint64_t slot_bytes) {
  int status;
  if (worker && waitpid(worker, &status, WNOHANG) == worker) forget_worker(status);  // between launches: nothing is lost
  if (!worker) start_worker();
  uint64_t *out = control->operands;
  memcpy(rows(), slots, slot_bytes);
  out[0] = order->entry, out[1] = order->scratch_bytes, out[2] = slot_bytes;
  for (int i = 0; i < 3; i++) out[3 + i] = (uint64_t)order->grid[i];
  out[6] = (uint64_t)order->threads, out[7] = 1, out[8] = order->repeats, out[9] = order->flush_bytes, out[10] = order->counters;
  uint64_t start = now(), deadline = order->timeout && order->timeout < NEVER - start ? start + order->timeout : NEVER;
  answer(LAUNCH);
  for (;;) {
    switch (wait_for(deadline, 1)) {
      case CANCEL: kill_worker(), report_end(sequence, ENDED_CANCELLED, 0); return;
      case DEATH: report_end(sequence, ENDED_DIED, status_of_dead()); return;
      case TIMEOUT: stop_late(sequence); return;
      case EVENT: break;
    }
    switch (control->event) {
      case DONE: report_done(sequence, order->repeats); return;
      case PRINT: print_text(sequence); break;
      case PAGE_FAULT: answer_page_fault(); break;
      case FAULT: report_fault(sequence, ENDED_SIGNAL); return;
      default: report_end(sequence, ENDED_DIED, kill_worker()); return;  // a kernel has written to the control block
    }
  }
}
