// A model of a core's caches and memory, fed with the addresses that a kernel touches: see backend/estimate/ for the other half.
//
// The clock counts cycles: the kernel's own code adds those of its instructions, block by block, and what is here those that it has to wait.
// A miss keeps the second cache or memory busy for a while. Lines that follow each other are fetched ahead, so that only their number
// counts; for others, the kernel waits until they arrive, which those that one block asks for do together.
#include "trace.h"

#include <stddef.h>

#pragma clang attribute push(__attribute__((target("arch=rv64gc"))), apply_to = function)

enum { PAGE_LINES = 4096 / LINE_BYTES };
enum { UNIT, STRIDED, INDEXED, WHOLE, MASK, SCALAR };  // Pattern in backend/estimate/instructions.py

static inline uint64_t *tags(Trace *trace) { return (uint64_t *)(trace + 1); }

static uint64_t now(const Trace *trace) { return trace->clock + trace->waited; }

static void wait_until(Trace *trace, Channel *channel, uint64_t time) {
  uint64_t before = now(trace);
  if (time <= before) return;
  channel->waited += time - before;
  trace->waited += time - before;
}

// What a block has asked for is used when the next one begins, at the latest: until then, misses wait together.
static void await_lines(Trace *trace) {
  wait_until(trace, trace->asked_of ? &trace->memory : &trace->between, trace->arrival);
  trace->asked = 0;
}

// Keep `channel` busy from now on. The kernel waits where it is too far ahead; for a line that nobody foresaw, it will have to.
static void transfer(Trace *trace, Channel *channel, uint64_t cycles, uint64_t writes, uint64_t latency) {
  if (channel->free_at < now(trace)) channel->free_at = now(trace);
  channel->free_at += cycles + (channel->writes != writes ? channel->turn : 0);
  channel->writes = writes;
  if (channel->free_at > trace->ahead) wait_until(trace, channel, channel->free_at - trace->ahead);
  if (!latency) return;
  if (!trace->asked++ || channel->free_at + latency > trace->arrival) {
    trace->arrival = channel->free_at + latency;
    trace->asked_of = channel == &trace->memory;
  }
  trace->asked_at = trace->clock;
  if (trace->asked == OUTSTANDING) await_lines(trace);
}

// Whether one of the last misses was of the line before this one. The list begins with the latest.
static int follows(uint64_t *streams, uint64_t line) {
  int found = 0, i = 0;
  for (; i < STREAMS; i++)
    if (streams[i] == line || streams[i] + 1 == line || streams[i] == line + 1) {
      found = 1;
      break;
    }
  if (i == STREAMS) i = STREAMS - 1;
  for (; i; i--) streams[i] = streams[i - 1];
  streams[0] = line;
  return found;
}

// Whether a cache has a line, which becomes its set's latest one. Where not, `*victim` is what it replaces, if that is to be written back.
static int find(Cache *cache, uint64_t *tags, uint64_t line, uint64_t write, uint64_t *victim) {
  uint64_t *set = tags + (line % cache->sets) * cache->ways, wanted = line + 1;  // 0 is an empty place
  uint64_t found = 0, last = cache->ways - 1, i = 0;
  for (; i <= last; i++)
    if (set[i] >> 1 == wanted) {
      found = set[i];
      break;
    }
  if (!found) i = last;
  *victim = found || !(set[i] & 1) ? 0 : set[i] >> 1;
  for (; i; i--) set[i] = set[i - 1];
  set[0] = (found ? found : wanted << 1) | write;
  return found != 0;
}

// The second cache goes by physical addresses, and a system gives a process pages from anywhere: neighbours here are none there.
static uint64_t physical(uint64_t line) {
  uint64_t page = (line / PAGE_LINES) * 0x9E3779B97F4A7C15u;
  return (page >> 24) * PAGE_LINES | line % PAGE_LINES;
}

// A line that the first cache asks of the second (`reads`), or writes back to it.
static void in_second(Trace *trace, uint64_t line, int write, int reads, int waits) {
  uint64_t victim;
  uint64_t *all = tags(trace) + trace->first.sets * trace->first.ways;
  int found = find(&trace->second, all, physical(line), (uint64_t)write, &victim);
  if (victim) {
    trace->second.written++;
    transfer(trace, &trace->memory, trace->memory.write_cycles, 1, 0);
  }
  if (!found && reads) {
    trace->second.missed++;
    transfer(trace, &trace->memory, trace->memory.read_cycles, 0, waits ? trace->memory.latency : 0);
  }
}

static void touch(Trace *trace, uint64_t line, int write) {
  uint64_t victim;
  if (line == trace->latest && (!write || trace->latest_written)) return;
  trace->latest = line, trace->latest_written = (uint64_t)write;
  if (find(&trace->first, tags(trace), line, (uint64_t)write, &victim)) return;
  trace->first.missed++;
  if (victim) {
    trace->first.written++;
    transfer(trace, &trace->between, trace->between.write_cycles, trace->between.writes, 0);
    in_second(trace, victim - 1, 1, 0, 0);
  }
  int foreseen = follows(write ? trace->stores : trace->loads, line);
  // Stores one behind the other fill whole lines, which then need not be read; and nothing waits for what a store reads.
  int reads = !(write && foreseen), waits = !write && !foreseen;
  if (reads) {
    trace->first.read++;
    transfer(trace, &trace->between, trace->between.read_cycles, trace->between.writes, waits ? trace->between.latency : 0);
  }
  in_second(trace, line, 0, reads, waits);
}

static void touch_bytes(Trace *trace, uint64_t address, uint64_t bytes, int write) {
  if (!bytes) return;
  for (uint64_t line = address / LINE_BYTES; line <= (address + bytes - 1) / LINE_BYTES; line++) touch(trace, line, write);
}

static uint64_t index_of(const uint8_t *indices, uint64_t bits, uint64_t i) {
  switch (bits) {
    case 8: return indices[i];
    case 16: return ((const uint16_t *)indices)[i];
    case 32: return ((const uint32_t *)indices)[i];
    default: return ((const uint64_t *)indices)[i];
  }
}

// `frame`: t0, ra, the base, the distance; then v0 and the vector of indices, where they are needed.
__attribute__((used)) static void on_access(const AccessSite *site, uint64_t *frame, uint64_t vl, uint64_t vtype, uint64_t vlenb) {
  Trace *trace = (Trace *)site->trace;
  uint64_t base = frame[2] + site->offset, fields = site->fields;
  int write = (int)site->write;
  const uint8_t *mask = (const uint8_t *)(frame + 4), *indices = mask + (site->masked ? vlenb : 0);
  uint64_t bits = site->bits ? site->bits : (uint64_t)8 << (vtype >> 3 & 7), bytes = bits / 8 * fields;
  trace->accesses++;
  if (trace->asked && trace->asked_at != trace->clock) await_lines(trace);
  switch (site->pattern) {
    case SCALAR: touch_bytes(trace, base, bits / 8, write); return;
    case WHOLE: touch_bytes(trace, base, fields * vlenb, write); return;
    case MASK: touch_bytes(trace, base, (vl + 7) / 8, write); return;
  }
  if (site->pattern == UNIT && !site->masked) {
    touch_bytes(trace, base, vl * bytes, write);
    return;
  }
  for (uint64_t i = 0; i < vl; i++) {
    if (site->masked && !(mask[i / 8] >> i % 8 & 1)) continue;
    uint64_t distance = site->pattern == UNIT ? i * bytes : site->pattern == STRIDED ? i * frame[3] : index_of(indices, site->index_bits, i);
    touch_bytes(trace, base + distance, bytes, write);
  }
}

#pragma clang attribute pop

__attribute__((naked)) void trace_access(void) {
  __asm__ volatile(
      "addi sp, sp, -128\n"
      "sd ra, 0(sp)\n sd a0, 8(sp)\n sd a1, 16(sp)\n sd a2, 24(sp)\n sd a3, 32(sp)\n sd a4, 40(sp)\n sd a5, 48(sp)\n sd a6, 56(sp)\n"
      "sd a7, 64(sp)\n sd t1, 72(sp)\n sd t2, 80(sp)\n sd t3, 88(sp)\n sd t4, 96(sp)\n sd t5, 104(sp)\n sd t6, 112(sp)\n"
      "mv a0, t0\n addi a1, sp, 128\n csrr a2, vl\n csrr a3, vtype\n csrr a4, vlenb\n"
      "call on_access\n"
      "ld ra, 0(sp)\n ld a0, 8(sp)\n ld a1, 16(sp)\n ld a2, 24(sp)\n ld a3, 32(sp)\n ld a4, 40(sp)\n ld a5, 48(sp)\n ld a6, 56(sp)\n"
      "ld a7, 64(sp)\n ld t1, 72(sp)\n ld t2, 80(sp)\n ld t3, 88(sp)\n ld t4, 96(sp)\n ld t5, 104(sp)\n ld t6, 112(sp)\n"
      "addi sp, sp, 128\n ret\n");
}
