"""Products of rows of activations with packed weights, for 4 rows and more, as SpacemiT's matrix unit computes them.

For each block of steps of k, with a row's scale `s` and sum of bytes `t`, and a column's scale `d` and minimum `m`, the sum of products of
bytes is exact, and what follows is in float32:

    acc = fma(float(sum), s * d, acc)
    acc = fma(s * t, m, acc)              where the format has minima

block after block in ascending k. Of Q4_0 that is, bit for bit, what GGML's backend for SpacemiT's cores computes. Integers that are stored
with an offset (the nibbles of Q4_0 are 8 more than they stand for) are multiplied as they are: the sum begins at minus the offset times t.

Activations come in panels of as many rows as a tile of the matrix unit has: for each block of 32 steps the bytes of its tiles, one behind
the other, then a square of as many copies of each row's begin (two, where weights of 16 steps have minima of their own) and one of its
scale: in memory as a tile of sums lies in registers, so that one load brings them all. Where sums begin at zero there are two of its scale.
"""

import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt

from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK, Activations
from triton_spacemit.ops.quantised.packings import COLUMNS, Packing


def begins_of(packing: Packing) -> int:
    """How many begins of sums a block of activations has."""
    return BLOCK // packing.group if has_minima(packing) else int(offset_of(packing) != 0)


def panel_size(rows: int, begins: int) -> int:
    """Bytes of a panel's block."""
    return rows * BLOCK + max(begins + 1, 2) * 4 * rows * rows


@triton.jit
def _depth(ROWS: tl.constexpr) -> tl.constexpr:
    """Steps of k of a tile with so many rows."""
    return 8 if ROWS == 4 else 16


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
    size: tl.constexpr = ROWS * 32 + (BEGINS + 1 if BEGINS else 2) * 4 * ROWS * ROWS
    first = (panel * blocks + block) * size
    word, half = tl.arange(0, 4), _depth(ROWS) // 8
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
    for part in tl.static_range(BEGINS, BEGINS + 1 if BEGINS else 2):
        to = panels.to(tl.pointer_type(tl.float32), bitcast=True) + copies + part * ROWS * ROWS
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
def _as(pointer, TYPE: tl.constexpr):
    """The same address as a pointer to another type."""
    return pointer.to(tl.pointer_type(TYPE), bitcast=True)


@triton.jit
def _scales(head, at, j, place: tl.constexpr, FACTORS: tl.constexpr):
    """The scales (place 0) or minima (place 1) of columns `j` in a group of steps; `head`: of the packed block, `at`: of the group."""
    d = tl.load(_as(head, tl.float16) + place * 16 + j).to(tl.float32)
    if FACTORS == 1:
        d *= tl.load(_as(at, tl.int8) + j).to(tl.float32)
    if FACTORS == 2:
        d *= tl.load(at + place * 16 + j).to(tl.float32)
    return d


@triton.jit
def _room(ROWS: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, MINIMA: tl.constexpr, SQUARES: tl.constexpr) -> tl.constexpr:
    """Bytes that an unpacked group of steps takes."""
    columns: tl.constexpr = (2 if MINIMA else 1) * 64
    return (GROUP * 16 if NIBBLES or ROWS > 4 else 0) + ROWS * columns if SQUARES else columns


@triton.jit
def _unpack_factors(
    head, groups, space, GROUPS: tl.constexpr, GROUP_SIZE: tl.constexpr, MINIMA: tl.constexpr, FACTORS: tl.constexpr
):  # fmt: skip
    """Scales, then minima, of all groups of a packed block in `space`, one for each column; `groups`: where the first group begins."""
    j = tl.arange(0, GROUPS * (32 if MINIMA else 16))
    column = j % (32 if MINIMA else 16)
    d = tl.load(_as(head, tl.float16) + column).to(tl.float32)
    factors = groups if FACTORS == 2 else _as(groups, tl.int8)
    tl.store(_as(space, tl.float32) + j, d * tl.load(factors + j // (32 if MINIMA else 16) * GROUP_SIZE + column).to(tl.float32))


@triton.jit
def _unpack_scales(block, space, COUNT: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr):
    """The scales of COUNT packed blocks of one group in `space`, each as often as a tile has rows."""
    place = tl.arange(0, COUNT * ROWS * 16)
    column = place % (ROWS * 16) // (ROWS * ROWS) * ROWS + place % ROWS
    d = tl.load(_as(block, tl.float16) + place // (ROWS * 16) * (SIZE // 2) + column)
    tl.store(_as(space, tl.float32) + place, d.to(tl.float32))


@triton.jit
def _unpack_squares(
    head, at, space, ROWS: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, OFFSET: tl.constexpr, MINIMA: tl.constexpr,
    FACTORS: tl.constexpr,
):  # fmt: skip
    """A group of steps in `space` as register tiles take it: its integers as bytes, where they do not lie so (`_step`), then scales and
    minima, each as often as a tile has rows."""
    to, at_integers = _as(space, tl.int8), at + FACTORS * 16
    if _depth(ROWS) > 8:
        byte = tl.arange(0, 256)
        k = byte % 16
        for half in tl.static_range(GROUP // 16):
            if NIBBLES:
                pairs = tl.load(at_integers + half * 128 + byte // 16 * 8 + k % 8)
                tl.store(to + half * 256 + byte, ((pairs >> (k // 8 * 4).to(tl.uint8)) & 15).to(tl.int8, bitcast=True) - OFFSET)
            else:
                words = tl.load(at_integers + half * 256 + k // 8 * 128 + byte // 16 * 8 + k % 8)
                tl.store(to + half * 256 + byte, words.to(tl.int8, bitcast=True))
    elif NIBBLES:
        byte = tl.arange(0, GROUP * 8)
        pairs = tl.load(at_integers + byte)
        tl.store(to + byte, (pairs & 15).to(tl.int8, bitcast=True) - OFFSET)
        tl.store(to + GROUP * 8 + byte, (pairs >> 4).to(tl.int8, bitcast=True) - OFFSET)
    place = tl.arange(0, ROWS * (32 if MINIMA else 16))
    column = place // (ROWS * ROWS) * ROWS + place % ROWS  # those behind 16 are minima
    d = tl.load(_as(head, tl.float16) + column).to(tl.float32)
    if FACTORS:
        d *= tl.load((at if FACTORS == 2 else _as(at, tl.int8)) + column).to(tl.float32)
    tl.store(_as(space + (GROUP * 16 if NIBBLES or ROWS > 4 else 0), tl.float32) + place, d)


@triton.jit
def _step(k, GROUP: tl.constexpr, UNPACKED: tl.constexpr):
    """Which step of a group of nibbles is number `k` of those that are multiplied: unpacked, the lower nibbles lie in front of the upper ones."""
    if UNPACKED and GROUP == 32:
        return k // 8 % 2 * 16 + k // 16 * 8 + k % 8
    return k


@triton.jit
def _add_group(
    acc, panel, head, at, space, part: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, OFFSET: tl.constexpr,
    MINIMA: tl.constexpr, FACTORS: tl.constexpr, BEGINS: tl.constexpr, UNPACK: tl.constexpr,
    SQUARES: tl.constexpr,
):  # fmt: skip
    """`acc` and the products of one group of steps, of which the activations are from step `part` on of a panel's block of 32.

    `at`: where the group begins, `space`: where it was unpacked, if it was.
    """
    i, j, k = tl.arange(0, ROWS)[:, None], tl.arange(0, 16)[None, :], tl.arange(0, GROUP)
    depth: tl.constexpr = _depth(ROWS)
    step = _step(k, GROUP, SQUARES and NIBBLES and depth == 8)
    a = tl.load(_as(panel, tl.int8) + part * ROWS + i * depth + (step // depth * (ROWS * depth) + step % depth)[None, :])
    copies = _as(panel + ROWS * 32, tl.int32) + i * ROWS + j % ROWS
    if SQUARES and (NIBBLES or depth > 8):
        place = (k // depth * (16 * depth) + k % depth)[:, None] + tl.arange(0, 16)[None, :] * depth
        w = tl.load(_as(space, tl.int8) + place)
    else:
        w = _integers(at + FACTORS * 16, GROUP, NIBBLES)
    squares = _as(space + (GROUP * 16 if NIBBLES or depth > 8 else 0), tl.float32) + (j // ROWS * (ROWS * ROWS) + j % ROWS) + i * ROWS
    square = BEGINS if BEGINS else j // ROWS % 2
    s = tl.load(_as(copies, tl.float32) + square * ROWS * ROWS)
    if OFFSET != 0 and not SQUARES:
        sums = tl.dot(a, w, tl.load(copies), out_dtype=tl.int32)
    else:
        sums = tl.dot(a, w, out_dtype=tl.int32)
    if SQUARES:
        d = tl.load(squares)
    elif UNPACK:
        d = tl.load(_as(space, tl.float32) + tl.arange(0, 16))[None, :]
    else:
        d = _scales(head, at, tl.arange(0, 16), 0, FACTORS)[None, :]
    acc = tl.fma(sums.to(tl.float32), s * d, acc)
    if MINIMA:
        begins = tl.load(_as(copies, tl.float32) + part // GROUP % BEGINS * ROWS * ROWS)
        if SQUARES:
            m = tl.load(squares + ROWS * 16)
        elif UNPACK:
            m = tl.load(_as(space, tl.float32) + 16 + tl.arange(0, 16))[None, :]
        else:
            m = _scales(head, at, tl.arange(0, 16), 1, FACTORS)[None, :]
        acc = tl.fma(begins, tl.broadcast_to(m, (ROWS, 16)), acc)
    return acc


@triton.jit
def block_product(
    panels, weights, bias, out, m, n, out_row, blocks, m_count, n_count,
    ROWS: tl.constexpr, SIZE: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr, GROUP: tl.constexpr, GROUP_SIZE: tl.constexpr,
    NIBBLES: tl.constexpr, OFFSET: tl.constexpr, MINIMA: tl.constexpr, FACTORS: tl.constexpr, BEGINS: tl.constexpr, TURN: tl.constexpr,
    UNPACK: tl.constexpr, SQUARES: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """`out[:m, :n]` = activations @ weights.T (+ bias): program (p, q) has `m_count` panels from p * m_count, `n_count` times 16 columns.

    `blocks` packed blocks of GROUPS groups of GROUP steps. UNPACK: so many blocks (0: none) are unpacked once for all rows (`_unpack_squares`, `_unpack_factors`);
    where that is done in PARTS, what was added up so far is in `out`. A turn of the loop takes TURN blocks; where these are unpacked with
    their integers, TURN times 32 steps.
    """
    i, j = tl.arange(0, ROWS), tl.arange(0, 16)
    m, n, blocks = tl.cast(m, tl.int64), tl.cast(n, tl.int64), tl.cast(blocks, tl.int64)
    first, last = tl.program_id(0).to(tl.int64) * m_count, tl.cdiv(m, ROWS)
    begin, end = tl.program_id(1).to(tl.int64) * n_count, tl.cdiv(n, 16)
    steps: tl.constexpr = GROUPS * GROUP
    size: tl.constexpr = ROWS * 32 + (BEGINS + 1 if BEGINS else 2) * 4 * ROWS * ROWS
    room: tl.constexpr = _room(ROWS, GROUP, NIBBLES, MINIMA, SQUARES)
    flat: tl.constexpr = SQUARES and (NIBBLES or ROWS > 4)
    space = weights
    if UNPACK:
        space = smt.alloc(shape=[triton.next_power_of_2(UNPACK * GROUPS * room)], type=tl.uint8).base
    for columns in range(begin, tl.minimum(begin + n_count, end)):
        for start in range(0, blocks if PARTS else 1, UNPACK if PARTS else 1):
            block = weights + (columns * blocks + start) * SIZE
            count = tl.minimum(blocks - start, UNPACK) if PARTS else blocks
            tl.assume(count > 0)
            if UNPACK:
                only_scales: tl.constexpr = SQUARES and GROUPS == 1 and not (flat or MINIMA or FACTORS)
                at_once: tl.constexpr = (4 if TURN % 4 == 0 else TURN) if only_scales else 1
                for number in range(0, count, at_once):
                    here, to = block + number * SIZE, space + number * (GROUPS * room)
                    if only_scales:
                        _unpack_scales(here, to, at_once, ROWS, SIZE)
                    elif SQUARES:
                        for part in tl.static_range(GROUPS):
                            at = here + HEAD + part * GROUP_SIZE
                            _unpack_squares(here, at, to + part * room, ROWS, GROUP, NIBBLES, OFFSET, MINIMA, FACTORS)
                    else:
                        _unpack_factors(here, here + HEAD, to, GROUPS, GROUP_SIZE, MINIMA, FACTORS)
            corner = out + first * ROWS * out_row + columns * 16
            for rows in range(first, tl.minimum(first + m_count, last)):
                panel = panels + (rows * blocks + start) * (steps // 32 * size)
                row, column = rows * ROWS, columns * 16
                to = corner + i[:, None] * out_row + j[None, :]
                if PARTS:
                    acc = tl.load(to, (i[:, None] < m - row) & (j[None, :] < n - column) & (start > 0), 0)
                else:
                    acc = tl.zeros((ROWS, 16), tl.float32)
                for turn in range(0, count * (steps // 32) if flat else count, TURN):
                    now = block if flat else block + turn * SIZE
                    a = panel + turn * ((1 if flat else steps // 32) * size)  # all else lies at constant distances from one place
                    unpacked = space + turn * ((32 // GROUP if flat else GROUPS) * room)
                    for part in tl.static_range(TURN * (32 // GROUP if flat else GROUPS)):
                        here = now + part // GROUPS * SIZE
                        at = here + (HEAD + part % GROUPS * GROUP_SIZE)
                        there = a + part * GROUP // 32 * size
                        acc = _add_group(
                            acc,
                            there,
                            here,
                            at,
                            unpacked + part * room,
                            part * GROUP % 32,
                            ROWS,
                            GROUP,
                            NIBBLES,
                            OFFSET,
                            MINIMA,
                            FACTORS,
                            BEGINS,
                            UNPACK,
                            SQUARES,
                        )
                if bias is not None:
                    acc += tl.load(bias + column + j, (j < n - column) & (start + count == blocks), 0).to(tl.float32)[None, :]
                if (rows < m // ROWS) & (columns < n // 16):
                    tl.store(to, acc)
                else:
                    tl.store(to, acc, (i[:, None] < m - row) & (j[None, :] < n - column))
                corner += ROWS * out_row


_PANELS, _PRODUCT = Kernel(fill_panels), Kernel(block_product)


def offset_of(packing: Packing) -> int:
    """How much larger the integers of packed blocks are than those they stand for."""
    return -packing.form.least if packing.nibbles else 0


_TURN = 8  # groups of steps, at most, in a turn of the loop
_UNPACKED_STEPS = 2048  # of k, at most, that are unpacked at once: 48 to 64 KiB
_UNPACKED_ROWS = 3  # panels from which on unpacking columns once costs less than in each


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
    squares = min(counts[0], panels.shape[0]) >= _UNPACKED_ROWS
    unpack = min(_UNPACKED_STEPS // packing.steps if squares or packing.factors else 0, blocks)
    flat = squares and (packing.nibbles or rows > 4)
    taken, size = (packing.steps // BLOCK, BLOCK // packing.group) if flat else (1, packing.groups)
    fits = [turn for turn in (8 if squares else 4, 4, 2) if turn * size <= _TURN and blocks * taken % turn == 0 and unpack * taken % turn == 0]
    _PRODUCT(
        grid, panels, weights, bias, out, m, n, out.stride(0), blocks, *counts,
        ROWS=rows, SIZE=packing.size, HEAD=packing.head, GROUPS=packing.groups, GROUP=packing.group, GROUP_SIZE=packing.group_size,
        NIBBLES=packing.nibbles, OFFSET=offset_of(packing), MINIMA=has_minima(packing), FACTORS=packing.factors,
        BEGINS=begins_of(packing), TURN=max(fits, default=1), UNPACK=unpack, SQUARES=squares, PARTS=0 < unpack < blocks,
    )  # fmt: skip


assert COLUMNS == 16
