"""Matrix products: pointers that wrap around, grouped program ids, an epilogue function; and with tensor descriptors."""

from typing import Any

import torch
import triton
import triton.language as tl
from kernels.case import Case, epsilon, random
from kernels.elementwise import leaky_relu
from triton.tools.tensor_descriptor import TensorDescriptor


@triton.jit
def grouped_ids(pid, rows, columns, GROUP: tl.constexpr):
    """Row and column of program `pid` in an order that walks `GROUP` rows before the next column."""
    in_group = GROUP * columns
    first = pid // in_group * GROUP
    size = min(rows - first, GROUP)
    return first + pid % in_group % size, pid % in_group // size


@triton.jit
def matmul_kernel(
    a_ptr,
    b_ptr,
    c_ptr,
    M,
    N,
    K,
    stride_am,
    stride_ak,
    stride_bk,
    stride_bn,
    stride_cm,
    stride_cn,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
    ACCUMULATOR: tl.constexpr,
    EPILOGUE: tl.constexpr,
):
    pid_m, pid_n = grouped_ids(tl.program_id(0), tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N), GROUP)
    rows = (pid_m * BLOCK_M + tl.arange(0, BLOCK_M)) % M
    columns = (pid_n * BLOCK_N + tl.arange(0, BLOCK_N)) % N
    k = tl.arange(0, BLOCK_K)
    a_ptrs = a_ptr + rows[:, None] * stride_am + k[None, :] * stride_ak
    b_ptrs = b_ptr + k[:, None] * stride_bk + columns[None, :] * stride_bn
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), ACCUMULATOR)
    for step in range(0, tl.cdiv(K, BLOCK_K)):
        a = tl.load(a_ptrs, mask=k[None, :] < K - step * BLOCK_K, other=0)
        b = tl.load(b_ptrs, mask=k[:, None] < K - step * BLOCK_K, other=0)
        # a float16 accumulator may as well be added to in float16
        imprecise: tl.constexpr = BLOCK_K if ACCUMULATOR == tl.float16 else 0
        accumulator = tl.dot(a, b, accumulator, out_dtype=ACCUMULATOR, max_num_imprecise_acc=imprecise)
        a_ptrs += BLOCK_K * stride_ak
        b_ptrs += BLOCK_K * stride_bk
    if EPILOGUE is not None:
        accumulator = EPILOGUE(accumulator)
    rows = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    c_ptrs = c_ptr + rows[:, None] * stride_cm + columns[None, :] * stride_cn
    tl.store(c_ptrs, accumulator.to(c_ptr.dtype.element_ty), mask=(rows[:, None] < M) & (columns[None, :] < N))


def matmul(
    a: torch.Tensor,
    b: torch.Tensor,
    epilogue: Any = None,
    blocks: tuple[int, int, int] = (64, 64, 32),
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """`a @ b` in `dtype` (default: of `a`; int32 for integers), then `epilogue`, a `@triton.jit` function of the accumulator."""
    (m, k), n = a.shape, b.shape[1]
    floats = a.dtype.is_floating_point
    c = torch.empty((m, n), dtype=dtype or (a.dtype if floats else torch.int32))
    accumulator = (tl.float64 if a.dtype == torch.float64 else tl.float32) if floats else tl.int32
    grid = (triton.cdiv(m, blocks[0]) * triton.cdiv(n, blocks[1]),)
    matmul_kernel[grid](
        a,
        b,
        c,
        m,
        n,
        k,
        *a.stride(),
        *b.stride(),
        *c.stride(),
        BLOCK_M=blocks[0],
        BLOCK_N=blocks[1],
        BLOCK_K=blocks[2],
        GROUP=4,
        ACCUMULATOR=accumulator,
        EPILOGUE=epilogue,
    )
    return c


@triton.jit
def device_descriptor_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr
):
    pid_m, pid_n = grouped_ids(tl.program_id(0), tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N), GROUP)
    a_desc = tl.make_tensor_descriptor(a_ptr, [M, K], [K, 1], [BLOCK_M, BLOCK_K])
    b_desc = tl.make_tensor_descriptor(b_ptr, [K, N], [N, 1], [BLOCK_K, BLOCK_N])
    c_desc = tl.make_tensor_descriptor(c_ptr, [M, N], [N, 1], [BLOCK_M, BLOCK_N])
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(0, K, BLOCK_K):
        a = a_desc.load([pid_m * BLOCK_M, k])
        b = b_desc.load([k, pid_n * BLOCK_N])
        accumulator = tl.dot(a, b, accumulator)
    c_desc.store([pid_m * BLOCK_M, pid_n * BLOCK_N], accumulator.to(c_ptr.dtype.element_ty))


@triton.jit
def host_descriptor_kernel(a_desc, b_desc, c_desc, K, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    m = tl.program_id(0) * BLOCK_M
    n = tl.program_id(1) * BLOCK_N
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(0, K, BLOCK_K):
        accumulator = tl.dot(a_desc.load([m, k]), b_desc.load([k, n]), accumulator)
    c_desc.store([m, n], accumulator.to(c_desc.dtype))


def matmul_descriptors(a: torch.Tensor, b: torch.Tensor, host: bool = False, blocks: tuple[int, int, int] = (64, 64, 32)) -> torch.Tensor:
    """`a @ b` of contiguous matrices through descriptors that the kernel makes, or (`host`) that it is given."""
    (m, k), n = a.shape, b.shape[1]
    block_m, block_n, block_k = blocks
    c = torch.empty((m, n), dtype=a.dtype)
    grid = (triton.cdiv(m, block_m), triton.cdiv(n, block_n))
    if host:
        descriptors = (
            TensorDescriptor.from_tensor(a, [block_m, block_k]),
            TensorDescriptor.from_tensor(b, [block_k, block_n]),
            TensorDescriptor.from_tensor(c, [block_m, block_n]),
        )
        host_descriptor_kernel[grid](*descriptors, k, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k)
    else:
        device_descriptor_kernel[(grid[0] * grid[1],)](a, b, c, m, n, k, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k, GROUP=4)
    return c


def reference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.dtype.is_floating_point:
        return a.double() @ b.double()
    return (a.long() @ b.long()).int()


def bound(a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype | None = None) -> Any:
    """The classic one of a dot product of length k accumulated in float32 in any order, then the result's own rounding."""
    if not a.dtype.is_floating_point:
        return 0.0
    accumulated = epsilon(torch.float64 if a.dtype == torch.float64 else torch.float32) * (a.shape[1] + 1)
    return a.double().abs() @ b.double().abs() * accumulated + (a.double() @ b.double()).abs() * epsilon(dtype or a.dtype)


def inputs(dtype: torch.dtype = torch.float32, size: tuple[int, int, int] = (150, 137, 99), seed: int = 0) -> tuple[torch.Tensor, ...]:
    m, n, k = size
    return random(m, k, dtype=dtype, seed=seed), random(k, n, dtype=dtype, seed=seed + 1)


def aligned_inputs(
    dtype: torch.dtype = torch.float32, size: tuple[int, int, int] = (144, 136, 96), seed: int = 0
) -> tuple[torch.Tensor, ...]:
    """As a descriptor wants them: rows of a multiple of 16 bytes."""
    return inputs(dtype, size, seed)


def _leaky(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 0, x, 0.01 * x)


MATMUL = Case("matmul", matmul, reference, inputs, bound)
MATMUL_EPILOGUE = Case(
    "matmul_leaky_relu",
    lambda a, b: matmul(a, b, epilogue=leaky_relu),
    lambda a, b: _leaky(reference(a, b)),
    inputs,
    lambda a, b: 2 * bound(a, b),
)
MATMUL_DESCRIPTORS = Case("matmul_descriptors", matmul_descriptors, reference, aligned_inputs, bound)
MATMUL_HOST_DESCRIPTORS = Case(
    "matmul_host_descriptors", lambda a, b: matmul_descriptors(a, b, host=True), reference, aligned_inputs, bound
)
CASES = (MATMUL, MATMUL_EPILOGUE, MATMUL_DESCRIPTORS, MATMUL_HOST_DESCRIPTORS)
