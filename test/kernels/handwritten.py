"""Kernels written by hand in LLVM IR, for tests of the devices alone."""

import ctypes
import mmap
import struct
from pathlib import Path
from typing import Any

import torch

from triton_spacemit.backend.devices import Device, Signature
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

# Byte offsets in Context (docs/architecture.md).
PRELUDE = """
define internal i32 @pid(ptr %context) alwaysinline {
  %id = load i32, ptr %context
  ret i32 %id
}
define internal ptr @slot(ptr %arguments, i64 %i) alwaysinline {
  %p = getelementptr ptr, ptr %arguments, i64 %i
  %v = load ptr, ptr %p
  ret ptr %v
}
define internal ptr @service(ptr %context, i64 %i) alwaysinline {
  %p = getelementptr i8, ptr %context, i64 40
  %services = load ptr, ptr %p
  %q = getelementptr ptr, ptr %services, i64 %i
  %f = load ptr, ptr %q
  ret ptr %f
}
"""


def kernel_ir(body: str, extra: str = "") -> str:
    """LLVM IR of the kernel `k`; `%p0`, `%p1` are its first slots, `%id` is the program's first number."""
    return f"""{PRELUDE}{extra}
define void @k(ptr %arguments, ptr %context) {{
  %p0 = call ptr @slot(ptr %arguments, i64 0)
  %p1 = call ptr @slot(ptr %arguments, i64 1)
  %id = call i32 @pid(ptr %context)
{body}
}}
"""


# Adds 1 to element `program_id` of an int32 array.
INCREMENT = kernel_ir("""
  %g = getelementptr i32, ptr %p0, i32 %id
  %v = load i32, ptr %g
  %w = add i32 %v, 1
  store i32 %w, ptr %g
  ret void
""")


COPY = "  %v = load i32, ptr %p1\n  store i32 %v, ptr %p0\n  ret void\n"
# Follows the pointer in element `id` of the second argument and adds 1 to what it leads to.
FOLLOW = """
  %e = getelementptr i64, ptr %p1, i32 %id
  %a = load i64, ptr %e
  %q = inttoptr i64 %a to ptr
  %v = load i32, ptr %q
  %w = add i32 %v, 1
  store i32 %w, ptr %q
  ret void
"""


def read_only(path: Path) -> torch.Tensor:
    """2,000 integers, all 5, in memory that can be read and not written: that of a file at `path`, which is made."""
    path.write_bytes(b"\5\0\0\0" * 2000)
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    with path.open("rb") as file:
        address = libc.mmap(None, ctypes.c_size_t(8000), mmap.PROT_READ, mmap.MAP_PRIVATE, file.fileno(), ctypes.c_long(0))
    return torch.frombuffer((ctypes.c_char * 8000).from_address(address), dtype=torch.int32)


def compiled(device: Device, body: str, extra: str = "", scratch_bytes: int = 0) -> Any:
    """The kernel with this body, loaded."""
    binary = compile_object(kernel_ir(body, extra), device.chip)
    return device.load(Artifact("k", device.chip.name, scratch_bytes=scratch_bytes, binary=binary))


def launch(device: Device, kernel: Any, *values: Any, grid: tuple[int, int, int] = (1, 1, 1), types: tuple[str, ...] | None = None) -> None:
    """Launch with tensors, or integers that are addresses; at least two slots."""
    values += (None,) * (2 - len(values))
    slots = struct.pack(f"<{len(values)}Q", *(value.data_ptr() if hasattr(value, "data_ptr") else value or 0 for value in values))
    device.launch(kernel, grid, slots, values, Signature(types or ("*i32",) * len(values), tuple(range(len(values)))))
