"""The libdevice module as kernels call it: every function of Triton's list is there, and the typed ones take and give the right types."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice as declared

from triton_spacemit.backend.language.cpu import libdevice


@triton.jit
def call(x, y, out, NAME: tl.constexpr, COUNT: tl.constexpr):
    i = tl.arange(0, 16)
    function: tl.constexpr = getattr(libdevice, NAME)
    a, b = tl.load(x + i), tl.load(y + i)
    if COUNT == 1:
        result = function(a)
    elif COUNT == 2:
        result = function(a, b)
    else:
        result = function(a, b, a)
    tl.static_assert(result.dtype == out.dtype.element_ty)
    tl.store(out + i, result)


def test_every_declared_function_exists():
    names = {name for name, value in vars(declared).items() if callable(value)}
    assert "cyl_bessel_i0" in names
    assert names <= set(vars(libdevice))


_FLOATS = np.array([0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.75, 3.0e9, -3.0e9, 5e9, 1e20, -1e20, 7.0, 100.25, -100.25, 1.0])
_INTEGERS = np.array([0, 1, 2, 3, 255, 256, -1, -2, 2**31 - 1, -(2**31), 12345, -54321, 7, 8, 1 << 24, 77777])


def _nearest(x: np.ndarray, low: int, high: int) -> list[int]:
    return [min(max(int(value), low), high) for value in x.tolist()]


@pytest.mark.parametrize(
    ("name", "source", "target", "expected"),
    [
        ("float2int_rz", "f4", "i4", lambda x: _nearest(np.trunc(x), -(2**31), 2**31 - 1)),
        ("float2uint_ru", "f4", "u4", lambda x: _nearest(np.ceil(x), 0, 2**32 - 1)),
        ("double2ll_rd", "f8", "i8", lambda x: _nearest(np.floor(x), -(2**63), 2**63 - 1)),
        ("llround", "f8", "i8", lambda x: [0, 0, 1, 2, 3, -1, -2, *map(int, x[7:10]), 2**63 - 1, -(2**63), 7, 100, -100, 1]),
        ("uint2float_rn", "u4", "f4", lambda x: x.astype(np.float32)),
        ("ll2double_rn", "i8", "f8", lambda x: x.astype(np.float64)),
        ("float_as_int", "f4", "i4", lambda x: x.view(np.int32)),
        ("int_as_float", "i4", "f4", lambda x: x.view(np.float32)),
        ("double2loint", "f8", "i4", lambda x: x.view(np.int64).astype(np.int32)),
        ("double2hiint", "f8", "i4", lambda x: (x.view(np.int64) >> 32).astype(np.int32)),
        ("abs", "i4", "i4", lambda x: np.abs(x)),
        ("abs", "f4", "f4", lambda x: np.abs(x)),
        ("ffs", "i8", "i4", lambda x: [(int(v) & -int(v)).bit_length() for v in x]),
    ],
)
def test_conversions(name, source, target, expected, host):
    x = (_FLOATS if source.startswith("f") else _INTEGERS).astype("i8" if source == "u4" else source).astype(source)
    wanted = np.array(expected(x), target)
    argument, out = torch.from_numpy(x), torch.empty(16, dtype=torch.from_numpy(wanted).dtype)
    call[(1,)](argument, argument, out, name, 1)
    np.testing.assert_array_equal(out.numpy(), wanted)


@pytest.mark.parametrize("name", ["mulhi", "hadd", "sad"])
@pytest.mark.parametrize("kind", ["i4", "u4"])
def test_signs_of_integers(name, kind, host):
    """Unsigned operands have functions of their own."""
    x, y = _INTEGERS.astype("i8").astype(kind), _INTEGERS[::-1].astype("i8").astype(kind)
    a, b = (v.astype("i8").astype(object) for v in (x, y))
    wanted = {"mulhi": a * b >> 32, "hadd": a + b >> 1, "sad": abs(a - b) + a}[name]
    wanted = np.array([int(v) % 2**32 for v in wanted], np.uint32)
    out = torch.empty(16, dtype=torch.from_numpy(x).dtype)
    call[(1,)](torch.from_numpy(x), torch.from_numpy(y), out, name, 3 if name == "sad" else 2)
    np.testing.assert_array_equal(out.numpy().view(np.uint32), wanted)


def test_halves_of_a_double(host):
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 16)
        value = tl.load(x + i)
        tl.store(out + i, libdevice.hiloint2double(libdevice.double2hiint(value), libdevice.double2loint(value)))

    x = torch.from_numpy(_FLOATS * 1.1)
    out = torch.empty_like(x)
    kernel[(1,)](x, out)
    assert torch.equal(out.view(torch.int64), x.view(torch.int64))


def test_a_float_is_refused_where_an_integer_is_wanted(host):
    with pytest.raises(triton.CompilationError, match="takes integers, not fp32"):
        call[(1,)](torch.zeros(16), torch.zeros(16), torch.zeros(16), "mulhi", 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_squares(target, dtype):
    @triton.jit
    def kernel(x, out):
        i = tl.arange(0, 1024)
        tl.store(out + i, libdevice.pow(tl.load(x + i), 2.0))

    kind = np.uint32 if dtype == torch.float32 else np.uint64
    bits = np.random.default_rng(0).integers(0, np.iinfo(kind).max, 1024, dtype=kind)
    x = torch.from_numpy(bits.view(np.float32 if dtype == torch.float32 else np.float64))
    x[:6] = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-300])
    out = torch.empty_like(x)
    kernel[(1,)](x, out)
    torch.testing.assert_close(out, x * x, rtol=0, atol=0, equal_nan=True)
