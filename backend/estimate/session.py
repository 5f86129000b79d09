"""A guest in which kernels are followed: the memory with their clock, caches and counters, and the code that goes into them."""

import ctypes
from collections.abc import Sequence

from triton_spacemit.backend.devices.guest import Guest
from triton_spacemit.backend.devices.mirror import PAGE, READ, WRITE
from triton_spacemit.backend.estimate import Estimate
from triton_spacemit.backend.estimate.blocks import Block
from triton_spacemit.backend.estimate.protocol import PARTS, TRACE
from triton_spacemit.backend.estimate.tracing import trace
from triton_spacemit.backend.loader import KernelObject
from triton_spacemit.dialect.chips import Chip
from triton_spacemit.dialect.timings import CoreTiming

_BLOCKS = 1 << 20  # that are counted at most
_TAG_BYTES = _COUNTER_BYTES = 8
_Trace = TRACE.as_ctypes()


class Tracer:
    """What follows the kernels of one guest at a time. start: the address of its memory there."""

    def __init__(self, chip: Chip, core: CoreTiming, start: int) -> None:
        self.chip, self.core, self.start = chip, core, start
        caches = core.hierarchy
        lines = (caches.l1_bytes + caches.l2_bytes) // caches.line
        self.counters = start + TRACE.size + lines * _TAG_BYTES
        self.end = -(-(self.counters + _BLOCKS * _COUNTER_BYTES) // PAGE) * PAGE
        self.blocks: list[Block] = []
        self.guest: Guest | None = None

    def begin(self, guest: Guest) -> Guest:
        """Follow the kernels of a guest that has just started."""
        self.guest, self.blocks = guest, []
        guest.map([(self.start, self.end, READ | WRITE)])
        guest.write(self.start, bytes(self._fresh()))
        return guest

    def _fresh(self) -> ctypes.Structure:
        caches, trace_ = self.core.hierarchy, _Trace()
        trace_.ahead = round(caches.ahead * PARTS)
        trace_.latest = 2**64 - 1
        for channel, row in (
            (trace_.between, (caches.l2_read, caches.l2_write, 0, caches.l2_far)),
            (trace_.memory, (caches.read_line, caches.write_line, caches.turn, caches.far)),
        ):
            channel.read_cycles, channel.write_cycles, channel.turn, channel.latency = (round(value * PARTS) for value in row)
        for cache, size, ways in ((trace_.first, caches.l1_bytes, caches.l1_ways), (trace_.second, caches.l2_bytes, caches.l2_ways)):
            cache.sets, cache.ways = size // caches.line // ways, ways
        return trace_

    def change(self, image: bytearray, object_: KernelObject, base: int, guest: Guest) -> tuple[bytes, dict[int, int]]:
        """The code that goes behind a kernel's image, and by offsets of its instructions those of the kernel's own."""
        first = self.counters + _COUNTER_BYTES * len(self.blocks)
        function = guest.externals["trace_access"]
        made = trace(image, object_.code_end, object_.entry, base, self.core, self.chip.vlen, (self.start, first), function)
        self.blocks += made.blocks
        return made.code, dict(made.moved)

    def reset(self) -> None:
        """Begin to count anew, with the caches as they are."""
        if self.guest is None:  # as nothing has been launched
            return
        self.guest.write(self.start, bytes(self._fresh()))
        self.guest.write(self.counters, bytes(_COUNTER_BYTES * len(self.blocks)))

    def runs(self) -> Sequence[tuple[Block, int]]:
        """How often each block has run."""
        if self.guest is None:
            return []
        counted = self.guest.read(self.counters, self.counters + _COUNTER_BYTES * len(self.blocks))
        return list(zip(self.blocks, memoryview(counted).cast("Q"), strict=True))

    def estimate(self) -> Estimate:
        """What has been counted until now."""
        trace_ = _Trace.from_buffer_copy(self.guest.read(self.start, self.start + TRACE.size)) if self.guest else _Trace()
        line = self.core.hierarchy.line
        cycles = max(trace_.clock + trace_.waited, trace_.between.free_at, trace_.memory.free_at) / PARTS
        waiting_l2, computing = trace_.between.waited / PARTS, trace_.clock / PARTS
        return Estimate(
            cycles=cycles,
            gigahertz=self.core.gigahertz,
            computing=computing,
            waiting_l2=waiting_l2,
            waiting_memory=cycles - computing - waiting_l2,
            instructions=sum(len(block.instructions) * runs for block, runs in self.runs()),
            accesses=trace_.accesses,
            l1_bytes=line * (trace_.first.read + trace_.first.written),
            memory_bytes=line * (trace_.second.missed + trace_.second.written),
            memory_read_bytes=line * trace_.second.missed,
        )
