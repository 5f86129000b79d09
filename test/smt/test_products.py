"""Packed products end to end: every path, type, layout and odd size, against float64 or int64."""

import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt
from kernels import smt_products as kernels

# relative to the largest element: a few roundings of the type of the result
BOUNDS = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
TILES = {torch.float32: (8, 32, 32), torch.float16: (16, 8, 32), torch.bfloat16: (16, 8, 32), torch.int8: (4, 8, 16)}


def blocks(shape, dtype):
    if dtype == torch.int8:
        return torch.randint(-128, 128, shape, dtype=dtype)
    return torch.randn(shape).to(dtype)


def run(a, b, path, epilogue=None, bias=None, tile=None, alpha=1.0, beta=1.0):
    """`a @ b` of batches of matrices."""
    (batch, m, k), n = a.shape, b.shape[2]
    c = torch.full((batch, m, n), 7, dtype=torch.int32 if a.dtype == torch.int8 else a.dtype)
    micro_m, micro_k, micro_n = tile or TILES[a.dtype]
    block = 32
    grid = (triton.cdiv(m, block), triton.cdiv(n, block), batch)
    kernels.product[grid](
        a, b, bias, c, alpha, beta, m, n, k, *a.stride(), *b.stride(), c.stride(0),
        BLOCK_M=block, BLOCK_N=block, BLOCK_K=max(triton.next_power_of_2(k), micro_k), SUB_M=16, SUB_N=16, SUB_K=max(32, micro_k),
        MICRO_M=micro_m, MICRO_K=micro_k, MICRO_N=min(micro_n, 16) if path == "SPLIT_N" else micro_n, PATH=path, EPILOGUE=epilogue,
    )  # fmt: skip
    return c


def check(c, expected, dtype=None):
    if c.dtype == torch.int32:
        assert torch.equal(c.long(), expected.long())
        return
    assert (c.double() - expected).abs().max() <= BOUNDS[dtype or c.dtype] * expected.abs().max()


def wide(x):
    return x.long() if x.dtype == torch.int8 else x.double()


@pytest.mark.parametrize("path", ["EVEN_K", "SPLIT_M", "SPLIT_N", "SPLIT_K"])
@pytest.mark.parametrize("dtype", TILES, ids=str)
@pytest.mark.parametrize("shape", [(32, 32, 32), (45, 51, 67)], ids=str)
def test_paths(target, path, dtype, shape):
    m, n, k = shape
    torch.manual_seed(0)
    a, b = blocks((1, m, k), dtype), blocks((1, k, n), dtype)
    check(run(a, b, path), wide(a) @ wide(b))


@pytest.mark.parametrize("path", ["EVEN_K", "SPLIT_K"])
@pytest.mark.parametrize("dtype", TILES, ids=str)
def test_batches_of_transposed_matrices(target, path, dtype):
    torch.manual_seed(1)
    a, b = blocks((3, 37, 41), dtype).transpose(1, 2), blocks((3, 35, 37), dtype).transpose(1, 2)
    check(run(a, b, path), wide(a) @ wide(b))


@pytest.mark.parametrize("dtype", TILES, ids=str)
def test_addmm(target, dtype):
    torch.manual_seed(2)
    a, b, bias = blocks((1, 41, 70), dtype), blocks((1, 70, 35), dtype), blocks((41, 35), dtype)
    alpha = 2.0 if dtype == torch.int8 else 1.5  # an integer result is exact
    c = run(a, b, "SPLIT_K", "addmm", bias, alpha=alpha, beta=alpha)
    check(c, alpha * (wide(a) @ wide(b)) + alpha * wide(bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_epilogue(target, dtype):
    torch.manual_seed(3)
    a, b = blocks((1, 40, 33), dtype), blocks((1, 33, 50), dtype)
    check(run(a, b, "EVEN_K", "silu"), torch.nn.functional.silu((wide(a) @ wide(b)).to(dtype).double()))


def test_sum_is_rounded_once(target):
    """1 + 2048 * 2^-11 in float16: each part alone is lost if the sum is rounded on the way."""
    a, b = torch.zeros(1, 16, 4096, dtype=torch.float16), torch.ones(1, 4096, 16, dtype=torch.float16)
    a[..., 0], a[..., 32::2] = 2.0, 2**-11
    c = run(a, b, "SPLIT_K")
    assert torch.equal(c.double(), (a.double() @ b.double()).half().double())
    assert c[0, 0, 0] > 2.5


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", TILES, ids=str)
def test_attention(target, causal, dtype):
    """Queries and keys of int8 go with values of float16."""
    torch.manual_seed(4)
    heads, queries, keys, head = 2, 45, 77, 24
    q, k = (torch.randint(-3, 4, (heads, rows, head)).to(dtype) if dtype == torch.int8 else blocks((heads, rows, head), dtype)
            for rows in (queries, keys))  # fmt: skip
    v = torch.randn(heads, keys, head).to(torch.float16 if dtype == torch.int8 else dtype)
    out = torch.empty(heads, queries, head, dtype=v.dtype)
    micro_m, micro_k, micro_n = (8, 16, 16) if dtype == torch.float32 else (16, 8, 32)
    kernels.attention[(triton.cdiv(queries, 32), heads)](
        q, k, v, out, queries, keys, head, head**-0.5,
        CAUSAL=causal, BLOCK_M=32, BLOCK_N=32, D=32, MICRO_M=micro_m, MICRO_K=micro_k, MICRO_N=micro_n,
    )  # fmt: skip
    expected = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), wide(v), is_causal=causal)
    assert (out.double() - expected).abs().max() <= {torch.float32: 3e-6, torch.float16: 4e-3, torch.bfloat16: 4e-2}[out.dtype]


@triton.jit
def buffered_kernel(a_ptr, b_ptr, c_ptr, N: tl.constexpr):
    """B goes through a buffer of the default type."""
    square: tl.constexpr = (N, N)
    a = smt.view(smt.descriptor_load(tl.make_block_ptr(a_ptr, square, (N, 1), (0, 0), square, (1, 0)), (0, 0)), (0, 0), square, (16, 8))
    b = smt.view(smt.descriptor_load(tl.make_block_ptr(b_ptr, square, (N, 1), (0, 0), square, (1, 0)), (0, 0)), (0, 0), square, (8, 32))
    buffer = smt.view(smt.alloc(square), (0, 0), square, (8, 32))
    tl.store(buffer, b)
    start = smt.view(tl.full(square, 1, a.dtype), (0, 0), square, (16, 32))
    c = smt.dot(a, tl.load(buffer), start)
    tl.static_assert(c.dtype == a.dtype)
    tl.store(tl.make_block_ptr(c_ptr, square, (N, 1), (0, 0), square, (1, 0)), smt.view(c, (0, 0), square, (1, 1)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_narrow_by_wide(target, dtype):
    torch.manual_seed(5)
    a, b, c = torch.randn(64, 64).to(dtype), torch.randn(64, 64).to(dtype), torch.empty(64, 64, dtype=dtype)
    buffered_kernel[(1,)](a, b, c, N=64)
    check(c, a.double() @ b.double() + 1)


@triton.jit
def signs_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K,
    STRAIGHT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """C = A @ B, or with B stored as its transpose."""
    a_block = tl.make_block_ptr(a_ptr, (M, K), (K, 1), (0, 0), (BLOCK_M, BLOCK_K), (1, 0))
    acc = smt.view(tl.zeros((BLOCK_M, BLOCK_N), tl.int32), (0, 0), (BLOCK_M, BLOCK_N), (4, 4))
    for k in range(0, K, BLOCK_K):
        a = smt.view(smt.descriptor_load(a_block, (0, k)), (0, 0), (BLOCK_M, BLOCK_K), (4, 8))
        if STRAIGHT:
            b_block = tl.make_block_ptr(b_ptr, (K, N), (N, 1), (k, 0), (BLOCK_K, BLOCK_N), (1, 0))
            acc += smt.dot(a, smt.view(smt.descriptor_load(b_block, (0, 0)), (0, 0), (BLOCK_K, BLOCK_N), (8, 4)))
        else:
            b_block = tl.make_block_ptr(b_ptr, (N, K), (K, 1), (0, k), (BLOCK_N, BLOCK_K), (1, 0))
            acc += smt.dot(a, smt.view(smt.descriptor_load(b_block, (0, 0)), (0, 0), (BLOCK_N, BLOCK_K), (4, 8)))
    c_block = tl.make_block_ptr(c_ptr, (M, N), (N, 1), (0, 0), (BLOCK_M, BLOCK_N), (1, 0))
    tl.store(c_block, smt.view(acc, (0, 0), (BLOCK_M, BLOCK_N), (1, 1)), boundary_check=(0, 1))


@pytest.mark.parametrize("straight", [True, False])
@pytest.mark.parametrize("left", [torch.int8, torch.uint8], ids=str)
@pytest.mark.parametrize("right", [torch.int8, torch.uint8], ids=str)
def test_bytes_of_either_sign(target, left, right, straight):
    torch.manual_seed(2)
    m, n, k = 29, 27, 77

    def matrix(dtype, rows, columns):
        return torch.randint(0, 256, (rows, columns), dtype=torch.uint8).view(dtype)

    a, b = matrix(left, m, k), matrix(right, *((k, n) if straight else (n, k)))
    c = torch.full((m, n), 7, dtype=torch.int32)
    kernel = signs_kernel[(1,)](a, b, c, m, n, k, STRAIGHT=straight, BLOCK_M=32, BLOCK_N=32, BLOCK_K=32)
    assert torch.equal(c.long(), a.long() @ (b if straight else b.T).long())
    if target == "qemu":
        suffix = {(True, True): "", (False, False): "u", (False, True): "us", (True, False): "su"}
        assert f"smt.vmadot{suffix[left == torch.int8, right == torch.int8]}\t" in kernel.asm["asm"]
