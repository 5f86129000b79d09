"""Why a launch was ended, in words that are the same on every device."""

import signal

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.loader import KernelObject

_KINDS = {
    signal.SIGSEGV: "invalid memory access",
    signal.SIGBUS: "memory access that the machine refuses",
    signal.SIGILL: "illegal instruction",
    signal.SIGFPE: "arithmetic fault",
}
_BY_THE_MACHINE = 128  # the code of signals that come with no address


def fault_text(number: int, address: int, code: int = 0, detail: str = "") -> str:
    """The signal `number` that a kernel was sent, with the `address` that it accessed, or with what else is known."""
    if not detail and number in (signal.SIGSEGV, signal.SIGBUS):
        detail = " at an address that no memory has" if code == _BY_THE_MACHINE and not address else f" at address {address:#x}"
    return f"{_KINDS[signal.Signals(number)]} ({signal.Signals(number).name}){detail}"


def timeout_text(seconds: float) -> str:
    return f"still running after {seconds:g} seconds (TRITON_SPACEMIT_TIMEOUT), and was stopped"


def place_text(object_: KernelObject, place: int | None) -> str:
    """Where in the source a kernel was, or else in its code: `place` is an offset in its image, None for outside of it."""
    if place is None:
        return "outside of its code"
    line = object_.line_of(place)
    return f"at {line}" if line else f"at {place:#x} in its code"


def ended(kernel: str, program: tuple[int, ...], text: str) -> DeviceError:
    """The error of a launch that `program` of the kernel ended."""
    return DeviceError(f"kernel {kernel!r}, program {program}: {text}")
