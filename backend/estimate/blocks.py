"""A kernel's basic blocks, and how many cycles a core takes for each where its caches have all that it needs.

The core starts instructions in the order of the code, some a cycle, each when what it reads is there and its unit is free. The vectors'
arithmetic is one unit, all accesses are another. A vector instruction may begin when the first registers of what it reads are there,
provided that it does not overtake the one that computes them.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from triton_spacemit.backend.estimate.instructions import Instruction, Pattern
from triton_spacemit.dialect.timings import CoreTiming, Kind, Timing

_VECTORS = 64  # the number of v0 in an instruction's registers
_NO_WIDTH = (32, 1.0)  # where nothing has set one yet
_ACCESSES = {Kind.LOAD, Kind.STORE, Kind.VECTOR_LOAD, Kind.VECTOR_STORE, Kind.VECTOR_ELEMENTS}
_SCALAR_UNITS = {Kind.DIVIDE: "divide", Kind.FLOAT_DIVIDE: "divide", Kind.FLOAT: "float"}


@dataclass(frozen=True)
class Block:
    """instructions: one behind the other. width: SEW and LMUL where it begins. repeats: it may be followed by itself."""

    instructions: tuple[Instruction, ...]
    width: tuple[int, float]
    repeats: bool

    @property
    def start(self) -> int:
        return self.instructions[0].address


def blocks_of(instructions: Sequence[Instruction], entries: Iterable[int]) -> list[Block]:
    """The blocks of a kernel, in the order of its code. entries: addresses where it may be entered from elsewhere."""
    starts = {instructions[0].address, *entries, *(one.target for one in instructions if one.target is not None)}
    parts: list[list[Instruction]] = []
    for one in instructions:
        if not parts or one.address in starts or parts[-1][-1].ends_block:
            parts.append([])
        parts[-1].append(one)
    at = {part[0].address: number for number, part in enumerate(parts)}
    follow = [_followers(part, number, at, len(parts)) for number, part in enumerate(parts)]
    widths = _widths(parts, follow, [at[entry] for entry in (parts[0][0].address, *entries) if entry in at])
    return [Block(tuple(part), widths.get(number, _NO_WIDTH), number in follow[number]) for number, part in enumerate(parts)]


def _followers(part: Sequence[Instruction], number: int, at: Mapping[int, int], count: int) -> list[int]:
    last = part[-1]
    found = [at[last.target]] if last.target is not None and last.target in at else []
    falls_through = last.opcode not in (0x6F, 0x67) or bool(last.writes and last.writes[0])
    return [*found, number + 1] if falls_through and number + 1 < count else found


def _widths(
    parts: Sequence[Sequence[Instruction]], follow: Sequence[Sequence[int]], entries: Iterable[int]
) -> dict[int, tuple[int, float]]:
    """SEW and LMUL at the start of every block that can be reached, by the first way that is found."""
    widths = dict.fromkeys(entries, _NO_WIDTH)
    waiting = deque(widths)
    while waiting:
        number = waiting.popleft()
        width = widths[number]
        for one in parts[number]:
            width = _width_after(one, width)
        for next_ in follow[number]:
            if next_ not in widths:
                widths[next_] = width
                waiting.append(next_)
    return widths


def _width_after(one: Instruction, width: tuple[int, float]) -> tuple[int, float]:
    return (one.sew, one.lmul) if one.sew is not None and one.lmul is not None else width


def cycles(block: Block, core: CoreTiming, vlen: int) -> float:
    """The cycles from the start of a block until what follows may start; where it follows itself, of one turn among many."""
    pipeline = _Pipeline(core, vlen)
    ends = [pipeline.run(block) for _ in range(3 if block.repeats else 1)]
    return ends[-1] - ends[-2] if block.repeats else ends[0]


class _Pipeline:
    def __init__(self, core: CoreTiming, vlen: int) -> None:
        self.core, self.vlen = core, vlen
        self.now, self.started = 0.0, 0  # of the last cycle in which instructions started, and how many
        self.free: dict[str, float] = {}  # units
        self.ready: dict[int, float] = {}  # registers: when their first use may start
        self.whole: dict[int, float] = {}  # and when it may end

    def run(self, block: Block) -> float:
        width = block.width
        for one in block.instructions:
            width = _width_after(one, width)
            self._start(one, *width)
        return self.now + self.started / self.core.issue

    def _start(self, one: Instruction, sew: int, lmul: float) -> None:
        timing, lmul = self.core.kinds[one.kind], one.group or lmul
        if sew == 16 and timing.cycles_16 is not None:
            timing = replace(timing, cycles=timing.cycles_16, latency=timing.cycles_16)
        unit = self._unit(one)
        busy = self._busy(one, timing, sew, lmul)
        group = max(int(lmul), 1)
        reads = [register for first in one.reads for register in self._registers(first, group)]
        at = max([self.now, self.free.get(unit, 0.0), *(self.ready.get(r, 0.0) for r in reads)])
        at = max(at, max((self.whole.get(r, 0.0) for r in reads), default=0.0) - busy)
        if at == self.now and self.started == self.core.issue:
            at += 1
        self.started = self.started + 1 if at == self.now else 1
        self.now = at
        if unit:
            self.free[unit] = at + max(busy, 1.0)
        ready = at + timing.latency + timing.more_latency * (max(lmul, 1.0) - 1)
        for first in one.writes:
            if first:
                for register in self._registers(first, group):
                    self.ready[register], self.whole[register] = ready, at + busy + 1

    def _registers(self, first: int, group: int) -> Iterable[int]:
        return range(first, min(first + group, _VECTORS + 32)) if first >= _VECTORS else (first,)

    def _unit(self, one: Instruction) -> str:
        if one.kind in _ACCESSES:
            return "access"
        if one.kind.name.startswith("VECTOR") or one.kind is Kind.MATRIX:
            return "vector"
        return _SCALAR_UNITS.get(one.kind, "")

    def _busy(self, one: Instruction, timing: Timing, sew: int, lmul: float) -> float:
        """The cycles that its unit is."""
        access = one.access
        if one.kind is Kind.VECTOR_ELEMENTS and access:
            return self.core.element * access.fields * max(lmul, 1.0) * self.vlen / sew
        if one.kind in (Kind.VECTOR_LOAD, Kind.VECTOR_STORE) and access:
            registers = lmul if access.pattern is Pattern.WHOLE else lmul * access.bits / sew
            if access.pattern is Pattern.MASK:
                registers = 1 / 8
            return max(timing.cycles * max(registers, 0.5), timing.least, 1.0)
        if not one.kind.name.startswith("VECTOR"):
            return timing.cycles
        registers = max(lmul, 0.5) if one.kind is not Kind.VECTOR_MASK else 1.0
        busy = timing.cycles * (registers**2 if timing.square else registers) * (timing.masked if one.masked else 1.0)
        return max(busy, timing.least, 1.0)
