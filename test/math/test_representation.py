"""Functions of a number's representation, and quotients in the four rounding modes."""

import math
from fractions import Fraction

import numpy as np
import pytest

_SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -2.5, 3.5]
_KINDS = {"f16": np.float16, "f32": np.float32, "f64": np.float64}


def _numbers(kind: str, count: int = 4000) -> np.ndarray:
    dtype = np.dtype(_KINDS[kind])
    bits = np.random.default_rng(8).integers(0, 2 ** (8 * dtype.itemsize), count, dtype=np.uint64)
    return np.concatenate([np.array(_SPECIAL, dtype), bits.astype(f"u{dtype.itemsize}").view(dtype)])


def _extern(name: str, kinds: list[str], output: str) -> str:
    operands = ", ".join(f"%x{i}" for i in range(len(kinds)))
    types = ", ".join(f"T({kind})" for kind in kinds)
    attributes = f'{{libname = "", libpath = "", pure = true, symbol = "__xsmt_{name}"}}'
    return f'%r = "tt.extern_elementwise"({operands}) {attributes} : ({types}) -> T({output})'


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "signbit"])
def test_classification(name, kind, run):
    x = _numbers(kind)
    result = run(_extern(name, [kind], "i1"), [kind], "i1", [x], np.uint8)
    np.testing.assert_array_equal(result.astype(bool), getattr(np, name)(x))


@pytest.mark.parametrize("kind", _KINDS)
def test_nextafter(kind, run):
    x = _numbers(kind)
    y = np.random.default_rng(9).permutation(x)
    y[: len(_SPECIAL)] = np.array(_SPECIAL[::-1], x.dtype)
    result = run(_extern("nextafter", [kind, kind], kind), [kind, kind], kind, [x, y], x.dtype)
    exact = np.nextafter(x, y)
    np.testing.assert_array_equal(result, exact)
    np.testing.assert_array_equal(np.signbit(result[exact == 0]), np.signbit(exact[exact == 0]))


@pytest.mark.parametrize("kind", _KINDS)
def test_ldexp(kind, run):
    """Rounded once, where the result is subnormal too."""
    x = _numbers(kind)
    n = np.random.default_rng(10).integers(-2200, 2200, len(x)).astype(np.int32)
    n[::2] //= 40
    result = run(_extern("ldexp", [kind, "i32"], kind), [kind, "i32"], kind, [x, n], x.dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(result, np.ldexp(x, n))


@pytest.mark.parametrize("kind", _KINDS)
def test_ilogb(kind, run):
    x = _numbers(kind)
    result = run(_extern("ilogb", [kind], "i32"), [kind], "i32", [x], np.int32)
    usable = np.isfinite(x) & (x != 0)
    np.testing.assert_array_equal(result[usable], np.frexp(x[usable])[1] - 1)
    assert set(result[x == 0]) == {-(2**31)}
    assert set(result[~np.isfinite(x)]) == {2**31 - 1}


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_llrint(kind, run):
    x = np.concatenate([_numbers(kind), np.array([0.5, 1.5, 2.5, -0.5, 2.0**62, 2.0**63, -(2.0**63), 1e30], _KINDS[kind])])
    result = run(_extern("llrint", [kind], "i64"), [kind], "i64", [x], np.int64)
    exact = [-(2**63) if math.isnan(v) else int(np.clip(float(np.rint(v)), -(2.0**63), 2.0**63)) for v in x]
    np.testing.assert_array_equal(result, [min(v, 2**63 - 1) for v in exact])


def _directed(x: float, y: float, mode: str, dtype: np.dtype) -> float:
    """The quotient of finite numbers, by rational arithmetic."""
    exact = Fraction(x) / Fraction(y)
    with np.errstate(all="ignore"):
        nearest = dtype.type(x) / dtype.type(y)
    if mode == "n":
        return nearest
    outside = -1 if nearest > 0 else 1
    difference = outside if np.isinf(nearest) else (Fraction(float(nearest)) < exact) - (Fraction(float(nearest)) > exact)
    downwards = mode == "d" or (mode == "z" and exact > 0)
    # difference: 1 where the quotient lies above the nearest number
    if difference < 0 and downwards:
        return np.nextafter(nearest, dtype.type(-np.inf))
    if difference > 0 and not downwards:
        return np.nextafter(nearest, dtype.type(np.inf))
    return nearest


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("mode", ["n", "z", "d", "u"])
def test_quotients(mode, kind, run):
    """IEEE rounding of the quotient: normal, subnormal, overflowing and exact ones."""
    rng = np.random.default_rng(11)
    dtype = np.dtype(_KINDS[kind])
    x, y = _numbers(kind, 3000)[len(_SPECIAL) :], rng.permutation(_numbers(kind, 3000)[len(_SPECIAL) :])
    x[:500], y[:500] = rng.integers(1, 100, (2, 500))
    usable = np.isfinite(x) & np.isfinite(y) & (y != 0) & (x != 0)
    x, y = x[usable], y[usable]
    result = run(_extern(f"div_r{mode}", [kind, kind], kind), [kind, kind], kind, [x, y], dtype)
    exact = np.array([_directed(float(a), float(b), mode, dtype) for a, b in zip(x, y, strict=True)], dtype)
    np.testing.assert_array_equal(result, exact)
    a, b = (grid.ravel() for grid in np.meshgrid(np.array(_SPECIAL, dtype), np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run(_extern(f"div_r{mode}", [kind, kind], kind), [kind, kind], kind, [a, b], dtype), a / b)
