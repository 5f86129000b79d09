"""sum, mean, norms, products, variances, any, all, count_nonzero and logsumexp, over any dimensions."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from triton_spacemit.ops.dtypes import FLOATS, INTEGERS
from triton_spacemit.ops.launching import warn
from triton_spacemit.ops.operands import into, memory_format, out_form
from triton_spacemit.ops.reductions import kinds
from triton_spacemit.ops.reductions.extremum_kinds import MAX, MIN
from triton_spacemit.ops.reductions.geometry import reduced_dims, result_shape
from triton_spacemit.ops.reductions.kernel import reduce

_NUMBERS = FLOATS | INTEGERS
_ALL = _NUMBERS | {torch.bool}

_NO_DEGREES = (
    "degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel divided by output numel)."
)

Dims = Sequence[int] | int | None


def _reduced(
    kind: kinds.Reduction,
    x: torch.Tensor,
    dim: Dims,
    keepdim: bool,
    out_dtype: torch.dtype,
    dtype: torch.dtype | None = None,
    parameter: Any = None,
) -> Any:
    """One result over `dim`, of `out_dtype`, of `x` as `dtype`."""
    dims = reduced_dims(x, dim)
    if dims is None or not x.is_cpu:
        return NotImplemented
    out = x.new_empty(result_shape(x.shape, dims, keepdim), dtype=out_dtype)
    reduce(kind, x, dims, out, dtype=dtype, parameter=parameter)
    return out


def sum_(x: torch.Tensor, dim: Dims, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The sum over `dim`; sums of integers and truth values are int64 where no dtype is given."""
    dtype = dtype or (x.dtype if x.dtype in FLOATS else torch.int64)
    if dtype is torch.bool and x.dtype in _ALL:
        return _reduced(kinds.ANY, x, dim, keepdim, dtype)
    if dtype not in _NUMBERS or x.dtype not in _ALL:
        return NotImplemented
    return _reduced(kinds.SUM, x, dim, keepdim, dtype, dtype)


def sum_out(x: torch.Tensor, dim: Dims, keepdim: bool = False, *, dtype: torch.dtype | None = None, out: torch.Tensor) -> Any:
    """`sum_` into `out`, whose dtype it has where none is given."""
    return into(out, sum_(x, dim, keepdim, dtype=dtype or out.dtype))


def mean(x: torch.Tensor, dim: Dims, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The mean over `dim`, of floats: `x` or what dtype makes of it."""
    dtype = dtype or x.dtype
    if dtype not in FLOATS or x.dtype not in _ALL:
        return NotImplemented
    return _reduced(kinds.MEAN, x, dim, keepdim, dtype, dtype)


def mean_out(x: torch.Tensor, dim: Dims, keepdim: bool = False, *, dtype: torch.dtype | None = None, out: torch.Tensor) -> Any:
    """`mean` into `out`, whose dtype it has where none is given."""
    return into(out, mean(x, dim, keepdim, dtype=dtype or out.dtype))


def global_avg_pool(x: torch.Tensor, output_size: Sequence[int]) -> Any:
    """`adaptive_avg_pool2d` to one value of each image, [N, C, H, W] or [C, H, W]. Other sizes of the result are PyTorch's."""
    if list(output_size) != [1, 1] or x.dim() not in (3, 4) or 0 in x.shape[1:]:
        return NotImplemented
    result = mean(x, (-2, -1), keepdim=True)
    if result is NotImplemented or memory_format(x) is not torch.channels_last:
        return result
    channels = x.shape[1]
    return result.as_strided(result.shape, (channels, 1, channels, channels))


global_avg_pool_out = out_form(global_avg_pool)


def _product(x: torch.Tensor, dim: Dims, keepdim: bool, dtype: torch.dtype) -> Any:
    if dtype is torch.bool and x.dtype in _ALL:
        return _reduced(kinds.ALL, x, dim, keepdim, dtype)
    if dtype not in _NUMBERS or x.dtype not in _ALL:
        return NotImplemented
    return _reduced(kinds.PRODUCT, x, dim, keepdim, dtype, dtype)


def prod(x: torch.Tensor, *, dtype: torch.dtype | None = None) -> Any:
    """The product of all elements; of integers and truth values it is int64 where no dtype is given."""
    dtype = dtype or (x.dtype if x.dtype in FLOATS else torch.int64)
    return _product(x, None, False, dtype)


def prod_dim(x: torch.Tensor, dim: int, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The product over one dimension, typed as `prod`."""
    dtype = dtype or (x.dtype if x.dtype in FLOATS else torch.int64)
    return _product(x, dim, keepdim, dtype)


def prod_dim_out(x: torch.Tensor, dim: int, keepdim: bool = False, *, dtype: torch.dtype | None = None, out: torch.Tensor) -> Any:
    """`prod_dim` into `out`, whose dtype it has where none is given."""
    return into(out, prod_dim(x, dim, keepdim, dtype=dtype or out.dtype))


def _moments(
    x: torch.Tensor, dim: Dims, correction: float | None, keepdim: bool, root: bool, with_mean: bool, dtype: torch.dtype | None = None
) -> Any:
    """The variance over `dim` of `x` as dtype, or its root, alone or with the mean."""
    dims = reduced_dims(x, dim)
    dtype = dtype or x.dtype
    if dims is None or x.dtype not in FLOATS or dtype not in FLOATS or not x.is_cpu or isinstance(correction, complex):
        return NotImplemented
    correction = 1 if correction is None else correction
    shape = result_shape(x.shape, dims, keepdim)
    count = math.prod(x.shape[i] for i in dims) if math.prod(shape) else 0
    if count <= correction:
        warn(f"{'std' if root else 'var'}{'_mean' if with_mean else ''}(): {_NO_DEGREES}")
    variance, average = x.new_empty(shape, dtype=dtype), x.new_empty(shape, dtype=dtype)
    wide = torch.promote_types(x.dtype, dtype)
    reduce(kinds.VARIANCE, x, dims, variance, average, dtype=wide, parameter=(correction, root))
    return (variance, average) if with_mean else variance


def _one_of_narrow(x: torch.Tensor, dim: Dims, out: torch.Tensor) -> bool:
    """Whether a float16 or bfloat16 tensor is to come to one wider number, which PyTorch refuses."""
    dims = reduced_dims(x, dim)
    narrow = x.dtype in (torch.float16, torch.bfloat16) and out.dtype in (torch.float32, torch.float64)
    return narrow and dims is not None and x.numel() > 0 and math.prod(result_shape(x.shape, dims, False)) == 1


def var(x: torch.Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """The sum of squared distances from the mean, divided by the number of elements less `correction` (1 where it is None)."""
    return _moments(x, dim, correction, keepdim, False, False)


def var_out(x: torch.Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False, out: torch.Tensor) -> Any:
    """`var` of `x` as `out`'s dtype, into `out`."""
    if _one_of_narrow(x, dim, out):
        return NotImplemented
    return into(out, _moments(x, dim, correction, keepdim, False, False, out.dtype))


def std(x: torch.Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """The root of `var`."""
    return _moments(x, dim, correction, keepdim, True, False)


def std_out(x: torch.Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False, out: torch.Tensor) -> Any:
    """`std` of `x` as `out`'s dtype, into `out`."""
    if _one_of_narrow(x, dim, out):
        return NotImplemented
    return into(out, _moments(x, dim, correction, keepdim, True, False, out.dtype))


def var_mean(x: torch.Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """`var`, and the mean."""
    return _moments(x, dim, correction, keepdim, False, True)


def std_mean(x: torch.Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """`std`, and the mean."""
    return _moments(x, dim, correction, keepdim, True, True)


def vector_norm(x: torch.Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    """The norm `sum(|x| ** ord) ** (1 / ord)` over `dim`; for 0 how many are not 0, for infinities the largest and the smallest of |x|."""
    dims = reduced_dims(x, dim)
    dtype = dtype or x.dtype
    if dims is None or x.dtype not in FLOATS or dtype not in FLOATS or isinstance(ord, complex):
        return NotImplemented
    if torch.promote_types(x.dtype, dtype) != dtype:
        return NotImplemented
    if (ord < 0 or ord == math.inf) and any(x.shape[i] == 0 for i in dims):
        return NotImplemented
    kind, parameter = {0.0: (kinds.NONZERO, None), math.inf: (MAX, "abs"), -math.inf: (MIN, "abs")}.get(ord, (kinds.NORM, ord))
    return _reduced(kind, x, dim, keepdim, dtype, dtype, parameter)


vector_norm_out = out_form(vector_norm)


def norm(x: torch.Tensor, p: float | None, dim: Dims, keepdim: bool = False) -> Any:
    """`vector_norm` with 2 where p is None."""
    return vector_norm(x, 2 if p is None else p, dim, keepdim)


def norm_dtype(x: torch.Tensor, p: float | None, dim: Dims, keepdim: bool, *, dtype: torch.dtype) -> Any:
    """`norm` of `x` as dtype."""
    return vector_norm(x, 2 if p is None else p, dim, keepdim, dtype=dtype)


norm_out = out_form(norm)


norm_dtype_out = out_form(norm_dtype)


def _truth_dtype(x: torch.Tensor) -> torch.dtype:
    """That of `any` and `all`, which have kept the uint8 of older truth values."""
    return torch.uint8 if x.dtype is torch.uint8 else torch.bool


def any_(x: torch.Tensor) -> Any:
    """Whether any element is not 0."""
    return any_dims(x)


def any_dims(x: torch.Tensor, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether any element over `dim` is not 0."""
    return _reduced(kinds.ANY, x, dim, keepdim, _truth_dtype(x)) if x.dtype in _ALL else NotImplemented


def any_out(x: torch.Tensor, *, out: torch.Tensor) -> Any:
    """`any_` into `out`."""
    return any_dims_out(x, out=out)


any_dims_out = out_form(any_dims)


def all_(x: torch.Tensor) -> Any:
    """Whether no element is 0."""
    return all_dims(x)


def all_dims(x: torch.Tensor, dim: Dims = None, keepdim: bool = False) -> Any:
    """Whether no element over `dim` is 0."""
    return _reduced(kinds.ALL, x, dim, keepdim, _truth_dtype(x)) if x.dtype in _ALL else NotImplemented


def all_out(x: torch.Tensor, *, out: torch.Tensor) -> Any:
    """`all_` into `out`."""
    return all_dims_out(x, out=out)


all_dims_out = out_form(all_dims)


def count_nonzero(x: torch.Tensor, dim: Dims) -> Any:
    """How many elements over `dim` are not 0, int64."""
    return _reduced(kinds.NONZERO, x, dim, False, torch.int64) if x.dtype in _ALL else NotImplemented


def logsumexp(x: torch.Tensor, dim: Dims, keepdim: bool = False) -> Any:
    """`log(sum(exp(x)))` over `dim`, float32 of integers and truth values."""
    if x.dtype not in _ALL:
        return NotImplemented
    dtype = x.dtype if x.dtype in FLOATS else torch.get_default_dtype()
    # Lanes outside the tensor hold -inf, which integers do not have.
    return _reduced(kinds.LOG_SUM_EXP, x.to(dtype), dim, keepdim, dtype, dtype)
