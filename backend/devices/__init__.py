"""Devices: where a compiled kernel runs. This module is the protocol between the launcher and all of them.

Life of a kernel: `load` once, `launch` any number of times, `unload`. `launch` returns when every program of the grid has
finished. A fault ends the launch with `backend.errors.DeviceError`, and the next launch works.
"""

import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Protocol

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.dialect.abi import unsupported
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import Chip, get_chip


@dataclass(frozen=True)
class Signature:
    """The runtime arguments of a kernel, one 8-byte slot each.

    types: Triton's type string of each slot (`*fp32`, `i32`, `bf16`). pointers: the numbers of the slots that are pointers.
    """

    types: tuple[str, ...]
    pointers: tuple[int, ...]


class Clock(Enum):
    """By what the cost of a launch on a device is told."""

    TIME = "time"  # that passes in this process
    BOARD = "board"  # the same on another machine, which the device tells
    INSTRUCTIONS = "instructions"  # that are executed: time means nothing there
    NONE = "none"


class Device(Protocol):
    """Runs kernels compiled for `chip`. `load` returns the device's own handle, which the other two take back.

    The class says what holds for each of its devices: `chips`, the names of those whose code it runs, first the one that is meant where
    none is named, and its `clock`. A device with `Clock.INSTRUCTIONS` has a method `count` as well (`counting.py`). One that has to be
    asked for its chip has a method of the class, `ask_chip`. Launches take tensors of the `memories`: PyTorch's devices, or `board`
    (`backend/board.py`).
    """

    name: ClassVar[str]
    chips: ClassVar[tuple[str, ...]]
    clock: ClassVar[Clock]
    memories: ClassVar[tuple[str, ...]] = ("cpu",)
    chip: Chip

    def load(self, artifact: Artifact) -> Any:
        """Make a kernel ready to launch; `check_artifact` has let it pass. Raises DeviceError where its object is damaged."""

    def unload(self, kernel: Any) -> None:
        """Free what `load` took; `kernel` is not used again."""

    def launch(self, kernel: Any, grid: tuple[int, int, int], slots: bytes, pointers: Sequence[Any], signature: Signature) -> None:
        """Run every program of `grid`, in which no extent is 0.

        slots: the packed argument slots, pointers as addresses in this process. pointers: what the caller passed for the slots
        `signature.pointers`, in that order: a torch tensor, another object with `data_ptr()`, or an int that is a raw address (0 is null).
        A device that shares this process's memory needs only `slots`; another one mirrors the tensors' storages.
        """


def check_artifact(device: Device, artifact: Artifact) -> None:
    """Raise DeviceError, which names both sides, where the device runs another chip's code or other versions of the kernel ABI."""
    if artifact.chip != device.chip.name:
        raise DeviceError(
            f"kernel {artifact.name!r} was compiled for chip {artifact.chip!r}; the device {device.name!r} runs {device.chip.name!r}"
        )
    if mismatch := unsupported(artifact.abi):
        raise DeviceError(f"kernel {artifact.name!r} was compiled for {mismatch}")


#: device name -> "module:class"; the class takes the chip.
DEVICES = {
    "host": "triton_spacemit.backend.devices.host:HostDevice",
    "qemu": "triton_spacemit.backend.devices.qemu:QemuDevice",
    "remote": "triton_spacemit.backend.devices.remote:RemoteDevice",
    "null": "triton_spacemit.backend.devices.null:NullDevice",
}


def device_class(name: str) -> type[Device]:
    """The class of the devices called `name`. Raises ValueError where there is none."""
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}; known: {', '.join(DEVICES)}")
    module, _, cls = DEVICES[name].partition(":")
    return getattr(importlib.import_module(module), cls)


def resolve(name: str, chip: str | None) -> tuple[str, str]:
    """Device and chip, which is the device's first where none is named. Raises ValueError where the device cannot run the chip's code."""
    found = device_class(name)
    chips = found.chips
    if chip is None:
        return name, found.ask_chip() if hasattr(found, "ask_chip") else chips[0]
    get_chip(chip)
    if chip not in chips:
        raise ValueError(f"device {name!r} cannot run code for chip {chip!r}")
    return name, chip


@functools.cache
def get_device(name: str, chip: str) -> Device:
    """The process's one device of this name and chip, made on first use. Raises ValueError as `resolve` does."""
    resolve(name, chip)
    return device_class(name)(get_chip(chip))  # type: ignore[call-arg]  # a protocol's class says nothing of how it is made
