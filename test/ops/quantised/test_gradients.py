"""Gradients through packed weights are those through the dequantised ones."""

import pytest
import torch
from quantised_weights import random_weights

from triton_spacemit.ops import quantised

FORMATS = ["Q4_0", "Q4_1", "Q4_K", "Q8_0"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear(name: str, dtype: torch.dtype) -> None:
    packed = random_weights(name, 35, 256)
    x = torch.randn(2, 3, 256, dtype=dtype, requires_grad=True)
    bias = torch.randn(35, requires_grad=True)
    given = torch.randn(2, 3, 35).to(dtype)
    quantised.linear(x, packed, bias).backward(given)
    weights = packed.dequantise(torch.float64)
    assert x.grad is not None
    assert bias.grad is not None
    assert x.grad.dtype == dtype
    rounding = torch.finfo(dtype).eps / 2 + 35 * 2**-24  # of the result, and of float32 sums, of the sum of sizes
    bound = rounding * (given.double().abs() @ weights.abs())
    assert bool(((x.grad.double() - given.double() @ weights).abs() <= bound).all())
    torch.testing.assert_close(bias.grad, given.float().sum((0, 1)))


@pytest.mark.parametrize("shared", [False, True])
def test_experts(shared: bool) -> None:
    """Of a row that goes to all experts of a token, the sum; none from an expert that is not there."""
    matrices = [[random_weights("Q4_0", rows, 64, seed=seed) for seed in range(4)] for rows in (16, 32)]
    raw = [torch.stack([matrix.unpack() for matrix in each]) for each in matrices]
    stacks = [quantised.pack(each, "Q4_0", (4, rows, 64)) for each, rows in zip(raw, (16, 32), strict=True)]
    ids = torch.tensor([[0, 3], [2, -1], [3, 0]])
    x = torch.randn(3, 1 if shared else 2, 64, requires_grad=True)
    given = torch.randn(3, 2, 48)
    quantised.linear_experts(x, stacks, ids).backward(given)
    weights = torch.cat([stack.dequantise() for stack in stacks], 1)
    each = torch.stack([torch.stack([given[t, u] @ weights[e] * (e >= 0) for u, e in enumerate(row)]) for t, row in enumerate(ids)])
    torch.testing.assert_close(x.grad, each.sum(1, keepdim=True) if shared else each)


def test_an_adapter_is_trained() -> None:
    """Beside packed weights, as QLoRA does, forward and backward also under torch.compile."""
    packed = random_weights("Q4_0", 32, 64)
    down, up = torch.randn(4, 64) / 8, torch.zeros(32, 4)

    def loss(down: torch.Tensor, up: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        hidden = quantised.linear(x, packed) + x @ down.T @ up.T
        return quantised.linear(torch.nn.functional.pad(hidden, (0, 32)), packed).square().mean()

    x, found = torch.randn(5, 64), []
    for function in (loss, torch.compile(loss, backend="aot_eager")):
        leaves = [down.clone().requires_grad_(), up.clone().requires_grad_()]
        function(*leaves, x).backward()
        found.append([leaf.grad for leaf in leaves])
    assert bool(found[0][1].abs().max() > 0)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
