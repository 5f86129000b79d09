"""How exact an exponential has to be whose operand is nowhere above zero: what `xsmt.nonpositive` on one says."""

from enum import StrEnum


class Exactness(StrEnum):
    """What is asked of an exponential whose operand is nowhere above zero.

    ROUNDED: its value. SCALED: its value, or all values of a row times one power of two, which cancels out. TERM: it is a term of sums
    that are at least 1, so it may be wrong by 2^-22 of itself, as sums of so many are, and where it is about 2^-n by n 2^-28 more: a sum to
    which such terms matter has 2^n of them.
    Where it is subnormal it may be any number that is as small.
    """

    ROUNDED = "rounded"
    SCALED = "scaled"
    TERM = "term"
