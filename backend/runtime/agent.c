// The agent: lends a board's memory and cores to a host at the other end of a link, over which it is told what to do by frames (wire.h).
//
// usage: agent --stdio, or --listen PATH, a socket of this user's. Options: --memory BYTES, --cache FOLDER, --require-sandbox.
//
// It never runs a kernel itself: a worker does (worker.c), which a fault costs, and nothing else. Each length and each range that comes over
// the link is checked before anything is done with it. What breaks a rule is answered with ERROR, and the agent ends.
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi.h"
#include "agent_blobs.h"
#include "protocol.h"
#include "sha256.h"

Agent agent;

static const uint64_t MOST_CODE = 256 << 20, MOST_ARENA = 1ull << 36;
static uint8_t message[MESSAGE_BYTES];
static int greeted;

uint64_t place_of(uint64_t address) {
  if (is_within(&agent.code, address, 0)) return CONTROL_BYTES + (address - agent.code.start);
  return CONTROL_BYTES + agent.code.bytes + (address - agent.arena.start);
}

static void *memory_at(uint64_t address) { return agent.memory + place_of(address); }

// Memory

static void take_memory(uint64_t most) {
  uint64_t half = available_bytes() / 2;
  if (most && most < half) half = most;
  agent.code = (Area){CODE_START, (half / 4 < MOST_CODE ? half / 4 : MOST_CODE) & -(uint64_t)PAGE_BYTES};
  uint64_t left = half - agent.code.bytes;
  agent.arena = (Area){ARENA_START, (left < MOST_ARENA ? left : MOST_ARENA) & -(uint64_t)PAGE_BYTES};
  agent.file_bytes = CONTROL_BYTES + agent.code.bytes + agent.arena.bytes;
  agent.file = memfd_create("triton-spacemit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (agent.file < 0 || ftruncate(agent.file, (off_t)agent.file_bytes)) fail("no memory to lend: %s", strerror(errno));
  // The file cannot grow, whatever a kernel asks for: it is all the memory that a host gets.
  fcntl(agent.file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  agent.memory = mmap(NULL, agent.file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, agent.file, 0);
  if (agent.memory == MAP_FAILED) fail("no memory to lend: %s", strerror(errno));
}

// Frames

static uint64_t left;  // bytes of the frame that have not been received

// The frame's body, which has so many bytes.
static void body(void *into, uint64_t bytes) {
  if (left < bytes) fail("a frame is %llu bytes too short", (unsigned long long)(bytes - left));
  receive(into, bytes);
  left -= bytes;
}

static void expect_end(void) {
  if (left) fail("a frame has %llu bytes too many", (unsigned long long)left);
}

static int is_paged(uint64_t value) { return value % PAGE_BYTES == 0; }

static void check_held(uint64_t start, uint64_t bytes) {
  if (!is_within(&agent.arena, start, bytes) || !is_covered(start, bytes))
    fail("%llu bytes at %#llx are not allocated", (unsigned long long)bytes, (unsigned long long)start);
}

static void hello(uint32_t sequence) {
  Hello hello;
  body(&hello, sizeof hello);
  expect_end();
  if (hello.version != WIRE_VERSION) fail("the agent speaks version %d, and was asked for version %u", WIRE_VERSION, hello.version);
  greeted = 1;
  struct iovec part;
  uint64_t bytes;
  part.iov_base = (void *)describe_board(&bytes), part.iov_len = bytes;
  send_frame(FRAME_INFO, sequence, &part, 1);
}

static void choose_worker(void) {
  WorkerKind kind;
  body(&kind, sizeof kind);
  expect_end();
  if (kind.ai_cores > 1 || kind.ime > 2) fail("there is no worker of this kind");
  set_worker_kind(&kind);
}

static void allocate(void) {
  Span span;
  body(&span, sizeof span);
  expect_end();
  if (!span.bytes || !is_paged(span.start) || !is_paged(span.bytes) || !is_within(&agent.arena, span.start, span.bytes))
    fail("%llu bytes at %#llx cannot be allocated", (unsigned long long)span.bytes, (unsigned long long)span.start);
  const Range range = {span.start, span.start + span.bytes, PROT_READ | PROT_WRITE, 0, 0};
  if (!add_range(&range)) fail("%llu bytes at %#llx are taken", (unsigned long long)span.bytes, (unsigned long long)span.start);
}

static void write_memory(void) {
  Span span;
  body(&span, sizeof span);
  if (span.bytes != left) fail("a frame has %llu bytes for a range of %llu", (unsigned long long)left, (unsigned long long)span.bytes);
  check_held(span.start, span.bytes);
  receive(memory_at(span.start), span.bytes);
}

static void fill(void) {
  Filling filling;
  body(&filling, sizeof filling);
  expect_end();
  check_held(filling.start, filling.bytes);
  memset(memory_at(filling.start), (int)(filling.value & 255), filling.bytes);
}

static void free_memory(void) {
  Span span;
  body(&span, sizeof span);
  expect_end();
  if (!is_whole(span.start, span.bytes))
    fail("%llu bytes at %#llx were not allocated", (unsigned long long)span.bytes, (unsigned long long)span.start);
  int is_code = is_within(&agent.code, span.start, span.bytes);
  if (!is_code && !is_within(&agent.arena, span.start, span.bytes)) fail("what is to be freed is of two kinds");
  unmap_in_worker(span.start, span.bytes);
  for (uint64_t at = span.start; at < span.start + span.bytes;) {
    const Range *range = range_at(at);
    uint64_t end = range->end;
    fallocate(agent.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)place_of(at), (off_t)(end - at));
    at = end;
  }
  remove_ranges(span.start, span.bytes);
}

static void read_memory(uint32_t sequence) {
  Span span;
  body(&span, sizeof span);
  expect_end();
  check_held(span.start, span.bytes);
  struct iovec parts[2] = {{&span, sizeof span}, {memory_at(span.start), span.bytes}};
  send_frame(FRAME_DATA, sequence, parts, 2);
}

static void take_code(void) {
  Image image;
  body(&image, sizeof image);
  uint64_t ends[] = {0, image.code_end, image.readonly_end, image.writable_end, image.bytes};
  int good = image.bytes && image.bytes == left && is_paged(image.start) && is_within(&agent.code, image.start, image.bytes);
  for (int i = 0; i < 4; i++) good = good && is_paged(ends[i + 1]) && ends[i] <= ends[i + 1];
  if (!good) fail("%llu bytes of code at %#llx are no image", (unsigned long long)image.bytes, (unsigned long long)image.start);
  const int rights[] = {PROT_READ | PROT_EXEC, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};
  Range parts[4];
  int count = 0;
  for (int i = 0; i < 4; i++)
    if (ends[i] < ends[i + 1]) parts[count++] = (Range){image.start + ends[i], image.start + ends[i + 1], rights[i], 1, 0};
  for (int i = 0; i < count; i++)
    if (!add_range(&parts[i])) fail("%llu bytes at %#llx are taken", (unsigned long long)image.bytes, (unsigned long long)image.start);
  receive(memory_at(image.start), image.bytes);
  uint8_t digest[DIGEST_BYTES];
  sha256(memory_at(image.start), image.bytes, digest);
  if (memcmp(digest, image.digest, sizeof digest)) fail("an image is not what its digest says");
}

static void order_launch(uint32_t sequence) {
  Launching order;
  body(&order, sizeof order);
  uint64_t slot_bytes = left, room = CONTROL_BYTES - sizeof(Control);
  if (slot_bytes > room)
    fail("%llu bytes of arguments are more than the %llu that a launch takes", (unsigned long long)slot_bytes, (unsigned long long)room);
  const Range *code = range_at(order.entry);
  if (!code || !(code->rights & PROT_EXEC)) fail("there is no kernel at %#llx", (unsigned long long)order.entry);
  for (int i = 0; i < 3; i++)
    if (order.grid[i] < 1) fail("a grid has no programs");
  uint64_t programs;
  if (__builtin_mul_overflow((uint64_t)order.grid[0], (uint64_t)order.grid[1], &programs) ||
      __builtin_mul_overflow(programs, (uint64_t)order.grid[2], &programs) || programs > INT64_MAX)
    fail("a grid has more programs than can be counted");
  if (order.threads < 1 || order.threads > MAX_THREADS) fail("%d threads are none that a launch can have", order.threads);
  if (!order.repeats || order.repeats > MAX_REPEATS || order.counters > 1) fail("a launch cannot be repeated %u times", order.repeats);
  if (order.flush_bytes > agent.file_bytes) fail("caches of %llu bytes are too large", (unsigned long long)order.flush_bytes);
  receive(message, slot_bytes);
  launch(sequence, &order, message, slot_bytes);
}

static void handle_blob(uint32_t sequence) {
  Blob blob;
  body(&blob, sizeof blob);
  expect_end();
  if (blob.keep > 1) fail("a blob is kept or not");
  check_held(blob.start, blob.bytes);
  const char *problem = NULL;
  int found = blob.keep ? keep_blob(&blob, memory_at(blob.start), &problem) : find_blob(&blob, memory_at(blob.start));
  if (problem) fail("%s", problem);
  send_frame(found ? FRAME_HIT : FRAME_MISS, sequence, NULL, 0);
}

static void handle_frame(void) {
  Header header;
  receive(&header, sizeof header);
  if (header.magic != MAGIC || header.reserved) fail("this is no frame");
  left = header.bytes;
  int is_bulk = header.type == FRAME_WRITE || header.type == FRAME_CODE;
  if (!is_bulk && left > MESSAGE_BYTES) fail("a frame of %llu bytes is too long", (unsigned long long)left);
  if (!greeted && header.type != FRAME_HELLO) fail("HELLO comes first");
  switch (header.type) {
    case FRAME_HELLO: hello(header.sequence); break;
    case FRAME_WORKER: choose_worker(); break;
    case FRAME_ALLOCATE: allocate(); break;
    case FRAME_WRITE: write_memory(); break;
    case FRAME_FILL: fill(); break;
    case FRAME_FREE: free_memory(); break;
    case FRAME_READ: read_memory(header.sequence); break;
    case FRAME_CODE: take_code(); break;
    case FRAME_LAUNCH: order_launch(header.sequence); break;
    case FRAME_BLOB: handle_blob(header.sequence); break;
    case FRAME_CANCEL: expect_end(); break;  // of a launch that has ended meanwhile
    case FRAME_PING: expect_end(), send_frame(FRAME_PONG, header.sequence, NULL, 0); break;
    default: fail("there is no frame %u", header.type);
  }
}

static void serve(int input, int output, uint64_t memory) {
  open_link(input, output);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const char *problem = agent.require_sandbox ? why_no_sandbox() : NULL;
  if (problem) fail("a worker cannot be put in a sandbox here (%s), and --require-sandbox was given", problem);
  take_memory(memory);
  for (;;) handle_frame();
}

// A socket for this user alone; each connection has an agent of its own.
static int listen_at(const char *path, uint64_t memory) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return fprintf(stderr, "agent: %s is too long a path\n", path), 2;
  strcpy(address.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  umask(0177);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8)) return perror("agent"), 1;
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int link = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    if (link < 0) continue;
    int known = !getsockopt(link, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == getuid();
    if (known && !fork()) {
      signal(SIGCHLD, SIG_DFL);
      close(listener);
      serve(link, link, memory);
    }
    close(link);
  }
}

int main(int count, char **values) {
  if (count == 6 && !strcmp(values[1], "--worker")) return worker_main(values + 2);
  const char *path = NULL;
  uint64_t memory = 0;
  int over_stdio = 0;
  for (int i = 1; i < count; i++) {
    const char *option = values[i], *value = i + 1 < count ? values[i + 1] : NULL;
    if (!strcmp(option, "--stdio")) over_stdio = 1;
    else if (!strcmp(option, "--require-sandbox")) agent.require_sandbox = 1;
    else if (!strcmp(option, "--listen") && value) path = value, i++;
    else if (!strcmp(option, "--cache") && value) agent.cache = value, i++;
    else if (!strcmp(option, "--memory") && value) memory = strtoull(value, NULL, 10), i++;
    else return fprintf(stderr, "agent: unknown option %s\n", option), 2;
  }
  if (path && !over_stdio) return listen_at(path, memory);
  if (over_stdio && !path) serve(STDIN_FILENO, STDOUT_FILENO, memory);
  fprintf(stderr, "usage: agent --stdio | --listen PATH [--memory BYTES] [--cache FOLDER] [--require-sandbox]\n");
  return 2;
}
