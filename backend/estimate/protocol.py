"""What the code that is put into a kernel, the guest's model of caches (backend/runtime/trace.c) and this process say to each other.

`make docs` writes `backend/runtime/tracing.h` from here. Cycles are counted in parts, `PARTS` to one.
"""

from triton_spacemit.dialect.abi import Field, Struct

PARTS = 16
STREAMS = 8
OUTSTANDING = 8  # lines that a core has asked for at a time
LINE_BYTES = 64

CHANNEL = Struct(
    "Channel",
    "The way to the second cache, or to memory. All times are in parts of a cycle.",
    (
        Field("read_cycles", "uint64_t", "That it is busy with a line."),
        Field("write_cycles", "uint64_t"),
        Field("turn", "uint64_t", "More, where the one follows the other."),
        Field("latency", "uint64_t", "Until a line arrives that does not follow another."),
        Field("free_at", "uint64_t", "When it has done all that it was asked for."),
        Field("writes", "uint64_t", "Whether the last line was written."),
        Field("waited", "uint64_t", "How long the kernel has waited for it."),
    ),
)

CACHE = Struct(
    "Cache",
    "A cache, whose tags lie behind the Trace: line + 1 and a bit that says whether it was stored to, a set's latest one first.",
    (
        Field("sets", "uint64_t"),
        Field("ways", "uint64_t"),
        Field("missed", "uint64_t", "Lines that it was asked for and had not."),
        Field("read", "uint64_t", "Lines that it asked the next level for."),
        Field("written", "uint64_t", "Lines that it wrote back there."),
    ),
)

TRACE = Struct(
    "Trace",
    "A kernel's time, and its caches.",
    (
        Field("clock", "uint64_t", "Parts of the cycles of all instructions until now, which a block adds when it begins."),
        Field("waited", "uint64_t", "And of those that were waited."),
        Field("accesses", "uint64_t", "Instructions that read or wrote."),
        Field("ahead", "uint64_t", "How far the kernel may be ahead of a channel."),
        Field("arrival", "uint64_t", "When the last line arrives that the kernel will wait for."),
        Field("asked_at", "uint64_t", "The clock of the block that asked for it."),
        Field("asked", "uint64_t", "How many such lines there are."),
        Field("asked_of", "uint64_t", "The channel that it comes from: 0 is the second cache, 1 memory."),
        Field("latest", "uint64_t", "The line that was touched last."),
        Field("latest_written", "uint64_t"),
        Field("loads", "uint64_t", "The lines that loads have missed last.", count=STREAMS),
        Field("stores", "uint64_t", "The same of stores.", count=STREAMS),
        Field("between", "Channel", "The way from the first cache to the second.", struct=CHANNEL),
        Field("memory", "Channel", struct=CHANNEL),
        Field("first", "Cache", struct=CACHE),
        Field("second", "Cache", struct=CACHE),
    ),
)

SITE = Struct(
    "AccessSite",
    "One instruction that reads or writes.",
    (
        Field("trace", "uint64_t", "The address of the Trace."),
        Field("offset", "uint64_t", "Added to the base."),
        Field("pattern", "uint64_t", "A Pattern."),
        Field("write", "uint64_t"),
        Field("bits", "uint64_t", "Of an element in memory; 0 where it is SEW."),
        Field("index_bits", "uint64_t"),
        Field("fields", "uint64_t", "Of a segment, or whole registers."),
        Field("masked", "uint64_t"),
    ),
)


def header() -> str:
    """The text of backend/runtime/tracing.h."""
    top = "// A kernel's accesses and time, written by `make docs` from backend/estimate/protocol.py.\n#pragma once\n"
    sizes = f"enum {{ CYCLE_PARTS = {PARTS}, STREAMS = {STREAMS}, LINE_BYTES = {LINE_BYTES}, OUTSTANDING = {OUTSTANDING} }};"
    structs = "\n\n".join(struct.definition() for struct in (CHANNEL, CACHE, TRACE, SITE))
    return f"{top}#include <stddef.h>\n#include <stdint.h>\n\n{sizes}\n\n{structs}\n"


if __name__ == "__main__":
    print(header(), end="")
