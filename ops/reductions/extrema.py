"""Largest and smallest elements, their places, or both."""

from typing import Any

import torch

from triton_spacemit.ops.dtypes import FLOATS, INTEGERS
from triton_spacemit.ops.operands import into, out_form
from triton_spacemit.ops.reductions.extremum_kinds import ARGMAX, ARGMIN, MAX, MIN
from triton_spacemit.ops.reductions.geometry import reduced_dims, result_shape
from triton_spacemit.ops.reductions.kernel import reduce
from triton_spacemit.ops.reductions.kinds import Reduction
from triton_spacemit.ops.reductions.sums import Dims

_NUMBERS = FLOATS | INTEGERS
_WITH_BOOL = _NUMBERS | {torch.bool}


def _chosen(x: torch.Tensor, dim: Dims, dtypes: frozenset[torch.dtype]) -> tuple[int, ...] | None:
    """The dimensions to reduce; None for what PyTorch answers: an extremum of no elements is a mistake."""
    if x.dtype not in dtypes or not x.is_cpu:
        return None
    dims = reduced_dims(x, dim)
    return None if dims is None or any(x.shape[i] == 0 for i in dims) else dims


def _extremum(kind: Reduction, x: torch.Tensor, dim: Dims, keepdim: bool) -> Any:
    dims = _chosen(x, dim, _WITH_BOOL)
    if dims is None:
        return NotImplemented
    out = x.new_empty(result_shape(x.shape, dims, keepdim))
    reduce(kind, x, dims, out)
    return out


def _place(kind: Reduction, x: torch.Tensor, dim: int | None, keepdim: bool) -> Any:
    dims = _chosen(x, dim, _NUMBERS)
    if dims is None:
        return NotImplemented
    out = x.new_empty(result_shape(x.shape, dims, keepdim), dtype=torch.int64)
    reduce(kind, x, dims, out, parameter=False, ordered=True)
    return out


def _both(kind: Reduction, x: torch.Tensor, dim: int, keepdim: bool) -> Any:
    dims = _chosen(x, dim, _WITH_BOOL)
    if dims is None:
        return NotImplemented
    shape = result_shape(x.shape, dims, keepdim)
    values, places = x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)
    reduce(kind, x, dims, values, places, parameter=True, ordered=True)
    return values, places


def _cast_into(out: torch.Tensor, result: Any) -> Any:
    """`into`, and of `out`'s dtype where PyTorch lets values be copied to that."""
    castable = result is not NotImplemented and torch.can_cast(result.dtype, out.dtype)
    return into(out, result.to(out.dtype) if castable else result)


def _both_into(values: torch.Tensor, places: torch.Tensor, results: Any) -> Any:
    if results is NotImplemented or values.dtype != results[0].dtype or places.dtype != torch.int64:
        return NotImplemented
    return into(values, results[0]), into(places, results[1])


def amax(x: torch.Tensor, dim: Dims = (), keepdim: bool = False) -> Any:
    """The largest element over `dim`; NaN where there is one."""
    return _extremum(MAX, x, dim, keepdim)


amax_out = out_form(amax)


def amin(x: torch.Tensor, dim: Dims = (), keepdim: bool = False) -> Any:
    """The smallest element over `dim`; NaN where there is one."""
    return _extremum(MIN, x, dim, keepdim)


amin_out = out_form(amin)


def max_(x: torch.Tensor) -> Any:
    """The largest of all elements."""
    return _extremum(MAX, x, None, False)


def max_out(x: torch.Tensor, *, out: torch.Tensor) -> Any:
    """`max_` into `out`."""
    return _cast_into(out, max_(x))


def max_dim(x: torch.Tensor, dim: int, keepdim: bool = False) -> Any:
    """The largest element over `dim`, and the place of the first such one; NaN is larger than all."""
    return _both(ARGMAX, x, dim, keepdim)


def max_dim_out(x: torch.Tensor, dim: int, keepdim: bool = False, *, max: torch.Tensor, max_values: torch.Tensor) -> Any:
    """`max_dim` into `max` and `max_values`, which are the values and the places."""
    return _both_into(max, max_values, max_dim(x, dim, keepdim))


def min_(x: torch.Tensor) -> Any:
    """The smallest of all elements."""
    return _extremum(MIN, x, None, False)


def min_out(x: torch.Tensor, *, out: torch.Tensor) -> Any:
    """`min_` into `out`."""
    return _cast_into(out, min_(x))


def min_dim(x: torch.Tensor, dim: int, keepdim: bool = False) -> Any:
    """The smallest element over `dim`, and the place of the first such one; NaN is smaller than all."""
    return _both(ARGMIN, x, dim, keepdim)


def min_dim_out(x: torch.Tensor, dim: int, keepdim: bool = False, *, min: torch.Tensor, min_indices: torch.Tensor) -> Any:
    """`min_dim` into `min` and `min_indices`."""
    return _both_into(min, min_indices, min_dim(x, dim, keepdim))


def argmax(x: torch.Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The place of the first largest element over `dim`, or of all elements in their order; NaN is larger than all."""
    return _place(ARGMAX, x, dim, keepdim)


argmax_out = out_form(argmax)


def argmin(x: torch.Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The place of the first smallest element over `dim`, or of all elements in their order; NaN is smaller than all."""
    return _place(ARGMIN, x, dim, keepdim)


argmin_out = out_form(argmin)
