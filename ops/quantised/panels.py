"""Panels of activations, as the products of `products.py` take them: of tiles, or in one pass of rows of floats.

Activations come in panels of as many rows as a tile of the matrix unit has: for each block of 32 steps the bytes of its tiles, one behind
the other, then a square of as many copies of each row's begin (two, where weights of 16 steps have minima of their own) and one of its
scale: in memory as a tile of sums lies in registers, so that one load brings them all. Of four rows
whose sums begin at zero there are two of its scale.
In memory a panel's block of four rows is

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
from triton_spacemit.ops.quantised.activations import BLOCK, Activations, Order, four_rows, quantise
from triton_spacemit.ops.quantised.packings import Packing
from triton_spacemit.ops.quantised.unpacking import depth_of

_ROWS = 4
_AT_ONCE = 16  # blocks that lie in the first cache between quantising and their places: a vector of each word's
_PART = 128  # blocks for a program


def begins_of(packing: Packing) -> int:
    """How many begins of sums a block of activations has."""
    return BLOCK // packing.group if packing.has_minima or packing.offset else 0


def panel_size(rows: int, begins: int) -> int:
    """Bytes of a panel's block."""
    return rows * BLOCK + max(begins + 1, 2 if rows == _ROWS else 1) * 4 * rows * rows


@triton.jit
def squares_of(ROWS: tl.constexpr, BEGINS: tl.constexpr) -> tl.constexpr:
    """Squares behind the bytes of a panel's block: begins, and the scales, of four rows twice if they are alone."""
    return 2 if ROWS == 4 and BEGINS == 0 else BEGINS + 1


@triton.jit
def fill_panels(
    values, scales, sums, panels, blocks, tiles,
    OFFSET: tl.constexpr, SIGN: tl.constexpr, BEGINS: tl.constexpr, ROWS: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    """Panels of ROWS rows from `tiles` of four, behind which rows are zero: program (part of the blocks, panel).

    A row begins at int32 `OFFSET` times its sum of bytes, or where SIGN is not 0 at float32 `SIGN` times its scale times that sum.
    """
    panel = tl.program_id(1).to(tl.int64)
    block = tl.program_id(0) * BLOCKS + tl.arange(0, BLOCKS)
    there = block < blocks
    row = tl.arange(0, ROWS)
    source = panel * (ROWS // 4) + row // 4
    size: tl.constexpr = ROWS * 32 + squares_of(ROWS, BEGINS) * 4 * ROWS * ROWS
    first = (panel * blocks + block) * size
    word, half = tl.arange(0, 4), depth_of(ROWS) // 8
    words = values.to(tl.pointer_type(tl.int64), bitcast=True)
    at = (source[None, None, :] * blocks + block[:, None, None]) * 16 + word[None, :, None] * 4 + (row % 4)[None, None, :]
    inside = there[:, None]
    if ROWS > 4:
        inside &= (source < tiles)[None, :]
    read = tl.load(words + at, inside[:, None, :], 0)
    place = (word // half * (ROWS * half) + word % half)[None, :, None] + row[None, None, :] * half
    to = panels.to(tl.pointer_type(tl.int64), bitcast=True) + first[:, None, None] // 8 + place
    tl.store(to, read, there[:, None, None])
    at = (source[None, :] * blocks + block[:, None]) * 4 + (row % 4)[None, :]
    scale = tl.load(scales + at, inside, 0)
    copies = first[:, None, None] // 4 + ROWS * 8 + row[None, :, None] * ROWS + row[None, None, :]
    shape: tl.constexpr = (BLOCKS, ROWS, ROWS)
    for part in tl.static_range(BEGINS):
        if BEGINS == 1:
            total = tl.load(sums + at, inside, 0)
        else:
            k = tl.arange(0, 32 // BEGINS)
            steps = part * (128 // BEGINS) + k // 8 * 32 + k % 8
            place = (source[None, :] * blocks + block[:, None]) * 128 + (row % 4 * 8)[None, :]
            total = tl.sum(tl.load(values + place[:, :, None] + steps[None, None, :], inside[:, :, None], 0).to(tl.int32), 2)
        if SIGN == 0:
            begin = total * OFFSET
        else:
            begin = (total.to(tl.float32) * scale * SIGN).to(tl.int32, bitcast=True)
        to = panels.to(tl.pointer_type(tl.int32), bitcast=True) + copies + part * ROWS * ROWS
        tl.store(to, tl.broadcast_to(begin[:, :, None], shape), there[:, None, None])
    for part in tl.static_range(BEGINS, squares_of(ROWS, BEGINS)):
        to = panels.to(tl.pointer_type(tl.float32), bitcast=True) + copies + part * ROWS * ROWS
        tl.store(to, tl.broadcast_to(scale[:, :, None], shape), there[:, None, None])


@triton.jit
def quantise_panels(
    x, panels, rows, blocks, x_row, OFFSET: tl.constexpr, SIGN: tl.constexpr, BEGINS: tl.constexpr, BLOCKS: tl.constexpr, PART: tl.constexpr
):
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


_PANELS = Kernel(fill_panels)
_QUANTISE = Kernel(quantise_panels, BLOCKS=_AT_ONCE, PART=_PART)


def make_panels(activations: Activations, packing: Packing, rows: int) -> torch.Tensor:
    """The panels of `rows` rows for weights in a packing: uint8, (panels, blocks of 32, bytes)."""
    blocks, tiles = activations.columns // BLOCK, activations.values.shape[0]
    count, begins = -(-tiles * 4 // rows), begins_of(packing)
    panels = torch.empty(count, blocks, panel_size(rows, begins), dtype=torch.uint8)
    taken = min(triton.next_power_of_2(blocks), 32)
    _PANELS(
        (-(-blocks // taken), count), activations.values, activations.scales, activations.sums, panels, blocks, tiles,
        OFFSET=-packing.offset, SIGN=packing.sign, BEGINS=begins, ROWS=rows, BLOCKS=taken,
    )  # fmt: skip
    return panels


def panels_of(x: torch.Tensor, packing: Packing, rows: int) -> torch.Tensor:
    """The panels of `rows` rows of x (M, K), floats, for weights in a packing: what `make_panels` makes of them, quantised."""
    begins = begins_of(packing)
    if rows != _ROWS or begins > 1:
        return make_panels(quantise(x, Order.TILES), packing, rows)
    if x.stride(1) != 1:
        x = x.contiguous()
    blocks, count = x.shape[1] // BLOCK, -(-x.shape[0] // _ROWS)
    panels = torch.empty(count, blocks, panel_size(rows, begins), dtype=torch.uint8)
    grid = (-(-blocks // _PART), count)
    _QUANTISE(grid, x, panels, x.shape[0], blocks, x.stride(0), OFFSET=-packing.offset, SIGN=packing.sign, BEGINS=begins)
    return panels
