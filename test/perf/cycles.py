"""Rows that estimate cycles of an X60 (docs/performance.md), some beside what is published of K1."""

import functools
import math

import torch
import triton.language as tl
from kernels import matmul, softmax
from kernels.case import error_ratio, random
from perf import kernels
from perf.result import Result, Row

from triton_spacemit.backend import set_device
from triton_spacemit.backend.estimate import Estimate, estimate

_BLOCKS = ((64, 64, 64), (128, 128, 64), (256, 128, 64), (256, 256, 64), (256, 256, 256))
_L2_ELEMENTS = (512 << 10) // 4


def _softmax(_: float) -> Result:
    set_device("qemu", "x60")
    x = random(4, 1024)
    out = torch.empty_like(x)
    launch = kernels.by_row(kernels.softmax_row_kernel, x, out)
    launch()
    made = estimate(launch, warm=True)
    return Result(made.cycles / x.numel(), None, error_ratio(out, softmax.SOFTMAX.reference(x), softmax.SOFTMAX.bound(x)))


def _copy(elements: int, _: float) -> Result:
    set_device("qemu", "x60")
    x, y = torch.zeros(elements), random(elements)
    out = torch.empty_like(x)
    launch = kernels.add(x, y, out, min(elements, 1 << 13))
    launch()
    made = estimate(launch, warm=True)
    return Result(made.cycles / elements, None, 0.0 if torch.equal(out, y) else math.inf)


@functools.cache
def _products(size: int) -> dict[tuple[int, int, int], tuple[Estimate, float]]:
    """By blocks: what a product is estimated at, and its error."""
    set_device("qemu", "x60")
    a, b = random(size, size), random(size, size, seed=1)
    c = torch.empty(size, size)
    found = {}
    for blocks in _BLOCKS:
        launch = kernels.matmul(a, b, c, blocks, tl.float32)
        launch()
        c.zero_()
        made = estimate(launch)
        found[blocks] = made, error_ratio(c, matmul.reference(a, b), matmul.bound(a, b, c.dtype))
    return found


def _chosen(size: int, _: float) -> Result:
    """Cycles a multiply-add of the blocks that cycles choose, beside those that instructions would choose."""
    found = _products(size)
    best = min(found, key=lambda blocks: found[blocks][0].cycles)
    by_instructions = min(found, key=lambda blocks: found[blocks][0].instructions)
    made, error = found[best]
    per = size**3
    detail = {
        "x".join(map(str, blocks)): {"cycles": each.cycles, "instructions": each.instructions, "bytes": each.memory_bytes}
        for blocks, (each, _) in found.items()
    }
    return Result(made.cycles / per, found[by_instructions][0].cycles / per, error, "x".join(map(str, best)), detail)


def _traffic(size: int, _: float) -> Result:
    """Bytes to and from memory, beside the least that a cache of that size allows: 2 m n k / sqrt(its elements), and the result once.

    Source: Kwasniewski et al., "Red-blue pebbling revisited", 2019, for the product of matrices that do not fit.
    """
    made, error = min(_products(size).values(), key=lambda row: row[0].cycles)
    least = 4 * max(2 * size**3 / math.sqrt(_L2_ELEMENTS) + size**2, 3 * size**2)
    return Result(made.memory_bytes / least, None, error)


ROWS = [
    Row("x60 softmax 1024, estimated", "cycles/element", _softmax),
    Row("x60 add 2^11, estimated", "cycles/element", functools.partial(_copy, 1 << 11)),
    Row("x60 add 2^20, estimated", "cycles/element", functools.partial(_copy, 1 << 20), slow=True),
    Row("x60 f32 512^3, estimated", "cycles/MAC", functools.partial(_chosen, 512), "blocks by instructions", slow=True),
    Row("x60 f32 512^3, bytes of memory", "times the least", functools.partial(_traffic, 512), slow=True),
    Row("x60 f32 1024^3, estimated", "cycles/MAC", functools.partial(_chosen, 1024), "blocks by instructions", slow=True),
    Row("x60 f32 1024^3, bytes of memory", "times the least", functools.partial(_traffic, 1024), reach=1.2, slow=True),
]
