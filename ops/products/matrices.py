"""Products of matrices, `beta * start + alpha * (a @ b)`: mm, addmm, bmm, baddbmm and _int_mm."""

from typing import Any

import torch
import triton.language as tl

from triton_spacemit.backend.knobs import active_target, knobs
from triton_spacemit.ops.dtypes import FLOATS
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, into, out_form
from triton_spacemit.ops.products.blocks import choose, layout
from triton_spacemit.ops.products.kernels import integer_product, matrix_product, vector_product
from triton_spacemit.ops.sizes import power_of_two

DTYPES = FLOATS | {torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64}

#: The type that products are added up in, by that of their factors. Integers wrap around, so that narrow ones may be added up in more bits.
SUMS = dict.fromkeys(DTYPES, tl.int32) | dict.fromkeys(FLOATS, tl.float32) | {torch.float64: tl.float64, torch.int64: tl.int64}
_SCALES = dict.fromkeys(DTYPES, torch.int32) | dict.fromkeys(FLOATS, torch.float32) | {d: d for d in (torch.float64, torch.int64)}
_NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in DTYPES}

_MATRICES, _INTEGERS, _VECTORS = Kernel(matrix_product), Kernel(integer_product), Kernel(vector_product)


def factors(dtype: torch.dtype, start: torch.Tensor | None, alpha: Any, beta: Any) -> dict[str, Any] | None:
    """The constants of a kernel that say which factors there are, and those factors in memory; None where PyTorch refuses them.

    Of integers, as in PyTorch, a factor's fraction is cut off.
    """
    if not dtype.is_floating_point:
        alpha, beta = int(alpha), int(beta)
        least, largest = torch.iinfo(dtype).min, torch.iinfo(dtype).max
        if not (least <= alpha <= largest and least <= beta <= largest):
            return None
    if alpha == 1 and (start is None or beta == 1):
        return {"scales": None, "ALPHA": False, "BETA": None if start is None else False}
    scales = torch.tensor([alpha, beta], dtype=_SCALES[dtype])
    return {"scales": scales, "ALPHA": True, "BETA": None if start is None else True}


def vector_blocks(m: int, k: int, a_k: int) -> dict[str, int]:
    """Blocks of rows and of steps for a matrix times a vector: along the elements that are neighbours in memory."""
    if a_k == 1:
        steps = min(512, power_of_two(k))
        return {"BLOCK_M": min(32, 4096 // steps), "BLOCK_K": steps}
    rows = min(512, power_of_two(m))
    return {"BLOCK_M": rows, "BLOCK_K": max(8, 4096 // rows)}


def multiply_vector(
    a: torch.Tensor,
    x: torch.Tensor,
    out: torch.Tensor,
    start: torch.Tensor | None,
    sizes: tuple[int, ...],
    strides: tuple[int, ...],
    scales: dict[str, Any],
) -> None:
    """sizes: batch, m, k. strides: of a, x, out and start: batch (of the first two also along k), m."""
    batch, m, k = sizes
    constants = vector_blocks(m, k, strides[2])
    _VECTORS(
        (-(-m // constants["BLOCK_M"]), batch), a, x, out, start, scales["scales"], m, k, *strides,
        ALPHA=scales["ALPHA"], BETA=scales["BETA"], SUM=SUMS[a.dtype], **constants,
    )  # fmt: skip


def _strides(tensor: torch.Tensor) -> tuple[int, ...]:
    strides = tensor.stride()
    return strides if len(strides) == 3 else (0, *strides)


def multiply(
    operator: str, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, start: torch.Tensor | None = None, alpha: Any = 1, beta: Any = 1
) -> bool:
    """Write `beta * start + alpha * (a @ b)` to `out`, for matrices or batches of them; False, and nothing done, for wrong factors.

    start: broadcast to the shape of `out`; it may be `out`. A `beta` of 0 leaves it out, an `alpha` of 0 the product, whatever they hold.
    """
    start = None if start is not None and beta == 0 else start
    scales = factors(a.dtype, start, alpha, beta)
    if scales is None:
        return False
    m, k = a.shape[-2:]
    n = b.shape[-1]
    batch = a.shape[0] if a.dim() == 3 else 1
    if batch == 0 or m == 0 or n == 0:
        return True
    if alpha == 0:
        k = 0
    (a_b, a_i, a_k), (b_b, b_k, b_j), (out_b, out_i, out_j) = _strides(a), _strides(b), _strides(out)
    start_b, start_i, start_j = (0, 0, 0) if start is None else _strides(start.expand(out.shape))
    if n == 1:
        strides = (a_b, a_i, a_k, b_b, b_k, out_b, out_i, start_b, start_i)
        multiply_vector(a, b, out, start, (batch, m, k), strides, scales)
        return True
    if m == 1:
        strides = (b_b, b_j, b_k, a_b, a_k, out_b, out_j, start_b, start_j)
        multiply_vector(b, a, out, start, (batch, n, k), strides, scales)
        return True
    if a.dtype is torch.uint8:  # sums modulo 256 are the same
        a, b = a.view(torch.int8), b.view(torch.int8)
    arguments = (
        a, b, out, start, scales["scales"], m, n, k,
        a_b, a_i, a_k, b_b, b_k, b_j, out_b, out_i, out_j, start_b, start_i, start_j,
    )  # fmt: skip
    flags = {"ALPHA": scales["ALPHA"], "BETA": scales["BETA"], "SUM": SUMS[a.dtype]}
    if a.dtype in FLOATS or a.dtype is torch.int8:
        chip = active_target()[1]
        lies = layout(a_k, b_j)
        constants, down, across = choose(operator, chip, _NAMES[a.dtype], batch, m, n, k, lies, knobs.num_threads)
        _MATRICES((down, across, batch), *arguments, **flags, **constants)
    else:
        _INTEGERS((-(-m // 16), -(-n // 64), batch), *arguments, **flags, BLOCK_M=16, BLOCK_N=64, BLOCK_K=8)
    return True


def _fit(dim: int, a: torch.Tensor, b: torch.Tensor, *others: torch.Tensor) -> bool:
    """Whether `a @ b` is one of (batches of) matrices of one dtype, which `others` have as well."""
    return (
        a.dim() == b.dim() == dim
        and a.shape[-1] == b.shape[-2]
        and a.dtype is b.dtype
        and (dim == 2 or a.shape[0] == b.shape[0])
        and all(other.dtype is a.dtype for other in others)
        and computed(DTYPES, a, b, *others)
    )


def expands(start: torch.Tensor, shape: tuple[int, ...]) -> bool:
    """Whether `start` broadcasts to `shape`."""
    own = start.shape
    return len(own) <= len(shape) and all(size in (1, end) for size, end in zip(reversed(own), reversed(shape), strict=False))


def deliver(out: torch.Tensor | None, like: torch.Tensor, shape: tuple[int, ...], inputs: tuple[torch.Tensor, ...], compute: Any) -> Any:
    """The result of `compute(tensor)`, which fills a tensor of the shape and says whether it did, in `out` or in a new tensor.

    It is computed aside where `out` has another shape, gaps, or memory that an input has too.
    """
    if out is not None and out.dtype is not like.dtype:
        return NotImplemented
    direct = out is not None and out.shape == shape and out.is_contiguous()
    if direct and out is not None:
        memory = out.untyped_storage().data_ptr()
        direct = all(each.untyped_storage().data_ptr() != memory for each in inputs)
    target = out if direct and out is not None else like.new_empty(shape)
    if not compute(target):
        return NotImplemented
    return target if out is None or direct else into(out, target)


def _product(
    operator: str, dim: int, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None,
    start: torch.Tensor | None = None, beta: Any = 1, alpha: Any = 1,
) -> Any:  # fmt: skip
    if not (_fit(dim, a, b) if start is None else _fit(dim, a, b, start)):
        return NotImplemented
    shape = (*a.shape[:-1], b.shape[-1])
    if start is not None and not expands(start, shape):
        return NotImplemented
    inputs = (a, b) if start is None or start is out else (a, b, start)
    return deliver(out, a, shape, inputs, lambda target: multiply(operator, a, b, target, start, alpha, beta))


def mm(a: torch.Tensor, b: torch.Tensor) -> Any:
    """`a @ b` of two matrices of one dtype."""
    return _product("mm", 2, a, b)


def mm_out(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> Any:
    return _product("mm", 2, a, b, out)


def bmm(a: torch.Tensor, b: torch.Tensor) -> Any:
    """`a @ b` of two batches of matrices of one dtype."""
    return _product("bmm", 3, a, b)


def bmm_out(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> Any:
    return _product("bmm", 3, a, b, out)


def addmm(start: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """`beta * start + alpha * (a @ b)`; `start` is broadcast."""
    return _product("addmm", 2, a, b, None, start, beta, alpha)


def addmm_out(start: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: Any = 1, alpha: Any = 1, out: torch.Tensor) -> Any:
    return _product("addmm", 2, a, b, out, start, beta, alpha)


def addmm_in_place(start: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return _in_place("addmm", 2, start, a, b, beta, alpha)


def baddbmm(start: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """`beta * start + alpha * (a @ b)` of batches; `start` is broadcast."""
    return _product("bmm", 3, a, b, None, start, beta, alpha)


def baddbmm_out(start: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: Any = 1, alpha: Any = 1, out: torch.Tensor) -> Any:
    return _product("bmm", 3, a, b, out, start, beta, alpha)


def baddbmm_in_place(start: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return _in_place("bmm", 3, start, a, b, beta, alpha)


def _in_place(operator: str, dim: int, start: torch.Tensor, a: torch.Tensor, b: torch.Tensor, beta: Any, alpha: Any) -> Any:
    if start.shape != (*a.shape[:-1], b.shape[-1] if b.dim() else 0):
        return NotImplemented
    return _product(operator, dim, a, b, start, start, beta, alpha)


def int_mm(a: torch.Tensor, b: torch.Tensor) -> Any:
    """`a @ b` of two matrices of int8, added up in int32, which the result is of."""
    if a.dtype is not torch.int8 or not _fit(2, a, b):
        return NotImplemented
    out = a.new_empty((a.shape[0], b.shape[1]), dtype=torch.int32)
    multiply("mm", a, b, out)
    return out


int_mm_out = out_form(int_mm)
