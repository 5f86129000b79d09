"""Functions of rarer use against mpmath, in ulps, and rounding in a direction against exact rational arithmetic."""

from collections.abc import Callable
from fractions import Fraction

import mpmath
import numpy as np
import pytest

# name: reference, interval, bound in float64 ulps, bound in float32 ulps
UNARY = {
    "erfcx": (lambda x: mpmath.exp(x * x) * mpmath.erfc(x), -26, 60, 8, 1),
    "erfcinv": (lambda x: mpmath.erfinv(1 - x), 0.001, 1.999, 24, 1),
    "normcdf": (mpmath.ncdf, -38, 8, 8, 1),
    "normcdfinv": (lambda x: mpmath.sqrt(2) * mpmath.erfinv(2 * x - 1), 0.001, 0.999, 24, 1),
    "tgamma": (mpmath.gamma, -30, 171, 20, 1),
    "sinpi": (mpmath.sinpi, -40, 40, 2, 1),
    "cospi": (mpmath.cospi, -40, 40, 2, 1),
    "rcbrt": (lambda x: mpmath.sign(x) / mpmath.cbrt(abs(x)), -10, 10, 2, 1),
}


def _exact(reference: Callable, *arrays: np.ndarray) -> np.ndarray:
    with mpmath.workprec(300):
        return np.array([np.longdouble(mpmath.nstr(reference(*map(mpmath.mpf, row)), 25)) for row in zip(*arrays, strict=True)])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, kind, function, ulps):
    reference, low, high, bound_f64, bound_f32 = UNARY[name]
    if kind == np.float32 and name == "tgamma":
        high = 35
    x = np.random.default_rng(3).uniform(low, high, 800).astype(kind)
    error = ulps(function(name, x), _exact(reference, x.astype(np.float64)))
    assert error.max() <= (bound_f32 if kind == np.float32 else bound_f64), (error.max(), x[error.argmax()])


def test_tails(function, ulps):
    """Arguments whose results are far from one: small probabilities, and half an octave below the end of gamma's range."""
    for name, x, reference, bound in (
        ("erfcinv", np.geomspace(1e-300, 0.0624, 200), lambda x: mpmath.findroot(lambda y: mpmath.log(mpmath.erfc(y)) - mpmath.log(x),
                                                                                 mpmath.sqrt(-mpmath.log(x)) * 0.9), 4),
        ("tgamma", np.linspace(171, 171.6, 40), mpmath.gamma, 20),
        ("tgamma", np.linspace(-170.9, -160.1, 40), mpmath.gamma, 20),
        ("tgamma", np.geomspace(1e-300, 1e-3, 40), mpmath.gamma, 20),
    ):  # fmt: skip
        error = ulps(function(name, x), _exact(reference, x))
        assert error.max() <= bound, (name, error.max(), x[error.argmax()])


_SPECIAL = np.array([0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, -1.5, np.inf, -np.inf, np.nan, 1e30])
_NAN, _INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("erfcx", [0, _INF, -_INF, _NAN], [1, 0, _INF, _NAN]),
        ("erfcinv", [0, 1, 2, -1, 2.5, _NAN], [_INF, 0, -_INF, _NAN, _NAN, _NAN]),
        ("normcdf", [0, _INF, -_INF, _NAN], [0.5, 1, 0, _NAN]),
        ("normcdfinv", [0, 0.5, 1, -1, _NAN], [-_INF, 0, _INF, _NAN, _NAN]),
        ("tgamma", [0, -0.0, 1, 2, 5, -1, -_INF, _INF, _NAN, 180, -200.5], [_INF, -_INF, 1, 1, 24, _NAN, _NAN, _INF, _NAN, _INF, -0.0]),
        ("sinpi", [0, -0.0, 1, -3, 0.5, 2.5, -0.5, 1e300, _INF, _NAN], [0, -0.0, 0, -0.0, 1, 1, -1, 0, _NAN, _NAN]),
        ("cospi", [0, 1, 0.5, -1.5, 2, _INF], [1, -1, 0, 0, 1, _NAN]),
        ("rcbrt", [0, -0.0, 8, -8, _INF], [_INF, -_INF, 0.5, -0.5, 0]),
        ("logb", [0, 1, 0.75, -8, 5e-324, _INF, -_INF, _NAN], [-_INF, 0, -1, 3, -1074, _INF, _INF, _NAN]),
        ("saturate", [-1, -0.0, 0.25, 1, 2, _INF, _NAN], [0, 0, 0.25, 1, 1, 1, 0]),
        ("rcp64h", [2, 4, -_INF], [0.5, 0.25, -0.0]),
    ],
)
def test_specials(name, x, expected, function):
    result = function(name, np.array(x, np.float64))
    np.testing.assert_allclose(result, expected, rtol=2e-15, atol=0)
    numbers = ~np.isnan(result)
    np.testing.assert_array_equal(np.signbit(result[numbers]), np.signbit(np.array(expected, np.float64)[numbers]))


def _remainder(x: float, y: float) -> float:
    if np.isnan(x) or np.isnan(y) or np.isinf(x) or y == 0:
        return np.nan
    if np.isinf(y):
        return x
    exact = Fraction(x) - round(Fraction(x) / Fraction(y)) * Fraction(y)
    return float(exact) if exact else np.copysign(0.0, x)


def test_remainder(function):
    """Exact, halves to the even multiple, for all sizes of quotients and special values."""
    rng = np.random.default_rng(2)
    grid = [part.ravel() for part in np.meshgrid(_SPECIAL, _SPECIAL)]
    x, y = (np.concatenate([rng.integers(0, 2**64, 2000, dtype=np.uint64).view(np.float64), part]) for part in grid)
    x[:200], y[:200] = rng.integers(-50, 50, 200) * 0.25, rng.integers(-9, 9, 200) * 0.5
    x[200:240], y[200:240] = rng.integers(1, 99, 40) * 5e-324, rng.integers(1, 9, 40) * 5e-324
    result = function("remainder", x, y)
    expected = np.array([_remainder(*pair) for pair in zip(x.tolist(), y.tolist(), strict=True)])
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(np.signbit(result[expected == 0]), np.signbit(expected[expected == 0]))


def test_positive_difference(function):
    x, y = (part.ravel() for part in np.meshgrid(_SPECIAL, _SPECIAL))
    with np.errstate(all="ignore"):
        expected = np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(x > y, x - y, 0))
    np.testing.assert_array_equal(function("fdim", x, y), expected)


@pytest.mark.parametrize("count", [3, 4])
def test_norms(count, function, ulps):
    rng = np.random.default_rng(4)
    arrays = [rng.uniform(-1, 1, 800) * np.ldexp(1.0, rng.integers(-1060, 1020)) for _ in range(count)]
    for i, array in enumerate(arrays):
        array[:200] = rng.uniform(-1, 1, 200) * 2.0 ** (1020 - i)
    exact = _exact(lambda *row: mpmath.sqrt(sum(x * x for x in row)), *arrays)
    assert ulps(function("norm", *arrays), exact).max() <= 2
    assert ulps(function("rnorm", *arrays), 1 / exact).max() <= 3
    arrays[1][:] = np.inf
    arrays[0][:] = np.nan
    assert np.isinf(function("norm", *arrays)).all()
    assert (function("rhypot", arrays[1], arrays[0]) == 0).all()


@pytest.mark.parametrize(("name", "reference"), [("jn", mpmath.besselj), ("yn", mpmath.bessely)])
def test_bessel_of_any_order(name, reference, run, extern):
    """Orders below and above the argument, negative ones too."""
    n, x = (part.ravel() for part in np.meshgrid(np.array([0, 1, 2, 3, 5, 8, 20, 50, -1, -2, -7], np.int32), np.geomspace(0.01, 60, 40)))
    if name == "jn":
        x = x * np.where(np.arange(len(x)) % 2, 1, -1)
    result = run(extern(name, ["f64", "i32"], "f64"), ["f64", "i32"], "f64", [x, n], np.float64)
    exact = np.array([float(reference(int(order), mpmath.mpf(v))) for order, v in zip(n, x, strict=True)])
    scale = np.maximum(np.abs(exact), 1)
    error = np.abs(result - exact) / scale
    assert np.nanmax(error) <= 4e-14, (np.nanmax(error), n[error.argmax()], x[error.argmax()])


def _rounded(value: Fraction | float, kind: type, mode: str) -> float:
    """A rational number as a float of `kind`, by a search among the neighbours of its nearest."""
    if isinstance(value, float):
        return kind(value)
    with np.errstate(over="ignore"):
        largest = float(np.finfo(kind).max)
        if abs(value) > largest:
            outward = np.copysign(np.inf, 1 if value > 0 else -1)
            near = kind(np.copysign(largest, outward))
            towards = mode == "z" or mode == ("d" if value > 0 else "u")
            if towards:
                return near
            return kind(outward) if mode != "n" else kind(float(value) if abs(value) < Fraction(2) ** 1024 else outward)
        near = kind(float(value)) if kind == np.float64 else _nearest_float32(value)
        exact = Fraction(float(near)) if np.isfinite(near) else None
    if mode == "n" or exact == value:
        return near
    candidates = [np.nextafter(near, kind(-np.inf)), near, np.nextafter(near, kind(np.inf))]
    below = max(c for c in candidates if np.isfinite(c) and Fraction(float(c)) <= value)
    above = min(c for c in candidates if np.isinf(c) and c > 0 or np.isfinite(c) and Fraction(float(c)) >= value)
    return {"d": below, "u": above, "z": below if value > 0 else above}[mode]


def _nearest_float32(value: Fraction) -> np.float32:
    """From candidates, as rounding through float64 may round twice."""
    guess = np.float32(float(value))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    around = [c for c in around if np.isfinite(c)]
    return min(around, key=lambda c: (abs(Fraction(float(c)) - value), int(c.view(np.uint32)) & 1))


def _operands(kind: type, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Numbers of near and far exponents, subnormal results, and exact cases."""
    bits = {np.float32: np.uint32, np.float64: np.uint64}[kind]
    size = np.dtype(kind).itemsize * 8
    arrays = [rng.integers(0, 2**size, 400, dtype=bits).view(kind) for _ in range(count)]
    near = [(rng.uniform(-4, 4, 400) * 2.0 ** rng.integers(-3, 3, 400)).astype(kind) for _ in range(count)]
    small = [rng.integers(-8, 8, 200).astype(kind) for _ in range(count)]
    return [np.nan_to_num(np.concatenate(parts), nan=1, posinf=2, neginf=3) for parts in zip(arrays, near, small, strict=True)]


REFERENCES: dict[str, tuple[int, Callable]] = {
    "add": (2, lambda x, y: x + y),
    "sub": (2, lambda x, y: x - y),
    "mul": (2, lambda x, y: x * y),
    "fma": (3, lambda x, y, z: x * y + z),
}


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("mode", "nzdu")
@pytest.mark.parametrize("name", REFERENCES)
def test_direction(name, mode, kind, function):
    count, reference = REFERENCES[name]
    arrays = _operands(kind, count, np.random.default_rng(7))
    if name == "fma" and kind == np.float64:
        arrays = [np.where((np.abs(a) < 1e-90) | (np.abs(a) > 1e90), 1.25, a) for a in arrays]
    result = function(f"{name}_r{mode}", *arrays)
    for i, row in enumerate(zip(*(array.tolist() for array in arrays), strict=True)):
        expected = _rounded(reference(*map(Fraction, row)), kind, mode)
        assert result[i] == expected, (row, result[i], expected)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("mode", "nzdu")
def test_direction_of_roots(mode, kind, function):
    rng = np.random.default_rng(8)
    bits = {np.float32: np.uint32, np.float64: np.uint64}[kind]
    x = np.concatenate([rng.integers(0, np.array(np.inf, kind).view(bits), 800, dtype=bits).view(kind), np.arange(50).astype(kind) ** 2])
    result = function(f"sqrt_r{mode}", x)
    for value, root in zip(x.tolist(), result, strict=True):
        below, above = np.nextafter(root, kind(0)), np.nextafter(root, kind(np.inf))
        square, exact = Fraction(float(root)) ** 2, Fraction(value)
        if mode in "zd":
            assert square <= exact < Fraction(float(above)) ** 2
        elif mode == "u":
            assert square >= exact
            assert root == 0 or Fraction(float(below)) ** 2 < exact
        else:
            low, high = (Fraction(float(root)) + Fraction(float(other)) for other in (below, above))
            assert low * low <= 4 * exact <= high * high
    assert np.isnan(function(f"sqrt_r{mode}", np.full(16, -1, kind))).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_signs_of_exact_zeros(kind, function):
    """x - x is +0 but for rounding down, where it is -0; equal zeros keep their sign."""
    x, y = np.array([1, 0, -0.0, 0], kind), np.array([-1, 0, -0.0, -0.0], kind)
    for mode, expected in {"n": [0, 0, 1, 0], "z": [0, 0, 1, 0], "u": [0, 0, 1, 0], "d": [1, 0, 1, 1]}.items():
        np.testing.assert_array_equal(np.signbit(function(f"add_r{mode}", x, y)), np.array(expected, bool))


@pytest.mark.parametrize("mode", "nzdu")
def test_narrowing(mode, run, extern):
    x = np.concatenate([_operands(np.float64, 1, np.random.default_rng(9))[0], [1e39, -1e39, 1e-46, -1e-46, 3.4028235677973366e38]])
    result = run(extern(f"narrow_r{mode}", ["f64"], "f32"), ["f64"], "f32", [x], np.float32)
    for value, narrow in zip(x.tolist(), result, strict=True):
        if abs(value) > 3.4028234663852886e38 and mode == "n":
            assert narrow == np.float32(value)
        else:
            assert narrow == _rounded(Fraction(value), np.float32, mode), value


@pytest.mark.parametrize("mode", "nzdu")
@pytest.mark.parametrize("source", [np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_from_integers(kind, source, mode, run, extern):
    info = np.iinfo(source)
    ends = np.array([info.min, info.max, 0, 1, 16777217, 16777219], source)
    x = np.concatenate([np.random.default_rng(1).integers(info.min, info.max, 500, dtype=source), ends])
    bits, name = f"i{info.bits}", {np.float32: "f32", np.float64: "f64"}[kind]
    letter = "s" if info.min < 0 else "u"
    result = run(extern(f"{letter}_to_{name}_r{mode}", [bits], name), [bits], name, [x], kind)
    for value, converted in zip(x.tolist(), result, strict=True):
        assert converted == _rounded(Fraction(value), kind, mode), value


_ROUND = {"n": np.rint, "z": np.trunc, "d": np.floor, "u": np.ceil, "a": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x)}


@pytest.mark.parametrize("mode", _ROUND)
@pytest.mark.parametrize("target", [np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_to_integers(kind, target, mode, run, extern):
    """Out of range the nearest integer; NaN is zero from float32 to 32 bits, else the highest bit."""
    info = np.iinfo(target)
    rng = np.random.default_rng(1)
    ends = [0.5, -0.5, 1.5, 2.5, -1.5, -0.25, float(info.max), float(info.min), 1e30, -1e30, np.inf, -np.inf, 2.0**31, 2.0**32, -(2.0**31)]
    x = np.concatenate([rng.uniform(-100, 100, 300), rng.uniform(float(info.min), float(info.max), 300), ends]).astype(kind)
    x = np.concatenate([x, np.array([np.nan], kind)])
    source, bits = {np.float32: "f32", np.float64: "f64"}[kind], f"i{info.bits}"
    result = run(extern(f"to_{'s' if info.min else 'u'}{info.bits}_r{mode}", [source], bits), [source], bits, [x], target)
    for value, integer in zip(x[:-1].tolist(), result[:-1].tolist(), strict=True):
        whole = _ROUND[mode](value)
        expected = info.max if whole >= 2.0**63 else min(max(int(whole), info.min), info.max) if whole > -(2.0**63) else info.min
        if whole >= 2.0**63 and info.bits == 64 and not info.min:
            expected = info.max if whole >= 2.0**64 else int(whole)
        assert integer == expected, value
    assert int(result[-1]) % 2**info.bits == (0 if info.bits == 32 and kind == np.float32 else 2 ** (info.bits - 1))


def _signed(value: int, bits: int) -> int:
    value %= 2**bits
    return value - 2**bits if value >> (bits - 1) else value


def _byte_perm(x: int, y: int, s: int) -> int:
    both, result = y << 32 | x, 0
    for i in range(4):
        nibble = s >> 4 * i & 15
        byte = both >> 8 * (nibble & 7) & 255
        result |= (byte if nibble < 8 else 255 * (byte >> 7)) << 8 * i
    return result


# name: operands, reference on unsigned numbers of so many bits, the widths it exists for
INTEGERS: dict[str, tuple[int, Callable, tuple[int, ...]]] = {
    "iabs": (1, lambda n, x: abs(_signed(x, n)), (32, 64)),
    "ffs": (1, lambda n, x: (x & -x).bit_length(), (32,)),
    "brev": (1, lambda n, x: int(f"{x:0{n}b}"[::-1], 2), (32, 64)),
    "byte_perm": (3, lambda n, x, y, s: _byte_perm(x, y, s), (32,)),
    "mulhi": (2, lambda n, x, y: _signed(x, n) * _signed(y, n) >> n, (32, 64)),
    "umulhi": (2, lambda n, x, y: x * y >> n, (32, 64)),
    "mul24": (2, lambda n, x, y: _signed(x, 24) * _signed(y, 24), (32,)),
    "umul24": (2, lambda n, x, y: (x % 2**24) * (y % 2**24), (32,)),
    "sad": (3, lambda n, x, y, z: abs(_signed(x, n) - _signed(y, n)) + z, (32,)),
    "usad": (3, lambda n, x, y, z: abs(x - y) + z, (32,)),
    "hadd": (2, lambda n, x, y: _signed(x, n) + _signed(y, n) >> 1, (32, 64)),
    "uhadd": (2, lambda n, x, y: x + y >> 1, (32, 64)),
    "rhadd": (2, lambda n, x, y: _signed(x, n) + _signed(y, n) + 1 >> 1, (32, 64)),
    "urhadd": (2, lambda n, x, y: x + y + 1 >> 1, (32, 64)),
}


@pytest.mark.parametrize(("name", "bits"), [(name, bits) for name, (_, _, widths) in INTEGERS.items() for bits in widths])
def test_integers(name, bits, run, extern):
    count, reference, _ = INTEGERS[name]
    dtype, kind = np.dtype(f"u{bits // 8}"), f"i{bits}"
    rng = np.random.default_rng(6)
    ends = rng.choice(np.array([0, 1, 2, 2 ** (bits - 1), 2 ** (bits - 1) - 1, 2**bits - 1], dtype), (count, 60))
    arrays = [np.concatenate([row, rng.integers(0, 2**bits, 300, dtype=dtype)]) for row in ends]
    result = run(extern(name, [kind] * count, kind), [kind] * count, kind, arrays, dtype)
    expected = [reference(bits, *row) % 2**bits for row in zip(*(array.tolist() for array in arrays), strict=True)]
    np.testing.assert_array_equal(result, np.array(expected, dtype))
