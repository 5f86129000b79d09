"""Checks of accesses against the storages behind the kernel's pointers, in kernels that have these among their arguments (`sanitize`).

An access is checked where it stands, before anything is read or written: of a block without an index two comparisons of the corners of its
active part, and its lanes one by one only where a corner is outside and a mask may switch that lane off; with an index each active lane.
Lanes that are not active may lie anywhere. What an access may lead to are the storages of the pointers that its address is computed from;
an address that was loaded, or came as an integer, is not checked.
"""

import functools
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.module import storages_of
from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.facts.sources import Sources
from triton_spacemit.passes.loops import services
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Coordinates, Tensor, bits

_WORDS = {"load": "load", "gather": "load", "store": "store", "scatter": "store"}


@dataclass(frozen=True)
class Storage:
    """The memory of one argument: its address as it was passed, and where the storage around it begins and ends."""

    name: str
    address: Emitted
    start: Emitted
    end: Emitted


class Bounds:
    """Emits the checks of one function; of none where the kernel does not have the storages of its pointers."""

    def __init__(self, low: Lowering) -> None:
        self.low, self.b = low, low.b
        self.arguments = list(low.analysis.body.arguments)
        numbers = storages_of(low.module) or ()
        first = len(self.arguments) - 2 * len(numbers)
        self.storages = {}
        for place, number in enumerate(numbers):
            pointer, start, end = (low.scalar(self.arguments[i]) for i in (number, first + 2 * place, first + 2 * place + 1))
            location = self.arguments[number].location
            name = repr(location.name_str) if isinstance(location, ir.NameLoc) else f"argument {number}"
            self.storages[number] = Storage(name, pointer, start, end)
        self.sources = Sources({self.arguments[number]: number for number in numbers})

    def _reached(self, base: ir.Value, index: ir.Value | None = None) -> list[Storage]:
        """The storages that an access may lead to; none where it may lead elsewhere. Without a base, its index is an address."""
        if not self.storages:
            return []
        address = index if index is not None and producer_of(base, "llvm.mlir.zero") is not None else base
        return [self.storages[number] for number in sorted(self.sources.of(address))]

    def check(self, node: Node, access: Access) -> None:
        """Have the access of `node` end the program where it would leave the storages that it may lead to."""
        op = node.op.opview
        storages = self._reached(op.base, getattr(op, "index", None))
        if not storages:
            return
        size = max(1, bits(access.element) // 8)
        if not access.shape:
            if access.index is None:
                condition = None if op.mask is None else self.low.scalar(op.mask)
                self._check_one(node, self._integer(access.base), size, storages, condition)
            return
        if access.index is not None:
            self._check_lanes(node, access, size, storages)
            return
        first, last, active = self._corners(access, size)
        outside = self.b.both(self._outside([first, last], size, storages), active)
        if access.mask is not None:
            self.b.when(outside, lambda: self._check_lanes(node, access, size, storages))
            return
        wrong = self.b.select(self._outside([first], size, storages), first, last)
        self.b.when(outside, lambda: self._report(node, wrong, size, storages))

    def check_scalar(self, node: Node, pointer: ir.Value, type_: ir.Type) -> None:
        """The same for one element at `pointer`."""
        storages = self._reached(pointer)
        if storages:
            size = 8 if str(type_) == "!llvm.ptr" else max(1, bits(type_) // 8)
            self._check_one(node, self._integer(self.low.scalar(pointer)), size, storages, None)

    def _check_one(self, node: Node, address: Emitted, size: int, storages: list[Storage], condition: Emitted | None) -> None:
        outside = self.b.both(self._outside([address], size, storages), condition)
        self.b.when(outside, lambda: self._report(node, address, size, storages))

    def _integer(self, pointer: Emitted) -> Emitted:
        return self.b.op("llvm.ptrtoint", self.b.i64, [pointer])

    def _corners(self, access: Access, size: int) -> tuple[Emitted, Emitted, Emitted | None]:
        """Addresses of the first and the last active element, and whether there is any."""
        b, active = self.b, None
        first = last = self._integer(access.base)
        for stride, lower, upper, extent in zip(access.strides, access.lower, access.upper, access.shape, strict=True):
            begin, end = b.maximum(lower, b.constant(0)), b.minimum(upper, b.constant(extent))
            nonempty = b.compare("slt", begin, end)
            if begin.constant is None or end.constant is None:
                active = b.both(active, nonempty)
            step = b.mul(stride, b.constant(size))
            ends = b.mul(step, begin), b.mul(step, b.sub(end, b.constant(1)))
            first, last = b.add(first, b.minimum(*ends)), b.add(last, b.maximum(*ends))
        return first, last, active

    def _outside(self, addresses: list[Emitted], size: int, storages: list[Storage]) -> Emitted:
        """Whether one of the addresses is in none of the storages."""
        b = self.b

        def either(a: Emitted, c: Emitted) -> Emitted:
            return b.op("arith.ori", b.i1, [a, c])

        outsides = []
        for storage in storages:
            end = b.sub(storage.end, b.constant(size))
            outside = [either(b.compare("slt", a, storage.start), b.compare("slt", end, a)) for a in addresses]
            outsides.append(functools.reduce(either, outside))
        return functools.reduce(lambda a, c: b.op("arith.andi", b.i1, [a, c]), outsides)

    def _check_lanes(self, node: Node, access: Access, size: int, storages: list[Storage]) -> None:
        low, b = self.low, self.b
        needed = [part for part in (access.index, access.mask) if isinstance(part, Tensor)]
        dim, width = low.storage.vector_shape(needed, access.shape, [access])

        def body(at: Coordinates) -> None:
            condition, mask = low.memory.addressing.active(access, at)
            pointer, lanes, stride, pointers = low.memory.addressing.address(access, at)
            address = self._integer(pointer if pointers is None else pointers)
            if pointers is None and lanes:
                step = b.mul(stride, b.constant(size))
                numbers = b.op("arith.muli", b.i64, [b.iota(lanes, b.i64), step], {"overflowFlags": b.nsw})
                address = b.op("arith.addi", b.i64, [address, numbers], {"overflowFlags": b.nsw})
            outside = b.both(self._outside([address], size, storages), mask)
            if not outside.width:
                b.when(b.both(outside, condition), lambda: self._report(node, address, size, storages))
                return

            def report() -> None:
                zero = b.broadcast(b.constant(0), outside.width)
                wrong = b.select(outside, b.broadcast(address, outside.width), zero)
                self._report(node, self._reduced("maxui", wrong), size, storages)

            b.when(b.both(self._reduced("or", outside), condition), report)

        low.nests.nest(access.shape, dim, width, body)
        low.storage.settle()

    def _reduced(self, kind: str, lanes: Emitted) -> Emitted:
        attributes = {"kind": ir.Attribute.parse(f"#vector.kind<{kind}>")}
        operands, depth = [lanes.value], lanes.depth
        return Emitted(self.b.create("vector.reduction", [self.b.element(lanes)], operands, attributes, depth=depth).results[0], depth, 0)

    def _report(self, node: Node, address: Emitted, size: int, storages: list[Storage]) -> None:
        """The element that lies at `address`, as the pointer nearest to it counts them, and those that its storage has."""
        low, b = self.low, self.b

        def distance(storage: Storage) -> Emitted:
            return b.op("math.absi", b.i64, [b.sub(address, self._integer(storage.address))])

        nearest = [self._integer(storages[0].address), storages[0].start, storages[0].end]
        least = distance(storages[0])
        for storage in storages[1:]:
            nearer = b.compare("slt", distance(storage), least)
            least = b.select(nearer, distance(storage), least)
            own = (self._integer(storage.address), storage.start, storage.end)
            nearest = [b.select(nearer, new, old) for new, old in zip(own, nearest, strict=True)]
        pointer, start, end = nearest

        def element(place: Emitted) -> Emitted:
            return b.op("arith.floordivsi", b.i64, [b.sub(place, pointer), b.constant(size)])

        word = next((text for name, text in _WORDS.items() if name in node.name), "atomic")
        what = f"{word} through {' or '.join(s.name for s in storages)}"
        texts = [services.text(low, text) for text in (what, services.place_of(node.op.location))]
        services.call(low, "out_of_bounds", [*texts, element(address), element(start), element(end)])


def bounds_of(low: Lowering) -> Bounds:
    """The checks of the function that is lowered."""
    if low.bounds is None:
        low.bounds = Bounds(low)
    return low.bounds
