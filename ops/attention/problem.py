"""What attention is asked for, checked once for forward and backward, and the choice of blocks."""

import functools
from typing import Any, NamedTuple

import torch

from triton_spacemit.backend.knobs import active_target, knobs
from triton_spacemit.dialect.chips import get_chip
from triton_spacemit.ops.dtypes import FLOATS, sum_dtype, sum_type
from triton_spacemit.ops.operands import computed
from triton_spacemit.ops.sizes import power_of_two

#: Arguments of all kernels that they are not compiled anew for: no address within a block depends on them.
SIZES = ["queries", "keys", "heads", "group"]
SIZES += [f"{tensor}_{dimension}" for tensor in ("q", "k", "v", "mask") for dimension in ("batch", "head")]


class Problem(NamedTuple):
    """Operands of attention. `strides` are those of query, key, value and mask, four each; `group` heads of queries share one of keys."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    scale: float
    causal: bool

    @property
    def batch(self) -> int:
        return self.query.shape[0]

    @property
    def heads(self) -> int:
        return self.query.shape[1]

    @property
    def queries(self) -> int:
        return self.query.shape[2]

    @property
    def keys(self) -> int:
        return self.key.shape[2]

    @property
    def dim(self) -> int:
        return self.query.shape[3]

    @property
    def group(self) -> int:
        return self.heads // self.key.shape[1] if self.heads else 1

    @property
    def strides(self) -> tuple[int, ...]:
        mask = (0, 0, 0, 0) if self.mask is None else self.mask.stride()
        return (*self.query.stride(), *self.key.stride(), *self.value.stride(), *mask)

    @property
    def sums(self) -> torch.dtype:
        """The dtype of sums, weights and logarithms."""
        return sum_dtype(self.query.dtype)

    @property
    def constants(self) -> dict[str, Any]:
        """The constants of kernels that do not depend on blocks of rows."""
        return {"CAUSAL": self.causal, "DIM": self.dim, "BLOCK_DIM": power_of_two(self.dim), "SUM": sum_type(self.query.dtype)}


def problem(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    causal: bool,
    mask: torch.Tensor | None,
    scale: float | None,
) -> Problem | None:
    """The problem, or None where its kernels do not compute it: other dtypes, dropout, shapes that are an error."""
    if dropout or not computed(FLOATS, query, key, value) or not query.dtype == key.dtype == value.dtype:
        return None
    if not query.dim() == key.dim() == 4 or key.shape != value.shape:
        return None
    (batch, heads, queries, dim), (batch_of_keys, heads_of_keys, keys, dim_of_keys) = query.shape, key.shape
    if batch != batch_of_keys or dim != dim_of_keys or not dim or not heads_of_keys or heads % heads_of_keys:
        return None
    if mask is not None:
        shape = (batch, heads, queries, keys)
        if mask.dim() not in (2, 4) or not computed(FLOATS, mask):
            return None
        if any(size not in (1, wanted) for size, wanted in zip(mask.shape, shape[-mask.dim() :], strict=True)):
            return None
        mask = mask.expand(shape)
    return Problem(query, key, value, mask, dim**-0.5 if scale is None else scale, causal)


def blocks(p: Problem, backward: bool = False) -> dict[str, int]:
    """Sizes of the blocks of queries (BLOCK_M) and of keys (BLOCK_N), as constants of the kernels.

    A block of scores is 64 KiB at most, and 16 KiB on cores that run in order, whose caches are small. Blocks that the diagonal of a
    short causal problem cuts are half in vain, so they are small too. There are at least as many programs as threads, where blocks of 16
    queries make so many.
    """
    return _blocks(active_target()[1], p.causal, p.queries, p.keys, p.heads * p.batch, knobs.num_threads, backward)


@functools.lru_cache(1024)
def _blocks(chip: str, causal: bool, queries: int, keys: int, heads: int, threads: int, backward: bool) -> dict[str, int]:
    small = get_chip(chip).in_order or causal and queries <= 512
    rows = min(64 if small or backward else 128, power_of_two(queries))
    while rows > 16 and -(-queries // rows) * heads < threads:
        rows //= 2
    columns = min(64 if small or rows <= 16 else 128, power_of_two(keys))
    return {"BLOCK_M": rows, "BLOCK_N": columns}
