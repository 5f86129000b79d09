"""Scaled products of microscaling formats against float64, in every order an operand may lie in."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


@triton.jit
def kernel(a_ptr, b_ptr, sa_ptr, sb_ptr, out_ptr, rows_a, stride_bk, stride_bn,
           M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, KA: tl.constexpr, KB: tl.constexpr, NB: tl.constexpr,
           A: tl.constexpr, B: tl.constexpr, SCALE_A: tl.constexpr, SCALE_B: tl.constexpr, TRANSPOSED: tl.constexpr,
           PACK_K: tl.constexpr):  # fmt: skip
    m, n, g = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K // 32)
    wrapped = (m + tl.program_id(0)) % rows_a
    a = tl.load(a_ptr + wrapped[:, None] * KA + tl.arange(0, KA)[None, :])
    if TRANSPOSED:
        b = tl.load(b_ptr + tl.arange(0, NB)[:, None] * stride_bn + tl.arange(0, KB)[None, :] * stride_bk).T
    else:
        b = tl.load(b_ptr + tl.arange(0, KB)[:, None] * stride_bk + tl.arange(0, NB)[None, :] * stride_bn)
    sa = tl.load(sa_ptr + wrapped[:, None] * (K // 32) + g[None, :]) if SCALE_A else None
    sb = tl.load(sb_ptr + n[:, None] * (K // 32) + g[None, :]) if SCALE_B else None
    result = tl.dot_scaled(a, sa, A, b, sb, B, rhs_k_pack=PACK_K)
    tl.store(out_ptr + tl.program_id(0) * M * N + m[:, None] * N + n[None, :], result)


def _operand(kind: str, rows: int, k: int, along_rows: bool = False) -> tuple[torch.Tensor, np.ndarray]:
    """[rows, k] in memory, and its values; e2m1 packs two elements of a row, or of a column with `along_rows`."""
    if kind == "e2m1":
        codes = torch.randint(0, 16, (rows, k), dtype=torch.uint8)
        low, high = (codes[0::2], codes[1::2]) if along_rows else (codes[:, 0::2], codes[:, 1::2])
        return (low | high << 4).contiguous(), E2M1[codes.numpy()]
    dtype = {"e5m2": torch.float8_e5m2, "e4m3": torch.float8_e4m3fn, "bf16": torch.bfloat16}[kind]
    values = torch.randn(rows, k).to(dtype)
    return values, values.double().numpy()


@pytest.mark.parametrize(
    ("a_kind", "b_kind", "scale_a", "scale_b", "transposed", "pack_k"),
    [
        ("e5m2", "e2m1", True, True, True, True),
        ("e2m1", "e4m3", True, True, False, True),
        ("e2m1", "e2m1", True, False, True, True),
        ("e4m3", "e2m1", False, True, False, True),
        ("bf16", "e2m1", False, True, True, False),
        ("e4m3", "e5m2", True, True, True, True),
        ("bf16", "e2m1", False, False, False, True),
    ],
)
def test_dot_scaled(target, a_kind, b_kind, scale_a, scale_b, transposed, pack_k):
    """The second program's rows wrap around, the first's do not."""
    torch.manual_seed(0)
    rows, n, k = 32, 64, 128
    a, a_values = _operand(a_kind, rows, k)
    b, b_values = _operand(b_kind, n, k, along_rows=not pack_k)
    if not transposed:
        b = b.T.contiguous()
    strides = (b.stride(1), b.stride(0)) if transposed else (b.stride(0), b.stride(1))
    sa, sb = (torch.randint(120, 134, (count, k // 32), dtype=torch.uint8) for count in (rows, n))
    out = torch.empty(2, rows, n)
    kb, nb = (b.shape[1], b.shape[0]) if transposed else tuple(b.shape)
    kernel[(2,)](a, b, sa, sb, out, rows, *strides, rows, n, k, a.shape[1], kb, nb, a_kind, b_kind, scale_a, scale_b, transposed, pack_k)
    left = a_values * (np.repeat(2.0 ** (sa.numpy() - 127.0), 32, 1) if scale_a else 1)
    right = b_values * (np.repeat(2.0 ** (sb.numpy() - 127.0), 32, 1) if scale_b else 1)
    for program in range(2):
        exact = np.roll(left, -program, 0) @ right.T
        size = np.roll(np.abs(left), -program, 0) @ np.abs(right).T
        assert (np.abs(out[program].numpy() - exact) <= k * 2.0**-24 * size).all()
