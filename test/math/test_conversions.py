"""Narrow float types against PyTorch and ml formats' definitions: decoding, rounding, arithmetic; integer division's edge cases."""

import numpy as np
import pytest
import torch

TYPES = {
    "bf16": torch.bfloat16,
    "f8E5M2": torch.float8_e5m2,
    "f8E4M3FN": torch.float8_e4m3fn,
    "f8E5M2FNUZ": torch.float8_e5m2fnuz,
    "f8E4M3FNUZ": torch.float8_e4m3fnuz,
}
FLOAT8 = [*list(TYPES)[1:], "f8E4M3B11FNUZ"]


def _codes(kind: str) -> np.ndarray:
    return np.arange(65536, dtype=np.uint16) if kind == "bf16" else np.arange(256, dtype=np.uint8)


def _decode(codes: np.ndarray, kind: str) -> np.ndarray:
    """float64 values; PyTorch has no E4M3B11FNUZ, which is E4M3FNUZ with a bias greater by three."""
    if kind == "f8E4M3B11FNUZ":
        return _decode(codes, "f8E4M3FNUZ") / 8
    return torch.from_numpy(codes.view(f"i{codes.itemsize}")).view(TYPES[kind]).double().numpy()


def _encode(x: np.ndarray, kind: str) -> np.ndarray:
    if kind == "f8E4M3B11FNUZ":
        return _encode(x * np.float32(8), "f8E4M3FNUZ")
    bits = torch.int16 if kind == "bf16" else torch.int8
    return torch.from_numpy(x).to(TYPES[kind]).view(bits).numpy().view(_codes(kind).dtype)


def _inputs(kind: str) -> np.ndarray:
    """All values of the type, the middles between them, and the numbers next to both; random bit patterns."""
    values = np.unique(_decode(_codes(kind), kind).astype(np.float32))
    values = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        middles = np.concatenate([values, (values[:-1] + values[1:]) / 2, values * np.float32(1.6)])
    near = [middles, np.nextafter(middles, np.float32(np.inf)), np.nextafter(middles, np.float32(-np.inf))]
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return np.concatenate([*near, bits, np.array([np.inf, -np.inf, 0.0, -0.0, 1e-45], np.float32)])


@pytest.mark.parametrize("kind", [*TYPES, "f8E4M3B11FNUZ"])
@pytest.mark.parametrize("wide", ["f16", "f32", "f64"])
def test_widening(kind, wide, run):
    codes = _codes(kind)
    dtype = np.dtype(f"f{int(wide[1:]) // 8}")
    result = run(f'%r = "tt.fp_to_fp"(%x0) : (T({kind})) -> T({wide})', [kind], wide, [codes], dtype)
    with np.errstate(over="ignore"):
        exact = _decode(codes, kind).astype(dtype)
    np.testing.assert_array_equal(result, exact)
    np.testing.assert_array_equal(np.signbit(result[exact == 0]), np.signbit(exact[exact == 0]))


@pytest.mark.parametrize("kind", [*TYPES, "f8E4M3B11FNUZ"])
def test_rounding_to_nearest(kind, run):
    x = _inputs(kind)
    result = run(f'%r = "tt.fp_to_fp"(%x0) {{rounding = 1 : i32}} : (T(f32)) -> T({kind})', ["f32"], kind, [x], _codes(kind).dtype)
    number = ~np.isnan(x)
    # PyTorch keeps infinity where Triton wants the largest number.
    reference = np.clip(x, -57344, 57344) if kind == "f8E5M2" else x
    np.testing.assert_array_equal(result[number], _encode(reference, kind)[number])
    assert np.isnan(_decode(result[~number], kind)).all()


@pytest.mark.parametrize("kind", [*TYPES, "f8E4M3B11FNUZ", "f16"])
def test_rounding_towards_zero(kind, run):
    """The largest value of the type that is not above the input in size."""
    x = _inputs("bf16" if kind == "f16" else kind)
    x = x[np.isfinite(x)]
    values = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float64) if kind == "f16" else _decode(_codes(kind), kind)
    values = np.unique(np.abs(values[np.isfinite(values)]))
    storage = np.uint16 if kind in ("f16", "bf16") else np.uint8
    result = run(f'%r = "tt.fp_to_fp"(%x0) {{rounding = 0 : i32}} : (T(f32)) -> T({kind})', ["f32"], kind, [x], storage)
    decoded = result.view(np.float16).astype(np.float64) if kind == "f16" else _decode(result, kind)
    exact = np.copysign(values[np.searchsorted(values, np.abs(x.astype(np.float64)), side="right") - 1], x)
    np.testing.assert_array_equal(decoded, exact)


@pytest.mark.parametrize("kind", ["f16", "bf16", *FLOAT8])
def test_float64_rounds_once(kind, run):
    """Numbers that float32 would round to a middle between two results, which then goes the wrong way."""
    values = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float64) if kind == "f16" else _decode(_codes(kind), kind)
    values = np.unique(values[np.isfinite(values)])
    middles = (values[:-1] + values[1:]) / 2
    above = middles + np.abs(middles) * 2.0**-40
    storage = np.uint16 if kind in ("f16", "bf16") else np.uint8
    result = run(f"%r = arith.truncf %x0 : T(f64) to T({kind})", ["f64"], kind, [above], storage)
    decoded = result.view(np.float16).astype(np.float64) if kind == "f16" else _decode(result, kind)
    usable = middles != 0
    np.testing.assert_array_equal(decoded[usable], values[1:][usable])


@pytest.mark.parametrize(("op", "reference"), [("addf", torch.add), ("subf", torch.sub), ("mulf", torch.mul), ("divf", torch.div)])
def test_bfloat16_arithmetic(op, reference, run):
    """Each op rounds its own result."""
    x, y = np.random.default_rng(1).integers(0, 65536, (2, 200_000)).astype(np.uint16)
    result = run(f"%r = arith.{op} %x0, %x1 : T(bf16)", ["bf16", "bf16"], "bf16", [x, y], np.uint16)
    a, b = (torch.from_numpy(v.view(np.int16)).view(torch.bfloat16) for v in (x, y))
    np.testing.assert_array_equal(_decode(result, "bf16"), reference(a, b).double().numpy())


def test_control_flow(run):
    """bfloat16 and float8 constants, selects, loop-carried and branch values are kept as integers."""
    body = """%k = arith.constant dense<1.5> : T(bf16)
      %z = arith.constant dense<0.0> : T(f8E5M2)
      %one = arith.constant 1 : index
      %three = arith.constant 3 : index
      %y:2 = scf.for %i = %one to %three step %one iter_args(%a = %x0, %b = %z) -> (T(bf16), T(f8E5M2)) {
        %m = arith.mulf %a, %k : T(bf16)
        scf.yield %m, %b : T(bf16), T(f8E5M2)
      }
      %t = arith.cmpf ogt, %y#0, %x1 : T(bf16)
      %w = "tt.fp_to_fp"(%y#1) : (T(f8E5M2)) -> T(bf16)
      %s = arith.addf %y#0, %w : T(bf16)
      %r = arith.select %t, %s, %x1 : T(i1), T(bf16)"""
    body = body.replace("T(f8E5M2)", "vector<16xf8E5M2>")
    x, y = np.random.default_rng(2).integers(0, 65536, (2, 20_000)).astype(np.uint16)
    a, b = (torch.from_numpy(v.view(np.int16)).view(torch.bfloat16) for v in (x, y))
    product = a * 1.5 * 1.5
    exact = torch.where(product > b, product, b).double().numpy()
    result = run(body.replace("%s = ", "%sum = ").replace("%s,", "%sum,"), ["bf16", "bf16"], "bf16", [x, y], np.uint16)
    np.testing.assert_array_equal(_decode(result, "bf16"), exact)


@pytest.mark.parametrize("propagate", [0, 65535])
@pytest.mark.parametrize("kind", ["f32", "bf16"])
def test_clamp(kind, propagate, run):
    x = np.array([-3, 0.5, 7, np.nan, np.inf, -np.inf], np.float32)
    low, high = np.full_like(x, -1), np.full_like(x, 2)
    arrays = [x, low, high]
    if kind == "bf16":
        arrays = [(array.view(np.uint32) >> 16).astype(np.uint16) for array in arrays]
    body = f'%r = "tt.clampf"(%x0, %x1, %x2) {{propagateNan = {propagate} : i32}} : (T({kind}), T({kind}), T({kind})) -> T({kind})'
    result = run(body, [kind] * 3, kind, arrays, arrays[0].dtype)
    if kind == "bf16":
        result = _decode(result, "bf16")
    np.testing.assert_array_equal(result, [-1, 0.5, 2, np.nan if propagate else -1, 2, -1])


@pytest.mark.parametrize("bits", [32, 64])
def test_multiply_high(bits, run):
    x, y = np.random.default_rng(3).integers(0, 2**bits, (2, 1000), dtype=np.uint64).astype(f"u{bits // 8}")
    result = run(f'%r = "tt.mulhiui"(%x0, %x1) : (T(i{bits}), T(i{bits})) -> T(i{bits})', [f"i{bits}"] * 2, f"i{bits}", [x, y], x.dtype)
    assert result.tolist() == [int(a) * int(b) >> bits for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize("lanes", [0, 16])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("op", ["divsi", "remsi", "divui", "remui"])
def test_integer_division(op, bits, lanes, run):
    """What RISC-V's instructions give, also where x86's trap."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    numbers = np.array([low, low + 1, -7, -1, 0, 1, 2, 7, high], f"i{bits // 8}")
    x, y = (grid.ravel() for grid in np.meshgrid(numbers, numbers))
    if op.endswith("ui"):
        x, y = x.view(f"u{bits // 8}"), y.view(f"u{bits // 8}")
    result = run(f"%r = arith.{op} %x0, %x1 : T(i{bits})", [f"i{bits}"] * 2, f"i{bits}", [x, y], x.dtype, lanes)
    for a, b, got in zip(x.tolist(), y.tolist(), result.tolist(), strict=True):
        quotient = -1 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        expected = quotient if op.startswith("div") else (a if b == 0 else a - quotient * b)
        assert (got - expected) % 2**bits == 0, (a, b)
