"""Packed weights as the products of `products.py` take them: a group's integers and scales, in place or unpacked for several rows."""

import triton
import triton.language as tl


@triton.jit
def depth_of(ROWS: tl.constexpr) -> tl.constexpr:
    """Steps of k of a tile with so many rows."""
    return 8 if ROWS == 4 else 16


@triton.jit
def address_as(pointer, TYPE: tl.constexpr):
    """The same address as a pointer to another type."""
    return pointer.to(tl.pointer_type(TYPE), bitcast=True)


@triton.jit
def integers_of_group(at, GROUP: tl.constexpr, NIBBLES: tl.constexpr):
    """The integers of GROUP steps of 16 columns, as bytes."""
    k, j = tl.arange(0, GROUP), tl.arange(0, 16)
    if NIBBLES:
        pairs = tl.load(at + (k // 16 * 128 + k % 8)[:, None] + j[None, :] * 8)
        integers = (pairs >> (k // 8 % 2 * 4).to(tl.uint8)[:, None]) & 15
    else:
        integers = tl.load(at + (k // 8 * 128 + k % 8)[:, None] + j[None, :] * 8)
    return integers.to(tl.int8, bitcast=True)


@triton.jit
def scales_of_group(head, at, j, place: tl.constexpr, FACTORS: tl.constexpr):
    """The scales (place 0) or minima (place 1) of columns `j` in a group of steps; `head`: of the packed block, `at`: of the group."""
    d = tl.load(address_as(head, tl.float16) + place * 16 + j).to(tl.float32)
    if FACTORS == 1:
        d *= tl.load(address_as(at, tl.int8) + j).to(tl.float32)
    if FACTORS == 2:
        d *= tl.load(at + place * 16 + j).to(tl.float32)
    return d


@triton.jit
def room_of(ROWS: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, MINIMA: tl.constexpr, SQUARES: tl.constexpr) -> tl.constexpr:
    """Bytes that an unpacked group of steps takes."""
    columns: tl.constexpr = (2 if MINIMA else 1) * 64
    return (GROUP * 16 if NIBBLES or ROWS > 4 else 0) + ROWS * columns if SQUARES else columns


@triton.jit
def unpack_factors(
    head, groups, space, GROUPS: tl.constexpr, GROUP_SIZE: tl.constexpr, MINIMA: tl.constexpr, FACTORS: tl.constexpr
):  # fmt: skip
    """Scales, then minima, of all groups of a packed block in `space`, one for each column; `groups`: where the first group begins."""
    j = tl.arange(0, GROUPS * (32 if MINIMA else 16))
    column = j % (32 if MINIMA else 16)
    d = tl.load(address_as(head, tl.float16) + column).to(tl.float32)
    factors = groups if FACTORS == 2 else address_as(groups, tl.int8)
    tl.store(address_as(space, tl.float32) + j, d * tl.load(factors + j // (32 if MINIMA else 16) * GROUP_SIZE + column).to(tl.float32))


@triton.jit
def unpack_scales(block, space, COUNT: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr):
    """The scales of COUNT packed blocks of one group in `space`, each as often as a tile has rows."""
    place = tl.arange(0, COUNT * ROWS * 16)
    column = place % (ROWS * 16) // (ROWS * ROWS) * ROWS + place % ROWS
    d = tl.load(address_as(block, tl.float16) + place // (ROWS * 16) * (SIZE // 2) + column)
    tl.store(address_as(space, tl.float32) + place, d.to(tl.float32))


@triton.jit
def unpack_squares(
    head, at, space, ROWS: tl.constexpr, GROUP: tl.constexpr, NIBBLES: tl.constexpr, OFFSET: tl.constexpr, MINIMA: tl.constexpr,
    FACTORS: tl.constexpr,
):  # fmt: skip
    """A group of steps in `space` as register tiles take it: its integers as bytes, where they do not lie so (`step_of`), then scales and
    minima, each as often as a tile has rows."""
    to, at_integers = address_as(space, tl.int8), at + FACTORS * 16
    if depth_of(ROWS) > 8:
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
    d = tl.load(address_as(head, tl.float16) + column).to(tl.float32)
    if FACTORS:
        d *= tl.load((at if FACTORS == 2 else address_as(at, tl.int8)) + column).to(tl.float32)
    tl.store(address_as(space + (GROUP * 16 if NIBBLES or ROWS > 4 else 0), tl.float32) + place, d)


@triton.jit
def step_of(k, GROUP: tl.constexpr, UNPACKED: tl.constexpr):
    """Which step of a group is number `k` of those multiplied: of unpacked nibbles the lower ones lie in front of the upper ones."""
    if UNPACKED and GROUP == 32:
        return k // 8 % 2 * 16 + k // 16 * 8 + k % 8
    return k
