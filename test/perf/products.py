"""Rows that count products and attention in blocks of given sizes, on the X60 and beside a quarter of it on the A100, whose registers are
four times as long."""

import functools
from typing import Any

import torch
import triton.language as tl
from kernels import attention, matmul
from kernels.case import epsilon, error_ratio, random
from perf import kernels
from perf.result import Result, Row

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count

_f16, _f32, _i8, _i32 = torch.float16, torch.float32, torch.int8, torch.int32
_HEAD = 64  # elements of a head


@functools.cache
def _product(chip: str, dtype: torch.dtype, out: torch.dtype, size: int, blocks: tuple[int, int, int], ime: bool = True) -> Result:
    set_device("qemu", chip)
    a, b = random(size, size, dtype=dtype), random(size, size, dtype=dtype, seed=1)
    c = torch.empty(size, size, dtype=out)
    accumulator = {_f16: tl.float16, _f32: tl.float32, _i32: tl.int32}[out]
    launch = kernels.matmul(a, b, c, blocks, accumulator, **({} if ime else {"allow_ime": False}))
    launch()
    c.zero_()
    weighted = count(launch).weighted
    bound: Any = matmul.bound(a, b, out)
    if out == _f16:  # accumulated in it
        bound = a.double().abs() @ b.double().abs() * epsilon(out) * (size + 1)
    return Result(weighted / size**3, None, error_ratio(c, matmul.reference(a, b), bound), "x".join(map(str, blocks)))


@functools.cache
def _attention(chip: str, length: int, blocks: tuple[int, int]) -> Result:
    set_device("qemu", chip)
    q, k, v = (random(1, 1, length, _HEAD, seed=seed) for seed in range(3))
    out, log_sum = torch.empty_like(q), torch.empty(1, 1, length)
    launch = kernels.attention(q, k, v, out, log_sum, False, blocks)
    launch()
    out.zero_()
    weighted = count(launch).weighted
    error = error_ratio(out, attention.reference(q, k, v, False), attention.bound(q, k, v, False))
    return Result(weighted / (2 * length**2 * _HEAD), None, error, "x".join(map(str, blocks)))


def _beside_quarter(measured: Result, of_x60: Result) -> Result:
    return Result(measured.value, of_x60.value / 4, max(measured.error, of_x60.error), measured.config)


_WHOLE = (256, 256, 256)
ROWS = [
    Row("x60 f32 200^3 in blocks of 64", "weighted/MAC", lambda _: _product("x60", _f32, _f32, 200, (64, 64, 64)), reach=0.195),
    Row("x60 int8 256^3, vector unit", "weighted/MAC", lambda _: _product("x60", _i8, _i32, 256, _WHOLE, False), reach=0.172),
]
ROWS += [
    Row(
        f"x60 attention, {length} keys in blocks of 64",
        "weighted/MAC",
        lambda _, length=length: _attention("x60", length, (64, 64)),
        reach=0.225,
    )
    for length in (256, 512)
]
ROWS += [
    Row(
        f"a100 {name} 256^3",
        "weighted/MAC",
        lambda _, a=a, c=c: _beside_quarter(_product("a100", a, c, 256, _WHOLE), _product("x60", a, c, 256, _WHOLE)),
        "a quarter of the X60's",
        speed=1 / 1.08,
    )
    for name, a, c in (("f32", _f32, _f32), ("f16, f16 out", _f16, _f16), ("f16, f32 out", _f16, _f32))
]
ROWS += [
    Row(
        f"a100 attention, {length} keys in blocks of 128",
        "weighted/MAC",
        lambda _, length=length: _beside_quarter(_attention("a100", length, (128, 128)), _attention("x60", length, (64, 64))),
        "a quarter of the X60's",
        speed=1 / 1.08,
    )
    for length in (256, 512)
]
