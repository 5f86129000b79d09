"""Estimates of cycles on a chip that is emulated: what instructions take, and what caches and memory add.

They are estimates, of one core that runs alone: instructions take what a model of the core says (`dialect/timings.py`), caches and memory
are simulated with the addresses that a kernel really touches. docs/performance.md says how near they come to silicon.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from triton_spacemit.backend.devices import Clock, get_device
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import active_target
from triton_spacemit.dialect.timings import CoreTiming


@dataclass(frozen=True)
class Estimate:
    """What the launches of a block take on one core.

    cycles: in all; gigahertz: of the core. computing: those of the instructions alone, with all data in the first cache. waiting_l2,
    waiting_memory: those that the core waits for the second cache and for memory. instructions, accesses: executed ones, exact. l1_bytes:
    moved between the first cache and the second, both ways; memory_bytes: between the second and memory; memory_read_bytes of these.
    """

    cycles: float
    gigahertz: float
    computing: float
    waiting_l2: float
    waiting_memory: float
    instructions: int
    accesses: int
    l1_bytes: int
    memory_bytes: int
    memory_read_bytes: int

    @property
    def milliseconds(self) -> float:
        """The time of that many cycles."""
        return self.cycles / self.gigahertz / 1e6


class EstimatesCycles(Protocol):
    """A device with `Clock.INSTRUCTIONS` that can estimate."""

    def estimate(self, launches: Callable[[], object], warm: bool) -> Estimate:
        """Call `launches`, which launches kernels on this device, and estimate what they take."""


def timing_of(chip_name: str) -> CoreTiming:
    """What is known of a chip's time. Raises DeviceError naming the chips of which something is."""
    from triton_spacemit.dialect.chips import CHIPS, get_chip

    timing = get_chip(chip_name).timing
    if timing is None:
        known = ", ".join(name for name, chip in CHIPS.items() if chip.timing)
        raise DeviceError(f"nothing is known of the time of instructions on {chip_name}; cycles are estimated for {known}")
    return timing


def can_estimate() -> bool:
    """Whether cycles can be estimated for the active device and chip."""
    from triton_spacemit.dialect.chips import get_chip

    name, chip = active_target()
    return get_device(name, chip).clock is Clock.INSTRUCTIONS and get_chip(chip).timing is not None


def estimate(launches: Callable[[], object], warm: bool = False) -> Estimate:
    """What `launches`, which launches kernels on the active device, take on its chip.

    warm: they are called twice, and the second time counts: caches hold what the first one has left. Else they begin empty.
    Raises DeviceError where the active device has a time of its own, where nothing is known of the chip's, or where a kernel's code cannot
    be followed.
    """
    device = get_device(*active_target())
    if device.clock is not Clock.INSTRUCTIONS:
        raise DeviceError(f"cycles are estimated on the qemu device; the active one is {device.name!r}")
    return cast(EstimatesCycles, device).estimate(launches, warm)


def as_table(made: Estimate, per: float = 1.0) -> dict[str, float]:
    """The parts of an estimate by name, as commands show them, each divided by `per`; times are of all."""
    of_one = {name: getattr(made, name) / per for name in made.__dataclass_fields__ if name != "gigahertz"}
    return {f"estimated_{name}": value for name, value in of_one.items()} | {"estimated_milliseconds": made.milliseconds}
