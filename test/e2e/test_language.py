"""One kernel for each corner of the language that the kernels of test/kernels do not use, on every device."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


@triton.jit
def histogram_kernel(x_ptr, mask_ptr, out_ptr, N: tl.constexpr, BINS: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out_ptr + tl.arange(0, BINS), tl.histogram(tl.load(x_ptr + i), BINS, mask=tl.load(mask_ptr + i)))


def test_histogram(target):
    """Negative values and those beyond the last bin count nowhere."""
    x = torch.randint(-3, 20, (512,), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(512, generator=torch.Generator().manual_seed(1)) < 0.5
    out = torch.empty(16, dtype=torch.int32)
    histogram_kernel[(1,)](x, mask, out, 512, 16)
    inside = x[mask & (x >= 0) & (x < 16)]
    assert torch.equal(out, torch.bincount(inside, minlength=16).int())


@triton.jit
def order_kernel(x_ptr, sorted_ptr, top_ptr, flip_ptr, R: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    r, i, k = tl.arange(0, R)[:, None], tl.arange(0, N)[None, :], tl.arange(0, K)[None, :]
    x = tl.load(x_ptr + r * N + i)
    tl.store(sorted_ptr + r * N + i, tl.sort(x, descending=True))
    tl.store(top_ptr + r * K + k, tl.topk(x, K))
    tl.store(flip_ptr + r * N + i, tl.flip(x, 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.uint16])
def test_sort_topk_flip(target, dtype):
    x = torch.randint(0, 100, (4, 64), generator=torch.Generator().manual_seed(2)).to(dtype)
    ordered, top, flipped = torch.empty_like(x), torch.empty(4, 8, dtype=dtype), torch.empty_like(x)
    order_kernel[(1,)](x, ordered, top, flipped, 4, 64, 8)
    expected = np.sort(x.numpy(), axis=1)[:, ::-1].copy()
    np.testing.assert_array_equal(ordered.numpy(), expected)
    np.testing.assert_array_equal(top.numpy(), expected[:, :8])
    np.testing.assert_array_equal(flipped.numpy(), x.numpy()[::-1])


@triton.jit
def shapes_kernel(x_ptr, y_ptr, cat_ptr, mix_ptr, permuted_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    x, y = tl.load(x_ptr + i), tl.load(y_ptr + i)
    tl.store(cat_ptr + tl.arange(0, 2 * N), tl.cat(x, y, can_reorder=True))
    mixed = tl.interleave(x, y)
    tl.store(mix_ptr + tl.arange(0, 2 * N), mixed)
    cube = tl.reshape(mixed, (4, N // 8, 2, 2))
    tl.store(permuted_ptr + tl.arange(0, 2 * N), tl.ravel(tl.permute(cube, (3, 1, 0, 2))))


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.bool])
def test_shapes(target, dtype):
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.randint(0, 2 if dtype == torch.bool else 1000, (64,), generator=generator).to(dtype) for _ in range(2))
    cat, mixed, permuted = (torch.empty(128, dtype=dtype) for _ in range(3))
    shapes_kernel[(1,)](x, y, cat, mixed, permuted, 64)
    assert torch.equal(cat.sort().values, torch.cat([x, y]).sort().values)
    assert torch.equal(mixed, torch.stack([x, y], 1).ravel())
    assert torch.equal(permuted, mixed.reshape(4, 8, 2, 2).permute(3, 1, 0, 2).ravel())


@triton.jit
def descriptor_kernel(x, y, rows_ptr, source, total, R: tl.constexpr):
    rows = tl.load(rows_ptr + tl.arange(0, R))
    block = x.gather(rows, 3)
    y.scatter(block * 2, rows, 1)
    total.atomic_add([-1, 6], source.load([-1, 2]))


def test_descriptors(target):
    """Rows by index, what lies outside read as zero and not written, and sums into memory; both ends of a block cut."""
    x = torch.arange(8 * 12, dtype=torch.float32).reshape(8, 12)
    y, total = torch.zeros(8, 12), torch.ones(8, 12)
    rows = torch.tensor([5, 0, 9, 2, 7, 8, 1, 3], dtype=torch.int32)
    gathered = TensorDescriptor(x, [8, 12], [12, 1], [1, 16])
    scattered = TensorDescriptor(y, [8, 12], [12, 1], [1, 16])
    source, sums = (TensorDescriptor(tensor, [8, 12], [12, 1], [4, 8]) for tensor in (x, total))
    descriptor_kernel[(1,)](gathered, scattered, rows, source, sums, 8)
    padded = torch.zeros(10, 19)
    padded[:8, :12] = x
    expected = torch.zeros(8, 12)
    for row in (r for r in rows.tolist() if r < 8):
        expected[row, 1:] = 2 * padded[row, 3:14]
    assert torch.equal(y, expected)
    expected = torch.ones(8, 12)
    expected[:3, 6:] += x[:3, 2:8]
    assert torch.equal(total, expected)


@triton.jit
def control_kernel(x_ptr, out_ptr, n, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.assume(n > 0)
    total = tl.zeros((N,), tl.float32)
    for outer in range(0, n):
        pointer = x_ptr + outer * N
        for step in tl.static_range(2):
            total += tl.load(pointer + i) * (step + 1)
        if outer % 2 == 0:
            total, pointer = total + 1, pointer + N
        total += tl.load(pointer + i)
    if tl.max(total) < 0:
        tl.store(out_ptr + i, tl.zeros((N,), tl.float32) - 1)
        return
    tl.store(out_ptr + i, total)


@pytest.mark.parametrize("sign", [1, -1])
def test_nested_control(target, sign):
    """Loops in loops that carry blocks and pointers, a branch on a block, an early return."""
    x = sign * torch.arange(1.0, 6 * 32 + 1).reshape(6, 32)
    out = torch.empty(32)
    control_kernel[(1,)](x, out, 5, 32)
    expected = torch.zeros(32)
    for outer in range(5):
        expected += 3 * x[outer] + (1 + x[outer + 1] if outer % 2 == 0 else x[outer])
    assert torch.equal(out, expected if sign > 0 else torch.full((32,), -1.0))


@triton.jit
def helper(x, y):
    return x + y, x * y


@triton.jit(noinline=True)
def called(pointer, n):
    if n > 3:
        return tl.load(pointer)
    return tl.load(pointer) + 100


@triton.jit
def combine(a_value, a_index, b_value, b_index):
    take = (a_value > b_value) | ((a_value == b_value) & (a_index < b_index))
    return tl.where(take, a_value, b_value), tl.where(take, a_index, b_index)


@triton.jit
def functions_kernel(x_ptr, out_ptr, best_ptr, mapped_ptr, n, N: tl.constexpr):
    i = tl.arange(0, N)
    x = tl.load(x_ptr + i) + called(x_ptr, n)
    value, index = tl.reduce((x, i), 0, combine)
    tl.store(best_ptr, value.to(tl.int32))
    tl.store(best_ptr + 1, index)
    running, _ = tl.associative_scan((x, i), 0, combine, reverse=True)
    tl.store(out_ptr + i, running)
    a, b = tl.map_elementwise(helper, x, x + 1)
    tl.store(mapped_ptr + i, a - b)


@pytest.mark.parametrize("n", [2, 5])
def test_functions(target, n):
    """Calls that are not inlined, reductions and scans of pairs, element-wise functions with two results."""
    x = torch.randint(0, 40, (128,), generator=torch.Generator().manual_seed(4)).float()
    out, mapped, best = torch.empty(128), torch.empty(128), torch.empty(2, dtype=torch.int32)
    functions_kernel[(1,)](x, out, best, mapped, n, 128)
    x = x + x[0] + (0 if n > 3 else 100)
    assert best.tolist() == [int(x.max()), int(np.argmax(x.numpy()))]
    assert torch.equal(out, x.flip(0).cummax(0).values.flip(0))
    assert torch.equal(mapped, (2 * x + 1) - x * (x + 1))


@triton.jit
def atomics_kernel(count_ptr, most_ptr, half_ptr, swap_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    p = tl.program_id(0)
    tl.atomic_add(count_ptr + i % 4, 1.0, mask=i % 3 != 0)
    tl.atomic_max(most_ptr + i, (p * 7 + i) % 11)
    tl.atomic_add(half_ptr + i // 2, tl.full((N,), 0.5, tl.float16))
    expected = tl.zeros((N,), tl.int32) + p
    tl.atomic_cas(swap_ptr + i, expected, expected + 1)


def test_atomics(target):
    """Lanes that meet in one place all count; floats of 16 bits; a chain of exchanges."""
    count, most = torch.zeros(4), torch.zeros(32, dtype=torch.int32)
    half, swap = torch.zeros(16, dtype=torch.float16), torch.zeros(32, dtype=torch.int32)
    atomics_kernel[(6,)](count, most, half, swap, 32)
    i = np.arange(32)
    assert count.tolist() == [6 * float(((i % 4 == c) & (i % 3 != 0)).sum()) for c in range(4)]
    assert most.tolist() == [max((p * 7 + j) % 11 for p in range(6)) for j in range(32)]
    assert (half == 6).all()
    assert ((swap > 0) & (swap <= 6)).all()


@triton.jit
def numbers_kernel(a_ptr, b_ptr, low_ptr, high_ptr, wide_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    a, b = tl.load(a_ptr + i), tl.load(b_ptr + i)
    tl.store(low_ptr + i, tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL))
    tl.store(high_ptr + i, tl.clamp(a, -1.0, 1.0, propagate_nan=tl.PropagateNan.ALL))
    bits = a.to(tl.uint32, bitcast=True)
    tl.store(wide_ptr + i, tl.umulhi(bits, bits))


def test_numbers(target):
    """NaN passes through where asked; the high half of a product."""
    a = torch.tensor([1.0, float("nan"), -0.0, 5.0, float("inf"), -3.0, 2.0, 0.5] * 4)
    b = torch.tensor([2.0, 1.0, 0.0, float("nan"), 1.0, -4.0, 2.0, 0.25] * 4)
    low, high, wide = torch.empty(32), torch.empty(32), torch.empty(32, dtype=torch.int32)
    numbers_kernel[(1,)](a, b, low, high, wide, 32)
    np.testing.assert_array_equal(low.numpy(), np.minimum(a.numpy(), b.numpy()))
    np.testing.assert_array_equal(high.numpy(), np.clip(a.numpy(), -1, 1))
    bits = a.numpy().view(np.uint32).astype(np.uint64)
    np.testing.assert_array_equal(wide.numpy().view(np.uint32), (bits * bits >> np.uint64(32)).astype(np.uint32))
