// What a host has put on the board: a table of ranges of addresses, in which everything that a peer names is looked up.
#pragma once
#include <stdint.h>

enum { PAGE_BYTES = 4096 };

// Of the two areas that addresses come from: kernels and tensors.
typedef struct Area {
  uint64_t start, bytes;
} Area;

typedef struct Range {
  uint64_t start, end;  // multiples of the page
  int rights;           // PROT_READ and so on
  int is_private;       // of a kernel: what it writes is its worker's own
  int mapped;           // in the worker that there is
} Range;

// Whether all of a span lies in the area; an empty one does where its start does. No sum here can overflow.
int is_within(const Area *area, uint64_t start, uint64_t bytes);
// The range around an address, or NULL.
Range *range_at(uint64_t address);
// Whether each byte of a span lies in ranges, without a gap.
int is_covered(uint64_t start, uint64_t bytes);
// Enter one: 0 where it overlaps another, or the table is full.
int add_range(const Range *range);
// Whether the span is that of whole ranges, at least of one, without a gap.
int is_whole(uint64_t start, uint64_t bytes);
// Remove the ranges of such a span.
void remove_ranges(uint64_t start, uint64_t bytes);
// How many there are, and each of them.
uint32_t count_ranges(void);
Range *range_number(uint32_t number);
