"""What this process and the guest program under QEMU say to each other, defined once.

Host and guest take turns: the guest reports an event and sleeps until the host answers it; the answer to READY and DONE is the next
command. `make docs` writes `backend/runtime/protocol.h` from here, which the guest in C includes and checks as it does `abi.h`.
"""

from enum import IntEnum

from triton_spacemit.dialect.abi import Field, Struct

TEXT_BYTES, CONTROL_BYTES, OPERANDS = 1 << 17, 1 << 20, 16


class Event(IntEnum):
    """What the guest reports."""

    READY = 1
    DONE = 2
    PRINT = 3
    PAGE_FAULT = 4
    FAULT = 5


class Command(IntEnum):
    """What the host has the guest do."""

    MAP = 1
    UNMAP = 2
    LAUNCH = 3
    EXTERNALS = 4


class Page(IntEnum):
    """What the guest is to do about a page that it misses. The guest has one more of its own: TAKEN, where QEMU itself lies there."""

    UNKNOWN = 0
    MAP_IT = 1
    TRY_AGAIN = 2


CONTROL = Struct(
    "Control",
    f"The first {CONTROL_BYTES} bytes of the file that host and guest share. Behind it are the arguments of LAUNCH, the rows of MAP and\n"
    "UNMAP, and the addresses of EXTERNALS.",
    (
        Field("event_bell", "_Atomic uint32_t", "Counts events."),
        Field("command_bell", "_Atomic uint32_t", "Counts answers."),
        Field("event", "uint32_t"),
        Field("command", "uint32_t"),
        Field("operands", "uint64_t", "Of the command, or the answer to an event.", count=OPERANDS),
        Field("answers", "uint64_t", "Of the event.", count=OPERANDS),
        Field("started", "uint32_t", "By LAUNCH: from here on, programs may have run."),
        Field("text", "char", "Of the event, with its length in the first answer.", count=TEXT_BYTES),
    ),
)


def header() -> str:
    """The text of backend/runtime/protocol.h."""
    enums = "\n".join(
        f"enum {{ {', '.join(f'{item.name} = {item.value}' for item in kind)} }};  // {about}"
        for kind, about in ((Event, "events"), (Command, "commands"), (Page, "answers to PAGE_FAULT"))
    )
    sizes = f"enum {{ CONTROL_BYTES = {CONTROL_BYTES}, TEXT_BYTES = {TEXT_BYTES}, OPERANDS = {OPERANDS} }};"
    top = "// What host and guest say to each other, written by `make docs` from backend/protocol.py.\n#pragma once\n"
    return f"{top}#include <stddef.h>\n#include <stdint.h>\n\n{sizes}\n{enums}\n\n{CONTROL.definition()}\n"


if __name__ == "__main__":
    print(header(), end="")
