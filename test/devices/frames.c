// Millions of frames, right and wrong ones, for the agent's own code (backend/runtime/agent.c and what it stands on) under sanitizers.
//
// usage: frames COUNT SEED. The system is stood in for where a test needs that: what is read comes from here, what is written goes nowhere, the
// end of the process is a jump back, and launches are counted. After each frame, all that the table of ranges says must be true.
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

static jmp_buf end_of_session;
static ssize_t give(int file, void *into, size_t bytes);
static ssize_t take(int file, const struct iovec *parts, int count);
__attribute__((noreturn)) static void leave(int status) { longjmp(end_of_session, 1 + (status != 0)); }

#define read give
#define writev take
#define _exit leave
#include "agent_link.c"
#undef read
#undef writev
#undef _exit
#define main agent_main
#include "agent.c"
#undef main

// What the host would send: bytes of the frames that are made below, cut anywhere.
enum { ROOM = 1 << 18 };
static uint8_t stream[ROOM];
static size_t stream_begin, stream_end;
static uint64_t state, launches, sessions, errors, sent, accepted;

static uint64_t chance(void) {  // xorshift64*
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  return state * 0x2545f4914f6cdd1dull;
}
static uint64_t below(uint64_t limit) { return chance() % limit; }

static ssize_t give(int file, void *into, size_t bytes) {
  size_t left = stream_end - stream_begin, count = left < bytes ? left : bytes;
  if (count > 1 && !below(4)) count = 1 + below(count);
  memcpy(into, stream + stream_begin, count);
  stream_begin += count;
  return (ssize_t)count;
}

static ssize_t take(int file, const struct iovec *parts, int count) {
  ssize_t all = 0;
  for (int i = 0; i < count; i++) {
    // Each byte that would be sent is read, which finds memory that is not the agent's.
    const volatile uint8_t *bytes = parts[i].iov_base;
    for (size_t j = 0; j < parts[i].iov_len; j += 64) (void)bytes[j];
    if (parts[i].iov_len) (void)bytes[parts[i].iov_len - 1];
    all += (ssize_t)parts[i].iov_len;
  }
  sent += (uint64_t)all;
  return all;
}

void set_worker_kind(const WorkerKind *kind) {}
void end_worker(void) {}
const char *why_no_sandbox(void) { return NULL; }
int worker_main(char **values) { return 0; }
uint64_t available_bytes(void) { return 32 << 20; }
const char *describe_board(uint64_t *bytes) { return *bytes = 2, "{}"; }

void unmap_in_worker(uint64_t start, uint64_t bytes) {
  if (!is_whole(start, bytes)) abort();
}

void launch(uint32_t sequence, const Launching *order, const void *slots, uint64_t slot_bytes) {
  const Range *range = range_at(order->entry);
  if (!range || !(range->rights & PROT_EXEC) || slot_bytes > CONTROL_BYTES) abort();
  launches++;
  // What the buffer has is looked through for a CANCEL while a launch is under way.
  (void)has_cancel();
}

// A number that may be wrong in a way that matters.
static uint64_t number(void) {
  static const uint64_t odd[] = {0, 1, 4095, 4096, 4097, 1ull << 31, 1ull << 32, 1ull << 63, UINT64_MAX, UINT64_MAX - 4095};
  switch (below(4)) {
    case 0: return odd[below(sizeof odd / sizeof *odd)];
    case 1: return chance();
    default: return below(1 << 16);
  }
}

// A range of tensors or of code, mostly; NULL where there is none.
static const Range *some_range(int of_code) {
  uint32_t first = count_ranges() ? (uint32_t)below(count_ranges()) : 0;
  for (uint32_t i = 0; i < count_ranges(); i++) {
    const Range *range = range_number((first + i) % count_ranges());
    if ((range->start < agent.arena.start) == of_code && (!of_code || range->rights & PROT_EXEC || !below(20))) return range;
  }
  return NULL;
}

static uint64_t place_in(const Area *area) {
  if (!below(30)) return number();
  return below(30) ? area->start + below(area->bytes / PAGE_BYTES) * PAGE_BYTES : area->start + area->bytes - below(3) * PAGE_BYTES;
}

// Where the frame is to do something, and to how many bytes: seldom what may not be.
static void choose_span(uint32_t type, uint64_t *start, uint64_t *bytes) {
  const Range *range = type == FRAME_ALLOCATE ? NULL : some_range(type == FRAME_LAUNCH || (type == FRAME_FREE && !below(3)));
  *start = range ? range->start : place_in(&agent.arena);
  *bytes = range ? range->end - range->start : (1 + below(4)) * PAGE_BYTES;
  if (range && type != FRAME_FREE && type != FRAME_LAUNCH && below(2)) *bytes = below(*bytes + 1), *start += below(range->end - range->start - *bytes + 1);
  const Range *other = some_range(0);
  if (range && other && type == FRAME_FREE && other->end > *start && !below(4)) *bytes = other->end - *start;  // perhaps with a gap
  if (!below(40)) *start = below(2) ? place_in(&agent.code) : number();
  if (!below(40)) *bytes = number();
}

static void put(const void *data, size_t bytes) {
  if (bytes) memcpy(stream + stream_end, data, bytes);
  stream_end += bytes;
}

static void put_frame(uint32_t type, const void *data, size_t bytes, uint64_t following) {
  Header header = {MAGIC, type, (uint32_t)chance(), 0, bytes + following};
  if (!below(200)) ((uint8_t *)&header)[below(sizeof header)] ^= (uint8_t)(1 << below(8));
  if (!below(200)) header.bytes = number();
  put(&header, sizeof header);
  put(data, bytes);
  if (following > ROOM / 4) following = below(64);  // it will be cut short
  for (uint64_t i = 0; i < following; i++) stream[stream_end++] = (uint8_t)chance();
}

static void make_frame(void) {
  static const uint32_t kinds[] = {FRAME_ALLOCATE, FRAME_ALLOCATE, FRAME_WRITE, FRAME_WRITE, FRAME_FILL, FRAME_FREE, FRAME_READ, FRAME_READ,
                                   FRAME_CODE, FRAME_LAUNCH, FRAME_LAUNCH, FRAME_BLOB, FRAME_CANCEL, FRAME_PING, FRAME_WORKER, FRAME_HELLO};
  uint32_t type = below(400) ? kinds[below(sizeof kinds / sizeof *kinds)] : (uint32_t)number();
  if (type == FRAME_CODE && count_ranges() && below(4)) type = FRAME_LAUNCH;  // digests take longer than all else
  if (type == FRAME_LAUNCH && !some_range(1) && below(20)) type = FRAME_CODE;
  if (!some_range(0) && below(20) && (type == FRAME_WRITE || type == FRAME_FILL || type == FRAME_FREE || type == FRAME_READ || type == FRAME_BLOB))
    type = FRAME_ALLOCATE;
  uint64_t start, bytes;
  choose_span(type, &start, &bytes);
  switch (type) {
    case FRAME_WORKER: put_frame(type, &(WorkerKind){.ai_cores = (uint32_t)below(40) / 39, .ime = (uint32_t)below(3)}, sizeof(WorkerKind), 0); break;
    case FRAME_HELLO: put_frame(type, &(Hello){.version = below(50) ? WIRE_VERSION : (uint32_t)number()}, sizeof(Hello), 0); break;
    case FRAME_WRITE: put_frame(type, &(Span){start, bytes}, sizeof(Span), bytes < ROOM / 4 ? bytes : number()); break;
    case FRAME_FILL: put_frame(type, &(Filling){start, bytes, chance()}, sizeof(Filling), 0); break;
    case FRAME_LAUNCH: {
      Launching order = {.entry = start, .threads = (int32_t)below(1024) + 1, .repeats = 1, .grid = {1, 1, 1}, .scratch_bytes = number()};
      if (!below(10)) order.grid[below(3)] = (int32_t)number(), order.repeats = (uint32_t)number(), order.flush_bytes = number();
      put_frame(type, &order, sizeof order, below(20) * 8);
      break;
    }
    case FRAME_CODE: {
      Image image = {.start = agent.code.start + below(agent.code.bytes / PAGE_BYTES) * PAGE_BYTES, .bytes = (1 + !below(20) * below(3)) * PAGE_BYTES};
      image.code_end = below(8) ? PAGE_BYTES : number();
      image.readonly_end = below(8) ? image.bytes : number(), image.writable_end = below(8) ? image.bytes : number();
      static uint8_t content[4 * PAGE_BYTES];
      for (int i = 0; i < 8; i++) content[below(image.bytes)] = (uint8_t)chance();
      sha256(content, image.bytes, image.digest);
      if (!below(50)) image.digest[below(sizeof image.digest)] ^= 1;
      if (!below(20)) image.start = number();
      put_frame(type, &image, sizeof image, 0);
      memcpy(stream + stream_end - sizeof image - sizeof(uint64_t), &(uint64_t){sizeof image + image.bytes}, sizeof(uint64_t));
      put(content, image.bytes);
      break;
    }
    case FRAME_BLOB: {
      Blob blob = {.start = start, .bytes = bytes > 200 && bytes <= 4 * PAGE_BYTES && below(20) ? below(200) : bytes, .keep = below(20) / 19};
      put_frame(type, &blob, sizeof blob, 0);
      break;
    }
    case FRAME_CANCEL: case FRAME_PING: put_frame(type, NULL, 0, 0); break;
    default: put_frame(type, &(Span){start, bytes}, sizeof(Span), below(300) ? 0 : below(64) + 1); break;
  }
}

static void check_ranges(void) {
  for (uint32_t i = 0; i < count_ranges(); i++) {
    const Range *range = range_number(i);
    uint64_t size = range->end - range->start;
    int in_code = is_within(&agent.code, range->start, size), in_arena = is_within(&agent.arena, range->start, size);
    if (range->start >= range->end || in_code == in_arena || range->start % PAGE_BYTES || range->end % PAGE_BYTES) abort();
    if ((range->rights & PROT_WRITE) && (range->rights & PROT_EXEC)) abort();
    if (i && range_number(i - 1)->end > range->start) abort();
    if (place_of(range->start) < CONTROL_BYTES || place_of(range->end - 1) >= agent.file_bytes) abort();
  }
}

int main(int count, char **values) {
  uint64_t frames = strtoull(values[1], NULL, 10), done = 0;
  state = strtoull(values[2], NULL, 10) * 2 + 1;
  take_memory(0);
  while (done < frames) {
    sessions++;
    stream_begin = stream_end = 0;
    open_link(0, 1);
    greeted = 0, left = 0;
    while (count_ranges()) remove_ranges(range_number(0)->start, range_number(0)->end - range_number(0)->start);
    int ended = setjmp(end_of_session);
    if (ended) {
      errors += ended == 2, done++;
      check_ranges();
      continue;
    }
    put_frame(FRAME_HELLO, &(Hello){.version = WIRE_VERSION}, sizeof(Hello), 0);
    for (; done < frames; done++, accepted++) {
      if (begin == end && stream_begin == stream_end) {
        stream_begin = stream_end = 0;
        for (uint64_t i = below(8) ? 1 : below(4) + 1; i && stream_end < ROOM / 8; i--) make_frame();
      }
      handle_frame();
      if (!(done % 64)) check_ranges();
      if (count_ranges() > 2000) end_agent(0);
    }
  }
  printf("%llu frames, %llu taken, %llu sessions, %llu refusals, %llu launches, %llu bytes sent\n", (unsigned long long)done,
         (unsigned long long)accepted, (unsigned long long)sessions, (unsigned long long)errors, (unsigned long long)launches, (unsigned long long)sent);
  return 0;
}
