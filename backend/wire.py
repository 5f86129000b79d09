"""What this process and the agent on a board say to each other, defined once.

Both send frames: a header, a body of fixed size, and for some frames bytes behind it. The agent carries frames out in their order. `make
docs` writes `backend/runtime/wire.h` from here, which the agent in C includes and checks as it does `abi.h`. All numbers are little-endian.
"""

from enum import IntEnum

from triton_spacemit.dialect.abi import Field, Struct

VERSION = 1
MAGIC = 0x4D435053  # "SPCM"
DIGEST_BYTES = 32  # of SHA-256
CORE_WORDS = 16  # of 64 cores each
MESSAGE_BYTES = 1 << 20  # at most, behind a header, of all frames but WRITE, CODE and DATA
MAX_REPEATS = 1 << 16
MAX_RANGES = 1 << 16  # that a board's memory may be divided into
#: Where a board has its images and its tensors: each address is one of a Sv39 process, and the same in agent, worker and host.
CODE_START, ARENA_START = 1 << 36, 1 << 37


class Frame(IntEnum):
    """What a frame is; those from 32 on come from the agent."""

    HELLO = 1  # the first one; INFO answers it
    WORKER = 2  # how workers are started from now on; the one that there is ends
    ALLOCATE = 3  # a range of the arena, which has zeros
    WRITE = 4  # bytes of allocated memory, which follow
    FILL = 5
    FREE = 6  # whole ranges, or a kernel
    READ = 7  # DATA answers it
    CODE = 8  # a kernel's image, which follows
    LAUNCH = 9  # the slots follow; PRINTs, then DONE or FAULT answer it
    BLOB = 10  # memory whose digest is known: HIT or MISS answers it
    CANCEL = 11  # the launch that is under way; FAULT answers that
    PING = 12
    INFO = 32  # JSON
    DATA = 33
    PRINT = 34
    DONE = 35
    FAULT = 36
    HIT = 37
    MISS = 38
    PONG = 39
    ERROR = 40  # a sentence; the agent then ends


class Ended(IntEnum):
    """Why a launch has ended with FAULT."""

    SIGNAL = 1
    TIMED_OUT = 2
    CANCELLED = 3
    DIED = 4  # the worker has
    TAKEN = 5  # an address that the launch needs is taken in the worker's address space


HEADER = Struct(
    "Header",
    "In front of each frame.",
    (
        Field("magic", "uint32_t"),
        Field("type", "uint32_t"),
        Field("sequence", "uint32_t", "Of the frame, or of the one that it answers."),
        Field("reserved", "uint32_t", "0."),
        Field("bytes", "uint64_t", "Behind the header."),
    ),
)
_RANGE = (Field("start", "uint64_t"), Field("bytes", "uint64_t"))
BODIES = (
    Struct("Hello", "Of HELLO.", (Field("version", "uint32_t"), Field("reserved", "uint32_t"))),
    Struct(
        "WorkerKind",
        "Of WORKER.",
        (
            Field("ai_cores", "uint32_t", "Whether it runs on the cores that /proc/set_ai_thread leads to."),
            Field("ime", "uint32_t", "The generation of matrix instructions that it emulates; 0 for none."),
            Field("cores", "uint64_t", "A bit for each that it runs on; none: wherever the system likes.", count=CORE_WORDS),
        ),
    ),
    Struct("Span", "Of ALLOCATE, WRITE, FREE, READ and DATA.", _RANGE),
    Struct("Filling", "Of FILL.", (*_RANGE, Field("value", "uint64_t", "Of each byte."))),
    Struct(
        "Image",
        "Of CODE. The parts end at multiples of the page: code, then read-only data, then writable data, then code again.",
        (
            *_RANGE,
            Field("code_end", "uint64_t", "An offset from the start, as the next two."),
            Field("readonly_end", "uint64_t"),
            Field("writable_end", "uint64_t"),
            Field("digest", "uint8_t", "SHA-256 of the image.", count=DIGEST_BYTES),
        ),
    ),
    Struct(
        "Launching",
        "Of LAUNCH.",
        (
            Field("entry", "uint64_t"),
            Field("scratch_bytes", "uint64_t", "Of each thread."),
            Field("timeout", "uint64_t", "Nanoseconds; 0 for none."),
            Field("flush_bytes", "uint64_t", "That are written before each repeat, so that caches hold none of the arguments."),
            Field("grid", "int32_t", count=3),
            Field("threads", "int32_t"),
            Field("repeats", "uint32_t", "At least 1."),
            Field("counters", "uint32_t", "Whether cycles and instructions are counted."),
        ),
    ),
    Struct(
        "Blob",
        "Of BLOB.",
        (*_RANGE, Field("keep", "uint64_t", "Keep it, rather than look for it."), Field("digest", "uint8_t", count=DIGEST_BYTES)),
    ),
    Struct(
        "Done",
        "Of DONE. The nanoseconds of each repeat follow, then the message.",
        (
            Field("status", "uint32_t", "As `run_grid` gives it."),
            Field("repeats", "uint32_t"),
            Field("program", "int32_t", count=3),
            Field("message_bytes", "uint32_t"),
            Field("megahertz", "uint32_t", "Of the core that the agent looked at behind the launch; 0 where the system does not say."),
            Field("counted", "int32_t", "1, or less than 1 the negative number of the error because of which there are no counts."),
            Field("cycles", "uint64_t"),
            Field("instructions", "uint64_t"),
        ),
    ),
    Struct(
        "FaultReport",
        "Of FAULT.",
        (
            Field("ended", "uint32_t"),
            Field("signal", "int32_t"),
            Field("code", "int32_t"),
            Field("program", "int32_t", count=3),
            Field("rule", "uint32_t", "That a matrix instruction breaks; 0 for another fault."),
            Field("word", "uint32_t", "That instruction."),
            Field("status", "int32_t", "Of a worker that died: its exit code, or the negative number of its signal."),
            Field("located", "uint32_t", "Whether `counter` and `link` are known."),
            Field("address", "uint64_t", "That was accessed."),
            Field("counter", "uint64_t", "Of the program."),
            Field("link", "uint64_t", "Where the function that it was in returns to."),
        ),
    ),
)
HELLO, WORKER, SPAN, FILLING, IMAGE, LAUNCHING, BLOB, DONE, FAULT = BODIES


def header() -> str:
    """The text of backend/runtime/wire.h."""
    enums = "\n".join(
        f"enum {{ {', '.join(f'{prefix}_{item.name} = {item.value}' for item in kind)} }};"
        for prefix, kind in (("FRAME", Frame), ("ENDED", Ended))
    )
    numbers = ("DIGEST_BYTES", "CORE_WORDS", "MESSAGE_BYTES", "MAX_REPEATS", "MAX_RANGES")
    sizes = ", ".join(f"{name} = {globals()[name]}" for name in numbers)
    places = f"#define CODE_START {CODE_START:#x}\n#define ARENA_START {ARENA_START:#x}\n#define MAGIC {MAGIC:#x}u"
    top = "// What host and agent say to each other, written by `make docs` from backend/wire.py.\n#pragma once\n"
    structs = "\n\n".join(each.definition() for each in (HEADER, *BODIES))
    return (
        f"{top}#include <stddef.h>\n#include <stdint.h>\n\n{places}\nenum {{ WIRE_VERSION = {VERSION}, {sizes} }};\n{enums}\n\n{structs}\n"
    )


if __name__ == "__main__":
    print(header(), end="")
