"""Products of rows of activations with packed weights, for 4 rows and more, as SpacemiT's matrix unit computes them.

For each block of steps of k, with a row's scale `s` and sum of bytes `t`, and a column's scale `d` and minimum `m`, the sum of products of
bytes is exact, and what follows is in float32:

    acc = fma(float(sum), s * d, acc)
    acc = fma(s * t, m, acc)              where the format has minima

block after block in ascending k. Of Q4_0 that is, bit for bit, what GGML's backend for SpacemiT's cores computes. Integers that are stored
with an offset (the nibbles of Q4_0 are 8 more than they stand for) are multiplied as they are: the sum begins at minus the offset times t.
"""

import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt

from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK
from triton_spacemit.ops.quantised.packings import Packing
from triton_spacemit.ops.quantised.panels import begins_of, squares_of
from triton_spacemit.ops.quantised.unpacking import (
    address_as,
    depth_of,
    factor_room,
    integer_room,
    integers_of_group,
    scales_of_group,
    step_of,
    unpack_factors,
    unpack_nibbles,
)


@triton.jit
def _add_group(
    acc, panel, head, at, integers, factors, part: tl.constexpr, ROWS: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr,
    OFFSET: tl.constexpr, MINIMA: tl.constexpr, FACTORS: tl.constexpr, BEGINS: tl.constexpr, UNPACK: tl.constexpr, SQUARES: tl.constexpr,
):  # fmt: skip
    """`acc` and the products of one group of steps, of which the activations are from step `part` on of a panel's block of 32.

    `at`: where the group begins; `integers` and `factors`: where it was unpacked, if it was.
    """
    i, j, k = tl.arange(0, ROWS)[:, None], tl.arange(0, 16)[None, :], tl.arange(0, GROUP)
    depth: tl.constexpr = depth_of(ROWS)
    step = step_of(k, GROUP, SQUARES and NIBBLES)
    a = tl.load(address_as(panel, tl.int8) + part * ROWS + i * depth + (step // depth * (ROWS * depth) + step % depth)[None, :])
    copies = address_as(panel + ROWS * 32, tl.int32) + i * ROWS + j % ROWS
    if SQUARES and NIBBLES:
        place = (k // depth * (16 * depth) + k % depth)[:, None] + tl.arange(0, 16)[None, :] * depth
        w = tl.load(address_as(integers, tl.int8) + place)
    else:
        w = integers_of_group(at + FACTORS * 16, GROUP, NIBBLES)
    squares = address_as(factors, tl.float32) + (j // ROWS * (ROWS * ROWS) + j % ROWS) + i * ROWS
    square = BEGINS if squares_of(ROWS, BEGINS) == BEGINS + 1 else j // ROWS % 2
    s = tl.load(address_as(copies, tl.float32) + square * ROWS * ROWS)
    if OFFSET != 0 and not SQUARES:
        sums = tl.dot(a, w, tl.load(copies + part // GROUP % BEGINS * ROWS * ROWS), out_dtype=tl.int32)
    else:
        sums = tl.dot(a, w, out_dtype=tl.int32)
    if SQUARES:
        d = tl.load(squares)
    elif UNPACK:
        d = tl.load(address_as(factors, tl.float32) + tl.arange(0, 16))[None, :]
    else:
        d = scales_of_group(head, at, tl.arange(0, 16), 0, FACTORS)[None, :]
    acc = tl.fma(sums.to(tl.float32), s * d, acc)
    if MINIMA:
        begins = tl.load(address_as(copies, tl.float32) + part // GROUP % BEGINS * ROWS * ROWS)
        if SQUARES:
            m = tl.load(squares + ROWS * 16)
        elif UNPACK:
            m = tl.load(address_as(factors, tl.float32) + 16 + tl.arange(0, 16))[None, :]
        else:
            m = scales_of_group(head, at, tl.arange(0, 16), 1, FACTORS)[None, :]
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

    `blocks` packed blocks of GROUPS groups of GROUP steps. UNPACK: so many blocks (0: none) are unpacked once for all rows, with SQUARES as
    register tiles take them; where that is done in PARTS, what was added up so far is in `out`. A turn of the loop takes TURN blocks; where
    these are unpacked with their integers, TURN times 32 steps.
    """
    i, j = tl.arange(0, ROWS), tl.arange(0, 16)
    m, n, blocks = tl.cast(m, tl.int64), tl.cast(n, tl.int64), tl.cast(blocks, tl.int64)
    first, last = tl.program_id(0).to(tl.int64) * m_count, tl.cdiv(m, ROWS)
    begin, end = tl.program_id(1).to(tl.int64) * n_count, tl.cdiv(n, 16)
    steps: tl.constexpr = GROUPS * GROUP
    size: tl.constexpr = ROWS * 32 + squares_of(ROWS, BEGINS) * 4 * ROWS * ROWS
    flat: tl.constexpr = SQUARES and NIBBLES
    groups: tl.constexpr = TURN * (32 // GROUP if flat else GROUPS)  # of a turn: unpacked, their integers lie in front of their factors
    integer_size: tl.constexpr = integer_room(GROUP, NIBBLES, SQUARES)
    factor_size: tl.constexpr = factor_room(ROWS, MINIMA, SQUARES)
    room: tl.constexpr = integer_size + factor_size
    space = weights
    if UNPACK:
        space = smt.alloc(shape=[triton.next_power_of_2(UNPACK * GROUPS * room)], type=tl.uint8).base
    for columns in range(begin, tl.minimum(begin + n_count, end)):
        for start in range(0, blocks if PARTS else 1, UNPACK if PARTS else 1):
            block = weights + (columns * blocks + start) * SIZE
            count = tl.minimum(blocks - start, UNPACK) if PARTS else blocks
            tl.assume(count > 0)
            if UNPACK:
                at_once: tl.constexpr = TURN if GROUPS == 1 else 1
                some: tl.constexpr = groups if groups < at_once * GROUPS else at_once * GROUPS
                step: tl.constexpr = GROUP_SIZE if GROUPS > 1 else SIZE
                for number in range(0, count, at_once):
                    for part in tl.static_range(0, at_once * GROUPS, some):
                        here = block + number * SIZE
                        at, to = here + (HEAD + part * GROUP_SIZE), space + (number * GROUPS + part) * room
                        if flat:
                            unpack_nibbles(at + FACTORS * 16, to, some, GROUP, step, OFFSET)
                        to += some * integer_size
                        unpack_factors(here, at, to, some, SIZE if GROUPS == 1 else 0, step, ROWS if SQUARES else 1, MINIMA, FACTORS)
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
                    for part in tl.static_range(groups):
                        here = now + part // GROUPS * SIZE
                        at = here + (HEAD + part % GROUPS * GROUP_SIZE)
                        there = a + part * GROUP // 32 * size
                        acc = _add_group(
                            acc,
                            there,
                            here,
                            at,
                            unpacked + part * integer_size,
                            unpacked + (groups * integer_size + part * factor_size),
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


_PRODUCT = Kernel(block_product)


_TURN = 8  # groups of steps, at most, in a turn of the loop
_UNPACKED_STEPS = 2048  # of k, at most, that are unpacked at once: 48 to 64 KiB
_ROWS = 4  # of panels for which columns are unpacked as tiles of sums lie
_UNPACKED_ROWS = 3  # panels from which on unpacking columns once costs less than in each


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
    squares = rows == _ROWS and min(counts[0], panels.shape[0]) >= _UNPACKED_ROWS
    unpack = min(_UNPACKED_STEPS // packing.steps if squares or packing.factors else 0, blocks)
    flat = squares and packing.nibbles
    taken, size = (packing.steps // BLOCK, BLOCK // packing.group) if flat else (1, packing.groups)
    turns = (8 if squares else 4, 4, 2)
    fits = [turn for turn in turns if turn * size <= _TURN and blocks * taken % turn == 0 and unpack * taken % turn == 0]
    _PRODUCT(
        grid, panels, weights, bias, out, m, n, out.stride(0), blocks, *counts,
        ROWS=rows, SIZE=packing.size, HEAD=packing.head, GROUPS=packing.groups, GROUP=packing.group, GROUP_SIZE=packing.group_size,
        NIBBLES=packing.nibbles, OFFSET=packing.offset, MINIMA=packing.has_minima, FACTORS=packing.factors,
        BEGINS=begins_of(packing), TURN=max(fits, default=1), UNPACK=unpack, SQUARES=squares, PARTS=0 < unpack < blocks,
    )  # fmt: skip
