"""float16 and bfloat16 on cores without arithmetic on them, whatever this machine has: each operation is right and calls nothing.

What a kernel calls the runtime has to have: an object with a call of any other function, such as C's fmaxf, is not loaded.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
import triton
import triton.language as tl
from random_kernels import other_cores

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.language.cpu import libdevice
from triton_spacemit.dialect import hosts

SIZE = 256  # more than a group of registers holds
DTYPES = (torch.float16, torch.bfloat16)


@pytest.fixture(params=["host", pytest.param("rvv128", marks=pytest.mark.qemu)])
def plain_core(request: pytest.FixtureRequest, cache: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine without AVX-512 FP16, or a RISC-V core with vectors and no float16."""
    chip = hosts.host_chip()
    plain = replace(chip, features=chip.features + ",-avx512fp16", native_float16=False)
    monkeypatch.setattr(hosts, "host_chip", lambda: plain)
    with other_cores.registered(request.param), knobs.scope():
        set_device("host" if request.param == "host" else "qemu", None if request.param == "host" else request.param)
        yield


def _numbers(dtype: torch.dtype, rows: int = 1) -> torch.Tensor:
    """Random numbers of both signs, halves, zeros of both signs, the least and the largest numbers."""
    x = torch.randn(rows * SIZE, generator=torch.Generator().manual_seed(rows), dtype=torch.float64) * 3
    x[::7] = (x[::7] * 2).round() / 2
    info = torch.finfo(dtype)
    x[:8] = torch.tensor([0.0, -0.0, info.smallest_normal, -info.smallest_normal / 4, info.max, info.min, 1.0, -1.0])
    return x.to(dtype).reshape(rows, SIZE).squeeze(0)


def _assert_rounded(result: torch.Tensor, exact: torch.Tensor) -> None:
    """The result is the exact number (float64) rounded once, but for an error of float32 before that; NaN and infinities are the same."""
    info = torch.finfo(result.dtype)
    wanted = exact.to(result.dtype)
    finite = wanted.isfinite()
    assert torch.equal(result[~finite].double().nan_to_num(1e99), wanted[~finite].double().nan_to_num(1e99))
    bound = exact.abs() * info.eps * (0.5 + 2**-6) + info.smallest_normal * info.eps
    assert bool(((result.double() - exact).abs() <= bound)[finite].all())


@triton.jit
def negative(x):
    return -x


@triton.jit
def in_float64(x):
    return (x.to(tl.float64) * 3).to(x.dtype)


@triton.jit
def by_integers(x):
    return tl.clamp(x, -99.0, 99.0).to(tl.int8).to(x.dtype)


@triton.jit
def sigmoid(x):
    return tl.sigmoid(x.to(tl.float32)).to(x.dtype)


ONE: dict[object, Callable[..., torch.Tensor]] = {
    negative: lambda x: -x,
    in_float64: lambda x: x * 3,
    by_integers: lambda x: x.clamp(-99, 99).trunc(),
    sigmoid: lambda x: x.sigmoid(),
    tl.abs: torch.abs,
    libdevice.floor: torch.floor,
    libdevice.ceil: torch.ceil,
    libdevice.trunc: torch.trunc,
    libdevice.rint: torch.round,
    libdevice.round: lambda x: (x.abs() + 0.5).floor().copysign(x),
    libdevice.sqrt: torch.sqrt,
    libdevice.rsqrt: torch.rsqrt,
    libdevice.exp: torch.exp,
    libdevice.log: torch.log,
    libdevice.tanh: torch.tanh,
    libdevice.erf: torch.erf,
}


@triton.jit
def maximum(x, y):
    return tl.maximum(x, y)


@triton.jit
def minimum(x, y):
    return tl.minimum(x, y)


@triton.jit
def maximum_or_nan(x, y):
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def minimum_or_nan(x, y):
    return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def maximum_of_float32(x, y):
    return tl.maximum(x.to(tl.float32), y.to(tl.float32)).to(x.dtype)


@triton.jit
def minimum_of_float64(x, y):
    return tl.minimum(x.to(tl.float64), y.to(tl.float64)).to(x.dtype)


@triton.jit
def plus(x, y):
    return x + y


@triton.jit
def minus(x, y):
    return x - y


@triton.jit
def times(x, y):
    return x * y


@triton.jit
def over(x, y):
    return (x / y).to(x.dtype)


@triton.jit
def less(x, y):
    return (x < y).to(x.dtype)


@triton.jit
def clamped(x, y):
    return tl.clamp(x, tl.minimum(y, 0.5).to(x.dtype), tl.maximum(y, 0.5).to(x.dtype))


@triton.jit
def clamped_or_nan(x, y):
    return tl.clamp(x, -tl.abs(y), tl.abs(y), propagate_nan=tl.PropagateNan.ALL)


TWO: dict[object, Callable[..., torch.Tensor]] = {
    maximum: torch.fmax,
    minimum: torch.fmin,
    maximum_of_float32: torch.fmax,
    minimum_of_float64: torch.fmin,
    maximum_or_nan: torch.maximum,
    minimum_or_nan: torch.minimum,
    plus: lambda x, y: x + y,
    minus: lambda x, y: x - y,
    times: lambda x, y: x * y,
    over: lambda x, y: x / y,
    less: lambda x, y: (x < y).double(),
    clamped: lambda x, y: x.clamp(y.clamp(max=0.5), y.clamp(min=0.5)),
    clamped_or_nan: lambda x, y: x.clamp(-y.abs(), y.abs()),
    libdevice.fmod: torch.fmod,
    libdevice.copysign: torch.copysign,
    libdevice.fdim: lambda x, y: (x - y).clamp(min=0),
}


@triton.jit
def map_kernel(x, y, out, FUNCTION: tl.constexpr, OPERANDS: tl.constexpr, SIZE: tl.constexpr):
    """One element a program where SIZE is 1, a scalar."""
    i = tl.arange(0, SIZE) if SIZE > 1 else tl.program_id(0)
    a, b = tl.load(x + i), tl.load(y + i)
    tl.store(out + i, FUNCTION(a) if OPERANDS == 1 else FUNCTION(a, b))


@pytest.mark.parametrize("size", [1, SIZE])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [*ONE, *TWO], ids=lambda f: getattr(f, "__name__", str(f)))
def test_elementwise(plain_core: None, function: object, dtype: torch.dtype, size: int) -> None:
    x = _numbers(dtype)
    y, out = x.flip(0).roll(5).contiguous(), torch.empty_like(x)
    map_kernel[(SIZE // size,)](x, y, out, FUNCTION=function, OPERANDS=1 if function in ONE else 2, SIZE=size)
    _assert_rounded(out, ONE[function](x.double()) if function in ONE else TWO[function](x.double(), y.double()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [maximum, minimum, maximum_of_float32, minimum_of_float64, maximum_or_nan, minimum_or_nan])
def test_nan(plain_core: None, function: object, dtype: torch.dtype) -> None:
    """On either side and on both."""
    x = _numbers(dtype)
    x[::3] = float("nan")
    y, out = x.roll(1), torch.empty_like(x)
    map_kernel[(1,)](x, y, out, FUNCTION=function, OPERANDS=2, SIZE=SIZE)
    _assert_rounded(out, TWO[function](x.double(), y.double()))


@triton.jit
def fma_kernel(x, y, z, out, SIZE: tl.constexpr):
    i = tl.arange(0, SIZE)
    tl.store(out + i, tl.fma(tl.load(x + i), tl.load(y + i), tl.load(z + i)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma(plain_core: None, dtype: torch.dtype) -> None:
    x = _numbers(dtype)
    y, z, out = x.flip(0), x.roll(3), torch.empty_like(x)
    fma_kernel[(1,)](x, y, z, out, SIZE=SIZE)
    _assert_rounded(out, x.double() * y.double() + z.double())


REDUCTIONS = {"max": torch.amax, "min": torch.amin, "argmax": torch.argmax, "argmin": torch.argmin, "sum": torch.sum}


@triton.jit
def reduce_kernel(x, out, NAME: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, AXIS: tl.constexpr):
    rows, columns = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    block = tl.load(x + rows[:, None] * COLUMNS + columns[None, :])
    reduce: tl.constexpr = getattr(tl, NAME)
    tl.store(out + (columns if AXIS == 0 else rows), reduce(block, AXIS))


def _reduction_kernel(function: triton.JITFunction) -> triton.JITFunction:
    @triton.jit
    def kernel(x, out, SIZE: tl.constexpr):
        tl.store(out, tl.reduce(tl.load(x + tl.arange(0, SIZE)), 0, function))

    return kernel


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(plain_core: None, name: str, dtype: torch.dtype, axis: int) -> None:
    x = _numbers(dtype, 16) / 64
    exact = REDUCTIONS[name](x.double(), axis)
    out = torch.empty(exact.shape, dtype=torch.int32 if name.startswith("arg") else dtype)
    reduce_kernel[(1,)](x, out, NAME=name, ROWS=16, COLUMNS=SIZE, AXIS=axis)
    if name == "sum":  # in float32: what its roundings can add up to
        assert bool(((out.double() - exact).abs() <= torch.finfo(dtype).eps * exact.abs() + x.double().abs().sum(axis) * 2**-15).all())
    else:
        assert torch.equal(out.double(), exact.double())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [maximum, minimum, maximum_or_nan, minimum_or_nan])
def test_reductions_of_nan(plain_core: None, function: object, dtype: torch.dtype) -> None:
    x, out = _numbers(dtype), torch.empty(1, dtype=dtype)
    x[100] = float("nan")
    _reduction_kernel(function)[(1,)](x, out, SIZE=SIZE)
    numbers = x[~x.isnan()]
    best = numbers.amax() if function in (maximum, maximum_or_nan) else numbers.amin()
    assert out.item() == best.item() if function in (maximum, minimum) else out.isnan().item()


def _scan_kernel(function: triton.JITFunction) -> triton.JITFunction:
    @triton.jit
    def kernel(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr, AXIS: tl.constexpr):
        at = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        tl.store(out + at, tl.associative_scan(tl.load(x + at), AXIS, function))

    return kernel


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [maximum, minimum_or_nan])
def test_scans(plain_core: None, function: object, dtype: torch.dtype, axis: int) -> None:
    x = _numbers(dtype, 2)
    out = torch.empty_like(x)
    _scan_kernel(function)[(1,)](x, out, ROWS=2, COLUMNS=SIZE, AXIS=axis)
    expected = (torch.cummax if function is maximum else torch.cummin)(x.double(), axis).values
    assert torch.equal(out.double(), expected)


@triton.jit
def sort_kernel(x, out, SIZE: tl.constexpr):
    i = tl.arange(0, SIZE)
    tl.store(out + i, tl.sort(tl.load(x + i)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sort(plain_core: None, dtype: torch.dtype) -> None:
    x = _numbers(dtype)[:32].clone()
    out = torch.empty_like(x)
    sort_kernel[(1,)](x, out, SIZE=32)
    assert torch.equal(out, x.sort().values)


@triton.jit
def atomics_kernel(target, x, SIZE: tl.constexpr):
    i = tl.arange(0, SIZE)
    tl.atomic_add(target + i // 2, tl.load(x + i))
    tl.atomic_add(target + SIZE // 2, tl.load(x))


def test_atomics(plain_core: None) -> None:
    x = (_numbers(torch.float16) / 8).clamp(-9, 9)
    target = torch.zeros(SIZE // 2 + 1, dtype=torch.float16)
    atomics_kernel[(1,)](target, x, SIZE=SIZE)
    _assert_rounded(target, torch.cat([x.double().reshape(-1, 2).sum(1), x.double()[:1]]))
