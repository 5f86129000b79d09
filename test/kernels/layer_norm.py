"""Layer norm: rows in blocks of columns; the backward pass sums the weights' gradients of many rows under a lock."""

import torch
import triton
import triton.language as tl
from kernels.case import Case, random

EPSILON = 1e-5


@triton.jit
def forward_kernel(x_ptr, w_ptr, b_ptr, y_ptr, mean_ptr, rstd_ptr, stride, columns, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * stride
    y_ptr += row * stride
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + offsets, offsets < columns, other=0.0).to(tl.float32)
    mean = tl.sum(total, 0) / columns
    squares = tl.zeros([BLOCK], tl.float32)
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + offsets, offsets < columns, other=0.0).to(tl.float32)
        x = tl.where(offsets < columns, x - mean, 0.0)
        squares += x * x
    rstd = 1 / tl.sqrt(tl.sum(squares, 0) / columns + eps)
    tl.store(mean_ptr + row, mean)
    tl.store(rstd_ptr + row, rstd)
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        mask = offsets < columns
        w = tl.load(w_ptr + offsets, mask).to(tl.float32)
        b = tl.load(b_ptr + offsets, mask).to(tl.float32)
        x = tl.load(x_ptr + offsets, mask, other=0.0).to(tl.float32)
        tl.store(y_ptr + offsets, (x - mean) * rstd * w + b, mask)


@triton.jit
def backward_kernel(
    dy_ptr, x_ptr, w_ptr, mean_ptr, rstd_ptr, dx_ptr, dw_ptr, db_ptr, locks_ptr, stride, columns, GROUPS: tl.constexpr, BLOCK: tl.constexpr
):
    """dx of one row; its share of dw and db is added to the sums of its group, which the group's lock protects."""
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    x = tl.load(x_ptr + row * stride + offsets, mask, other=0).to(tl.float32)
    dy = tl.load(dy_ptr + row * stride + offsets, mask, other=0).to(tl.float32)
    w = tl.load(w_ptr + offsets, mask, other=0).to(tl.float32)
    rstd = tl.load(rstd_ptr + row)
    normal = tl.where(mask, (x - tl.load(mean_ptr + row)) * rstd, 0.0)
    wdy = tl.where(mask, w * dy, 0.0)
    c1 = tl.sum(normal * wdy, 0) / columns
    c2 = tl.sum(wdy, 0) / columns
    tl.store(dx_ptr + row * stride + offsets, (wdy - (normal * c1 + c2)) * rstd, mask)

    group = row % GROUPS
    lock_ptr = locks_ptr + group
    filled_ptr = locks_ptr + GROUPS + group
    dw_ptr += group * columns + offsets
    db_ptr += group * columns + offsets
    dw = dy * normal
    db = dy
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    if tl.load(filled_ptr) == 0:
        tl.atomic_xchg(filled_ptr, 1)
    else:
        dw += tl.load(dw_ptr, mask)
        db += tl.load(db_ptr, mask)
    tl.store(dw_ptr, dw, mask)
    tl.store(db_ptr, db, mask)
    tl.debug_barrier()
    tl.atomic_xchg(lock_ptr, 0)


@triton.jit
def reduce_kernel(dw_ptr, db_ptr, dw_out_ptr, db_out_ptr, groups, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """The sums of the groups, added up."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    dw = tl.zeros((ROWS, BLOCK), tl.float32)
    db = tl.zeros((ROWS, BLOCK), tl.float32)
    for start in range(0, groups, ROWS):
        row = start + tl.arange(0, ROWS)
        mask = (row[:, None] < groups) & (column[None, :] < columns)
        offsets = row[:, None] * columns + column[None, :]
        dw += tl.load(dw_ptr + offsets, mask, other=0.0)
        db += tl.load(db_ptr + offsets, mask, other=0.0)
    tl.store(dw_out_ptr + column, tl.sum(dw, 0), column < columns)
    tl.store(db_out_ptr + column, tl.sum(db, 0), column < columns)


def forward(
    x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, block: int = 256, eps: float = EPSILON
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """y, mean and 1 / standard deviation."""
    rows, columns = x.shape
    y = torch.empty_like(x)
    mean = torch.empty(rows, dtype=torch.float32)
    rstd = torch.empty(rows, dtype=torch.float32)
    forward_kernel[(rows,)](x, w, b, y, mean, rstd, x.stride(0), columns, eps, BLOCK=block)
    return y, mean, rstd


def layer_norm(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, block: int = 256) -> torch.Tensor:
    return forward(x, w, b, block)[0]


def layer_norm_backward(
    dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor, mean: torch.Tensor, rstd: torch.Tensor, groups: int = 4
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """dx, dw and db."""
    rows, columns = x.shape
    locks = torch.zeros(2 * groups, dtype=torch.int32)
    partial = torch.empty(2, groups, columns, dtype=torch.float32)
    dx, dw, db = torch.empty_like(x), torch.empty_like(w), torch.empty_like(w)
    block = triton.next_power_of_2(columns)
    backward_kernel[(rows,)](dy, x, w, mean, rstd, dx, partial[0], partial[1], locks, x.stride(0), columns, GROUPS=groups, BLOCK=block)
    grid = (triton.cdiv(columns, 128),)
    reduce_kernel[grid](partial[0], partial[1], dw, db, min(groups, rows), columns, ROWS=8, BLOCK=128)
    return dx, dw, db


def reference(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x.double(), x.shape[-1:], w.double(), b.double(), EPSILON)


def backward_reference(dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor, ...]:
    leaves = [t.double().requires_grad_() for t in (x, w, torch.zeros_like(w))]
    reference(*leaves).backward(dy.double())
    return tuple(leaf.grad for leaf in leaves)


def _scale(columns: int, dtype: torch.dtype) -> float:
    """Relative error of a value of size 1: sums of `columns` terms in vector lanes, then the result's own rounding."""
    return 2**-24 * (8 + columns / 16) + torch.finfo(dtype).eps / 2


def bound(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    normal = reference(x, torch.ones_like(w), torch.zeros_like(b)).abs()
    return ((normal + 1) * w.double().abs() + b.double().abs()) * _scale(x.shape[-1], x.dtype)


def backward_bound(dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor, mean: torch.Tensor, rstd: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Each is a sum of products; the bound is the relative error times the sum of their magnitudes."""
    rows, columns = x.shape
    normal = (x.double() - mean.double()[:, None]) * rstd.double()[:, None]
    wdy = (dy.double() * w.double()).abs()
    terms = wdy + normal.abs() * (normal.abs() * wdy).mean(-1, keepdim=True) + wdy.mean(-1, keepdim=True)
    weights = 2**-24 * (rows + 8) + torch.finfo(x.dtype).eps / 2
    dw = (dy.double().abs() * (normal.abs() + 1)).sum(0) * weights
    return terms * rstd.double()[:, None] * _scale(columns, x.dtype), dw, dy.double().abs().sum(0) * weights


def inputs(dtype: torch.dtype = torch.float32, size: tuple[int, int] = (29, 700), seed: int = 0) -> tuple[torch.Tensor, ...]:
    x = random(*size, dtype=dtype, seed=seed) + 0.5
    return x, random(size[1], dtype=dtype, seed=seed + 1), random(size[1], dtype=dtype, seed=seed + 2)


def backward_inputs(dtype: torch.dtype = torch.float32, size: tuple[int, int] = (29, 700), seed: int = 0) -> tuple[torch.Tensor, ...]:
    x, w, _ = inputs(dtype, size, seed)
    mean = x.double().mean(-1)
    rstd = (x.double().var(-1, correction=0) + EPSILON).rsqrt()
    return random(*size, dtype=dtype, seed=seed + 3), x, w, mean.float(), rstd.float()


LAYER_NORM = Case("layer_norm", layer_norm, reference, inputs, bound)
LAYER_NORM_BACKWARD = Case("layer_norm_backward", layer_norm_backward, backward_reference, backward_inputs, backward_bound)
CASES = (LAYER_NORM, LAYER_NORM_BACKWARD)
