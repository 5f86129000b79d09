"""Compiles and runs so many different kernels in this process; prints by how many MB its memory grew after the first few."""

import gc
import importlib
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import torch
from triton import knobs

from triton_spacemit.backend import set_device

_WARM_UP = 20
_KERNEL = """
@triton.jit
def kernel_{number}(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, offsets < n, other=0.0)
    tl.store(out_ptr + offsets, {expression}, offsets < n)
"""
_EXPRESSIONS = ("x + {c}.0", "tl.exp(x) * {c}.0", "x - tl.max(x, 0) + {c}.0", "tl.where(x > {c}.0, x, -x)")


def _module(count: int, folder: str) -> ModuleType:
    texts = ["import triton\nimport triton.language as tl\n"]
    for number in range(count):
        texts.append(_KERNEL.format(number=number, expression=_EXPRESSIONS[number % len(_EXPRESSIONS)].format(c=number)))
    (Path(folder) / "many_kernels.py").write_text("\n".join(texts))
    sys.path.insert(0, folder)
    return importlib.import_module("many_kernels")


def _expected(x: torch.Tensor, number: int) -> torch.Tensor:
    return (x + number, x.exp() * number, x - x.max() + number, torch.where(x > number, x, -x))[number % len(_EXPRESSIONS)]


def _resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def main() -> None:
    set_device("host")
    count = int(sys.argv[1])
    x, before = torch.randn(256), 0.0
    with tempfile.TemporaryDirectory() as folder:
        knobs.cache.dir = folder
        module = _module(count + _WARM_UP, folder)
        for number in range(count + _WARM_UP):
            if number == _WARM_UP:
                before = _resident_mb()
            out = torch.zeros(256)
            getattr(module, f"kernel_{number}")[(1,)](x, out, 256, BLOCK=256)
            torch.testing.assert_close(out, _expected(x, number))
        print(_resident_mb() - before)


if __name__ == "__main__":
    main()
