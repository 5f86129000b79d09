"""`torch.compile(backend="spacemit")` over all of PyTorch's OpInfos, gradients too, beside eager PyTorch and float64."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from opinfos import Outcome, in_float64, tensors
from torch import Tensor
from torch._inductor import config
from torch._inductor.utils import fresh_cache
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput

_SAMPLES = 2
_BOUND = 2e-5  # sums of some hundred elements in another order
#: Whose results are memory that nobody wrote, or numbers drawn by a generator of Inductor's own.
_UNDEFINED = (
    "empty",
    "new_empty",
    "rand",
    "normal",
    "bernoulli",
    "multinomial",
    "uniform",
    "exponential",
    "cauchy",
    "geometric",
    "log_normal",
    "dropout",
)
#: What Inductor (2.13) gets wrong on every backend: the variance of one element, averages at borders and by a negative number.
_INDUCTORS = (
    "var_mean.unbiased",
    "std_mean.unbiased",
    "gradients of nn.functional.avg_pool1d",
    "gradients of nn.functional.avg_pool2d",
)
#: Larger bounds: samples of 10,000 are rounded to 2^-10 and go through exp.
_BOUNDS = {"logcumsumexp": 2.0**-9}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def _inductor(host: None) -> Iterator[None]:
    with fresh_cache(), config.patch(compile_threads=1):
        yield
    torch._dynamo.reset()


def _name(info: OpInfo) -> str:
    return f"{info.name}.{info.variant_test_name}".removesuffix(".")


def _is_defined(info: OpInfo) -> bool:
    return not any(word in info.name for word in _UNDEFINED)


def _call(function: Any, sample: SampleInput, gradients: bool) -> Outcome:
    """The results, and the gradients of what has some."""
    torch.manual_seed(0)
    inputs = torch.utils._pytree.tree_map(
        lambda leaf: leaf.detach().clone().requires_grad_(leaf.requires_grad) if isinstance(leaf, Tensor) else leaf,
        (sample.input, sample.args, sample.kwargs),
    )

    def run() -> list[Tensor]:
        first, rest, named = inputs
        results = list(tensors(function(first, *rest, **named)))
        differentiable = [each for each in results if each.requires_grad and each.is_floating_point()]
        needed = [each for each in tensors(inputs) if each.requires_grad and each.is_leaf]
        if not gradients or not differentiable or not needed:
            return [each.detach() for each in results]
        weights = [torch.linspace(-1, 1, each.numel(), dtype=each.dtype).reshape(each.shape) for each in differentiable]
        found = torch.autograd.grad(differentiable, needed, weights, allow_unused=True)
        return [each.detach() for each in (*results, *(each for each in found if each is not None))]

    return Outcome.of(run)


def _assert_near(found: Tensor, eager: Tensor, exact: Tensor, bound: float) -> None:
    """No farther from float64's than eager's twice, or `bound` of it."""
    assert (found.dtype, found.shape) == (eager.dtype, eager.shape)
    if found.layout != torch.strided or not (found.is_floating_point() or found.is_complex()):
        assert torch.equal(found, eager)
        return
    wide = torch.complex128 if found.is_complex() else torch.float64
    ours, theirs, right = found.to(wide), eager.to(wide), exact.to(wide)
    near = (ours - right).abs() <= 2 * (theirs - right).abs() + bound * (1 + right.abs())
    assert (near | torch.isclose(ours, theirs, rtol=bound, atol=bound, equal_nan=True)).all()


@pytest.mark.parametrize("gradients", [False, True], ids=["forward", "gradients"])
@pytest.mark.parametrize("info", [i for i in op_db if torch.float32 in i.supported_dtypes("cpu") and _is_defined(i)], ids=_name)
def test_operator(info: OpInfo, gradients: bool) -> None:
    if gradients and not info.supports_autograd:
        pytest.skip("has no gradients")
    if _name(info) in _INDUCTORS or (gradients and f"gradients of {_name(info)}" in _INDUCTORS):
        pytest.skip("wrong by Inductor on every backend")
    torch.manual_seed(0)
    samples = list(info.sample_inputs("cpu", torch.float32, requires_grad=gradients))
    for sample in samples[:: max(1, -(-len(samples) // _SAMPLES))]:
        torch._dynamo.reset()
        eager = _call(info.op, sample, gradients)
        found = _call(torch.compile(info.op, backend="spacemit"), sample, gradients)
        if eager.error is not None:
            assert found.error is not None
            continue
        if found.error is not None:
            raise found.error
        wide = _call(
            info.op, SampleInput(in_float64(sample.input), args=in_float64(sample.args), kwargs=in_float64(sample.kwargs)), gradients
        )
        exact = eager.result if wide.error is not None else wide.result
        for each in zip(found.result, eager.result, exact, strict=True):
            _assert_near(*each, _BOUNDS.get(_name(info), _BOUND))
