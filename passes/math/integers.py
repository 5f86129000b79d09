"""Integer functions of libdevice: averages, sums of differences, products' halves, permutations of bits and bytes."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import BITS, Lanes

_MASKS = {1: 0x5555555555555555, 2: 0x3333333333333333, 4: 0x0F0F0F0F0F0F0F0F, 8: 0x00FF00FF00FF00FF, 16: 0x0000FFFF0000FFFF}


def absolute(b: Builder, x: Lanes) -> Lanes:
    """The least number stays, as it has no opposite."""
    return b.select(x < 0, -x, x)


def reverse_bits(b: Builder, x: Lanes) -> Lanes:
    bits, distance = BITS[x.kind], 1
    while distance < bits // 2:
        mask = _MASKS[distance]
        x = (x.shrui(distance) & mask) | ((x & mask) << distance)
        distance *= 2
    return x.shrui(distance) | (x << distance)


def first_set(b: Builder, x: Lanes) -> Lanes:
    """The position of the lowest bit that is set, from 1; 0 where none is."""
    return b.select(x.equals(0), 0, x._op("math.cttz", x) + 1).to("i32")


def permute_bytes(b: Builder, x: Lanes, y: Lanes, selector: Lanes) -> Lanes:
    """Of the 8 bytes of y:x, four that the four low nibbles of the selector number; a nibble's highest bit repeats the byte's sign."""
    both = (y.unsigned_to("i64") << 32) | x.unsigned_to("i64")
    result = x.like(0)
    for i in range(4):
        nibble = selector.shrui(4 * i)
        byte = both.shrui(((nibble & 7) << 3).unsigned_to("i64")).to("i32") & 0xFF
        sign = b.select((byte & 0x80).equals(0), byte.like(0), 0xFF)
        result = result | (b.select((nibble & 8).equals(0), byte, sign) << (8 * i))
    return result


def multiply_high(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """The high half of a signed product."""
    if x.kind == "i32":
        return ((x.to("i64") * y.to("i64")) >> 32).to("i32")
    return b.multiply_high(x, y) - b.select(x < 0, y, 0) - b.select(y < 0, x, 0)


def multiply_high_unsigned(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    if x.kind == "i32":
        return (x.unsigned_to("i64") * y.unsigned_to("i64")).shrui(32).to("i32")
    return b.multiply_high(x, y)


def multiply_24(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """The low half of the product of the operands' 24 low bits, sign-extended."""
    return ((x << 8) >> 8) * ((y << 8) >> 8)


def multiply_24_unsigned(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    return (x & 0xFFFFFF) * (y & 0xFFFFFF)


def sum_of_difference(b: Builder, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
    """|x - y| + z."""
    return b.select(x > y, x - y, y - x) + z


def sum_of_difference_unsigned(b: Builder, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
    return b.select(x.compare("ugt", y), x - y, y - x) + z


def average(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """(x + y) / 2 rounded down, without overflow."""
    return (x & y) + ((x ^ y) >> 1)


def average_unsigned(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    return (x & y) + (x ^ y).shrui(1)


def average_up(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """(x + y + 1) / 2 rounded down, without overflow."""
    return (x | y) - ((x ^ y) >> 1)


def average_up_unsigned(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    return (x | y) - (x ^ y).shrui(1)
