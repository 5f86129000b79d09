"""Rows of activations times packed weights on RISC-V's vectors, where there is no matrix unit: bytes multiplied into sums of 16 or 32 bits.

Columns are lanes, and each step of k multiplies them by one byte of a row. For that, weights are unpacked once for all rows: step by step
of k, the columns of a strip side by side; one row takes them as they lie, 16 columns at a time.

Where integers have 4 bits, a group's sum fits into 16 bits, and `vwmacc` multiplies bytes: of 32 steps, no more than 127 * 8 * 32 = 32,512
if they count from -8. Those that count from 0 are taken as 8 less, and 8 times the sum of the row's bytes is added to the sum, in 32 bits.
Other integers are unpacked to 16 bits and added up in 32.

What follows is in float32, as in `products.py`: with a row's scale `s` and sum of bytes `t`, and a column's scale `d` and minimum `m`,

    acc = fma(float(sum), s * d, acc)
    acc = fma(s * t, m, acc)              where the format has minima

group after group in ascending k: of Q4_0, GGML's result bit for bit.
"""

import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt

from triton_spacemit.backend.knobs import active_chip, knobs
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK, Activations, Order
from triton_spacemit.ops.quantised.packings import COLUMNS, Packing
from triton_spacemit.ops.quantised.unpacking import scales_of_group

_STEPS = 512  # of k that are unpacked at once, for 64 columns or more: 32 to 64 KiB
_LARGEST = 127  # of a row's bytes
_MOST = (1 << 15) - 1


@triton.jit
def _unpack(
    head, at, integers, factors, STRIP: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, LESS: tl.constexpr, MINIMA: tl.constexpr,
    FACTORS: tl.constexpr,
):  # fmt: skip
    """A group of steps of 16 columns of a strip: its integers less LESS, step by step, and its scales, behind which are its minima."""
    j = tl.arange(0, 16)
    if NIBBLES:
        for half in tl.static_range(GROUP // 16):
            for step in tl.static_range(8):
                pairs = tl.load(at + (FACTORS * 16 + half * 128 + step) + j * 8)
                to = integers + (half * 16 + step) * STRIP + j
                tl.store(to, (pairs & 15).to(tl.int8, bitcast=True) - LESS)
                tl.store(to + 8 * STRIP, (pairs >> 4).to(tl.int8, bitcast=True) - LESS)
    else:
        for step in tl.static_range(GROUP):
            words = tl.load(at + (FACTORS * 16 + step // 8 * 128 + step % 8) + j * 8)
            tl.store(integers + step * STRIP + j, words.to(tl.int8, bitcast=True).to(tl.int16))
    for place in tl.static_range(2 if MINIMA else 1):
        tl.store(factors + place * STRIP + j, scales_of_group(head, at, j, place, FACTORS))


@triton.jit
def _sum(a, integers, j, STRIP: tl.constexpr, GROUP: tl.constexpr, SUMS: tl.constexpr):
    """The products of a row's bytes at `a` and a group of steps, added up in the type SUMS."""
    total = tl.zeros((STRIP,), SUMS)
    for step in tl.static_range(GROUP):
        total += tl.load(integers + step * STRIP + j).to(SUMS) * tl.load(a + step).to(SUMS)
    return total


@triton.jit
def _add(acc, total, scale, t, d, m, LESS: tl.constexpr, SIGN: tl.constexpr):
    """`acc` and what a group adds to it, LESS below its true integers. SIGN: of the products with minima, 0 where there are none."""
    if LESS:
        total = total.to(tl.int32) + LESS * t
    acc = tl.fma(total.to(tl.float32), scale * d, acc)
    if SIGN != 0:
        acc = tl.fma(m, t.to(tl.float32) * scale * SIGN, acc)
    return acc


@triton.jit
def widening_product(
    values, scales, sums, weights, bias, out, rows, columns, blocks, per_program,
    STRIP: tl.constexpr, SIZE: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr, GROUP: tl.constexpr, GROUP_SIZE: tl.constexpr,
    NIBBLES: tl.constexpr, LESS: tl.constexpr, MORE: tl.constexpr, SIGN: tl.constexpr, FACTORS: tl.constexpr, UNPACK: tl.constexpr,
    TWO: tl.constexpr,
):  # fmt: skip
    """`out[:rows, :columns]` = activations @ weights.T (+ bias): a program has `per_program` strips of columns.

    Integers are unpacked less LESS; sums of them, MORE times the sum of a row's bytes is added to. UNPACK packed blocks of GROUPS groups of
    GROUP steps are unpacked at once; what was added up of those before is in `out`. TWO: rows are taken by two, of which the last two may
    be the same.
    """
    MINIMA: tl.constexpr = SIGN != 0
    INTEGER: tl.constexpr = tl.int8 if NIBBLES else tl.int16
    SUMS: tl.constexpr = tl.int16 if NIBBLES else tl.int32
    room: tl.constexpr = (2 if MINIMA else 1) * STRIP
    integers = smt.alloc(shape=[UNPACK * GROUPS * GROUP * STRIP], type=INTEGER).base
    factors = smt.alloc(shape=[UNPACK * GROUPS * room], type=tl.float32).base
    j = tl.arange(0, STRIP)
    blocks = tl.cast(blocks, tl.int64)
    first = tl.program_id(0) * per_program
    for strip in range(first, tl.minimum(first + per_program, tl.cdiv(columns, STRIP))):
        for start in range(0, blocks, UNPACK):
            count = tl.minimum(blocks - start, UNPACK)
            for part in range(0, STRIP // 16):
                # Behind the last columns the last ones are there again.
                sixteen = tl.minimum(strip * (STRIP // 16) + part, tl.cdiv(columns, 16) - 1)
                for number in range(0, count):
                    here = weights + (sixteen * blocks + start + number) * SIZE
                    for group in range(0, GROUPS):
                        place = number * GROUPS + group
                        _unpack(
                            here, here + HEAD + group * GROUP_SIZE, integers + place * (GROUP * STRIP) + part * 16,
                            factors + place * room + part * 16, STRIP, GROUP, NIBBLES, LESS, MINIMA, FACTORS,
                        )  # fmt: skip
            for row in range(0, rows, 2 if TWO else 1):
                other = tl.minimum(row + 1, rows - 1)
                to = out + tl.cast(row, tl.int64) * columns + strip * STRIP + j
                to_other = out + tl.cast(other, tl.int64) * columns + strip * STRIP + j
                inside = j < columns - strip * STRIP
                acc = tl.load(to, inside & (start > 0), 0)
                acc_other = acc
                if TWO:
                    acc_other = tl.load(to_other, inside & (start > 0), 0)
                groups = blocks * GROUPS
                for group in range(0, tl.cast(count, tl.int32) * GROUPS):
                    place = tl.cast(row, tl.int64) * groups + start * GROUPS + group
                    place_other = tl.cast(other, tl.int64) * groups + start * GROUPS + group
                    at = integers + group * (GROUP * STRIP)
                    d = tl.load(factors + group * room + j)
                    m = d
                    if MINIMA:
                        m = tl.load(factors + (group * room + STRIP) + j)
                    t = tl.load(sums + place)
                    scale = tl.load(scales + place * GROUP // 32)
                    acc = _add(acc, _sum(values + place * GROUP, at, j, STRIP, GROUP, SUMS), scale, t, d, m, MORE, SIGN)
                    if TWO:
                        t = tl.load(sums + place_other)
                        scale = tl.load(scales + place_other * GROUP // 32)
                        total = _sum(values + place_other * GROUP, at, j, STRIP, GROUP, SUMS)
                        acc_other = _add(acc_other, total, scale, t, d, m, MORE, SIGN)
                if bias is not None:
                    added = tl.load(bias + strip * STRIP + j, inside & (start + count == blocks), 0)
                    acc += added
                    acc_other += added
                tl.store(to, acc, inside)
                if TWO:
                    tl.store(to_other, acc_other, inside)


@triton.jit
def widening_row(
    values, scales, sums, weights, bias, out, columns, blocks, per_program,
    SIZE: tl.constexpr, HEAD: tl.constexpr, GROUPS: tl.constexpr, GROUP: tl.constexpr, GROUP_SIZE: tl.constexpr, NIBBLES: tl.constexpr,
    LESS: tl.constexpr, MORE: tl.constexpr, SIGN: tl.constexpr, FACTORS: tl.constexpr,
):  # fmt: skip
    """The same of one row, whose weights are multiplied as they are loaded: a program has `per_program` times 16 columns.

    Sums of 4-bit integers are those of the integers as they are stored, modulo 2^16; less LESS times the sum of the row's bytes they are
    those of integers that are LESS smaller, which fit.
    """
    SUMS: tl.constexpr = tl.int16 if NIBBLES else tl.int32
    j = tl.arange(0, 16)
    first = tl.program_id(0) * per_program
    for part in range(first, tl.minimum(first + per_program, tl.cdiv(columns, 16))):
        here = weights + tl.cast(part, tl.int64) * blocks * SIZE
        acc = tl.zeros((16,), tl.float32)
        for block in range(0, blocks):
            for group in range(0, GROUPS):
                place = block * GROUPS + group
                a = values + place * GROUP
                at = here + (HEAD + group * GROUP_SIZE)
                total = tl.zeros((16,), SUMS)
                for step in tl.static_range(GROUP // 2 if NIBBLES else GROUP):
                    words = tl.load(at + (FACTORS * 16 + step // 8 * 128 + step % 8) + j * 8)
                    if NIBBLES:
                        k = a + (step // 8 * 16 + step % 8)
                        total += (words & 15).to(tl.int8, bitcast=True).to(SUMS) * tl.load(k).to(SUMS)
                        total += (words >> 4).to(tl.int8, bitcast=True).to(SUMS) * tl.load(k + 8).to(SUMS)
                    else:
                        total += words.to(tl.int8, bitcast=True).to(SUMS) * tl.load(a + step).to(SUMS)
                t = tl.load(sums + place)
                if NIBBLES and LESS != 0:
                    total -= (LESS * t).to(tl.int16)
                d = scales_of_group(here, at, j, 0, FACTORS)
                m = d
                if SIGN != 0:
                    m = scales_of_group(here, at, j, 1, FACTORS)
                acc = _add(acc, total, tl.load(scales + place * GROUP // 32), t, d, m, MORE, SIGN)
            here += SIZE
        left = columns - part * 16
        if bias is not None:
            acc += tl.load(bias + part * 16 + j, j < left, 0)
        tl.store(out + part * 16 + j, acc, j < left)


_PRODUCT, _ROW = Kernel(widening_product, allow_ime=False), Kernel(widening_row, allow_ime=False)


def takes(packing: Packing) -> bool:
    """Whether the active chip has vectors of RISC-V and no matrix unit, and the packing is an exact one."""
    chip = active_chip()
    return chip.is_riscv and not chip.ime and packing.minima != "zero point"


def multiply(activations: Activations, weights: torch.Tensor, packing: Packing, bias: torch.Tensor | None, out: torch.Tensor) -> None:
    """`activations @ weights.T + bias` into `out`, contiguous float32 (M, N).

    activations: (M, K), in the order of rows. weights: the bytes of packed weights (N, K). bias: float32 (N), contiguous.
    Raises ValueError for other shapes and orders.
    """
    rows, columns = out.shape
    fits = (activations.rows, tuple(weights.shape)) == (rows, packing.shape(columns, activations.columns))
    if not fits or activations.order is not Order.ROWS or packing.minima == "zero point":
        what = f"weights {tuple(weights.shape)} of {packing.name} are not multiplied with rows {tuple(activations.values.shape)}"
        raise ValueError(f"{what} in {activations.order.name} into {tuple(out.shape)}")
    sums = activations.sums
    if sums is None or packing.group != BLOCK:
        sums = activations.values.view(rows, -1, packing.group).sum(-1, dtype=torch.int32)
    more = 8 if packing.nibbles and not packing.offset and 15 * _LARGEST * packing.group > _MOST else 0
    layout = {
        "SIZE": packing.size, "HEAD": packing.head, "GROUPS": packing.groups, "GROUP": packing.group, "GROUP_SIZE": packing.group_size,
        "NIBBLES": packing.nibbles, "LESS": more + packing.offset, "MORE": more, "SIGN": packing.sign, "FACTORS": packing.factors,
    }  # fmt: skip
    args = (activations.values, activations.scales, sums, weights, bias, out)
    if rows == 1:
        parts = weights.shape[0]
        per_program = -(-parts // min(knobs.num_threads, parts))
        _ROW((-(-parts // per_program),), *args, columns, weights.shape[1], per_program, **layout)
        return
    strip = max(4 * COLUMNS, active_chip().vlen // 8)
    strips = -(-columns // strip)
    per_program = -(-strips // min(knobs.num_threads, strips))
    _PRODUCT(
        (-(-strips // per_program),), *args, rows, columns, weights.shape[1], per_program,
        STRIP=strip, UNPACK=_STEPS // packing.steps, TWO=not packing.has_minima, **layout,
    )  # fmt: skip
