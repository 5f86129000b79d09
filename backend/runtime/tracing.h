// A kernel's accesses and time, written by `make docs` from backend/estimate/protocol.py.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { CYCLE_PARTS = 16, STREAMS = 8, LINE_BYTES = 64, OUTSTANDING = 8 };

// The way to the second cache, or to memory. All times are in parts of a cycle.
typedef struct Channel {
  // That it is busy with a line.
  uint64_t read_cycles;
  uint64_t write_cycles;
  // More, where the one follows the other.
  uint64_t turn;
  // Until a line arrives that does not follow another.
  uint64_t latency;
  // When it has done all that it was asked for.
  uint64_t free_at;
  // Whether the last line was written.
  uint64_t writes;
  // How long the kernel has waited for it.
  uint64_t waited;
} Channel;
_Static_assert(offsetof(Channel, read_cycles) == 0, "Channel.read_cycles");
_Static_assert(offsetof(Channel, write_cycles) == 8, "Channel.write_cycles");
_Static_assert(offsetof(Channel, turn) == 16, "Channel.turn");
_Static_assert(offsetof(Channel, latency) == 24, "Channel.latency");
_Static_assert(offsetof(Channel, free_at) == 32, "Channel.free_at");
_Static_assert(offsetof(Channel, writes) == 40, "Channel.writes");
_Static_assert(offsetof(Channel, waited) == 48, "Channel.waited");
_Static_assert(sizeof(Channel) == 56, "Channel");

// A cache, whose tags lie behind the Trace: line + 1 and a bit that says whether it was stored to, a set's latest one first.
typedef struct Cache {
  uint64_t sets;
  uint64_t ways;
  // Lines that it was asked for and had not.
  uint64_t missed;
  // Lines that it asked the next level for.
  uint64_t read;
  // Lines that it wrote back there.
  uint64_t written;
} Cache;
_Static_assert(offsetof(Cache, sets) == 0, "Cache.sets");
_Static_assert(offsetof(Cache, ways) == 8, "Cache.ways");
_Static_assert(offsetof(Cache, missed) == 16, "Cache.missed");
_Static_assert(offsetof(Cache, read) == 24, "Cache.read");
_Static_assert(offsetof(Cache, written) == 32, "Cache.written");
_Static_assert(sizeof(Cache) == 40, "Cache");

// A kernel's time, and its caches.
typedef struct Trace {
  // Parts of the cycles of all instructions until now, which a block adds when it begins.
  uint64_t clock;
  // And of those that were waited.
  uint64_t waited;
  // Instructions that read or wrote.
  uint64_t accesses;
  // How far the kernel may be ahead of a channel.
  uint64_t ahead;
  // When the last line arrives that the kernel will wait for.
  uint64_t arrival;
  // The clock of the block that asked for it.
  uint64_t asked_at;
  // How many such lines there are.
  uint64_t asked;
  // The channel that it comes from: 0 is the second cache, 1 memory.
  uint64_t asked_of;
  // The line that was touched last.
  uint64_t latest;
  uint64_t latest_written;
  // The lines that loads have missed last.
  uint64_t loads[8];
  // The same of stores.
  uint64_t stores[8];
  // The way from the first cache to the second.
  Channel between;
  Channel memory;
  Cache first;
  Cache second;
} Trace;
_Static_assert(offsetof(Trace, clock) == 0, "Trace.clock");
_Static_assert(offsetof(Trace, waited) == 8, "Trace.waited");
_Static_assert(offsetof(Trace, accesses) == 16, "Trace.accesses");
_Static_assert(offsetof(Trace, ahead) == 24, "Trace.ahead");
_Static_assert(offsetof(Trace, arrival) == 32, "Trace.arrival");
_Static_assert(offsetof(Trace, asked_at) == 40, "Trace.asked_at");
_Static_assert(offsetof(Trace, asked) == 48, "Trace.asked");
_Static_assert(offsetof(Trace, asked_of) == 56, "Trace.asked_of");
_Static_assert(offsetof(Trace, latest) == 64, "Trace.latest");
_Static_assert(offsetof(Trace, latest_written) == 72, "Trace.latest_written");
_Static_assert(offsetof(Trace, loads) == 80, "Trace.loads");
_Static_assert(offsetof(Trace, stores) == 144, "Trace.stores");
_Static_assert(offsetof(Trace, between) == 208, "Trace.between");
_Static_assert(offsetof(Trace, memory) == 264, "Trace.memory");
_Static_assert(offsetof(Trace, first) == 320, "Trace.first");
_Static_assert(offsetof(Trace, second) == 360, "Trace.second");
_Static_assert(sizeof(Trace) == 400, "Trace");

// One instruction that reads or writes.
typedef struct AccessSite {
  // The address of the Trace.
  uint64_t trace;
  // Added to the base.
  uint64_t offset;
  // A Pattern.
  uint64_t pattern;
  uint64_t write;
  // Of an element in memory; 0 where it is SEW.
  uint64_t bits;
  uint64_t index_bits;
  // Of a segment, or whole registers.
  uint64_t fields;
  uint64_t masked;
} AccessSite;
_Static_assert(offsetof(AccessSite, trace) == 0, "AccessSite.trace");
_Static_assert(offsetof(AccessSite, offset) == 8, "AccessSite.offset");
_Static_assert(offsetof(AccessSite, pattern) == 16, "AccessSite.pattern");
_Static_assert(offsetof(AccessSite, write) == 24, "AccessSite.write");
_Static_assert(offsetof(AccessSite, bits) == 32, "AccessSite.bits");
_Static_assert(offsetof(AccessSite, index_bits) == 40, "AccessSite.index_bits");
_Static_assert(offsetof(AccessSite, fields) == 48, "AccessSite.fields");
_Static_assert(offsetof(AccessSite, masked) == 56, "AccessSite.masked");
_Static_assert(sizeof(AccessSite) == 64, "AccessSite");
