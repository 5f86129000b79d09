"""Every operator of the registry on its OpInfos' samples: values, types, strides, in place, `out`, gradients and mistakes as PyTorch's.

`-m slow` takes all dtypes and PyTorch's reference samples (broadcasts, odd strides, extreme values); without it there are float32 and
bfloat16, and a few samples of each.
"""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from opinfos import DESCRIBED_ELSEWHERE, Outcome, Subject, assert_same, in_float64, infos, run_here, subjects, tensors

from triton_spacemit import ops
from triton_spacemit.ops.registry import OPERATORS

_FEW = 3

#: PyTorch 2.13's `gelu.out` writes nothing into a tensor with gaps.
_EAGER_LEAVES_STRIDED_OUT = ("gelu",)

#: Operators whose gradients at NaN depend in PyTorch 2.13 on whether an element lies in a whole vector.
_GRADIENTS_AT_NAN: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "elu": F.elu,
    "hardtanh": F.hardtanh,
    "hardswish": F.hardswish,
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "logit": lambda x: torch.logit(x, 1e-6),
}

#: OpInfos to the absolute error of their gradients, sums of narrow numbers that PyTorch computes less exactly and that may cancel out: of
#: images', by inverse deviations that are not the nearest; of products with rounded logarithms. Beyond the relative error there was up to
#: 0.0558 in 1,500 seeds of the samples (945,000 values), and 0.0588 in 3,000 (3.2 million).
_GRADIENTS_ABSOLUTE = {
    "nn.functional.instance_norm": {torch.bfloat16: 0.06},
    "xlogy": {torch.bfloat16: 0.06},
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:An output with one or more elements was resized"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def _clone(value: Any) -> Any:
    """The same values and strides in other memory."""
    return torch.utils._pytree.tree_map(lambda leaf: leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf, value)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_every_operator_is_described(operator):
    assert bool(infos(operator)) != (operator.name in DESCRIBED_ELSEWHERE)


@pytest.mark.parametrize("subject", subjects(_FEW, narrow=True))
def test_forward(subject, host, launches):
    samples = subject.samples()
    for sample in samples:
        arguments = (sample.input, *sample.args)
        eager = Outcome.of(subject.info.op, *arguments, **sample.kwargs)
        ours = run_here(subject.operator, subject.info.op, *arguments, **sample.kwargs)
        exact = lambda a=arguments, k=sample.kwargs: Outcome.of(subject.info.op, *in_float64(a), **in_float64(k))  # noqa: E731
        assert_same(subject.operator, ours, eager, exact)
    assert launches or all(tensor.numel() == 0 for sample in samples for tensor in tensors(sample.input)), "no kernel was launched"


@pytest.mark.parametrize("subject", subjects(2))
def test_calls_like_two_before(subject, host):
    """With other elements in other memory, which a plan of the two may not have kept."""
    for samples in zip(*(subject.samples(seed=seed) for seed in (0, 0, 1)), strict=True):
        given = [_clone((each.input, *each.args)) for each in samples]
        values, named = _clone(given[-1]), samples[-1].kwargs
        eager = Outcome.of(subject.info.op, *_clone(values), **named)
        with ops.enabled(subject.operator.name):
            *_, ours = [Outcome.of(subject.info.op, *arguments, **each.kwargs) for arguments, each in zip(given, samples, strict=True)]
        exact = lambda a=values, k=named: Outcome.of(subject.info.op, *in_float64(a), **in_float64(k))  # noqa: E731
        assert_same(subject.operator, ours, eager, exact)


@pytest.mark.parametrize("subject", subjects(_FEW, which=lambda info, dtype: info.inplace_variant is not None))
def test_in_place(subject, host):
    for sample in subject.samples():
        in_place = subject.info.inplace_variant
        ours, theirs = _clone(sample.input), _clone(sample.input)
        eager = Outcome.of(in_place, theirs, *sample.args, **sample.kwargs)
        outcome = run_here(subject.operator, in_place, ours, *sample.args, **sample.kwargs)
        arguments = (sample.input, *sample.args)
        exact = lambda a=arguments, k=sample.kwargs: Outcome.of(subject.info.op, *in_float64(a), **in_float64(k))  # noqa: E731
        assert_same(subject.operator, outcome, eager, exact)
        assert outcome.error is not None or outcome.result is ours
        # What is an error leaves the tensor alone.
        assert_same(subject.operator, Outcome(ours), Outcome(theirs), exact)


def _outs(result: torch.Tensor) -> list[Callable[[], torch.Tensor]]:
    """Makers of tensors to write a result into: of its shape, of other strides, too small, and of other types."""
    other_dtype = torch.float64 if result.dtype != torch.float64 else torch.float32
    return [
        lambda: torch.zeros_like(result),
        lambda: torch.zeros(*result.shape, 2, dtype=result.dtype)[..., 1],
        lambda: torch.zeros(0, dtype=result.dtype),
        lambda: torch.zeros_like(result, dtype=other_dtype),
        lambda: torch.zeros_like(result, dtype=torch.int32),
    ]


@pytest.mark.parametrize("subject", subjects(1, which=lambda info, dtype: info.supports_out))
def test_out(subject, host):
    for sample in subject.samples():
        arguments = (sample.input, *sample.args)
        result = Outcome.of(subject.info.op, *arguments, **sample.kwargs).result
        exact = lambda a=arguments, k=sample.kwargs: Outcome.of(subject.info.op, *in_float64(a), **in_float64(k))  # noqa: E731
        if not isinstance(result, torch.Tensor):
            continue
        for make in _outs(result):
            if subject.operator.name in _EAGER_LEAVES_STRIDED_OUT and not make().is_contiguous():
                continue
            ours, theirs = make(), make()
            eager = Outcome.of(subject.info.op, *arguments, **sample.kwargs, out=theirs)
            outcome = run_here(subject.operator, subject.info.op, *arguments, **sample.kwargs, out=ours)
            assert_same(subject.operator, outcome, eager, exact, computed=result.dtype)
            assert outcome.error is not None or outcome.result is ours
            assert_same(subject.operator, Outcome(ours), Outcome(theirs), exact, computed=result.dtype)


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="PyTorch has no vectors here")
@pytest.mark.parametrize("operator", _GRADIENTS_AT_NAN)
def test_gradients_at_nan_are_of_no_one_value_in_pytorch(operator):
    x = torch.tensor([torch.nan, torch.inf, -torch.inf] * 21, requires_grad=True)
    (gradient,) = torch.autograd.grad(_GRADIENTS_AT_NAN[operator](x), x, torch.ones(63))
    assert not torch.allclose(gradient[::3], gradient[60], equal_nan=True)


def test_inverse_deviations_in_pytorch_are_not_the_nearest(host):
    torch.manual_seed(0)
    x = (torch.randn(3, 200, 7) * 5).bfloat16()
    nearest = x.double().var((0, 2), unbiased=False).add(0.5).rsqrt().bfloat16()
    call = lambda: torch.native_batch_norm(x, None, None, None, None, True, 0.1, 0.5)[2]  # noqa: E731
    with ops.enabled("batch_norm"):
        assert torch.equal(call(), nearest)
    assert not torch.equal(call(), nearest)


def _gradients(subject: Subject, arguments: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[..., Outcome]) -> Outcome:
    """Of a weighted sum of all results with respect to all inputs that ask for it."""

    def compute() -> Any:
        results = [result for result in tensors(subject.info.op(*arguments, **kwargs)) if result.requires_grad]
        generator = torch.Generator().manual_seed(1)
        # The same numbers for this dtype and float64.
        wide = torch.complex64 if subject.dtype.is_complex else torch.float32
        narrow = wide if subject.dtype == torch.float64 else subject.dtype
        weights = [torch.randn(result.shape, generator=generator, dtype=wide).to(narrow).to(result.dtype) for result in results]
        inputs = [tensor for tensor in tensors(arguments, kwargs) if tensor.requires_grad]
        return torch.autograd.grad(results, inputs, weights, allow_unused=True) if results else ()

    return run(compute)


@pytest.mark.parametrize("subject", subjects(_FEW, which=lambda info, dtype: dtype in info.supported_backward_dtypes("cpu")))
def test_gradients(subject, host):
    for sample in subject.samples(requires_grad=True):
        call = ((sample.input, *sample.args), sample.kwargs)
        if subject.operator.name in _GRADIENTS_AT_NAN:
            memory = torch.empty(0, dtype=sample.input.dtype).set_(sample.input.untyped_storage())
            memory.masked_fill_(memory.isnan(), 0)
        ours = _gradients(subject, *call, lambda compute: run_here(subject.operator, compute))
        exact = functools.partial(_gradients, subject, *in_float64(call), Outcome.of)
        absolute = _GRADIENTS_ABSOLUTE.get(subject.info.name, {}).get(subject.dtype)
        assert_same(subject.operator, ours, _gradients(subject, *call, Outcome.of), exact, absolute=absolute)


def _with_mistakes(into: bool) -> list[Any]:
    """The OpInfos that have mistakes, and with `into` write into given tensors: each once, for mistakes are of no dtype."""
    described = subjects(1, which=lambda info, dtype: info.error_inputs_func is not None and (info.supports_out or not into))
    return [each for each in described if each.values[0].most]


@pytest.mark.parametrize("subject", _with_mistakes(into=False))
def test_mistakes(subject, host):
    for mistake in subject.info.error_inputs("cpu"):
        sample = mistake.sample_input
        eager = Outcome.of(subject.info.op, sample.input, *sample.args, **sample.kwargs)
        ours = run_here(subject.operator, subject.info.op, sample.input, *sample.args, **sample.kwargs)
        assert_same(subject.operator, ours, eager)
        assert str(ours.error) == str(eager.error)


@pytest.mark.parametrize("subject", _with_mistakes(into=True))
@pytest.mark.parametrize("size", [0, 3])
def test_mistakes_of_calls_into_a_tensor(subject, size, host):
    """They leave it with PyTorch's shape."""
    for mistake in subject.info.error_inputs("cpu"):
        sample = mistake.sample_input
        if "out" in sample.kwargs:
            continue  # test_mistakes has it
        dtype = next((tensor.dtype for tensor in tensors(sample.input, sample.args)), torch.float32)
        ours, theirs = torch.zeros(size, dtype=dtype), torch.zeros(size, dtype=dtype)
        eager = Outcome.of(subject.info.op, sample.input, *sample.args, **sample.kwargs, out=theirs)
        outcome = run_here(subject.operator, subject.info.op, sample.input, *sample.args, **sample.kwargs, out=ours)
        assert_same(subject.operator, outcome, eager)
        assert str(outcome.error) == str(eager.error)
        assert (ours.shape, ours.stride()) == (theirs.shape, theirs.stride())


def _unless_often(parameter: Any) -> Any:
    """Every fourth operator, in alphabetical order; the others by `-m slow`."""
    names = sorted(operator.name for operator in OPERATORS)
    often = names.index(parameter.values[0].operator.name) % 4 == 0
    return parameter if often else pytest.param(*parameter.values, id=parameter.id, marks=pytest.mark.slow)


@pytest.mark.qemu
@pytest.mark.parametrize("subject", [_unless_often(each) for each in subjects(1) if each.values[0].most])
def test_on_an_emulated_x60(subject, x60):
    for sample in subject.samples():
        if sum(tensor.numel() for tensor in tensors(sample.input, sample.args)) > 2000:
            continue
        arguments = (sample.input, *sample.args)
        eager = Outcome.of(subject.info.op, *arguments, **sample.kwargs)
        assert_same(subject.operator, run_here(subject.operator, subject.info.op, *arguments, **sample.kwargs), eager)
