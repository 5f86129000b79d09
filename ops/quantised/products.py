"""Products of rows of activations with packed weights, for 4 rows and more, as SpacemiT's matrix unit computes them.

For each block of steps of k, with a row's scale `s` and sum of bytes `t`, and a column's scale `d` and minimum `m`, the sum of products of
bytes is exact, and what follows is in float32:

    acc = fma(float(sum), s * d, acc)
    acc = fma(s * t, m, acc)              where the format has minima

block after block in ascending k. Of Q4_0 that is, bit for bit, what GGML's backend for SpacemiT's cores computes. Integers that are stored
with an offset (the nibbles of Q4_0 are 8 more than they stand for) are multiplied as they are: the sum begins at minus the offset times t.

Activations come in panels of as many rows as a tile of the matrix unit has: for each block of 32 steps the bytes of its tiles, one behind
the other, then a square of as many copies of each row's begin (two, where weights of 16 steps have minima of their own) and one of its
scale: in memory as a tile of sums lies in registers, so that one load brings them all.
"""

import torch
import triton
import triton.language as tl

from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK, Activations
from triton_spacemit.ops.quantised.packings import COLUMNS, Packing


def begins_of(packing: Packing) -> int:
    """How many begins of sums a block of activations has."""
    return BLOCK // packing.group if has_minima(packing) else 1


def panel_size(rows: int, begins: int) -> int:
    """Bytes of a panel's block."""
    return rows * BLOCK + (begins + 1) * 4 * rows * rows


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
    size: tl.constexpr = ROWS * 32 + (BEGINS + 1) * 4 * ROWS * ROWS
    first = (panel * blocks + block) * size
    word = tl.arange(0, 4)
    words = values.to(tl.pointer_type(tl.int64), bitcast=True)
    at = (source[None, None, :] * blocks + block[:, None, None]) * 16 + word[None, :, None] * 4 + (row % 4)[None, None, :]
    inside = there[:, None]
    if ROWS > 4:
        inside &= (source < tiles)[None, :]
    read = tl.load(words + at, inside[:, None, :], 0)
    to = panels.to(tl.pointer_type(tl.int64), bitcast=True) + first[:, None, None] // 8 + word[None, :, None] * ROWS + row[None, None, :]
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
    to = panels.to(tl.pointer_type(tl.float32), bitcast=True) + copies + BEGINS * ROWS * ROWS
    tl.store(to, tl.broadcast_to(scale[:, :, None], shape), there[:, None, None])


@triton.jit
def _integers(at, GROUP: tl.constexpr, NIBBLES: tl.constexpr):
    """The integers of GROUP steps of 16 columns, as bytes."""
    k, j = tl.arange(0, GROUP), tl.arange(0, 16)
    if NIBBLES:
        pairs = tl.load(at + (k // 16 * 128 + k % 8)[:, None] + j[None, :] * 8)
        integers = (pairs >> (k // 8 % 2 * 4).to(tl.uint8)[:, None]) & 15
    else:
        integers = tl.load(at + (k // 8 * 128 + k % 8)[:, None] + j[None, :] * 8)
    return integers.to(tl.int8, bitcast=True)


@triton.jit
def _add_group(
    acc, panel, head, at, part: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, OFFSET: tl.constexpr,
    MINIMA: tl.constexpr, FACTORS: tl.constexpr, BEGINS: tl.constexpr,
):  # fmt: skip
    """`acc` and the products of one group of steps: the part of a panel's block of 32 that begins at `part`. `at`: the group's factors."""
    i, j, k = tl.arange(0, ROWS), tl.arange(0, 16), tl.arange(0, GROUP)
    a = tl.load(panel.to(tl.pointer_type(tl.int8), bitcast=True) + part * ROWS + (i * 8)[:, None] + (k // 8 * (ROWS * 8) + k % 8)[None, :])
    copies = (panel + ROWS * 32).to(tl.pointer_type(tl.int32), bitcast=True) + (i * ROWS)[:, None] + (j % ROWS)[None, :]
    w = _integers(at + FACTORS * 16, GROUP, NIBBLES)
    d = tl.load(head.to(tl.pointer_type(tl.float16), bitcast=True) + j).to(tl.float32)
    s = tl.load(copies.to(tl.pointer_type(tl.float32), bitcast=True) + BEGINS * ROWS * ROWS)
    if FACTORS == 1:
        d *= tl.load(at.to(tl.pointer_type(tl.int8), bitcast=True) + j).to(tl.float32)
    if FACTORS == 2:
        d *= tl.load(at + j).to(tl.float32)
    if OFFSET:
        sums = tl.dot(a, w, tl.load(copies), out_dtype=tl.int32)
    else:
        sums = tl.dot(a, w, out_dtype=tl.int32)
    acc = tl.fma(sums.to(tl.float32), s * d[None, :], acc)
    if MINIMA:
        m = tl.load(head.to(tl.pointer_type(tl.float16), bitcast=True) + 16 + j).to(tl.float32)
        if FACTORS == 2:
            m *= tl.load(at + 16 + j).to(tl.float32)
        begins = tl.load(copies.to(tl.pointer_type(tl.float32), bitcast=True) + part // GROUP % BEGINS * ROWS * ROWS)
        acc = tl.fma(begins, tl.broadcast_to(m[None, :], (ROWS, 16)), acc)
    return acc


@triton.jit
def block_product(
    panels, weights, bias, out, m, n, out_row, blocks, m_count, n_count,
    ROWS: tl.constexpr, SIZE: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr, GROUP: tl.constexpr, GROUP_SIZE: tl.constexpr,
    NIBBLES: tl.constexpr, OFFSET: tl.constexpr, MINIMA: tl.constexpr, FACTORS: tl.constexpr, BEGINS: tl.constexpr, TURN: tl.constexpr,
):  # fmt: skip
    """`out[:m, :n]` = activations @ weights.T (+ bias): program (p, q) has `m_count` panels from p * m_count, `n_count` times 16 columns.

    `blocks` packed blocks of GROUPS groups of GROUP steps, of which a turn of the loop takes TURN.
    """
    i, j = tl.arange(0, ROWS), tl.arange(0, 16)
    m, n, blocks = tl.cast(m, tl.int64), tl.cast(n, tl.int64), tl.cast(blocks, tl.int64)
    first, last = tl.program_id(0).to(tl.int64) * m_count, tl.cdiv(m, ROWS)
    begin, end = tl.program_id(1).to(tl.int64) * n_count, tl.cdiv(n, 16)
    steps: tl.constexpr = GROUPS * GROUP
    size: tl.constexpr = ROWS * 32 + (BEGINS + 1) * 4 * ROWS * ROWS
    for columns in range(begin, tl.minimum(begin + n_count, end)):
        for rows in range(first, tl.minimum(first + m_count, last)):
            panel = panels + rows * blocks * (steps // 32 * size)
            block = weights + columns * blocks * SIZE
            acc = tl.zeros((ROWS, 16), tl.float32)
            for turn in range(0, blocks, TURN):
                for part in tl.static_range(TURN * GROUPS):
                    here = block + (turn + part // GROUPS) * SIZE
                    there = panel + (turn * (steps // 32) + part * GROUP // 32) * size
                    group = here + HEAD + part % GROUPS * GROUP_SIZE
                    acc = _add_group(acc, there, here, group, part * GROUP % 32, ROWS, GROUP, NIBBLES, OFFSET, MINIMA, FACTORS, BEGINS)
            row, column = rows * ROWS, columns * 16
            if bias is not None:
                acc += tl.load(bias + column + j, j < n - column, 0).to(tl.float32)[None, :]
            here = out + row * out_row + column + i[:, None] * out_row + j[None, :]
            if (row + ROWS <= m) & (column + 16 <= n):
                tl.store(here, acc)
            else:
                tl.store(here, acc, (i[:, None] < m - row) & (j[None, :] < n - column))


_PANELS, _PRODUCT = Kernel(fill_panels), Kernel(block_product)


def offset_of(packing: Packing) -> int:
    """How much larger the integers of packed blocks are than those they stand for."""
    return -packing.form.least if packing.nibbles else 0


def has_minima(packing: Packing) -> bool:
    return packing.minima == "float16"


def make_panels(activations: Activations, packing: Packing, rows: int) -> torch.Tensor:
    """The panels of `rows` rows for weights in a packing: uint8, (panels, blocks of 32, bytes)."""
    blocks, tiles = activations.columns // BLOCK, activations.values.shape[0]
    count, begins = -(-tiles * 4 // rows), begins_of(packing)
    panels = torch.empty(count, blocks, panel_size(rows, begins), dtype=torch.uint8)
    sign = 0.0 if not has_minima(packing) else (-1.0 if packing.factors else 1.0)
    taken = min(triton.next_power_of_2(blocks), 32)
    _PANELS(
        (-(-blocks // taken), count), activations.values, activations.scales, activations.sums, panels, blocks, tiles,
        OFFSET=-offset_of(packing), SIGN=sign, BEGINS=begins, ROWS=rows, BLOCKS=taken,
    )  # fmt: skip
    return panels


def multiply(
    panels: torch.Tensor, weights: torch.Tensor, packing: Packing, bias: torch.Tensor | None, out: torch.Tensor, counts: tuple[int, int],
    rows: int,
) -> None:  # fmt: skip
    """Write the product to `out`, (M, N) with neighbours along a row. counts: panels, and groups of 16 columns, of each program.

    panels: of `rows` rows each. weights: the bytes of packed weights (N, K).
    """
    m, n = out.shape
    blocks = weights.shape[1]
    grid = (-(-panels.shape[0] // counts[0]), -(-weights.shape[0] // counts[1]))
    turn = 2 if packing.groups == 1 and blocks % 2 == 0 else 1
    _PRODUCT(
        grid, panels, weights, bias, out, m, n, out.stride(0), blocks, *counts,
        ROWS=rows, SIZE=packing.size, HEAD=packing.head, GROUPS=packing.groups, GROUP=packing.group, GROUP_SIZE=packing.group_size,
        NIBBLES=packing.nibbles, OFFSET=offset_of(packing) != 0, MINIMA=has_minima(packing), FACTORS=packing.factors,
        BEGINS=begins_of(packing), TURN=turn,
    )  # fmt: skip


assert COLUMNS == 16
