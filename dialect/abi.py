"""The kernel ABI: what a compiled kernel and the runtime that runs it agree on, defined once.

A kernel is a function `void NAME(const uint64_t *arguments, Context *context)` that runs one program of a grid. Passes take the offsets of
fields from here, launchers the limits. `make docs` writes `backend/runtime/abi.h` from here, which the runtime in C includes: it asserts
every offset, so that the C compiler checks them, and the runtime is not built where it is stale.

How it may change: `Context` and `Services` grow at their ends only, and `VERSION` becomes one more. A kernel needs the version that it was
compiled for or a later one. Any other change makes that version `OLDEST` as well: kernels from before it are refused.
"""

from dataclasses import dataclass
from typing import Any

VERSION = 2
OLDEST = 1

SLOT_BYTES = 8  # of each argument
SCRATCH_ALIGNMENT = 64
BARRIER_BYTES = 64  # a cache line, so that threads at two barriers do not disturb each other
MAX_THREADS = 1024  # of a launch
FAILURE_BYTES = 4000  # of a launch's failure, with its end

#: What a launch returns.
STATUS = {"OK": 0, "FAILED": 1, "NO_MEMORY": 2, "FAULTED": 3, "TIMED_OUT": 4, "INTERRUPTED": 5}

# Bytes of C's types, which are as many as their alignment.
_BYTES = {"char": 1, "uint8_t": 1, "int32_t": 4, "uint32_t": 4, "int64_t": 8, "uint64_t": 8}
_POINTER_BYTES = 8


@dataclass(frozen=True)
class Field:
    """`count` values of a type of C under one name. struct: what the type is, where it is one of ours."""

    name: str
    type: str
    about: str = ""
    count: int = 1
    struct: "Struct | None" = None

    @property
    def size(self) -> int:
        """Bytes of one value; types without a size of their own are pointers."""
        return self.struct.size if self.struct else _BYTES.get(self.type.removeprefix("_Atomic "), _POINTER_BYTES)

    @property
    def alignment(self) -> int:
        """Of one value, in bytes."""
        return self.struct.alignment if self.struct else self.size

    @property
    def declaration(self) -> str:
        """As C declares it."""
        space = "" if self.type.endswith("*") else " "
        return f"{self.type}{space}{self.name}{f'[{self.count}]' if self.count > 1 else ''};"


@dataclass(frozen=True)
class Service(Field):
    """A pointer to a function of the runtime: `type` is what it returns, `parameters` what it takes."""

    parameters: str = "void"

    @property
    def size(self) -> int:
        return _POINTER_BYTES

    @property
    def declaration(self) -> str:
        return f"{self.type} (*{self.name})({self.parameters});"


@dataclass(frozen=True)
class Struct:
    """A struct of C, laid out as C does."""

    name: str
    about: str
    fields: tuple[Field, ...]

    def offset(self, name: str) -> int:
        """Where the field `name` begins. Raises KeyError where there is none."""
        return self.offsets()[name]

    def offsets(self) -> dict[str, int]:
        """Where each field begins."""
        end, found = 0, {}
        for field in self.fields:
            found[field.name] = -(-end // field.alignment) * field.alignment
            end = found[field.name] + field.size * field.count
        return found

    @property
    def size(self) -> int:
        """Bytes in all."""
        last = self.fields[-1]
        return -(-(self.offset(last.name) + last.size * last.count) // self.alignment) * self.alignment

    @property
    def alignment(self) -> int:
        """That of the field that needs most."""
        return max(field.alignment for field in self.fields)

    def as_ctypes(self) -> Any:
        """The same as a class of ctypes."""
        import ctypes

        known: dict[str, Any] = {"char": ctypes.c_char, "uint8_t": ctypes.c_uint8}
        known |= {"int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64}
        fields: list[tuple[str, Any]] = []
        for field in self.fields:
            type_: Any = field.struct.as_ctypes() if field.struct else known.get(field.type.removeprefix("_Atomic "), ctypes.c_void_p)
            fields.append((field.name, type_ * field.count if field.count > 1 else type_))
        return type(self.name, (ctypes.Structure,), {"_fields_": fields})

    def definition(self) -> str:
        """The struct in C, each field with its offset and what it is, and an assertion of every offset."""
        lines = [*_comment(self.about, ""), f"typedef struct {self.name} {{"]
        for field in self.fields:
            lines += [*_comment(field.about, "  "), f"  {field.declaration}"]
        lines.append(f"}} {self.name};")
        for name, offset in self.offsets().items():
            lines.append(f'_Static_assert(offsetof({self.name}, {name}) == {offset}, "{self.name}.{name}");')
        lines.append(f'_Static_assert(sizeof({self.name}) == {self.size}, "{self.name}");')
        return "\n".join(lines)


CONTEXT = Struct(
    "Context",
    "What a program is told, constant while it runs. The runtime keeps more of its own behind it.",
    (
        Field("program_id", "int32_t", "The program's place in the grid.", count=3),
        Field("num_programs", "int32_t", "The extents of the grid.", count=3),
        Field("thread", "int32_t", "The number of this thread in the pool."),
        Field("num_threads", "int32_t", "How many threads the launch may use."),
        Field("scratch", "void *", "Memory of this program alone, as long as the kernel asks for, aligned to SCRATCH_ALIGNMENT."),
        Field("services", "const Services *"),
    ),
)

SERVICES = Struct(
    "Services",
    "What a program asks its runtime for.",
    (
        Service(
            "assert_failed",
            "void",
            "Ends the program, and does not return: the launch fails with the message, which names condition, file and line.",
            parameters="Context *, const char *message",
        ),
        Service(
            "print",
            "void",
            "Prints one operand of a tl.device_print: the elements at `data`, of which `shape` has `rank` extents.\n"
            "`type` is kind << 8 | bits, kind 0 signed, 1 unsigned, 2 IEEE float, 3 bfloat16, 4 pointer.",
            parameters="Context *, const char *prefix, int32_t type, int32_t hex, int32_t rank, const int64_t *shape, const void *data",
        ),
        Service("nanoseconds", "int64_t", "A clock that only moves forward."),
        Service(
            "parallel",
            "void",
            "Calls `body` for every index from `begin` to `end`, on threads of the program, each with\n"
            "`scratch_bytes` of memory of its own.",
            parameters="Context *, Body body, void *environment, int64_t begin, int64_t end, int64_t step, uint64_t scratch_bytes",
        ),
        Service(
            "init_barriers",
            "void",
            "Phase barriers, each BARRIER_BYTES long and aligned, in the program's memory.",
            parameters="Context *, Barrier *, int32_t count, int32_t flag, int32_t arrived, int32_t expected",
        ),
        Service("arrive", "void", parameters="Context *, Barrier *"),
        Service(
            "wait", "void", "`where` is for the report of a deadlock.", parameters="Context *, Barrier *, int32_t flag, const char *where"
        ),
        Service("expect", "void", parameters="Context *, Barrier *, int32_t expected"),
        Service(
            "global_barrier",
            "void",
            "The launch's own barrier number `id`, as an address.",
            parameters="Context *, int32_t id, int64_t *handle",
        ),
        Service(
            "out_of_bounds",
            "void",
            "Ends the program, as `assert_failed` does: element `index` was accessed where there are `lower` to `upper` - 1.\n"
            "`what` is an access through a pointer, `where` its line.",
            parameters="Context *, const char *what, const char *where, int64_t index, int64_t lower, int64_t upper",
        ),
    ),
)

PROGRAM = Struct(
    "Program",
    "A kernel that is ready to run.",
    (
        Field("kernel", "Kernel"),
        Field("scratch_bytes", "uint64_t", "Of each thread that runs programs."),
        Field("code", "const void *", "Where its code lies."),
        Field("code_bytes", "uint64_t"),
    ),
)

FAILURE = Struct(
    "Failure",
    "Why a launch failed, and the program that said so.",
    (
        Field("program_id", "int32_t", "All -1 where it is not known.", count=3),
        Field("message", "char", "Of FAILED.", count=FAILURE_BYTES),
        Field("signal", "int32_t", "Of FAULTED, with the signal's code."),
        Field("code", "int32_t"),
        Field("address", "uint64_t", "That was accessed, of FAULTED."),
        Field("place", "uint64_t", "In the kernel's code, of FAULTED and TIMED_OUT; 0 where it is not known."),
        Field("stack_bytes", "uint64_t", "What the thread's stack has, of a fault at its end; else 0."),
        Field("raised", "void *", "Of INTERRUPTED: the exception that a handler of signals has raised, as PyErr_Fetch gives it.", count=3),
    ),
)

_HEADER = """\
// The kernel ABI, written by `make docs` from dialect/abi.py, which says how it may change.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {{ ABI_VERSION = {VERSION}, ABI_OLDEST = {OLDEST} }};
enum {{ MAX_THREADS = {MAX_THREADS}, SCRATCH_ALIGNMENT = {SCRATCH_ALIGNMENT} }};
enum {{ BARRIER_BYTES = {BARRIER_BYTES}, FAILURE_BYTES = {FAILURE_BYTES} }};
enum {{ {STATUS} }};  // of a launch

typedef struct Services Services;
typedef struct Barrier Barrier;

"""

_FUNCTIONS = """\
// One program of a kernel. Every argument has a slot of 8 bytes: a pointer, an integer (low bytes), or the bits of a float (low bytes).
typedef void (*Kernel)(const uint64_t *arguments, Context *context);

// One iteration of a parallel loop; `scratch` is its thread's own.
typedef void (*Body)(void *environment, int64_t index, Context *context, void *scratch);

"""


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}// {line}" for line in text.splitlines()]


def header() -> str:
    """The text of backend/runtime/abi.h."""
    values = globals() | {"STATUS": ", ".join(f"{name} = {value}" for name, value in STATUS.items())}
    structs = "\n\n".join(struct.definition() for struct in (SERVICES, PROGRAM, FAILURE))
    return f"{_HEADER.format(**values)}{CONTEXT.definition()}\n\n{_FUNCTIONS}{structs}\n"


def unsupported(version: int) -> str:
    """Why a kernel compiled for this version of the ABI cannot run here; empty where it can."""
    if OLDEST <= version <= VERSION:
        return ""
    runs = f"version {VERSION}" if OLDEST == VERSION else f"versions {OLDEST} to {VERSION}"
    return f"version {version} of the kernel ABI, and this runtime runs {runs}"


if __name__ == "__main__":
    print(header(), end="")
