"""Activations as bytes: rows of floats, quantised in blocks of 32 as GGML's SpacemiT backend does it.

For each row and block of 32 numbers `a`, in float32:

    scale = max|a| * (1 / 127)        rounded as one product with the nearest float32 of 1 / 127
    q     = int8(a * (1 / scale))     1 / scale is rounded, then the product, then to the nearest integer, halves to even

Source: `quantize_a_row_i8` and `quantize_a_4row_i8` of ggml-org/ggml, src/ggml-cpu/spacemit/ime1_kernels.cpp. Scales and bytes are equal to
theirs, bit for bit, except where theirs are of no use:

- Where 1 / scale is infinite (a block of zeros, or one whose numbers are all below 2^-121), the largest float32 takes its place here, so
  that zeros are 0; there they are 127, and other numbers 127 or -128.
- Where a number of a block is infinite or NaN, its scale is NaN here and its bytes are anything, so that every product with the row is
  NaN, as it is in float arithmetic. There NaN counts as 127 and infinities lose their sign.

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
def _quantised(x):
    """The 32 numbers at `x` as integers, and their scale."""
    a = tl.load(x + tl.arange(0, 32)).to(tl.float32)
    magnitude = a.to(tl.int32, bitcast=True) & 0x7FFFFFFF  # ordered as the numbers are, NaN behind infinity
    largest = tl.max(magnitude, 0).to(tl.float32, bitcast=True)
    scale = tl.fma(largest, 1 / 127, largest - largest)  # NaN where it is no finite number
    inverse = tl.minimum(1 / scale, 3.4028234663852886e38)
    return libdevice.rint(a * inverse).to(tl.int16), scale


@triton.jit
def _blocks(x, x_step, values, values_step, scales, sums, COUNT: tl.constexpr):
    """COUNT blocks at distances of `x_step`, to distances of `values_step`. All are computed side by side, as the cores run in order."""
    q = ()
    scale = ()
    added = ()
    for u in tl.static_range(COUNT):
        integers, factor = _quantised(x + u * x_step)
        q = q + (integers,)  # type: ignore[assignment]
        scale = scale + (factor,)  # type: ignore[assignment]
    if sums is not None:
        for u in tl.static_range(COUNT):
            added = added + (tl.sum(q[u], 0, dtype=tl.int16),)  # type: ignore[assignment]
    for u in tl.static_range(COUNT):
        tl.store(values + u * values_step + tl.arange(0, 32), q[u].to(tl.int8))
    for u in tl.static_range(COUNT):
        tl.store(scales + u, scale[u])
        if sums is not None:
            tl.store(sums + u, added[u].to(tl.int32))


@triton.jit
def quantise_rows(x, values, scales, sums, rows, blocks, x_row, BLOCKS: tl.constexpr):
    """BLOCKS blocks of a row of `x`, whose elements are neighbours in memory: program (part of a row, row). `sums` may be None."""
    row, first = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * BLOCKS
    count = tl.minimum(blocks - first, BLOCKS)
    place = row * blocks + first
    x += row * x_row + first * 32
    values += place * 32
    scales += place
    if sums is not None:
        sums += place
    for part in range(0, count // 4):
        b = part * 4
        _blocks(x + b * 32, 32, values + b * 32, 32, scales + b, None if sums is None else sums + b, 4)
    for b in range(count // 4 * 4, count):
        _blocks(x + b * 32, 0, values + b * 32, 0, scales + b, None if sums is None else sums + b, 1)


@triton.jit
def four_rows(x, x_row, rows, count, q, q_row, scales, sums):
    """`count` blocks of four rows of `x`, of which the first `rows` are there; others are zeros, and have scale 0. `sums` may be None.

    q: int8, rows at distances of `q_row`. scales, sums: [count, 4].
    """
    if rows >= 4:
        for b in range(0, count):
            _blocks(x + b * 32, x_row, q + b * 32, q_row, scales + b * 4, None if sums is None else sums + b * 4, 4)
    else:
        for u in range(0, 4):
            for b in range(0, count):
                to = b * 4 + u
                if u < rows:
                    from_row = x + tl.cast(u, tl.int64) * x_row + b * 32
                    _blocks(from_row, 0, q + u * q_row + b * 32, 0, scales + to, None if sums is None else sums + to, 1)
                else:
                    tl.store(q + u * q_row + b * 32 + tl.arange(0, 32), tl.zeros((32,), tl.int8))
                    tl.store(scales + to, 0.0)
                    if sums is not None:
                        tl.store(sums + to, 0)


@triton.jit
def quantise_tiles(x, values, scales, sums, rows, blocks, x_row, BLOCKS: tl.constexpr):
    """The same of four rows, to tiles: program (part of rows, four rows)."""
    row, first = tl.program_id(1).to(tl.int64) * 4, tl.program_id(0).to(tl.int64) * BLOCKS
    count = tl.minimum(blocks - first, BLOCKS)
    place = row * blocks + first * 4
    words = smt.alloc(shape=[4 * BLOCKS * 4], type=tl.int64).base
    q = words.to(tl.pointer_type(tl.int8), bitcast=True)
    from_row = x + row * x_row + first * 32
    four_rows(from_row, x_row, rows - row, count, q, BLOCKS * 32, scales + place, None if sums is None else sums + place)
    step = tl.arange(0, BLOCKS * 4)
    to = values.to(tl.pointer_type(tl.int64), bitcast=True) + place * 4 + step * 4
    for u in tl.static_range(4):
        tl.store(to + u, tl.load(words + u * (BLOCKS * 4) + step), step < count * 4)


_KERNELS = {Order.ROWS: (Kernel(quantise_rows), 128), Order.TILES: (Kernel(quantise_tiles), 32)}  # with blocks of a row for a program

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
        kernel, taken = _KERNELS[Order(order)]
        grid = (-(-blocks // taken), values.shape[0])
        kernel(grid, x, values, scales, added if sums else None, x.shape[0], blocks, x.stride(0), BLOCKS=taken)
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
