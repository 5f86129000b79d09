"""One row of activations times packed weights, on SpacemiT's matrix unit, which reads each byte of the weights once.

A tile of A has four rows, and one row of activations would leave three of them idle. So row r of it holds group 4t + r of the activations,
with zeros where the other rows have theirs:

    A = [a0 .. .. ..]        B = [w0]        A B = [a0 w0]
        [.. a1 .. ..]            [w1]              [a1 w1]
        [.. .. a2 ..]            [w2]              [a2 w2]
        [.. .. .. a3]            [w3]              [a3 w3]

A tile of sums so collects four groups, each of which has a scale of its own, before it leaves the matrix unit. An instruction multiplies
all rows anyway, so the zeros cost nothing but their memory, three bytes for each one of the activations (`spread_groups`).

Sums of a group are exact integers. In float32, group by group in ascending order, for each column of a format of blocks of 32:

    out = fma(sum, activation scale * scale, out)
    out = fma(minimum, activation scale * sum of activations, out)      where the format has minima

which is what GGML's kernel for these cores does, bit for bit, for Q4_0 and for zero points in the place of minima
(`SQ4BitGemmM1Kernel_CompInt8_ScaleFp16_Impl` of ggml-org/ggml, src/ggml-cpu/spacemit/ime1_kernels.cpp). Blocks of 256 have factors of 8
bits for each group, and sum * factor is exact:

    inner = fma(sum * factor, activation scale, inner)                  and inner_minima likewise
    out = fma(scale, inner, out);  out = fma(-minimum, inner_minima, out)

With n groups, out is within (n + 4) * 2^-24 times the sum of the magnitudes of all these terms of what the quantised activations and
weights stand for.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import active_chip, knobs
from triton_spacemit.dialect import ime
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK, Activations, Order
from triton_spacemit.ops.quantised.packings import Packing
from triton_spacemit.ops.sizes import power_of_two

_GROUPS = 4  # that a tile collects
_TURNS = 16  # that a program spreads: lanes of its vectors
_PROGRAMS = 4  # for each thread, so that all end at about the same time


@triton.jit
def spread_groups(values, scales, tiles, starts, factors, groups, turns, GROUP: tl.constexpr, ZERO: tl.constexpr):
    """Groups of GROUP bytes as rows of tiles, [turns, 4, GROUP / 8, 4, 8]. program: one turn, of four groups.

    The first turn has the first four groups, the last one the last four. Groups that the first and the second one both have are zeros in
    the second, and so is their scale. `starts` [turns, 4]: -ZERO times the sum of each group, for weights that count from ZERO below 0.
    `factors` [turns, 2, 4]: the scale of its block of 32, and that times its sum.
    """
    turn = tl.program_id(0)
    group, step, row, byte = tl.arange(0, 4), tl.arange(0, GROUP // 8), tl.arange(0, 4), tl.arange(0, 8)
    number = tl.where(turn == 0, 0, groups - 4 * (turns - turn)) + group
    new = (number >= 4) | (turn == 0)
    place = number[:, None, None] * GROUP + step[None, :, None] * 8 + byte[None, None, :]
    a = tl.load(values + place, new[:, None, None], 0)
    own = group[:, None, None, None] == row[None, None, :, None]
    to = group[:, None, None, None] * (4 * GROUP) + step[None, :, None, None] * 32 + row[None, None, :, None] * 8 + byte
    tl.store(tiles + turn * (16 * GROUP) + to, tl.where(own, a[:, :, None, :], 0))
    total = tl.sum(tl.sum(a.to(tl.int32), 2), 1)
    scale = tl.load(scales + number * GROUP // 32, new, 0)
    tl.store(starts + turn * 4 + group, -ZERO * total)
    tl.store(factors + turn * 8 + group, scale)
    tl.store(factors + turn * 8 + 4 + group, scale * total.to(tl.float32))


@triton.jit
def spread_turns(values, scales, tiles, starts, factors, first, shift, GROUP: tl.constexpr, ZERO: tl.constexpr, TURNS: tl.constexpr):
    """The same of turns without such zeros: program p has TURNS from `first + p * TURNS` on, whose groups lie `shift` in front of 4 a turn.

    Words of 8 bytes are moved; lanes are turns. Bytes of a word are added up in pairs, as they are 128 larger and have no sign.
    """
    begin = first + tl.program_id(0) * TURNS
    number = begin * 4 - shift  # of the first group
    turn, everything = tl.arange(0, TURNS), tl.arange(0, TURNS * 2 * GROUP)
    words = (values + number * GROUP).to(tl.pointer_type(tl.int64), bitcast=True) + turn * (GROUP // 2)
    to = (tiles + begin * (16 * GROUP)).to(tl.pointer_type(tl.int64), bitcast=True)
    tl.store(to + everything, tl.zeros((TURNS * 2 * GROUP,), tl.int64))
    for g in tl.static_range(4):
        pairs = tl.zeros((TURNS,), tl.int64)
        for step in tl.static_range(GROUP // 8):
            word = tl.load(words + (g * (GROUP // 8) + step))
            tl.store(to + turn * (2 * GROUP) + (g * (GROUP // 2) + step * 4 + g), word)
            word = word ^ -0x7F7F7F7F7F7F7F80
            pairs += (word & 0x00FF00FF00FF00FF) + ((word >> 8) & 0x00FF00FF00FF00FF)
        total = (((pairs * 0x0001000100010001) >> 48) & 0xFFFF).to(tl.int32) - 128 * GROUP
        tl.store(starts + begin * 4 + g + turn * 4, -ZERO * total)
        scale = tl.load(scales + (number + g) * GROUP // 32 + turn * (GROUP // 8))
        tl.store(factors + begin * 8 + g + turn * 8, scale)
        tl.store(factors + begin * 8 + 4 + g + turn * 8, scale * total.to(tl.float32))


@triton.jit
def rows_of(x):
    """The rows of a block of [4, 16]."""
    upper, lower = tl.split(tl.trans(tl.reshape(x, (2, 32))))
    first, second = tl.split(tl.trans(tl.reshape(upper, (2, 16))))
    third, fourth = tl.split(tl.trans(tl.reshape(lower, (2, 16))))
    return first, second, third, fourth


@triton.jit
def integers_of(at, SIZE: tl.constexpr, COUNT: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr):
    """The integers of COUNT groups, [COUNT * GROUP, 16], which lie SIZE bytes apart."""
    group = tl.arange(0, COUNT)[:, None]
    if NIBBLES:
        raw = tl.load(at + group * SIZE + tl.arange(0, GROUP * 8)[None, :])
        pairs = tl.join(raw & 15, raw >> 4).reshape(COUNT * GROUP // 16, 16, 8, 2)  # 16 steps of K, column, step, upper half
        return pairs.permute(0, 3, 2, 1).reshape(COUNT * GROUP, 16).to(tl.int8, bitcast=True)
    words = tl.load(at + group * SIZE + tl.arange(0, GROUP * 16)[None, :]).reshape(COUNT * GROUP // 8, 16, 8)
    return words.permute(0, 2, 1).reshape(COUNT * GROUP, 16).to(tl.int8, bitcast=True)


@triton.jit
def sums_of(sums, tiles, at, SIZE: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr):
    """`sums`, [4, 16], and in each row the products of a group."""
    AT_ONCE: tl.constexpr = (1 if NIBBLES else 2) * 32 // GROUP  # groups that registers have room for beside all else
    for g in tl.static_range(0, 4, AT_ONCE):
        a = tl.load(tiles + g * (4 * GROUP) + tl.arange(0, AT_ONCE * 4 * GROUP))
        a = a.reshape(AT_ONCE * GROUP // 8, 4, 8).permute(1, 0, 2).reshape(4, AT_ONCE * GROUP)
        sums = tl.dot(a, integers_of(at + g * SIZE, SIZE, AT_ONCE, GROUP, NIBBLES), sums, out_dtype=tl.int32)
    return sums


@triton.jit
def begins(starts, START: tl.constexpr):
    """What the sums of four rows begin at, in 16 columns: the numbers at `starts`, or (not START) zeros."""
    if START:
        return tl.broadcast_to(tl.load(starts + tl.arange(0, 4))[:, None], (4, 16))
    else:
        return tl.zeros((4, 16), tl.int32)


@triton.jit
def add_blocks(total, tiles, starts, factors, weights, START: tl.constexpr, NIBBLES: tl.constexpr, HEAD: tl.constexpr):
    """`total`, of 16 columns, and what four blocks of 32 add to it."""
    SIZE: tl.constexpr = HEAD + (256 if NIBBLES else 512)
    column, row = tl.arange(0, 16), tl.arange(0, 4)
    sums = sums_of(begins(starts, START), tiles, weights + HEAD, SIZE, 32, NIBBLES)
    head = weights.to(tl.pointer_type(tl.float16))
    if HEAD == 64:
        both = tl.load(head + row[:, None] * (SIZE // 2) + tl.arange(0, 32)[None, :]).to(tl.float32)
        scale, minimum = tl.split(both.reshape(4, 2, 16).permute(0, 2, 1))
        minima = rows_of(minimum)
    else:
        scale = tl.load(head + row[:, None] * (SIZE // 2) + column[None, :]).to(tl.float32)
    if HEAD == 48:
        zero_points = tl.load(weights + 32 + row[:, None] * SIZE + column[None, :]).to(tl.int32)
        sums += zero_points * tl.load(starts + row)[:, None]
    terms = rows_of(sums.to(tl.float32))
    scales = rows_of(scale * tl.load(factors + row)[:, None])
    for r in tl.static_range(4):
        total = tl.fma(terms[r], scales[r], total)
        if HEAD == 64:
            total = tl.fma(minima[r], tl.load(factors + 4 + r), total)
    return total


@triton.jit
def decode_blocks(
    tiles,
    starts,
    factors,
    packed,
    bias,
    out,
    columns,
    per_program,
    groups,
    START: tl.constexpr,
    NIBBLES: tl.constexpr,
    HEAD: tl.constexpr,
):
    """Weights in blocks of 32. program: `per_program` times 16 columns.

    HEAD: the bytes in front of a block's integers: 32 of scales, and 32 of minima, or 16 of zero points. START: sums begin at `starts`.
    """
    SIZE: tl.constexpr = HEAD + (256 if NIBBLES else 512)
    first = tl.program_id(0) * per_program
    first_step = ((groups - 1) % 4 + 1) * SIZE
    for n in range(first, tl.minimum(first + per_program, tl.cdiv(columns, 16))):
        weights = packed + tl.cast(n, tl.int64) * groups * SIZE
        a_tiles, a_starts, a_factors = tiles, starts, factors
        total = tl.zeros((16,), tl.float32)
        step = first_step
        for _ in range(0, tl.cdiv(groups, 4)):
            total = add_blocks(total, a_tiles, a_starts, a_factors, weights, START, NIBBLES, HEAD)
            weights += step
            step = tl.full((), 4 * SIZE, tl.int32)
            a_tiles += 512
            a_starts += 4
            a_factors += 8
        store_columns(total, bias, out, n, columns)


@triton.jit
def store_columns(total, bias, out, n, columns):
    column = n * 16 + tl.arange(0, 16)
    if bias is not None:
        total += tl.load(bias + column, column < columns, 0)
    tl.store(out + column, total, column < columns)


@triton.jit(do_not_specialize=["blocks"])  # one block is a loop as well
def decode_super_blocks(
    tiles,
    starts,
    factors,
    packed,
    bias,
    out,
    columns,
    per_program,
    blocks,
    GROUPS: tl.constexpr,
    START: tl.constexpr,
    NIBBLES: tl.constexpr,
    MINIMA: tl.constexpr,
):
    """Weights in blocks of 256, of which each of GROUPS groups has factors of the scale and the minimum. program: as in `decode_blocks`."""
    GROUP: tl.constexpr = 256 // GROUPS
    HEAD: tl.constexpr = 64 if MINIMA else 32
    OWN: tl.constexpr = HEAD // 2  # bytes of factors of a group
    SIZE: tl.constexpr = OWN + GROUP * (8 if NIBBLES else 16)
    column, row = tl.arange(0, 16), tl.arange(0, 4)
    first = tl.program_id(0) * per_program
    for n in range(first, tl.minimum(first + per_program, tl.cdiv(columns, 16))):
        weights = packed + tl.cast(n, tl.int64) * blocks * (HEAD + GROUPS * SIZE)
        a_tiles, a_starts, a_factors = tiles, starts, factors
        total = tl.zeros((16,), tl.float32)
        for _ in range(0, blocks):
            inner, inner_minima = 0.0, 0.0
            for turn in tl.static_range(GROUPS // 4):
                at = weights + HEAD + turn * 4 * SIZE
                begin = begins(a_starts + turn * 4, START)
                sums = sums_of(begin, a_tiles + turn * 16 * GROUP, at + OWN, SIZE, GROUP, NIBBLES)
                if MINIMA:
                    both = tl.load(at + row[:, None] * SIZE + tl.arange(0, 32)[None, :]).to(tl.float32)
                    scale, minimum = tl.split(both.reshape(4, 2, 16).permute(0, 2, 1))
                    minima = rows_of(minimum)
                else:
                    scale = tl.load(at.to(tl.pointer_type(tl.int8)) + row[:, None] * SIZE + column[None, :]).to(tl.float32)
                scales, terms = rows_of(scale), rows_of(sums.to(tl.float32))
                for r in tl.static_range(4):
                    factor, product = tl.load(a_factors + turn * 8 + r), tl.load(a_factors + turn * 8 + 4 + r)
                    term = terms[r] * scales[r]
                    inner = term * factor if turn + r == 0 else tl.fma(term, factor, inner)
                    if MINIMA:
                        inner_minima = minima[r] * product if turn + r == 0 else tl.fma(minima[r], product, inner_minima)
            head = weights.to(tl.pointer_type(tl.float16))
            total = tl.fma(tl.load(head + column).to(tl.float32), inner, total)
            if MINIMA:
                total = tl.fma(-tl.load(head + 16 + column).to(tl.float32), inner_minima, total)
            weights += HEAD + GROUPS * SIZE
            a_tiles += 1024
            a_starts += GROUPS
            a_factors += GROUPS * 2
        store_columns(total, bias, out, n, columns)


_SPREAD, _SPREAD_TURNS = Kernel(spread_groups), Kernel(spread_turns)
_BLOCKS, _SUPER_BLOCKS = Kernel(decode_blocks), Kernel(decode_super_blocks)


def takes(packing: Packing, steps: int) -> bool:
    """Whether rows of so many `steps` are multiplied here on the active chip: at least four groups, with tiles of four rows."""
    chip = active_chip()
    tile = ime.TILES.get((chip.vlen, 8)) if chip.ime else None
    return tile is not None and tile.m == _GROUPS and steps >= _GROUPS * packing.group


@dataclass(frozen=True)
class Spread:
    """One row of activations as tiles for weights of a packing: see `spread_groups`."""

    tiles: torch.Tensor
    starts: torch.Tensor
    factors: torch.Tensor


def spread(activations: Activations, packing: Packing) -> Spread:
    """The one row of `activations`, in the order of rows, in tiles. Raises ValueError where it is not that."""
    if activations.rows != 1 or activations.order is not Order.ROWS:
        raise ValueError(f"decoding takes one row in the order of rows, not {activations.rows} in {activations.order.name}")
    values, group = activations.values, packing.group
    groups = activations.columns // group
    turns = -(-groups // _GROUPS)
    tiles = values.new_empty(turns * _GROUPS * 4 * group)
    starts, factors = values.new_empty(turns * _GROUPS, dtype=torch.int32), values.new_empty(turns * 8, dtype=torch.float32)
    args = (values, activations.scales, tiles, starts, factors)
    constants = {"GROUP": group, "ZERO": _start(packing)}
    shift, first = 4 * turns - groups, 0
    if shift:
        first = min(turns, 2)
        _SPREAD((first,), *args, groups, turns, **constants)
    while first < turns:
        at_once = min(_TURNS, power_of_two(turns - first + 1) // 2)
        count = (turns - first) // at_once
        _SPREAD_TURNS((count,), *args, first, shift, TURNS=at_once, **constants)
        first += count * at_once
    return Spread(tiles, starts, factors)


def _start(packing: Packing) -> int:
    """What is added up below the sums: how far nibbles count from, or 1 for zero points, which are multiplied in the kernel."""
    if packing.minima == "zero point":
        return 1
    return -packing.form.least if packing.nibbles else 0


def multiply_row(activations: Activations, weights: torch.Tensor, packing: Packing, bias: torch.Tensor | None, out: torch.Tensor) -> None:
    """`activations @ weights.T + bias` of one row into `out`, float32 [N].

    activations: (1, K), in the order of rows. weights: the bytes of packed weights (N, K), for which `takes` holds. bias: float32 [N],
    contiguous. A scale that is not finite makes its column infinite or NaN. Raises ValueError for other shapes.
    """
    steps, columns = activations.columns, out.numel()
    if tuple(weights.shape) != packing.shape(columns, steps) or not takes(packing, steps):
        raise ValueError(f"weights {tuple(weights.shape)} of {packing.name} are not multiplied with a row of {steps} into {columns}")
    tiles, groups = spread(activations, packing), weights.shape[0]
    threads = knobs.num_threads
    per_program = -(-groups // (_PROGRAMS * threads if threads > 1 else 1))
    per_program = max(per_program, min(_PROGRAMS, -(-groups // threads)))
    args = (tiles.tiles, tiles.starts, tiles.factors, weights, bias, out, columns, per_program, weights.shape[1])
    grid = (-(-groups // per_program),)
    start = packing.offset != 0
    if packing.steps == BLOCK:
        _BLOCKS(grid, *args, START=start, NIBBLES=packing.nibbles, HEAD=packing.head)
    else:
        _SUPER_BLOCKS(grid, *args, GROUPS=packing.groups, START=start, NIBBLES=packing.nibbles, MINIMA=packing.has_minima)
