"""Integer blocks that loops carry and masks need: they go through loops in parts, also through loops in loops."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def nested(out, n, m, A: tl.constexpr, B: tl.constexpr):
    v = tl.full((A * B,), 1, tl.int32)
    for _ in range(1, n):
        for j in range(1, m):
            v = v - j
    square = tl.reshape(v, (A, B))
    tl.store(out + tl.arange(0, A)[:, None] * B + tl.arange(0, B)[None, :], square, mask=square < 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (8, 16)])
@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 5), (3, 1), (3, 4)])
def test_loop_in_a_loop(target, shape, n, m):
    out = torch.full(shape, 77, dtype=torch.int32)
    nested[(1,)](out, n, m, A=shape[0], B=shape[1])
    value = 1 - max(n - 1, 0) * sum(range(1, m))
    assert torch.equal(out, torch.full(shape, value if value < 0 else 77, dtype=torch.int32))
