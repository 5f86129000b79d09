"""What tests of boards share: kernels by hand, and the processes behind a session."""

from pathlib import Path
from typing import Any

import torch
from kernels.handwritten import INCREMENT, launch

from triton_spacemit.backend.devices.remote import RemoteDevice
from triton_spacemit.backend.devices.session import Session
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

FOREVER = "  br label %l\nl:\n  %v = load volatile i32, ptr %p0\n  br label %l\n"
NULL = "  store volatile i32 1, ptr null\n  ret void\n"


def increment(device: RemoteDevice, stored: tuple[int, ...] | None = None) -> Any:
    return device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip), stored=stored))


def check_it_still_works(device: RemoteDevice) -> None:
    out = torch.zeros(100, dtype=torch.int32)
    launch(device, increment(device), out, grid=(100, 1, 1))
    assert (out == 1).all()


def session_of(device: RemoteDevice) -> Session:
    with device.session() as session:
        return session


def worker_of(device: RemoteDevice) -> int:
    """The process that runs kernels: the agent's child."""
    process = session_of(device).link.process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[-1])
