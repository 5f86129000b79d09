"""Functions against float64 (for float16 and float32) and mpmath (for float64), in ulps, with all special values."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch

Unary = Callable[[np.ndarray], np.ndarray]


def _torch(function: Callable[[torch.Tensor], torch.Tensor]) -> Unary:
    return lambda x: function(torch.from_numpy(x)).numpy()


def _silu(x: np.ndarray) -> np.ndarray:
    """By definition: where exp(-x) exceeds float32's range the result is -0."""
    return np.where(x < -88.7228, -0.0, x / (1 + np.exp(-x)))


# name: float64 reference, bound in float32 ulps
UNARY: dict[str, tuple[Unary, float]] = {
    "exp": (np.exp, 1),
    "exp2": (np.exp2, 1),
    "exp10": (lambda x: np.power(10.0, x), 1),
    "expm1": (np.expm1, 1),
    "log": (np.log, 1),
    "log2": (np.log2, 1),
    "log10": (np.log10, 1),
    "log1p": (np.log1p, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "tan": (np.tan, 1),
    "asin": (np.arcsin, 1),
    "acos": (np.arccos, 1),
    "atan": (np.arctan, 1),
    "sinh": (np.sinh, 1),
    "cosh": (np.cosh, 1),
    "tanh": (np.tanh, 1),
    "asinh": (np.arcsinh, 1),
    "acosh": (np.arccosh, 1),
    "atanh": (np.arctanh, 1),
    "erf": (_torch(torch.erf), 1),
    "erfc": (_torch(torch.erfc), 1),
    "erfinv": (_torch(torch.erfinv), 1),
    "lgamma": (_torch(torch.lgamma), 1),
    "cbrt": (np.cbrt, 1),
    "sqrt": (np.sqrt, 0.5),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 2),
    "silu": (_silu, 3),
    "abs": (np.abs, 0),
    "floor": (np.floor, 0),
    "ceil": (np.ceil, 0),
    "trunc": (np.trunc, 0),
    "rint": (np.rint, 0),
    "round": (lambda x: np.copysign(np.trunc(np.abs(x) + 0.5), x), 0),
}


def _check(error: np.ndarray, bound: float, x: np.ndarray) -> None:
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{error[worst]:.3f} ulp at {x[worst]!r}"


def _same_zeros(result: np.ndarray, exact: np.ndarray) -> None:
    zero = (result == 0) & (exact == 0)
    np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(exact[zero]))


def _floats(start: int, stop: int, step: int) -> np.ndarray:
    return np.arange(start, stop, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("name", UNARY)
def test_float32(name, function, ulps):
    """A stride through all bit patterns, and every number's neighbourhood of 1, where errors in ulps are largest."""
    reference, bound = UNARY[name]
    specials = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-40, 1.1754944e-38, 3.4028235e38, 1, -1, 2, 0.5], np.float32)
    x = np.concatenate([specials, _floats(0, 2**32, 8191), _floats(0x3E000000, 0x41000000, 251), _floats(0xBE000000, 0xC1000000, 509)])
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
    result = function(name, x)
    _check(ulps(result, exact), bound, x)
    _same_zeros(result, exact)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (_, bound) in UNARY.items() if bound == 1])
def test_float32_exhaustive(name, function, ulps):
    reference, bound = UNARY[name]
    for start in range(0, 2**32, 2**24):
        x = _floats(start, start + 2**24, 1)
        with np.errstate(all="ignore"):
            exact = reference(x.astype(np.float64))
        _check(ulps(function(name, x), exact), bound, x)


@pytest.mark.parametrize("name", UNARY)
def test_float16(name, function, ulps):
    """All numbers; computed in float32 and rounded once, the error is hardly more than half an ulp."""
    reference, bound = UNARY[name]
    x = np.arange(65536, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
    result = function(name, x)
    _check(ulps(result, exact), 0.501 if bound else 0, x)
    _same_zeros(result, exact)


@pytest.mark.parametrize("name", UNARY)
def test_bfloat16(name, run):
    """All numbers, against PyTorch's rounding of the float64 result."""
    reference, bound = UNARY[name]
    codes = np.arange(65536, dtype=np.uint16)
    x = torch.from_numpy(codes.view(np.int16)).view(torch.bfloat16)
    attributes = f'{{libname = "", libpath = "", pure = true, symbol = "__xsmt_{name}"}}'
    body = f'%r = "tt.extern_elementwise"(%x0) {attributes} : (T(bf16)) -> T(bf16)'
    result = torch.from_numpy(run(body, ["bf16"], "bf16", [codes], np.uint16).view(np.int16)).view(torch.bfloat16).double().numpy()
    with np.errstate(all="ignore"):
        exact = torch.from_numpy(reference(x.double().numpy())).to(torch.bfloat16).double().numpy()
        close = np.abs(result - exact) <= np.abs(exact) * 2.0**-7 * (bound > 0)
    wrong = ~(close | (result == exact) | (np.isnan(result) & np.isnan(exact)))
    assert not wrong.any(), codes[wrong][:5]
    # a double rounding shows in few numbers only
    assert np.mean((result != exact) & ~np.isnan(exact)) < 1e-3


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "erf", "sin", "cos", "pow", "fmod"])
def test_scalars(name, function):
    """The same code on scalars as on vectors."""
    rng = np.random.default_rng(5)
    arrays = [rng.uniform(-1e6, 1e6, 1600).astype(np.float32) for _ in range(2 if name in ("pow", "fmod") else 1)]
    np.testing.assert_array_equal(function(name, *arrays, lanes=0), function(name, *arrays))


def test_gelu(function):
    """Against PyTorch in float64: absolute, as cancellation in the definition leaves no digits of large negative numbers."""
    positive = _floats(0x38000000, 0x42000000, 997)
    x = np.concatenate([positive, -positive, np.array([0, np.inf, -np.inf], np.float32)])
    for name, kind in (("gelu_none", "none"), ("gelu_tanh", "tanh")):
        exact = torch.nn.functional.gelu(torch.from_numpy(x.astype(np.float64)), approximate=kind).numpy()
        exact = np.where(np.isinf(x), np.maximum(x, 0), exact)
        np.testing.assert_allclose(function(name, x), exact, rtol=3e-7, atol=2e-7)
    assert np.isnan(function("gelu_tanh", np.full(16, np.nan, np.float32))).all()


BINARY = {"pow": (np.power, 1), "atan2": (np.arctan2, 1), "hypot": (np.hypot, 1), "fmod": (np.fmod, 0), "copysign": (np.copysign, 0)}
_SPECIAL = np.array([0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, -1.5, np.inf, -np.inf, np.nan, 1e30])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", BINARY)
def test_binary_specials(name, kind, function, ulps):
    """All pairs of special values, as in C's Annex F."""
    reference, _ = BINARY[name]
    x, y = (grid.ravel().astype(kind) for grid in np.meshgrid(_SPECIAL, _SPECIAL))
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.longdouble), y.astype(np.longdouble))
    result = function(name, x, y)
    _check(ulps(result, exact), 1, x)
    _same_zeros(result, exact)


@pytest.mark.parametrize("name", BINARY)
def test_binary_float32(name, function, ulps):
    reference, bound = BINARY[name]
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2**32, (2, 200_000), dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([bits[0], rng.uniform(0, 10, 200_000).astype(np.float32)])
    y = np.concatenate([bits[1], rng.uniform(-30, 30, 200_000).astype(np.float32)])
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64), y.astype(np.float64))
    _check(ulps(function(name, x, y), exact), bound, x)


@pytest.mark.parametrize("name", ["fmod", "hypot"])
def test_binary_float64(name, function, ulps):
    """Quotients of all sizes, subnormal divisors too."""
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 2**64, (2, 20_000), dtype=np.uint64).view(np.float64)
    y[:2000] = rng.integers(1, 2**52, 2000, dtype=np.uint64).view(np.float64)
    with np.errstate(all="ignore"):
        exact = BINARY[name][0](x.astype(np.longdouble), y.astype(np.longdouble))
    _check(ulps(function(name, x, y), exact), BINARY[name][1], x)


# name: reference, interval, bound in float64 ulps
FLOAT64 = {
    "exp": (mpmath.exp, -745, 709, 1),
    "exp2": (lambda x: mpmath.mpf(2) ** x, -1074, 1024, 1),
    "exp10": (lambda x: mpmath.mpf(10) ** x, -323, 308, 2),
    "expm1": (mpmath.expm1, -5, 5, 2),
    "log": (mpmath.log, 0, 4, 1),
    "log2": (lambda x: mpmath.log(x) / mpmath.log(2), 0, 4, 1),
    "log10": (mpmath.log10, 0, 4, 1),
    "log1p": (mpmath.log1p, -1, 4, 1),
    "sin": (mpmath.sin, -1e6, 1e6, 1),
    "cos": (mpmath.cos, -1e6, 1e6, 1),
    "tan": (mpmath.tan, -1e3, 1e3, 2.5),
    "asin": (mpmath.asin, -1, 1, 1),
    "acos": (mpmath.acos, -1, 1, 1),
    "atan": (mpmath.atan, -5, 5, 1),
    "sinh": (mpmath.sinh, -25, 25, 2),
    "cosh": (mpmath.cosh, -25, 25, 2),
    "tanh": (mpmath.tanh, -20, 20, 4),
    "asinh": (mpmath.asinh, -5, 5, 2),
    "acosh": (mpmath.acosh, 1, 5, 2),
    "atanh": (mpmath.atanh, -1, 1, 2),
    "erf": (mpmath.erf, -5, 5, 1),
    "erfc": (mpmath.erfc, -3, 26, 4),
    "erfinv": (mpmath.erfinv, -1, 1, 4),
    "lgamma": (mpmath.loggamma, 0.01, 30, 8),
    "cbrt": (lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), -10, 10, 1),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), 0, 10, 2),
}


def _exact(reference: Callable, *arrays: np.ndarray) -> np.ndarray:
    with mpmath.workprec(160):
        return np.array([np.longdouble(mpmath.nstr(reference(*map(mpmath.mpf, row)), 25)) for row in zip(*arrays, strict=True)])


@pytest.mark.parametrize("name", FLOAT64)
def test_float64(name, function, ulps):
    reference, low, high, bound = FLOAT64[name]
    x = np.random.default_rng(3).uniform(low, high, 1600)
    _check(ulps(function(name, x), _exact(reference, x)), bound, x)


@pytest.mark.parametrize(("name", "reference"), [("sin", mpmath.sin), ("cos", mpmath.cos)])
def test_large_angles(name, reference, function, ulps):
    """float64 of any size, and the number that comes closest to a multiple of pi/2."""
    x = np.random.default_rng(4).integers(0, 2**63, 1000, dtype=np.uint64).view(np.float64)
    x = np.concatenate([x[np.isfinite(x)], [6381956970095103 * 2.0**797, -6381956970095103 * 2.0**797, 1e6, 1e22]])
    with mpmath.workprec(1400):
        exact = np.array([np.longdouble(mpmath.nstr(reference(mpmath.mpf(v)), 25)) for v in x])
    _check(ulps(function(name, x), exact), 1, x)


def test_pow_float64(function, ulps):
    rng = np.random.default_rng(6)
    x = np.concatenate([np.exp(rng.uniform(-300, 300, 800)), rng.uniform(0.5, 2, 800)])
    y = np.concatenate([rng.uniform(-2.3, 2.3, 800), rng.uniform(-900, 900, 800)])
    _check(ulps(function("pow", x, y), _exact(lambda a, b: a**b, x, y)), 1, x)


def test_one_plus_tanh(run, ulps):
    """Fused, and right where the sum cancels; a tanh that is used elsewhere too stays one."""
    one = "%one = arith.constant dense<1.0> : T(f32)\n%t = math.tanh %x0 : T(f32)\n%s = arith.addf %t, %one : T(f32)\n"
    x = np.concatenate([_floats(0, 2**32, 8191), np.linspace(-44, 44, 200_000, dtype=np.float32)])
    with np.errstate(all="ignore"):
        exact = 2 / (1 + np.exp(-2 * x.astype(np.float64)))
    exact = np.where(x < -44, 0, exact)
    body = one.replace("%s =", "%r =")
    _check(ulps(run(body, ["f32"], "f32", [x], np.float32), exact), 6, x)
    both = run(one.replace("%s", "%sum") + "%r = arith.mulf %sum, %t : T(f32)", ["f32"], "f32", [x], np.float32)
    t = np.tanh(x.astype(np.float64))
    np.testing.assert_allclose(both, (1 + t) * t, rtol=1e-6, atol=2e-7)


def test_one_plus_erf(run, ulps):
    """Fused; beside a second use of the erf the sum is of the erf's own value."""
    one = "%one = arith.constant dense<1.0> : T(f32)\n%e = math.erf %x0 : T(f32)\n%r = arith.addf %one, %e : T(f32)\n"
    x = np.concatenate(
        [_floats(0, 2**32, 8191), np.linspace(-8, 8, 1_000_001, dtype=np.float32), np.geomspace(1e-9, 1, 9999, dtype=np.float32)]
    )
    exact = torch.erfc(-torch.from_numpy(x).double()).numpy()
    result = run(one, ["f32"], "f32", [x], np.float32)
    upper = ~(x < -0.5)
    _check(ulps(result[upper], exact[upper]), 2, x[upper])
    _check(np.abs(result[~upper] - exact[~upper]), 2.0**-23.5, x[~upper])
    tail = (x >= -3) & (x < -0.5)
    _check(np.abs(result[tail] / exact[tail] - 1), 5e-4, x[tail])  # digits are left where erf itself has none
    assert (result[x < -7.2] == 0).all()
    scale = "%c = arith.constant dense<{}> : T(f32)\n%z = arith.{} %x0, %c : T(f32)\n"
    for op, number in (
        ("mulf", 0.7071067811865476),
        ("divf", 1.4142135623730951),
        ("mulf", -0.75),
    ):  # the scaling becomes the function's own
        scaled = run(scale.format(number, op) + one.replace("erf %x0", "erf %z"), ["f32"], "f32", [x], np.float32)
        wide = torch.from_numpy(x).double() * (1 / number if op == "divf" else number)
        _check(np.abs(scaled - torch.erfc(-wide).numpy())[np.isfinite(x)], 2.0**-22, x[np.isfinite(x)])
    both = run(one.replace("%r", "%s") + "%r = arith.mulf %s, %e : T(f32)", ["f32"], "f32", [x], np.float32)
    erf = torch.erf(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(both, (1 + erf) * erf, rtol=3e-7, atol=2e-7)


def _at_least_one(exact: np.ndarray) -> np.ndarray:
    """Functions with zeros have an absolute error there."""
    return np.maximum(np.abs(exact), 1)


@pytest.mark.parametrize(
    ("name", "reference", "scale", "bound"),
    [
        ("j0", lambda x: mpmath.besselj(0, x), _at_least_one, 1e-15),
        ("j1", lambda x: mpmath.besselj(1, x), _at_least_one, 1e-15),
        ("y0", lambda x: mpmath.bessely(0, abs(x)), _at_least_one, 2e-15),
        ("y1", lambda x: mpmath.bessely(1, abs(x)), _at_least_one, 2e-15),
        ("i0", lambda x: mpmath.besseli(0, x), np.abs, 6 * 2.0**-52),
        ("i1", lambda x: mpmath.besseli(1, x), np.abs, 6 * 2.0**-52),
    ],
)
def test_bessel_float64(name, reference, scale, bound, function):
    x = np.concatenate([np.linspace(-30, 30, 301), np.geomspace(1e-9, 700, 200), [8.0, np.nextafter(8.0, 0)]])
    x = np.abs(x[x != 0]) if name.startswith("y") else x[x != 0]
    exact = np.array([float(reference(mpmath.mpf(v))) for v in x])
    error = np.abs(function(name, x) - exact) / scale(exact)
    assert error.max() <= bound, (error.max(), x[error.argmax()])


def test_bessel_specials(function):
    x = np.array([0.0, np.inf, -np.inf, np.nan, -1.0])
    nan, inf = np.nan, np.inf
    expected = {"j1": [0, 0, 0, nan], "y0": [-inf, 0, nan, nan, nan], "y1": [-inf, 0, nan, nan, nan], "i1": [0, inf, -inf, nan]}
    for name, values in expected.items():
        np.testing.assert_array_equal(function(name, x)[: len(values)], values)
