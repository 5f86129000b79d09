"""The loops of rvv.c, compiled by zig's clang for the X60 and launched as kernels, so that they are counted as ours are."""

import functools
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from triton_spacemit import backend
from triton_spacemit.backend.devices import Signature, get_device
from triton_spacemit.backend.native import zig
from triton_spacemit.dialect.artifact import Artifact

_SOURCE = Path(__file__).resolve().parent / "rvv.c"
# What the loader takes: no linker relaxation, no calls into a runtime of the compiler's.
_FLAGS = "-target riscv64-linux-musl -mcpu=spacemit_x60 -O2 -fPIC -mno-relax -fno-sanitize=all -fno-stack-protector".split()


@functools.cache
def _object() -> bytes:
    include = Path(backend.__file__).parent / "runtime"
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "rvv.o"
        zig("cc", *_FLAGS, f"-I{include}", "-c", str(_SOURCE), "-o", str(output), work=Path(folder))
        return output.read_bytes()


@functools.cache
def _kernel(name: str) -> object:
    return get_device("qemu", "x60").load(Artifact(name, "x60", binary=_object()))


def by_hand(name: str, *tensors: torch.Tensor) -> Callable[[], object]:
    """A launch of the loop `name` on the rows of the first of `tensors`."""
    device, kernel = get_device("qemu", "x60"), _kernel(name)
    rows, columns = tensors[0].shape
    slots = struct.pack(f"<{len(tensors) + 1}Q", *(tensor.data_ptr() for tensor in tensors), columns)
    signature = Signature(("*fp32",) * len(tensors) + ("i32",), tuple(range(len(tensors))))
    return lambda: device.launch(kernel, (rows, 1, 1), slots, tensors, signature)
