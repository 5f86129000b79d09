"""Activations straight to the panels that `products.py` multiplies: quantised, interleaved, with their begins and scales, in one pass.

Panels of four rows, for weights whose groups are not shorter than the blocks of activations; others are made of tiles (`make_panels`). In
memory a panel's block of 32 steps is

    4 tiles of 4 rows by 8 steps        the bytes, as `smt.vmadot` takes them
    4 x 4 begins                        of each row four copies: what its sums start at
    4 x 4 scales                        the same; twice, where there are no begins

A row begins at int32 `OFFSET` times the sum of its bytes, or where SIGN is not 0 at float32 `SIGN` times its scale times that sum.
"""

import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt

from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK, Order, four_rows, quantise
from triton_spacemit.ops.quantised.packings import Packing
from triton_spacemit.ops.quantised.products import begins_of, has_minima, make_panels, offset_of, panel_size

_ROWS = 4
_AT_ONCE = 16  # blocks that lie in the first cache between quantising and their places: a vector of each word's
_PART = 128  # blocks for a program


@triton.jit
def quantise_panels(x, panels, rows, blocks, x_row, OFFSET: tl.constexpr, SIGN: tl.constexpr, BEGINS: tl.constexpr, BLOCKS: tl.constexpr, PART: tl.constexpr):
    """Program (part of the blocks, panel): PART blocks, BLOCKS at a time."""
    row, begin = tl.program_id(1).to(tl.int64) * 4, tl.program_id(0).to(tl.int64) * PART
    SIZE: tl.constexpr = 256  # bytes of a panel's block
    words = smt.alloc(shape=[4 * BLOCKS * 4], type=tl.int64).base
    scales, sums = smt.alloc(shape=[BLOCKS * 4], type=tl.float32).base, smt.alloc(shape=[BLOCKS * 4], type=tl.int32).base
    block = tl.arange(0, BLOCKS)
    for first in range(begin, tl.minimum(begin + PART, blocks), BLOCKS):
        count = tl.minimum(blocks - first, BLOCKS)
        q = words.to(tl.pointer_type(tl.int8), bitcast=True)
        four_rows(x + row * x_row + first * 32, x_row, rows - row, count, q, BLOCKS * 32, scales, sums)
        panel = panels + (row // 4 * blocks + first) * SIZE
        to = panel.to(tl.pointer_type(tl.int64), bitcast=True) + block * (SIZE // 8)
        for u in tl.static_range(4):
            for step in tl.static_range(4):
                tl.store(to + step * 4 + u, tl.load(words + u * (BLOCKS * 4) + block * 4 + step), block < count)
        begins = panel.to(tl.pointer_type(tl.int32), bitcast=True) + block * (SIZE // 4) + 32
        factors = panel.to(tl.pointer_type(tl.float32), bitcast=True) + block * (SIZE // 4) + 48
        for u in tl.static_range(4):
            scale, total = tl.load(scales + block * 4 + u), tl.load(sums + block * 4 + u)
            if not BEGINS:
                start = scale.to(tl.int32, bitcast=True)
            elif SIGN == 0:
                start = total * OFFSET
            else:
                start = (total.to(tl.float32) * scale * SIGN).to(tl.int32, bitcast=True)
            for copy in tl.static_range(4):
                tl.store(begins + (u * 4 + copy), start, block < count)
                tl.store(factors + (u * 4 + copy), scale, block < count)


_QUANTISE = Kernel(quantise_panels, BLOCKS=_AT_ONCE, PART=_PART)


def panels_of(x: torch.Tensor, packing: Packing, rows: int) -> torch.Tensor:
    """The panels of `rows` rows of x (M, K), floats, for weights in a packing: what `make_panels` makes of them, quantised."""
    begins = begins_of(packing)
    if rows != _ROWS or begins > 1:
        return make_panels(quantise(x, Order.TILES), packing, rows)
    if x.stride(1) != 1:
        x = x.contiguous()
    blocks, count = x.shape[1] // BLOCK, -(-x.shape[0] // _ROWS)
    panels = torch.empty(count, blocks, panel_size(rows, begins), dtype=torch.uint8)
    sign = 0.0 if not has_minima(packing) else (-1.0 if packing.factors else 1.0)
    grid = (-(-blocks // _PART), count)
    _QUANTISE(grid, x, panels, x.shape[0], blocks, x.stride(0), OFFSET=-offset_of(packing), SIGN=sign, BEGINS=begins)
    return panels
