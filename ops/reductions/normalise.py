"""The kernels of all normalisations: layer, RMS, group and batch norm, forward and backward.

Each divides elements into groups, brings every group to mean 0 and variance 1 (RMS norm: to mean square 1), and applies weights. What a
group is, where its elements lie and which weight belongs to an element is a `Layout`. Means and variances are those of blocks, merged in
float64 as in Chan, Golub and LeVeque (1979); the elements of a group are read twice, the second time from a cache where they fit one.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.dtypes import FLOATS, NARROW, sum_dtype, sum_type
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.reductions import columns, rows
from triton_spacemit.ops.reductions.kernel import reduce
from triton_spacemit.ops.reductions.kinds import SUM
from triton_spacemit.ops.reductions.moments import block_of, moments, move_running
from triton_spacemit.ops.sizes import power_of_four, power_of_four_within

Parameter: TypeAlias = torch.Tensor | None


@dataclass(frozen=True, eq=False)
class Layout:
    """Where elements lie: x[outer group, group, outer, inner] with strides in elements; `out` lies alike.

    weight: what a weight belongs to, "element" (each inner index), "group", or "outer" (each outer index of each group). There is one
    object for each problem, so that it is a key that costs nothing to compare.
    """

    outer_groups: int
    groups: int
    outer: int
    inner: int
    outer_group_stride: int
    group_stride: int
    outer_stride: int
    inner_stride: int
    weight: str

    @property
    def count(self) -> int:
        """The elements of a group."""
        return self.outer * self.inner

    @property
    def is_columns(self) -> bool:
        """Whether groups are the columns of one matrix."""
        return self.group_stride == 1 and self.inner_stride == self.groups and self.outer_groups == self.outer == 1

    @functools.lru_cache(4096)  # noqa: B019, layouts are few and kept
    def blocks(self, threads: int) -> dict[str, Any]:
        """How many groups are a block, of how many elements each, along which axis: neighbours in memory lie along the last."""
        if self.group_stride < self.inner_stride and self.groups > 1:
            return {
                "GROUPS": min(triton.next_power_of_2(-(-self.groups // threads)), 64),
                "INNER": min(power_of_four(self.inner), 64),  # twice through the first cache
                "AXIS": 0,
            }
        inner = min(power_of_four(self.inner), 4096)
        return {"GROUPS": min(power_of_four_within(self.groups), max(1024 // inner, 1), 16), "INNER": inner, "AXIS": 1}


@triton.jit
def _weights(weight, group, groups, i, outer, j, inner, WEIGHT: tl.constexpr, AXIS: tl.constexpr, WIDE: tl.constexpr):
    """The weights of a block, to be broadcast over it."""
    if WEIGHT == "element":
        return tl.expand_dims(tl.load(weight + j, j < inner, 0), 1 - AXIS).to(WIDE)
    elif WEIGHT == "group":
        return tl.expand_dims(tl.load(weight + group, group < groups, 0), AXIS).to(WIDE)
    else:
        return tl.expand_dims(tl.load(weight + group * outer + i, group < groups, 0), AXIS).to(WIDE)


@triton.jit
def _forward(
    x, out, weight, bias, mean, rstd, running_mean, running_var, momentum: tl.float64,
    groups, outer, inner, outer_group_stride, group_stride, outer_stride, inner_stride, moments_outer, moments_inner,
    EPS: tl.constexpr, RMS: tl.constexpr, GIVEN: tl.constexpr, WEIGHT: tl.constexpr, WIDE: tl.constexpr,
    AXIS: tl.constexpr, GROUPS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """`GROUPS` groups: program (block of groups, outer group). GIVEN: with mean and variance as they run, else with their own."""
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    number = tl.program_id(1).to(tl.int64) * groups + group
    start = tl.program_id(1).to(tl.int64) * outer_group_stride + tl.expand_dims(group, AXIS) * group_stride
    if GIVEN:
        shift = tl.load(running_mean + group, group < groups, 0).to(WIDE)
        scale = 1 / tl.sqrt(tl.load(running_var + group, group < groups, 0).to(WIDE) + EPS)
    else:
        shift, variance = moments(
            x, start, group, groups, moments_outer, moments_inner, outer_stride, inner_stride, RMS, WIDE, AXIS, GROUPS, INNER
        )
        scale = 1 / tl.sqrt(variance + EPS)
        if mean is not None:
            tl.store(mean + number, shift, group < groups)
        if rstd is not None:
            tl.store(rstd + number, scale, group < groups)
        move_running(running_mean, running_var, group, group < groups, shift, variance, tl.cast(outer, tl.int64) * inner, momentum)
        shift = shift.to(WIDE)
        scale = scale.to(WIDE)
    for i in range(outer):
        for first in range(0, inner, INNER):
            j, valid, place = block_of(start, group, groups, i, first, inner, outer_stride, inner_stride, AXIS, INNER)
            block = tl.load(x + place, valid, 0).to(WIDE)
            if not RMS:
                block -= tl.expand_dims(shift, AXIS)
            block *= tl.expand_dims(scale, AXIS)
            if weight is not None:
                block *= _weights(weight, group, groups, i, outer, j, inner, WEIGHT, AXIS, WIDE)
            if bias is not None:
                block += _weights(bias, group, groups, i, outer, j, inner, WEIGHT, AXIS, WIDE)
            tl.store(out + place, block, valid)


@triton.jit
def _backward(
    grad, x, weight, mean, rstd, out, weight_sums, bias_sums,
    groups, outer, inner, outer_group_stride, group_stride, outer_stride, inner_stride,
    EPS: tl.constexpr, GIVEN: tl.constexpr, WEIGHT: tl.constexpr, WIDE: tl.constexpr,
    AXIS: tl.constexpr, GROUPS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Gradients of `GROUPS` groups whose weights belong to "group" or "outer": program (block of groups, outer group).

    weight_sums and bias_sums are the sums of gradients that belong to a weight: [group], or [outer group, group, outer]. GIVEN: mean and
    rstd are constants, rstd a variance.
    """
    count = tl.cast(outer, tl.int64) * inner
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    number = tl.program_id(1).to(tl.int64) * groups + group
    start = tl.program_id(1).to(tl.int64) * outer_group_stride + tl.expand_dims(group, AXIS) * group_stride
    shift = tl.load(mean + number, group < groups, 0).to(WIDE)
    scale = tl.load(rstd + number, group < groups, 0).to(WIDE)
    if GIVEN:
        scale = 1 / tl.sqrt(scale + EPS)
    sums = tl.zeros((GROUPS,), WIDE)
    products = tl.zeros((GROUPS,), WIDE)
    for i in range(outer):
        part = tl.zeros((GROUPS,), WIDE)
        products_part = tl.zeros((GROUPS,), WIDE)
        for first in range(0, inner, INNER):
            j, valid, place = block_of(start, group, groups, i, first, inner, outer_stride, inner_stride, AXIS, INNER)
            g = tl.load(grad + place, valid, 0).to(WIDE)
            part += tl.sum(g, AXIS)
            products_part += tl.sum(g * (tl.load(x + place, valid, 0).to(WIDE) - tl.expand_dims(shift, AXIS)), AXIS)
        products_part *= scale
        if WEIGHT == "outer":
            if weight_sums is not None:
                tl.store(weight_sums + number * outer + i, products_part, group < groups)
            if bias_sums is not None:
                tl.store(bias_sums + number * outer + i, part, group < groups)
            if weight is not None:
                channel = tl.load(weight + group * outer + i, group < groups, 0).to(WIDE)
                part *= channel
                products_part *= channel
        sums += part
        products += products_part
    factor = scale
    if WEIGHT == "group":
        if weight_sums is not None:
            tl.store(weight_sums + group, products, group < groups)
        if bias_sums is not None:
            tl.store(bias_sums + group, sums, group < groups)
        if weight is not None:
            # The sums are of gradients without the weight of the group.
            factor *= tl.load(weight + group, group < groups, 0).to(WIDE)
    if GIVEN:
        sums = tl.zeros((GROUPS,), WIDE)
        products = tl.zeros((GROUPS,), WIDE)
    sums /= count.to(WIDE)
    products *= scale / count.to(WIDE)
    if out is not None:
        for i in range(outer):
            for first in range(0, inner, INNER):
                j, valid, place = block_of(start, group, groups, i, first, inner, outer_stride, inner_stride, AXIS, INNER)
                g = tl.load(grad + place, valid, 0).to(WIDE)
                if WEIGHT == "outer" and weight is not None:
                    g *= _weights(weight, group, groups, i, outer, j, inner, WEIGHT, AXIS, WIDE)
                distance = tl.load(x + place, valid, 0).to(WIDE) - tl.expand_dims(shift, AXIS)
                g -= tl.expand_dims(sums, AXIS) + distance * tl.expand_dims(products, AXIS)
                tl.store(out + place, g * tl.expand_dims(factor, AXIS), valid)


_SHARED_ROWS = 1024  # that are worth a second kernel

_FORWARD, _BACKWARD = Kernel(_forward), Kernel(_backward)


def parameter_dtype(x: torch.Tensor, *parameters: Parameter) -> torch.dtype | None:
    """The dtype of weights and statistics: x's, or float32 beside narrower floats; None where PyTorch raises."""
    if x.dtype not in FLOATS or not x.is_cpu:
        return None
    found = {parameter.dtype for parameter in parameters if parameter is not None} or {x.dtype}
    if len(found) > 1 or not all(parameter is None or parameter.is_cpu for parameter in parameters):
        return None
    (dtype,) = found
    return dtype if dtype is x.dtype or dtype is torch.float32 and x.dtype in NARROW else None


def contiguous(*tensors: torch.Tensor | None) -> tuple[Any, ...]:
    """The tensors that there are, contiguous."""
    return tuple(None if tensor is None else tensor.contiguous() for tensor in tensors)


def normalise(
    layout: Layout,
    x: torch.Tensor,
    out: torch.Tensor,
    weight: Parameter,
    bias: Parameter,
    eps: float,
    mean: torch.Tensor | None = None,
    rstd: torch.Tensor | None = None,
    running: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None),
    momentum: float = 0.0,
    given: bool = False,
    rms: bool = False,
) -> None:
    """Write the normalised elements, and mean and rstd of each group, into tensors of those layouts; move running statistics on.

    given: with the running statistics in place of the groups' own.
    """
    groups, outer, inner = layout.groups, layout.outer, layout.inner
    if layout.weight == "element" and inner <= rows.WHOLE:
        own_weight, own_bias = contiguous(weight, bias)
        rows.forward(x, out, own_weight, own_bias, mean, rstd, groups, inner, eps, rms)
        return
    threads = knobs.num_threads
    blocks = layout.blocks(threads)
    if threads > 1 and layout.is_columns and inner >= _SHARED_ROWS and not given:
        columns.normalise(x, out, (*contiguous(weight, bias), mean, rstd, *running, float(momentum)), groups, inner, eps, threads)
        return
    one_row = layout.outer_stride == inner * layout.inner_stride and blocks["AXIS"] == 1
    _FORWARD(
        (-(-groups // blocks["GROUPS"]), layout.outer_groups),
        x, out, *contiguous(weight, bias), mean, rstd, *running, float(momentum),
        groups, outer, inner, layout.outer_group_stride, layout.group_stride, layout.outer_stride, layout.inner_stride,
        1 if one_row else outer, layout.count if one_row else inner,
        EPS=eps, RMS=rms, GIVEN=given, WEIGHT=layout.weight, WIDE=sum_type(x.dtype), **blocks,
    )  # fmt: skip


def gradients(
    layout: Layout,
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: Parameter,
    mean: torch.Tensor | None,
    rstd: torch.Tensor,
    wanted: Sequence[bool],
    weight_shape: Sequence[int],
    weight_dtype: torch.dtype,
    eps: float = 0.0,
    given: bool = False,
    rms: bool = False,
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """The wanted gradients: of x, which lies as x does, of weight and of bias. given: mean and rstd are constants, rstd a variance."""
    groups, inner = layout.groups, layout.inner
    out = torch.empty_like(x) if wanted[0] else None
    wide = sum_dtype(x.dtype)
    if layout.weight == "element":
        programs = rows.programs(groups)
        weight_sums, bias_sums = (torch.zeros((programs, inner), dtype=wide) if want else None for want in wanted[1:])
        own_weight, own_mean, own_rstd = contiguous(weight, mean, rstd)
        rows.backward(grad, x, own_weight, own_mean, own_rstd, out, weight_sums, bias_sums, groups, inner, rms)
    else:
        blocks = layout.blocks(knobs.num_threads)
        shape = (1, groups) if layout.weight == "group" else (layout.outer_groups, groups * layout.outer)
        weight_sums, bias_sums = (torch.empty(shape, dtype=wide) if want else None for want in wanted[1:])
        _BACKWARD(
            (-(-groups // blocks["GROUPS"]), layout.outer_groups),
            grad, x, *contiguous(weight, mean, rstd), out, weight_sums, bias_sums,
            groups, layout.outer, inner, layout.outer_group_stride, layout.group_stride, layout.outer_stride, layout.inner_stride,
            EPS=eps, GIVEN=given, WEIGHT=layout.weight, WIDE=sum_type(x.dtype), **blocks,
        )  # fmt: skip

    def total(sums: torch.Tensor | None) -> torch.Tensor | None:
        if sums is None:
            return None
        result = sums.new_empty(weight_shape, dtype=weight_dtype)
        reduce(SUM, sums, (0,), result)
        return result

    return out, total(weight_sums), total(bias_sums)
