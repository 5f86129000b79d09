"""Up to four rows of activations times packed weights on tiles of 8 x 8 x 16, as SpacemiT's second matrix unit has them.

A register of packed weights has 8 steps of k of 16 columns, side by side; an instruction takes it for 16 steps of 8 columns. So what it
multiplies as one column are two neighbours, and A has two rows for each of its own, with zeros where the other column of a pair is:

    A = [a0 .. ]        B = [w0 w2 ..]        A B = [a0 w0  a0 w2 ..]       even columns
        [.. a0 ]            [w1 w3 ..]              [a0 w1  a0 w3 ..]       odd columns

Weights go to the instruction as they lie in memory. A tile has room for four such lines: four rows of activations, or of one row four
groups of k, each with zeros where the others have theirs. With scale `s` and sum of bytes `t` of a row's block, scale `d` and minimum `m`
of a column, the sum of products of bytes is exact; what follows is in float32, for each line by ascending k:

    acc = fma(float(sum), s * d, acc)
    acc = fma(s * t, m, acc)              where the format has minima

The four lines of one row are added up at the end: with n groups, the result is within (n + 4) * 2^-24 times the sum of the magnitudes of
all these terms of what the quantised activations and weights stand for.

Lines come in panels, for each turn (a group of each line): its tiles, then squares of 8 x 8, as a tile of sums lies: what sums begin at
(int32, minus the sum of a line's bytes times what nibbles count from), scales, and where there are minima the products s * t. Where sums
begin at zero the first square is left out, or is empty where a panel with it is a power of two: one load brings so many registers.
"""

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK, Activations, Order
from triton_spacemit.ops.quantised.packings import Packing
from triton_spacemit.ops.quantised.unpacking import address_as

LINES = 4
_SQUARE = 256  # bytes
_PROGRAMS = 4  # for each thread, so that all end at about the same time
_TURNS = 32  # of a program that fills panels


@triton.jit
def _word(group: tl.constexpr, step: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, TOGETHER: tl.constexpr) -> tl.constexpr:
    """Which tile of a turn has the 8 steps of this number of a group: as weights come, of which so many groups are unpacked together."""
    if NIBBLES:
        halves: tl.constexpr = GROUP // 16
        return group // TOGETHER * (TOGETHER * 2 * halves) + step % 2 * (TOGETHER * halves) + group % TOGETHER * halves + step // 2
    return group * (GROUP // 8) + step


@triton.jit
def fill_pairs(
    values, scales, sums, panels, rows, groups, begin, end, shift, least,
    GROUP: tl.constexpr, NIBBLES: tl.constexpr, TOGETHER: tl.constexpr, OFFSET: tl.constexpr, SIGN: tl.constexpr, PANEL: tl.constexpr,
    FACTORS: tl.constexpr, ROWS: tl.constexpr, TURNS: tl.constexpr,
):  # fmt: skip
    """Panels of rows of bytes for the turns from `begin` to `end`: a program has TURNS of them, which are lanes. ROWS: lines are rows.

    Else they are four groups of one row, which lie `shift` in front of four a turn; those below `least` are zeros, and so is their scale.
    SIGN: of the products, 0 where there are none. FACTORS: where a panel's scales are.
    """
    tiles: tl.constexpr = (1 if ROWS else 4) * GROUP * 16
    turn = begin + tl.program_id(0) * TURNS + tl.arange(0, TURNS)
    inside = turn < end
    panel = turn.to(tl.int64) * PANEL
    words = address_as(panels, tl.int64) + panel // 8
    begins, factors = address_as(panels + tiles, tl.int32) + panel // 4, address_as(panels + FACTORS, tl.float32) + panel // 4
    tl.store(words[:, None] + tl.arange(0, tiles // 8)[None, :], tl.zeros((TURNS, tiles // 8), tl.int64), inside[:, None])
    for line in tl.static_range(4):
        if ROWS:
            number, there = line * groups + turn, inside & (line < rows)
        else:
            number = turn * 4 - shift + line
            there = inside & (number >= least)
        total = tl.zeros((TURNS,), tl.int32)
        for step in tl.static_range(GROUP // 8):
            word = _word(0 if ROWS else line, step, GROUP, NIBBLES, TOGETHER)
            a = tl.load(address_as(values, tl.int64) + number * (GROUP // 8) + step, there, 0)
            tl.store(words + (word * 16 + line * 4), a, inside)
            tl.store(words + (word * 16 + line * 4 + 3), a, inside)
            if GROUP < 32:
                a = a ^ -0x7F7F7F7F7F7F7F80  # bytes that are 128 larger and have no sign
                pairs = (a & 0x00FF00FF00FF00FF) + ((a >> 8) & 0x00FF00FF00FF00FF)
                total += (((pairs * 0x0001000100010001) >> 48) & 0xFFFF).to(tl.int32) - 1024
        if GROUP == 32:
            total = tl.load(sums + number, there, 0)
        scale = tl.load(scales + number * GROUP // 32, there, 0)
        product = total.to(tl.float32) * scale * SIGN
        for copy in tl.static_range(16):
            if OFFSET != 0:
                tl.store(begins + (line * 16 + copy), -OFFSET * total, inside)
            tl.store(factors + (line * 16 + copy), scale, inside)
            if SIGN != 0:
                tl.store(factors + (64 + line * 16 + copy), product, inside)


@triton.jit
def _pairs(at, odd):
    """float32 of pairs of float16 in memory: the first or the `odd` one."""
    return (tl.load(at) >> (odd * 16)).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def _factors(at, odd, SIGNED: tl.constexpr):
    """float32 of pairs of bytes in memory: the first or the `odd` one."""
    pair = tl.load(at)
    if SIGNED:
        return ((pair << (8 - odd * 8).to(tl.int16)) >> 8).to(tl.float32)
    return ((pair >> (odd * 8).to(tl.int16)) & 255).to(tl.float32)


@triton.jit
def pair_product(
    panels, weights, bias, out, rows, columns, per_program, turns, blocks, first_step,
    ROWS: tl.constexpr, SIZE: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr, GROUP: tl.constexpr, GROUP_SIZE: tl.constexpr,
    NIBBLES: tl.constexpr, TOGETHER: tl.constexpr, OFFSET: tl.constexpr, MINIMA: tl.constexpr, FACTORS: tl.constexpr, PANEL: tl.constexpr,
    SCALES: tl.constexpr, TURN: tl.constexpr,
):  # fmt: skip
    """`out[:rows, :columns]` = activations @ weights.T (+ bias): a program has `per_program` times 16 columns.

    Of packed weights (columns / 16, blocks, SIZE), in groups. A turn of the loop takes TURN turns of the panels. `first_step`: bytes from
    the weights of the first one to those of the second. SCALES: where those of a panel are.
    """
    AT_ONCE: tl.constexpr = 1 if ROWS else 4  # groups
    WORDS: tl.constexpr = AT_ONCE * GROUP // 8
    APART: tl.constexpr = SIZE if GROUPS == 1 else GROUP_SIZE
    i, c, k = tl.arange(0, 8)[:, None], tl.arange(0, 8)[None, :], tl.arange(0, WORDS * 16)
    word, byte, odd = k // 16, k % 16, i % 2
    if NIBBLES:
        halves: tl.constexpr = GROUP // 16
        upper = word // (TOGETHER * halves) % 2
        place = (word // (TOGETHER * 2 * halves) * TOGETHER + word // halves % TOGETHER) * APART + word % halves * 128 + byte
    else:
        upper = word * 0
        place = word // (GROUP // 8) * APART + word % (GROUP // 8) * 128 + byte
    line = i * 0 if ROWS else i // 2
    first = tl.program_id(0) * per_program
    for part in range(first, tl.minimum(first + per_program, tl.cdiv(columns, 16))):
        at = weights + tl.cast(part, tl.int64) * blocks * SIZE
        panel = panels
        step = first_step
        acc = tl.zeros((8, 8), tl.float32)
        for _ in range(0, turns, TURN):
            for t in tl.static_range(TURN):
                group = at + (t * AT_ONCE // GROUPS * SIZE + HEAD + t * AT_ONCE % GROUPS * GROUP_SIZE)
                there = panel + t * PANEL
                a = tl.load(address_as(there, tl.int8) + i * 16 + (word * 128 + byte)[None, :])
                w = tl.load(group + FACTORS * 16 + place[:, None] + c * 16)
                if NIBBLES:
                    w = (w >> (upper * 4).to(tl.uint8)[:, None]) & 15
                factors = address_as(there + SCALES, tl.float32) + i * 8 + c
                if OFFSET != 0:
                    begins = tl.load(address_as(there + WORDS * 128, tl.int32) + i * 8 + c)
                    sums = tl.dot(a, w.to(tl.int8, bitcast=True), begins, out_dtype=tl.int32)
                else:
                    sums = tl.dot(a, w.to(tl.int8, bitcast=True), out_dtype=tl.int32)
                head = address_as(at + t * AT_ONCE // GROUPS * SIZE, tl.int32) + c
                own = address_as(group, tl.int16) + line * (APART // 2) + c
                if GROUPS == 1:
                    head += line * (SIZE // 4)
                d = _pairs(head, odd)
                if FACTORS > 0:
                    d *= _factors(own, odd, FACTORS == 1)
                acc = tl.fma(sums.to(tl.float32), tl.load(factors) * d, acc)
                if MINIMA:
                    m = _pairs(head + 8, odd)
                    if FACTORS > 0:
                        m *= _factors(own + 8, odd, False)
                    acc = tl.fma(tl.load(factors + 64), m, acc)
            at += step
            step = tl.full((), TURN * AT_ONCE * SIZE // GROUPS, tl.int32)
            panel += TURN * PANEL
        _store(acc, bias, out, part, rows, columns, ROWS)


@triton.jit
def _store(acc, bias, out, part, rows, columns, ROWS: tl.constexpr):
    """The sums of even and odd columns, in their order."""
    left = columns - part * 16
    if ROWS:
        i, c = tl.arange(0, 8)[:, None], tl.arange(0, 8)[None, :]
        j = c * 2 + i % 2
        to = out + (i // 2).to(tl.int64) * columns + part * 16 + j
        if bias is not None:
            acc += tl.load(bias + part * 16 + j, j < left, 0)
        if (rows == 4) & (left >= 16):
            tl.store(to, acc)
        else:
            tl.store(to, acc, (i // 2 < rows) & (j < left))
    else:
        place = tl.arange(0, 16)
        j = place % 8 * 2 + place // 8
        total = tl.sum(acc.reshape(4, 16), 0)
        if bias is not None:
            total += tl.load(bias + part * 16 + j, j < left, 0)
        tl.store(out + part * 16 + j, total, j < left)


_FILL, _PRODUCT = Kernel(fill_pairs), Kernel(pair_product)


def takes(packing: Packing, rows: int, steps: int) -> bool:
    """Whether so many rows of `steps` are multiplied here: one of at least four groups, or up to four."""
    return packing.minima != "zero point" and rows <= LINES and (rows > 1 or steps >= LINES * packing.group)


def _together(packing: Packing, rows: int) -> int:
    """How many groups are unpacked together: such as fill four registers of nibbles."""
    return 2 if rows == 1 and packing.group == BLOCK else 1


def _places(packing: Packing, rows: int) -> tuple[int, int]:
    """Where a panel has its scales, and its bytes."""
    tiles, factors = (1 if rows > 1 else LINES) * packing.group * 16, (2 if packing.has_minima else 1) * _SQUARE
    begins = packing.offset != 0 or (tiles + _SQUARE + factors).bit_count() == 1
    scales = tiles + begins * _SQUARE
    return scales, scales + factors


def panels_of(activations: Activations, packing: Packing) -> torch.Tensor:
    """The panels of up to four rows: uint8 (turns, bytes). Raises ValueError where they are not in the order of rows, with their sums."""
    rows, group = activations.rows, packing.group
    if not takes(packing, rows, activations.columns) or activations.order is not Order.ROWS or activations.sums is None:
        raise ValueError(f"up to {LINES} rows in the order of rows are taken, not {rows} in {activations.order.name}")
    groups = activations.columns // group
    turns = groups if rows > 1 else -(-groups // LINES)
    scales, size = _places(packing, rows)
    panels = torch.empty(turns, size, dtype=torch.uint8)
    shift = 0 if rows > 1 else LINES * turns - groups
    # Turns whose groups lie side by side: behind the first one, if the second one has some of its groups.
    for begin, end, back, least in ((0, 1, 0, 0), (1, turns, shift, LINES)) if shift else ((0, turns, 0, 0),):
        if begin < end:
            _FILL(
                (-(-(end - begin) // _TURNS),), activations.values, activations.scales, activations.sums, panels, rows, groups, begin, end,
                back, least, GROUP=group, NIBBLES=packing.nibbles, TOGETHER=_together(packing, rows),
                OFFSET=packing.offset, SIGN=packing.sign,
                PANEL=size, FACTORS=scales, ROWS=rows > 1, TURNS=_TURNS,
            )  # fmt: skip
    return panels


def multiply(
    panels: torch.Tensor, rows: int, weights: torch.Tensor, packing: Packing, bias: torch.Tensor | None, out: torch.Tensor
) -> None:
    """The product of `panels`, of so many rows, into `out`, contiguous float32 (rows, N). bias: float32 (N), contiguous.

    weights: the bytes of packed weights (N, K). A scale that is not finite makes its column infinite or NaN.
    """
    columns, parts, blocks = out.shape[1], weights.shape[0], weights.shape[1]
    turns = panels.shape[0]
    threads = knobs.num_threads
    per_program = max(-(-parts // (_PROGRAMS * threads if threads > 1 else 1)), min(_PROGRAMS, -(-parts // threads)))
    at_once = 1 if rows > 1 else LINES
    turn = 1 if packing.groups == 1 else packing.groups // at_once
    if rows > 1 and packing.groups == 1:
        turn = next(count for count in (4, 2, 1) if turns % count == 0)
    every = turn * at_once * packing.size // packing.groups
    groups = blocks * packing.groups
    first_step = every if groups % at_once == 0 else groups % at_once * packing.size
    _PRODUCT(
        (-(-parts // per_program),), panels, weights, bias, out, rows, columns, per_program, turns, blocks, first_step,
        ROWS=rows > 1, SIZE=packing.size, HEAD=packing.head, GROUPS=packing.groups, GROUP=packing.group, GROUP_SIZE=packing.group_size,
        NIBBLES=packing.nibbles, TOGETHER=_together(packing, rows), OFFSET=packing.offset, MINIMA=packing.has_minima,
        FACTORS=packing.factors, PANEL=panels.shape[1], SCALES=_places(packing, rows)[0], TURN=turn,
    )  # fmt: skip
