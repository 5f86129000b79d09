"""Sizes of blocks, which are powers of two. Triton's own `next_power_of_2` takes ten times as long."""


def power_of_two(size: int) -> int:
    """The least power of two that is `size` or more."""
    return 1 << max(size - 1, 0).bit_length()


def power_of_four(size: int) -> int:
    """The least power of four that is `size` or more: each size of block is a compiled kernel, and there are half as many of these."""
    return 1 << ((max(size, 1) - 1).bit_length() + 1 & ~1)


def power_of_four_within(size: int) -> int:
    """The greatest power of four that is `size` or less."""
    return 1 << (max(size, 1).bit_length() - 1 & ~1)
