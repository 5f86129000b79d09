"""A random program: a kernel's statements, and the memory and arguments that it is launched with.

Statements are lines of Python in a tree, mostly one operation each, so that the shrinker can drop or replace them one by one. Extents are
products of constants of the kernel (`A`, `B`, ...), so that they shrink by changing the constants.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

#: Bytes of an element of each type.
SIZES = {"int1": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8,
         "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}  # fmt: skip
#: Elements before and behind all that a program may access; the check compares them too.
SLACK = 64
NAME = re.compile(r"\b[A-Za-z_]\w*\b")


@dataclass
class Line:
    """One statement. Where it defines a block or a scalar, `shape` and `dtype` are the text of its type."""

    text: str
    defines: str | None = None
    shape: str | None = None
    dtype: str | None = None

    def names(self) -> set[str]:
        return set(NAME.findall(self.text))


@dataclass
class Region:
    """A `for`, `while` or `if`. `first` (a counter's start) stands before it and goes with it, `last` ends each turn."""

    header: str
    body: list["Statement"]
    orelse: list["Statement"] = field(default_factory=list)
    first: list[Line] = field(default_factory=list)
    last: list[Line] = field(default_factory=list)
    index: str | None = None


Statement = Line | Region


@dataclass
class Storage:
    """Memory of `elements` elements of `dtype` a program. `fill` names what is in it at first, drawn from `seed`."""

    dtype: str
    elements: int
    fill: str
    seed: int
    sliced: bool = True  # each program of the grid has a part of its own
    approximate: bool = False  # holds results that are compared within a bound


@dataclass
class Pointer:
    """A pointer argument: `offset` bytes into the first program's part of a storage."""

    name: str
    storage: int
    offset: int
    dtype: str


@dataclass
class Scalar:
    """A runtime argument that is a number, of type int32, int64 or float32. One that is `annotated` is no constant where it is 1."""

    name: str
    value: int | float
    dtype: str = "int32"
    annotated: bool = False


@dataclass
class Program:
    seed: int
    atoms: dict[str, int] = field(default_factory=dict)
    storages: list[Storage] = field(default_factory=list)
    pointers: list[Pointer] = field(default_factory=list)
    scalars: list[Scalar] = field(default_factory=list)
    grid: tuple[int, int, int] = (1, 1, 1)
    helpers: list[str] = field(default_factory=list)
    body: list[Statement] = field(default_factory=list)

    def part_bytes(self, storage: Storage) -> int:
        """How far apart the parts of neighbouring programs are: a multiple of every element size and of an alignment."""
        return -(-storage.elements * SIZES[storage.dtype] // 64) * 64

    @property
    def programs(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]

    def signature(self) -> str:
        names = [p.name for p in self.pointers] + [f"{s.name}: int" if s.annotated else s.name for s in self.scalars]
        names += [f"{name}: tl.constexpr" for name in self.atoms]
        return ", ".join(names)

    def source(self) -> str:
        """The kernel and its helpers, without imports."""
        lines = ["@triton.jit", f"def kernel({self.signature()}):"]
        lines += [f"    {line}" for line in self._slices()]
        lines += [f"    {line}" for line in render(self.body)] or ["    pass"]
        return "".join(f"{helper}\n\n\n" for helper in self.helpers) + "\n".join(lines) + "\n"

    def _slices(self) -> Iterator[str]:
        """Where there are several programs, each moves its pointers to its own part of the memory."""
        if self.programs == 1:
            return
        yield "pid = tl.program_id(0) + tl.num_programs(0) * (tl.program_id(1) + tl.num_programs(1) * tl.program_id(2))"
        for pointer in self.pointers:
            storage = self.storages[pointer.storage]
            if storage.sliced:
                yield f"{pointer.name} += pid * {self.part_bytes(storage) // SIZES[pointer.dtype]}"

    def copy(self) -> "Program":
        return Program.from_json(self.to_json())

    def to_json(self) -> str:
        return json.dumps(_encode(self))

    @staticmethod
    def from_json(text: str) -> "Program":
        return _decode(json.loads(text))


def render(body: list[Statement]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, Line):
            yield statement.text
            continue
        yield from (line.text for line in statement.first)
        yield statement.header
        inner = [*render(statement.body), *(line.text for line in statement.last)]
        yield from (f"    {line}" for line in inner or ["pass"])
        if statement.orelse:
            yield "else:"
            yield from (f"    {line}" for line in render(statement.orelse))


def walk(body: list[Statement]) -> Iterator[tuple[list[Statement], int]]:
    """Every statement as a list and its place in it, outer ones first."""
    for place, statement in enumerate(body):
        yield body, place
        if isinstance(statement, Region):
            yield from walk(statement.body)
            yield from walk(statement.orelse)


_CLASSES = {cls.__name__: cls for cls in (Line, Region, Storage, Pointer, Scalar, Program)}


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__, **fields}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, dict) and "class" in value:
        fields = {key: _decode(item) for key, item in value.items() if key != "class"}
        if value["class"] == "Program":
            fields["grid"] = tuple(fields["grid"])
        return _CLASSES[value["class"]](**fields)
    return value
