"""The program being written: what is in scope, and where the next statement goes."""

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from random_kernels.program import NAME, SIZES, Line, Pointer, Program, Region, Scalar, Statement, Storage
from random_kernels.values import CARRIED, EXACT, FLOATS, STORED, Extent, Offsets, Shape, Value, same_shape, shape_text

T = TypeVar("T")
#: Elements of the largest block.
LARGEST = 4096


class Draft:
    def __init__(self, seed: int, without: Sequence[str] = ()) -> None:
        self.random = random.Random(seed)
        self.without = without
        self.program = Program(seed)
        self.body: list[Statement] = self.program.body
        self.values: list[Value] = []
        self.offsets: list[Offsets] = []
        self.pointers: dict[str, Pointer] = {}
        self.reach: list[tuple[int, int]] = []  # of each storage: the first byte and the end of what is accessed
        self.roles: list[str] = []  # of each storage: input, data, output, atomic
        self.shapes: list[Shape] = []
        self.turns = 1  # how often the current place is reached, at most
        self.depth = 0
        self._names = 0

    # Choices

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def choice(self, items: Sequence[T]) -> T:
        return self.random.choice(items)

    def weighted(self, table: dict[T, float]) -> T:
        """One of the keys. Those whose names are in `without` are left out, where others remain."""
        allowed = {key: weight for key, weight in table.items() if getattr(key, "__name__", key) not in self.without}
        table = allowed if any(allowed.values()) else table
        return self.random.choices(list(table), list(table.values()))[0]

    def pick(self, wanted: Callable[[Value], bool]) -> Value | None:
        """A value of the scope, more likely one that is new, carried or not used yet."""
        found = [value for value in self.values if wanted(value)]
        if not found:
            return None
        newest = len(self.values)
        weights = [(4.0 if not v.used else 1.0) + 2.0 * v.replaceable + 3.0 * (i + 1) / newest for i, v in enumerate(found)]
        value = self.random.choices(found, weights)[0]
        value.used += 1
        return value

    # Names and types

    def name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def extent(self, extent: Extent) -> int:
        return math.prod(int(atom) if atom.isdigit() else self.program.atoms[atom] for atom in extent)

    def size(self, shape: Shape) -> int:
        return math.prod(self.extent(extent) for extent in shape)

    # Statements

    def line(self, text: str) -> None:
        self._named(text)
        self.body.append(Line(text))

    def assign(self, target: Value, text: str) -> None:
        """Give a value its next content. Of use is what the new one is made of."""
        used = target.used
        self._named(text)
        target.used = used
        self.body.append(Line(f"{target.name} = {text}"))

    def emit(self, text: str, shape: Shape, dtype: str, letter: str = "v", **facts: Any) -> Value:
        named = self._named(text)
        if "memory" not in facts:
            facts["memory"] = next((v.memory for v in reversed(named) if v.memory is not None), None)
        value = Value(self.name(letter), shape, dtype, **facts)
        self.body.append(Line(f"{value.name} = {text}", value.name, shape_text(shape) if shape else "", dtype))
        self.values.append(value)
        return value

    def _named(self, text: str) -> list[Value]:
        """The values that a statement names, which are of use now."""
        names = set(NAME.findall(text))
        named = [value for value in self.values if value.name in names]
        for value in named:
            value.used += 1
        return named

    @contextlib.contextmanager
    def inside(self, region: Region, turns: int, orelse: bool = False) -> Iterator[None]:
        """What is made in this scope goes into the region's body and ends with it."""
        before = self.body, len(self.values), len(self.offsets), self.turns
        self.body, self.turns, self.depth = region.orelse if orelse else region.body, self.turns * max(turns, 1), self.depth + 1
        try:
            yield
        finally:
            self.depth -= 1
            self.body, values, offsets, self.turns = before
            del self.values[values:], self.offsets[offsets:]

    # Arguments

    def scalar(self, value: int | float, dtype: str | None = None) -> str:
        """A runtime argument of this value."""
        if dtype is None:
            dtype = "int32" if -(2**31) <= value < 2**31 else "int64"
        for scalar in self.program.scalars:
            if (scalar.value, scalar.dtype) == (value, dtype) and self.chance(0.7):
                return scalar.name
        name = f"s{len(self.program.scalars)}"
        self.program.scalars.append(Scalar(name, value, dtype, annotated=dtype == "int32" and self.chance(0.5)))
        return name

    def integer(self, value: int) -> str:
        """This number, as a constant or as an argument."""
        return self.scalar(value) if self.chance(0.5) else str(value)

    def storage(self, dtype: str, role: str, approximate: bool = False) -> int:
        fills = {"output": "count", "atomic": "small"}
        if role in fills:
            kind = fills[role]
        elif dtype in FLOATS:
            kind = "special" if self.chance(0.3) else "small"
        else:
            kind = self.choice(("small", "full", "index"))
        if kind == "index" and SIZES[dtype] < 4:
            kind = "full"
        self.program.storages.append(Storage(dtype, 0, kind, self.random.randrange(1 << 30), role != "atomic", approximate))
        self.roles.append(role)
        self.reach.append((0, 0))
        return len(self.program.storages) - 1

    def pointer(self, storage: int, dtype: str | None = None, shift: int = 0) -> Pointer:
        pointer = Pointer(f"p{len(self.program.pointers)}", storage, shift, dtype or self.program.storages[storage].dtype)
        self.program.pointers.append(pointer)
        return pointer

    def touch(self, pointer: Pointer, low: int, high: int, size: int | None = None) -> None:
        """Elements `low` to `high` from the pointer on are accessed."""
        size = size or SIZES[pointer.dtype]
        start, end = self.reach[pointer.storage]
        self.reach[pointer.storage] = min(start, pointer.offset + low * size), max(end, pointer.offset + (high + 1) * size)

    def place(self) -> None:
        """Give storages their sizes, once all accesses are known."""
        for number, storage in enumerate(self.program.storages):
            start, end = self.reach[number]
            before = -(start // 64) * 64
            for pointer in self.program.pointers:
                if pointer.storage == number:
                    pointer.offset += before
            storage.elements = -(-(end + before) // SIZES[storage.dtype])

    # Numbers

    def clamp(self, value: Value, bound: float) -> Value:
        """The same, but for numbers beyond the bound; no infinity and no NaN is left."""
        if value.bound <= bound and not value.special:
            return value
        text = f"tl.minimum(tl.maximum({value.name}, {-bound}), {bound})"
        return self.emit(text, value.shape, value.dtype, bound=bound, origin=value.origin)

    def fit(self, value: Value, bound: float) -> Value:
        """The same, with its finite numbers below the bound; infinities and NaN may stay."""
        return value if value.bound <= bound else self.clamp(value, bound)

    def cast(self, value: Value, dtype: str) -> Value:
        """Converted where that is defined: numbers are brought into range before."""
        if value.dtype == dtype:
            return value
        source = value
        if source.is_float and dtype not in FLOATS:
            if dtype.startswith("u"):
                source = self.emit(f"tl.abs({self.clamp(source, 64.0).name})", source.shape, source.dtype, bound=64.0, origin=source.origin)
            else:
                source = self.clamp(source, 64.0)
        elif source.is_float:
            source = self.fit(source, min(EXACT[dtype], STORED[dtype] * 8))
        elif dtype in FLOATS and source.is_integer and not (source.dtype == "int8" and dtype != "bfloat16"):
            source = self.emit(f"{source.name} & 7", source.shape, source.dtype, origin=source.origin)
        bound = math.inf
        if dtype in FLOATS:
            bound = source.bound if source.is_float else {"int8": 128.0, "int1": 1.0}.get(source.dtype, 7.0)
        special = source.special and dtype in FLOATS
        text = f"{source.name}.to(tl.{dtype})"
        if source.is_float and dtype == "uint64":
            text = f"{source.name}.to(tl.int64).to(tl.uint64)"
        return self.emit(text, source.shape, dtype, bound=bound, special=special, origin=source.origin, approximate=value.approximate)

    def coerce(self, value: Value, target: Value) -> Value | None:
        """As what may replace `target`."""
        if not same_shape(value.shape, target.shape) or value.approximate != target.approximate:
            return None
        if target.dtype == "int1":
            return value if value.dtype == "int1" else self.emit(f"{value.name} > 0", value.shape, "int1")
        made = self.cast(value, target.dtype)
        if target.is_float:
            made = self.fit(made, CARRIED[target.dtype])
            if made.special and not target.special:
                made = self.clamp(made, CARRIED[target.dtype])
        return made
