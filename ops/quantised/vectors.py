"""Rows of activations times packed weights on a vector unit that multiplies bytes (AVX-512 VNNI): any number of rows.

Activations come in panels of up to eight rows: for each block of 32 steps the bytes of these rows, one behind the other. A panel is
multiplied with 16 columns at a time: the integers of a group of steps are unpacked once for all its rows, and what is added up stays in
registers.

Sums of a group are exact integers. The instruction takes weights as unsigned bytes: nibbles as they are stored, other integers 128 larger
than they are; sums begin at so many times the negative sum of the row's bytes. What follows is in float32, as in `decode.py`, group by
group in ascending order. So a row's result does not depend on the rows beside it, and is that of one row on the matrix unit, bit for bit.
"""

import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt

from triton_spacemit.backend.knobs import active_chip, knobs
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.quantised.activations import BLOCK, Activations, Order
from triton_spacemit.ops.quantised.decode import integers_of
from triton_spacemit.ops.quantised.packings import Packing

_MOST = 8  # rows of a panel, whose sums fit into registers
_PROGRAMS = 4  # for each thread, so that all end at about the same time
_FORM = "unsigned-grouped-vectors"  # of the instruction, in a chip's table


@triton.jit
def sums_of(panel, starts, weights, ROWS: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, START: tl.constexpr):
    """The products of a group, [ROWS, 16], of which rows begin at twice `starts`. A row of a panel's block has 32 bytes."""
    row, step = tl.arange(0, ROWS), tl.arange(0, GROUP)
    sums = tl.zeros((ROWS, 16), tl.int32)
    if START:
        half = tl.broadcast_to(tl.load(starts + row)[:, None], (ROWS, 16))
        sums = half + half  # which two lanes, whose sum it is, begin with
    integers = integers_of(weights, 0, 1, GROUP, NIBBLES)
    unsigned = (integers if NIBBLES else integers ^ -128).to(tl.uint8, bitcast=True)
    return smt.dot(tl.load(panel + row[:, None] * 32 + step[None, :]), unsigned, sums)


@triton.jit
def store_panel(total, bias, out, panel, n, rows, columns, ROWS: tl.constexpr):
    """A panel's 16 columns; of the last ones those that there are."""
    i, j = panel * ROWS + tl.arange(0, ROWS), n * 16 + tl.arange(0, 16)
    if bias is not None:
        total += tl.load(bias + j, j < columns, 0)[None, :]
    place = tl.cast(i, tl.int64)[:, None] * columns + j[None, :]
    tl.store(out + place, total, (i < rows)[:, None] & (j < columns)[None, :])


@triton.jit(do_not_specialize=["blocks"])  # one block is a loop as well
def multiply_blocks(
    panels, starts, scales, products, packed, bias, out, rows, columns, per_program, blocks,
    ROWS: tl.constexpr, NIBBLES: tl.constexpr, HEAD: tl.constexpr, START: tl.constexpr,
):  # fmt: skip
    """Weights in blocks of 32. program: `per_program` times 16 columns of all rows. HEAD: bytes in front of a block's integers."""
    SIZE: tl.constexpr = HEAD + (256 if NIBBLES else 512)
    row, column = tl.arange(0, ROWS), tl.arange(0, 16)
    SHAPE: tl.constexpr = (ROWS, 16)
    first = tl.program_id(0) * per_program
    for n in range(first, tl.minimum(first + per_program, tl.cdiv(columns, 16))):
        for panel in range(0, tl.cdiv(rows, ROWS)):
            weights = packed + tl.cast(n, tl.int64) * blocks * SIZE
            place = tl.cast(panel, tl.int64) * blocks * ROWS
            a, start, a_scale, product = panels + place * 32, starts + place, scales + place, products + place
            total = tl.zeros(SHAPE, tl.float32)
            for _ in range(0, blocks):
                sums = sums_of(a, start, weights + HEAD, ROWS, 32, NIBBLES, START)
                head = weights.to(tl.pointer_type(tl.float16))
                scale = tl.load(head + column).to(tl.float32)[None, :] * tl.load(a_scale + row)[:, None]
                total = tl.fma(sums.to(tl.float32), scale, total)
                if HEAD == 64:
                    minimum = tl.broadcast_to(tl.load(head + 16 + column).to(tl.float32)[None, :], SHAPE)
                    total = tl.fma(minimum, tl.broadcast_to(tl.load(product + row)[:, None], SHAPE), total)
                weights += SIZE
                a += ROWS * 32
                start += ROWS
                a_scale += ROWS
                product += ROWS
            store_panel(total, bias, out, panel, n, rows, columns, ROWS)


@triton.jit(do_not_specialize=["blocks"])  # one block is a loop as well
def multiply_super_blocks(
    panels, starts, scales, products, packed, bias, out, rows, columns, per_program, blocks,
    ROWS: tl.constexpr, NIBBLES: tl.constexpr, GROUPS: tl.constexpr, MINIMA: tl.constexpr, START: tl.constexpr,
):  # fmt: skip
    """Weights in blocks of 256, of which each of GROUPS groups has factors of scale and minimum. program: as in `multiply_blocks`."""
    GROUP: tl.constexpr = 256 // GROUPS
    HEAD: tl.constexpr = 64 if MINIMA else 32
    OWN: tl.constexpr = HEAD // 2  # bytes of factors of a group
    SIZE: tl.constexpr = OWN + GROUP * (8 if NIBBLES else 16)
    row, column = tl.arange(0, ROWS), tl.arange(0, 16)
    SHAPE: tl.constexpr = (ROWS, 16)
    first = tl.program_id(0) * per_program
    for n in range(first, tl.minimum(first + per_program, tl.cdiv(columns, 16))):
        for panel in range(0, tl.cdiv(rows, ROWS)):
            weights = packed + tl.cast(n, tl.int64) * blocks * (HEAD + GROUPS * SIZE)
            place = tl.cast(panel, tl.int64) * blocks * ROWS
            a, a_scale, start, product = panels + place * 256, scales + place * 8, starts + place * GROUPS, products + place * GROUPS
            total = tl.zeros(SHAPE, tl.float32)
            for _ in range(0, blocks):
                inner, inner_minima = tl.zeros(SHAPE, tl.float32), tl.zeros(SHAPE, tl.float32)
                for g in tl.static_range(GROUPS):
                    at = weights + HEAD + g * SIZE
                    part = a + g * GROUP // 32 * (ROWS * 32) + g * GROUP % 32
                    sums = sums_of(part, start + g * ROWS, at + OWN, ROWS, GROUP, NIBBLES, START)
                    if MINIMA:
                        factor = tl.load(at + column).to(tl.float32)
                        minimum = tl.broadcast_to(tl.load(at + 16 + column).to(tl.float32)[None, :], SHAPE)
                        inner_minima = tl.fma(minimum, tl.broadcast_to(tl.load(product + g * ROWS + row)[:, None], SHAPE), inner_minima)
                    else:
                        factor = tl.load(at.to(tl.pointer_type(tl.int8)) + column).to(tl.float32)
                    scale = tl.broadcast_to(tl.load(a_scale + g * GROUP // 32 * ROWS + row)[:, None], SHAPE)
                    inner = tl.fma(sums.to(tl.float32) * factor[None, :], scale, inner)
                head = weights.to(tl.pointer_type(tl.float16))
                total = tl.fma(tl.broadcast_to(tl.load(head + column).to(tl.float32)[None, :], SHAPE), inner, total)
                if MINIMA:
                    minimum = -tl.load(head + 16 + column).to(tl.float32)
                    total = tl.fma(tl.broadcast_to(minimum[None, :], SHAPE), inner_minima, total)
                weights += HEAD + GROUPS * SIZE
                a += ROWS * 256
                a_scale += ROWS * 8
                start += ROWS * GROUPS
                product += ROWS * GROUPS
            store_panel(total, bias, out, panel, n, rows, columns, ROWS)


_BLOCKS, _SUPER_BLOCKS = Kernel(multiply_blocks), Kernel(multiply_super_blocks)


def has_vectors() -> bool:
    """Whether the active chip has the instruction."""
    return any(row.form == _FORM for row in active_chip().matrix)


def zero_of(packing: Packing) -> int:
    """How much larger weights are taken than they are."""
    return -packing.form.least if packing.nibbles else 128


def panels_of(activations: Activations, rows: int, packing: Packing) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Panels of `rows` rows, filled up with zeros: bytes; half of where sums begin; scales; scales times sums. Bytes and scales are
    [panels, blocks of 32, rows], the others [panels, groups of the packing, rows]. What the packing does not take is something else."""
    values, scales, sums = activations.values, activations.scales, activations.sums
    if sums is None or packing.group != BLOCK:
        sums = values.view(len(values), -1, packing.group).sum(-1, dtype=torch.int32)
    missing = -activations.rows % rows
    if missing:
        values, scales, sums = (torch.cat([part, part.new_zeros(missing, part.shape[1])]) for part in (values, scales, sums))
    starts = sums * -(zero_of(packing) // 2) if zero_of(packing) else sums
    products = scales
    if packing.minima:
        products = (scales.unsqueeze(-1) * sums.view(*scales.shape, -1)).flatten(1)
    if rows == 1:
        return values, starts, scales, products  # in memory they are panels of one row
    parts = (values.view(len(values), -1, BLOCK), starts, scales, products)
    panels, starts, scales, products = (part.unflatten(0, (-1, rows)).transpose(1, 2).contiguous() for part in parts)
    return panels, starts, scales, products


def multiply_rows(activations: Activations, weights: torch.Tensor, packing: Packing, bias: torch.Tensor | None, out: torch.Tensor) -> None:
    """`activations @ weights.T + bias` into `out`, float32 [M, N], contiguous, M at least 1.

    activations: (M, K), in the order of rows. weights: the bytes of packed weights (N, K), exact ones. bias: float32 [N], contiguous.
    Raises ValueError for other shapes.
    """
    rows, columns = out.shape
    fits = (activations.rows, tuple(weights.shape)) == (rows, packing.shape(columns, activations.columns))
    if not fits or activations.order is not Order.ROWS or packing.minima == "zero point":
        what = f"weights {tuple(weights.shape)} of {packing.name} are not multiplied with rows {tuple(activations.values.shape)}"
        raise ValueError(f"{what} in {activations.order.name} into {tuple(out.shape)}")
    height = min(_MOST, 1 << (rows - 1).bit_length())
    groups = weights.shape[0]
    per_program = -(-groups // (_PROGRAMS * knobs.num_threads if knobs.num_threads > 1 else 1))
    parts = panels_of(activations, height, packing)
    args = (*parts, weights, bias, out, rows, columns, per_program, weights.shape[1])
    grid, constants = (-(-groups // per_program),), {"ROWS": height, "NIBBLES": packing.nibbles, "START": zero_of(packing) != 0}
    if packing.steps == BLOCK:
        _BLOCKS(grid, *args, HEAD=packing.head, **constants)
    else:
        _SUPER_BLOCKS(grid, *args, GROUPS=packing.groups, MINIMA=packing.has_minima, **constants)
