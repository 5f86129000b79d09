// The table is sorted, and never grows beyond its fixed size: nothing is allocated because a peer says so.
#include "ranges.h"

#include <string.h>

#include "wire.h"

static Range ranges[MAX_RANGES];
static uint32_t count;

int is_within(const Area *area, uint64_t start, uint64_t bytes) {
  if (start < area->start || start - area->start > area->bytes) return 0;
  return bytes <= area->bytes - (start - area->start);
}

// The number of the first range that ends behind the address.
static uint32_t first_behind(uint64_t address) {
  uint32_t low = 0, high = count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (ranges[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

Range *range_at(uint64_t address) {
  uint32_t i = first_behind(address);
  return i < count && ranges[i].start <= address ? &ranges[i] : NULL;
}

int is_covered(uint64_t start, uint64_t bytes) {
  if (bytes > UINT64_MAX - start) return 0;
  uint64_t end = start + bytes;
  for (uint32_t i = first_behind(start); start < end; i++) {
    if (i >= count || ranges[i].start > start) return 0;
    start = ranges[i].end;
  }
  return 1;
}

int add_range(const Range *range) {
  uint32_t i = first_behind(range->start);
  if (range->start >= range->end || count == MAX_RANGES || (i < count && ranges[i].start < range->end)) return 0;
  memmove(&ranges[i + 1], &ranges[i], (count - i) * sizeof *ranges);
  ranges[i] = *range;
  count++;
  return 1;
}

int is_whole(uint64_t start, uint64_t bytes) {
  if (!bytes || bytes > UINT64_MAX - start) return 0;
  uint32_t i = first_behind(start);
  if (i >= count || ranges[i].start != start) return 0;
  while (ranges[i].end < start + bytes && i + 1 < count && ranges[i + 1].start == ranges[i].end) i++;
  return ranges[i].end == start + bytes;
}

void remove_ranges(uint64_t start, uint64_t bytes) {
  uint32_t first = first_behind(start), last = first;
  while (last < count && ranges[last].end <= start + bytes) last++;
  memmove(&ranges[first], &ranges[last], (count - last) * sizeof *ranges);
  count -= last - first;
}

uint32_t count_ranges(void) { return count; }

Range *range_number(uint32_t number) { return &ranges[number]; }
