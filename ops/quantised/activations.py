"""Activations as bytes: rows of floats, quantised in blocks of 32 as GGML's SpacemiT backend does it.

For each row and block of 32 numbers `a`, in float32:

    scale = max|a| * (1 / 127)        rounded as one product with the nearest float32 of 1 / 127
    q     = int8(a * (1 / scale))     1 / scale is rounded, then the product, then to the nearest integer, halves to even

Source: `quantize_a_row_i8` and `quantize_a_4row_i8` of ggml-org/ggml, src/ggml-cpu/spacemit/ime1_kernels.cpp. Scales and bytes are equal to theirs, bit
for bit, except where theirs are of no use:

- Where 1 / scale is infinite (a block of zeros, or one whose numbers are all below 2^-121), bytes are 0 here; there they are 127 or -128.
- Where a number of a block is infinite or NaN, its scale is NaN here and its bytes are anything, so that every product with the row is NaN, as it is
  in float arithmetic. There NaN counts as 127 and infinities lose their sign.

Finite numbers never make a scale or a product NaN.
"""

import enum
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt
from torch.library import Library, register_fake
from triton.language.extra import libdevice

from triton_spacemit.ops.launching import Kernel

BLOCK = 32
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_TILE_ROWS = 4
_STEP = 8  # elements of a row that lie together in a tile
_CHUNK = 64  # blocks of a row that a program takes


class Order(enum.IntEnum):
    """How rows lie in memory.

    ROWS: one behind the other: bytes [M, K], scales and sums [M, K / 32]. TILES: four rows interleaved by 8 elements, as `smt.vmadot` takes
    them, 32 bytes to a tile: bytes [M / 4, K / 8, 4, 8], scales and sums [M / 4, K / 32, 4]. M is rounded up to rows of zeros with scale 0.
    """

    ROWS = 1
    TILES = _TILE_ROWS


@dataclass(frozen=True)
class Activations:
    """A matrix of `rows` x `columns`, quantised in blocks of 32 along its rows.

    values: int8. scales: float32. sums: int32, of the bytes of each block, or None. Their shapes are those of `order`.
    """

    order: Order
    rows: int
    columns: int
    values: torch.Tensor
    scales: torch.Tensor
    sums: torch.Tensor | None

    def dequantise(self) -> torch.Tensor:
        """The numbers that the bytes stand for: float64 [rows, columns], exact."""
        values, scales = self.values, self.scales
        if self.order is Order.TILES:
            values = values.transpose(1, 2).reshape(-1, self.columns)
            scales = scales.transpose(1, 2).reshape(-1, self.columns // BLOCK)
        blocks = values[: self.rows].double().unflatten(1, (-1, BLOCK)) * scales[: self.rows, :, None].double()
        return blocks.flatten(1)


@triton.jit
def _quantised(a):
    """The bytes of blocks along the last dimension, and their scales."""
    magnitude = a.to(tl.int32, bitcast=True) & 0x7FFFFFFF  # ordered as the numbers are, NaN behind infinity
    largest = tl.max(magnitude, 2).to(tl.float32, bitcast=True)
    scale = tl.where(largest < float("inf"), largest * (1 / 127), float("nan"))
    inverse = 1 / scale
    inverse = tl.where(inverse < float("inf"), inverse, 0)
    return libdevice.rint(a * inverse[:, :, None]).to(tl.int16).to(tl.int8), scale


@triton.jit
def quantise_rows(x, values, scales, sums, rows, blocks, x_row, ROWS: tl.constexpr, BLOCKS: tl.constexpr):
    """BLOCKS blocks of ROWS rows of `x`, whose neighbours in a row are neighbours in memory: program (part of a row, group of rows).

    ROWS is 1, or 4 for tiles. `sums` may be None.
    """
    group = tl.program_id(1).to(tl.int64)
    row = tl.arange(0, ROWS)
    block = tl.program_id(0) * BLOCKS + tl.arange(0, BLOCKS)
    inside = (group * ROWS + row[:, None] < rows) & (block[None, :] < blocks)
    place = (group * ROWS + row[:, None, None]) * x_row + block[None, :, None] * 32 + tl.arange(0, 32)[None, None, :]
    a = tl.load(x + place, inside[:, :, None], 0).to(tl.float32)
    q, scale = _quantised(a)
    places = (group * blocks + block[None, :]) * ROWS + row[:, None]
    there = (block < blocks)[None, :] & (row >= 0)[:, None]
    tl.store(scales + places, scale, there)
    if sums is not None:
        tl.store(sums + places, tl.sum(q.to(tl.int32), 2), there)
    values += group * ROWS * blocks * 32
    first = tl.program_id(0) * BLOCKS
    if ROWS == 1:
        byte = block[None, :, None] * 32 + tl.arange(0, 32)[None, None, :]
        tl.store(values + byte, q, there[:, :, None])
    else:
        between = smt.alloc(shape=[ROWS, BLOCKS * 32], type=tl.int8)
        tl.store(between, tl.reshape(q, ROWS, BLOCKS * 32))
        step = tl.arange(0, BLOCKS * 4)[None, :]
        words = tl.load(between.base.to(tl.pointer_type(tl.int64), bitcast=True) + row[:, None] * BLOCKS * 4 + step)
        to = values.to(tl.pointer_type(tl.int64), bitcast=True) + (first * 4 + step) * ROWS + row[:, None]
        tl.store(to, words, step < (blocks - first) * 4)


_QUANTISE = Kernel(quantise_rows)

_library = Library("triton_spacemit", "FRAGMENT")
_library.define("quantise_rows(Tensor x, int order, bool sums) -> (Tensor, Tensor, Tensor)")


def _outputs(x: torch.Tensor, order: int, sums: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Memory for the results; of the last, none where it is not asked for."""
    groups, columns = -(-x.shape[0] // order), x.shape[1]
    blocks = columns // BLOCK
    if order == Order.TILES:
        shape, inner = (groups, columns // _STEP, order, _STEP), (groups, blocks, order)
    else:
        shape, inner = (groups, columns), (groups, blocks)  # type: ignore[assignment]
    return (
        x.new_empty(shape, dtype=torch.int8),
        x.new_empty(inner, dtype=torch.float32),
        x.new_empty(inner if sums else (0,), dtype=torch.int32),
    )


def _quantise_rows(x: torch.Tensor, order: int, sums: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    values, scales, added = _outputs(x, order, sums)
    if values.numel():
        if x.stride(1) != 1:
            x = x.contiguous()
        blocks = x.shape[1] // BLOCK
        taken = min(triton.next_power_of_2(blocks), _CHUNK)
        grid = (triton.cdiv(blocks, taken), values.shape[0])
        _QUANTISE(grid, x, values, scales, added if sums else None, x.shape[0], blocks, x.stride(0), ROWS=int(order), BLOCKS=taken)
    return values, scales, added


_library.impl("quantise_rows", _quantise_rows, "CPU")
register_fake("triton_spacemit::quantise_rows", _outputs, lib=_library)


def quantise(x: torch.Tensor, order: Order = Order.ROWS, sums: bool = True) -> Activations:
    """The rows of `x` [.., K] in blocks of 32, by the operator `torch.ops.triton_spacemit.quantise_rows`.

    x: float32, float16 or bfloat16, of any strides, on the CPU; its leading dimensions are taken as one. K is a multiple of 32.
    sums: whether sums of each block's bytes are wanted, which exact minima of weights take.
    Raises TypeError for another dtype or device, ValueError for another K.
    """
    if x.dtype not in DTYPES or not x.is_cpu:
        raise TypeError(f"activations are float32, float16 or bfloat16 tensors on the CPU, not {x.dtype} on {x.device}")
    if x.dim() < 1 or x.shape[-1] % BLOCK:
        raise ValueError(f"rows of activations are a multiple of {BLOCK} long; the shape is {tuple(x.shape)}")
    rows = x.reshape(-1, x.shape[-1]) if x.numel() else x.reshape(x.shape[:-1].numel(), x.shape[-1])
    values, scales, added = torch.ops.triton_spacemit.quantise_rows(rows, int(order), sums)
    return Activations(order, rows.shape[0], rows.shape[1], values, scales, added if sums else None)
