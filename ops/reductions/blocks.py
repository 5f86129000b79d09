"""Sizes of blocks."""


def power_of_four(size: int) -> int:
    """The least one that is `size` or more. Blocks are such, since each size of block is a compiled kernel."""
    return 1 << ((max(size, 1) - 1).bit_length() + 1 & ~1)


def power_of_four_within(size: int) -> int:
    """The greatest one that is `size` or less."""
    return 1 << (max(size, 1).bit_length() - 1 & ~1)
