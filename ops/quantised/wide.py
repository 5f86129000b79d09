"""Products of five rows of activations and more with packed weights on tiles of 8 x 8 x 16, as SpacemiT's second matrix unit has them.

What is computed is said in `products.py`, whose panels these are, of eight rows. An instruction multiplies eight times as much as one of
the first unit, while a tile of sums, which each group of steps scales, is as many registers; so what stands beside the instructions
counts, and register tiles are as broad as there is room: 8 x 32, two groups of 16 columns. Their weights are unpacked for all rows of a
program: for each group of steps

    bytes                        for 16 steps of k, column by column, as instructions take them
    8 x 8 scales, four times     of columns, as often as a tile has rows: in memory as sums lie in registers
    8 x 8 minima, four times     where the format has them
"""

import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt

from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK
from triton_spacemit.ops.quantised.packings import Packing
from triton_spacemit.ops.quantised.panels import begins_of
from triton_spacemit.ops.quantised.unpacking import address_as, scales_of_group
from triton_spacemit.ops.sizes import power_of_two

ROWS = 8
COLUMNS = 32
_UNPACKED = 1 << 17  # bytes, at most, of what is unpacked at once
_TURN = 4  # groups of steps, at most, in a turn of the loop


@triton.jit
def _columns(head, at, place: tl.constexpr, FACTORS: tl.constexpr):
    """The scales (place 0) or minima (place 1) of 16 columns in a group of steps, [2, 8, 8]: each 8 of them eight times.

    `head`: of the packed block, `at`: of the group.
    """
    lane = tl.arange(0, 128)
    return scales_of_group(head, at, lane // 64 * 8 + lane % 8, place, FACTORS)


@triton.jit
def _unpack(
    head, at, space, half: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, OFFSET: tl.constexpr, MINIMA: tl.constexpr,
    FACTORS: tl.constexpr,
):  # fmt: skip
    """A group of steps of one of two groups of 16 columns."""
    byte = tl.arange(0, 256)
    column, k = byte // 16, byte % 16
    for part in tl.static_range(GROUP // 16):
        to = address_as(space, tl.int8) + (part * 512 + half * 256) + byte
        if NIBBLES:
            pairs = tl.load(at + FACTORS * 16 + part * 128 + column * 8 + k % 8)
            tl.store(to, ((pairs >> (k // 8 * 4).to(tl.uint8)) & 15).to(tl.int8, bitcast=True) - OFFSET)
        else:
            words = tl.load(at + FACTORS * 16 + part * 256 + k // 8 * 128 + column * 8 + k % 8)
            tl.store(to, words.to(tl.int8, bitcast=True))
    squares = address_as(space + GROUP * 32, tl.float32) + half * 128 + tl.arange(0, 128)
    tl.store(squares, _columns(head, at, 0, FACTORS))
    if MINIMA:
        tl.store(squares + 256, _columns(head, at, 1, FACTORS))


@triton.jit
def _add_group(acc, panel, unpacked, first: tl.constexpr, GROUP: tl.constexpr, MINIMA: tl.constexpr, BEGINS: tl.constexpr):
    """`acc` and the products of one group of steps, of which the activations are from step `first` on of a panel's block of 32."""
    i, j, k = tl.arange(0, 8)[:, None], tl.arange(0, 32)[None, :], tl.arange(0, GROUP)
    a = tl.load(address_as(panel, tl.int8) + first * 8 + i * 16 + (k // 16 * 128 + k % 16)[None, :])
    w = tl.load(address_as(unpacked, tl.int8) + (k // 16 * 512 + k % 16)[:, None] + j * 16)
    squares = address_as(unpacked + GROUP * 32, tl.float32) + j // 8 * 64 + i * 8 + j % 8
    copies = address_as(panel + 256, tl.float32) + i * 8 + j % 8
    sums = tl.dot(a, w, out_dtype=tl.int32)
    scale = tl.load(copies + BEGINS * 64) * tl.load(squares)
    acc = tl.fma(sums.to(tl.float32), scale, acc)
    if MINIMA:
        acc = tl.fma(tl.load(copies + first // GROUP % BEGINS * 64), tl.load(squares + 256), acc)
    return acc


@triton.jit
def wide_product(
    panels, weights, bias, out, m, n, out_row, blocks, m_count, n_count,
    SIZE: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr, GROUP: tl.constexpr, GROUP_SIZE: tl.constexpr, NIBBLES: tl.constexpr,
    OFFSET: tl.constexpr, MINIMA: tl.constexpr, FACTORS: tl.constexpr, BEGINS: tl.constexpr, TURN: tl.constexpr, UNPACK: tl.constexpr,
    PARTS: tl.constexpr,
):  # fmt: skip
    """`out[:m, :n]` = activations @ weights.T (+ bias): program (p, q) has `m_count` panels from p * m_count, `n_count` times 32 columns.

    UNPACK packed blocks of GROUPS groups of GROUP steps are unpacked at once; where that is done in PARTS, what was added up so far is in
    `out`. A turn of the loop takes TURN groups.
    """
    i, j = tl.arange(0, 8)[:, None], tl.arange(0, 32)[None, :]
    m, n, blocks = tl.cast(m, tl.int64), tl.cast(n, tl.int64), tl.cast(blocks, tl.int64)
    first, last = tl.program_id(0).to(tl.int64) * m_count, tl.cdiv(m, 8)
    begin, end = tl.program_id(1).to(tl.int64) * n_count, tl.cdiv(n, 32)
    size: tl.constexpr = 256 + (BEGINS + 1) * 256  # of a panel's block of 32 steps
    room: tl.constexpr = GROUP * 32 + (2 if MINIMA else 1) * 1024
    space = smt.alloc(shape=[triton.next_power_of_2(UNPACK * GROUPS * room)], type=tl.uint8).base
    for columns in range(begin, tl.minimum(begin + n_count, end)):
        for start in range(0, blocks, UNPACK):
            count = tl.minimum(blocks - start, UNPACK)
            for half in tl.static_range(2):
                # The last 16 columns may have none beside them: then these are there twice.
                sixteen = tl.minimum(columns * 2 + half, tl.cdiv(n, 16) - 1)
                for number in range(0, count):
                    here = weights + (sixteen * blocks + start + number) * SIZE
                    for part in range(GROUPS):
                        at = here + HEAD + part * GROUP_SIZE
                        _unpack(here, at, space + (number * GROUPS + part) * room, half, GROUP, NIBBLES, OFFSET, MINIMA, FACTORS)
            for rows in range(first, tl.minimum(first + m_count, last)):
                panel = panels + (rows * blocks + start) * (GROUPS * GROUP // 32 * size)
                row, column = rows * 8, columns * 32
                to = out + row * out_row + column + i * out_row + j
                inside = (i < m - row) & (j < n - column)
                if PARTS:
                    acc = tl.load(to, inside & (start > 0), 0)
                else:
                    acc = tl.zeros((8, 32), tl.float32)
                for turn in range(0, count * GROUPS, TURN):
                    for part in tl.static_range(TURN):
                        there = panel + (turn * GROUP // 32 + part * GROUP // 32) * size
                        unpacked = space + (turn + part) * room
                        acc = _add_group(acc, there, unpacked, part * GROUP % 32, GROUP, MINIMA, BEGINS)
                if bias is not None:
                    acc += tl.load(bias + column + j, (j < n - column) & (start + count == blocks), 0).to(tl.float32)
                if (row + 8 <= m) & (column + 32 <= n):
                    tl.store(to, acc)
                else:
                    tl.store(to, acc, inside)


_PRODUCT = Kernel(wide_product)


def multiply(
    panels: torch.Tensor, weights: torch.Tensor, packing: Packing, bias: torch.Tensor | None, out: torch.Tensor, counts: tuple[int, int]
) -> None:
    """Write the product to `out`, (M, N) with neighbours along a row. counts: panels, and groups of 32 columns, of each program.

    panels: of `ROWS` rows each (`panels.make_panels`). weights: the bytes of packed weights (N, K).
    """
    m, n = out.shape
    blocks, minima = weights.shape[1], packing.has_minima
    room = packing.groups * (packing.group * 32 + (2 if minima else 1) * 1024)
    unpack = min(power_of_two(_UNPACKED // room + 1) // 2, power_of_two(blocks))
    turn = next(count for count in (_TURN, 2, 1) if all(number * packing.groups % count == 0 for number in (blocks, unpack)))
    assert turn * packing.group % BLOCK == 0 or packing.group == BLOCK  # a turn begins where a block of activations does
    columns = (n + COLUMNS - 1) // COLUMNS
    grid = (-(-panels.shape[0] // counts[0]), -(-columns // counts[1]))
    _PRODUCT(
        grid, panels, weights, bias, out, m, n, out.stride(0), blocks, *counts,
        SIZE=packing.size, HEAD=packing.head, GROUPS=packing.groups, GROUP=packing.group, GROUP_SIZE=packing.group_size,
        NIBBLES=packing.nibbles, OFFSET=packing.offset, MINIMA=minima, FACTORS=packing.factors, BEGINS=begins_of(packing), TURN=turn,
        UNPACK=unpack, PARTS=unpack < blocks,
    )  # fmt: skip
