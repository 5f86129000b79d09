"""PyTorch's own descriptions of its operators (OpInfos), for the operators of our registry: samples, mistakes, and how results compare.

An operator belongs to the OpInfos of its name, with or without `nn.functional.`; `OTHER_NAMES` has those that differ.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput
from torch.utils import _pytree as pytree

from triton_spacemit import ops
from triton_spacemit.ops.registry import OPERATORS, Operator

#: Operators to the names of their OpInfos (`name` or `name.variant`).
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "layer_norm": ("nn.functional.layer_norm", "native_layer_norm"),
    "batch_norm": (
        "nn.functional.batch_norm",
        "nn.functional.instance_norm",
        "native_batch_norm",
        "_native_batch_norm_legit",
        "_batch_norm_with_update",
    ),
    "max": ("max.reduction_with_dim", "max.reduction_no_dim"),
    "min": ("min.reduction_with_dim", "min.reduction_no_dim"),
    "nll_loss": ("nn.functional.nll_loss", "nn.functional.cross_entropy"),
    "norm": ("linalg.vector_norm", "norm.fro", "norm.inf"),
    "log_sigmoid": ("nn.functional.logsigmoid",),
    "convolution": tuple(f"nn.functional.conv{kind}{dims}d" for kind in ("", "_transpose") for dims in (1, 2, 3)),
    "index": ("__getitem__",),
    "index_put": ("index_put",),
    "dropout": (),
    "max_pool2d": ("nn.functional.max_pool2d", "max_pool2d_with_indices_backward"),
}

#: Operators that no OpInfo describes, to the file whose tests do.
DESCRIBED_ELSEWHERE: dict[str, str] = {
    "dropout": "test/ops/test_dropout.py",
    "_int_mm": "test/ops/test_products.py",
    "global_avg_pool": "test/ops/test_reductions.py",
    "thnn_conv2d": "test/ops/test_convolution.py",
}

#: Operators to the largest error relative to float64 results, in units in the last place of the dtype, where the usual bounds do not hold.
TOLERANCES: dict[str, dict[str, float]] = {}

#: Operators whose results have an absolute error, by dtype. Scores of attention are sums of products of samples up to 9, and their rounding
#: is a relative error of weights and of gradients, whose sums may cancel out. Convolutions add up some 200 products of samples up to 9.
#: PyTorch rounds each step of `addr`, products of samples up to 9.
ABSOLUTE: dict[str, dict[str, float]] = {
    "addr": {"float16": 81 * 2.0**-10, "bfloat16": 81 * 2.0**-7},
    "convolution": {"float32": 200 * 81 * 2.0**-24},
    "scaled_dot_product_attention": {"float32": 2e-3, "bfloat16": 0.5, "float16": 0.1, "float64": 1e-11},
}


@functools.cache
def _by_name() -> dict[str, list[OpInfo]]:
    found: dict[str, list[OpInfo]] = {}
    for info in op_db:
        for name in {info.name, f"{info.name}.{info.variant_test_name}".removesuffix(".")}:
            found.setdefault(name, []).append(info)
    return found


def infos(operator: Operator) -> list[OpInfo]:
    """The OpInfos of an operator."""
    names = OTHER_NAMES.get(operator.name, (operator.name, f"nn.functional.{operator.name}"))
    return list(itertools.chain.from_iterable(_by_name().get(name, []) for name in names))


def dtypes(operator: Operator, info: OpInfo) -> list[torch.dtype]:
    """The dtypes that both the row and the OpInfo list."""
    supported = info.supported_dtypes("cpu")
    return [dtype for dtype in (getattr(torch, name) for name in operator.dtypes) if dtype in supported]


#: OpInfos whose reference samples PyTorch cannot make for gradients: it asks for integers with one.
_NO_REFERENCES_WITH_GRADIENTS = ("where", "clamp", "addcmul", "addcdiv")

#: Reference samples of a subject: all of nearly every operator; of max_pool2d's 1,440, each of which is a kernel to compile, every fifth.
_REFERENCES = 360


@dataclass(frozen=True)
class Subject:
    """What a test is about: an operator, one of its OpInfos, a dtype, and how many samples (None: reference samples too)."""

    operator: Operator
    info: OpInfo
    dtype: torch.dtype
    most: int | None

    def __str__(self) -> str:
        variant = f"-{self.info.variant_test_name}" if self.info.variant_test_name else ""
        name = f"{self.operator.name}-{self.info.name}{variant}-{str(self.dtype).removeprefix('torch.')}"
        return name if self.most else f"{name}-all"

    def samples(self, requires_grad: bool = False, seed: int = 0) -> list[SampleInput]:
        """Samples of one seed, spread over the simple ones; where `most` is None, over _REFERENCES of PyTorch's reference samples too."""
        torch.manual_seed(seed)
        references = self.most is None and not (requires_grad and self.info.name in _NO_REFERENCES_WITH_GRADIENTS)
        described = self.info.reference_inputs if references else self.info.sample_inputs
        samples = list(described("cpu", self.dtype, requires_grad=requires_grad))
        return samples[:: max(1, -(-len(samples) // (self.most or _REFERENCES)))]


def _usual(operator: Operator) -> torch.dtype:
    names = operator.dtypes
    return torch.float32 if "float32" in names else getattr(torch, names[0])


def subjects(most: int, narrow: bool = False, which: Callable[[OpInfo, torch.dtype], bool] = lambda info, dtype: True) -> list[Any]:
    """pytest's parameters: each OpInfo of each operator with `most` samples of float32, and of bfloat16 where `narrow`.

    All dtypes and samples are further ones, for `-m slow`. which: those to take.
    """
    few = [
        Subject(operator, info, dtype, most)
        for operator in OPERATORS
        for info in infos(operator)
        for dtype in dtypes(operator, info)
        if which(info, dtype) and dtype in (_usual(operator), torch.bfloat16 if narrow else None)
    ]
    every = [
        Subject(operator, info, dtype, None)
        for operator in OPERATORS
        for info in infos(operator)
        for dtype in dtypes(operator, info)
        if which(info, dtype)
    ]
    return [pytest.param(each, id=str(each), marks=() if each.most else pytest.mark.slow) for each in (*few, *every)]


@dataclass
class Outcome:
    """What a call came to: its result, or the error it raised."""

    result: Any = None
    error: Exception | None = None

    @classmethod
    def of(cls, call: Callable[..., Any], *args: Any, **kwargs: Any) -> "Outcome":
        try:
            return cls(call(*args, **kwargs))
        except Exception as error:
            return cls(error=error)


def tensors(*values: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested containers."""
    return (leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, torch.Tensor))


def outside(operator: Operator, *values: Any) -> bool:
    """Whether a call of these arguments may be left to PyTorch: a tensor or number of a type that the operator's row does not have."""
    listed = {getattr(torch, name) for name in operator.dtypes} | {torch.bool, torch.int64}
    leaves = pytree.tree_leaves(values)
    return any(isinstance(leaf, complex) or isinstance(leaf, torch.Tensor) and leaf.dtype not in listed for leaf in leaves)


def in_float64(value: Any) -> Any:
    """The arguments of a call with floats as float64."""

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor) and leaf.dtype.is_floating_point:
            return leaf.detach().double().requires_grad_(leaf.requires_grad)
        return torch.float64 if isinstance(leaf, torch.dtype) else leaf

    return pytree.tree_map(convert, value)


def _as_good(our: torch.Tensor, their: torch.Tensor, exact: Outcome | None, place: int, dtype: torch.dtype) -> bool:
    """Whether a result, that at `place`, is nearer to float64's than PyTorch's or two units in the last place off. dtype: its units."""
    narrow = dtype in (torch.float32, torch.float16, torch.bfloat16) and their.dtype.is_floating_point
    if not narrow or exact is None or exact.error is not None:
        return False
    reference, info = list(tensors(exact.result))[place], torch.finfo(dtype)
    limit = (their.double() - reference).abs() + 2 * info.eps * reference.abs() + info.smallest_normal
    return bool((((our.double() - reference).abs() <= limit) | (our == their) | (our.isnan() & their.isnan())).all())


def assert_same(
    operator: Operator,
    ours: Outcome,
    eager: Outcome,
    exact: Callable[[], Outcome] | None = None,
    computed: torch.dtype | None = None,
    absolute: float | None = None,
) -> None:
    """The results agree in type, shape, strides and, within the operator's tolerance, in value; or the errors are of one type.

    exact: the outcome in float64, which narrower floats may be nearer to than PyTorch's. computed: the dtype that bounds the error,
    where it is not the result's. absolute: the absolute error, where it is not the operator's.
    """
    if ours.error is not None or eager.error is not None:
        assert type(ours.error) is type(eager.error), f"ours: {ours.error!r}, PyTorch's: {eager.error!r}"
        return
    mine, theirs = list(tensors(ours.result)), list(tensors(eager.result))
    assert len(mine) == len(theirs)
    for place, (our, their) in enumerate(zip(mine, theirs, strict=True)):
        assert our.requires_grad == their.requires_grad
        dtype = computed or their.dtype
        tolerance = TOLERANCES.get(operator.name, {}).get(str(dtype).removeprefix("torch."))
        rtol, atol = torch.testing._comparison.default_tolerances(dtype)
        if tolerance is not None:
            rtol, atol = tolerance * torch.finfo(dtype).eps, torch.finfo(dtype).tiny
        atol = absolute or ABSOLUTE.get(operator.name, {}).get(str(dtype).removeprefix("torch."), atol)
        if computed is not None and their.dtype.is_floating_point:
            # A result is rounded to its own dtype, however it was computed.
            rtol = max(rtol, torch.finfo(their.dtype).eps)
        try:
            torch.testing.assert_close(our, their, equal_nan=True, check_stride=True, rtol=rtol, atol=atol)
        except AssertionError:
            same_kind = (our.dtype, our.shape, our.stride()) == (their.dtype, their.shape, their.stride())
            if exact is None or not same_kind or not _as_good(our, their, exact(), place, dtype):
                raise


def run_here(operator: Operator, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Outcome:
    """The outcome with the operator enabled. Fails where PyTorch answered a call that is the operator's to answer."""
    before = ops.left_to_pytorch()
    with ops.enabled(operator.name):
        outcome = Outcome.of(call, *args, **kwargs)
    left = {name: count for name, count in ops.left_to_pytorch().items() if count != before.get(name, 0)}
    if left and outcome.error is None and not outside(operator, args, kwargs):
        pytest.fail(f"left to PyTorch: {left}")
    return outcome
