"""How exact an exponential has to be whose operand is nowhere above zero: what `xsmt.nonpositive` on one says."""

from enum import StrEnum


class Exactness(StrEnum):
    """What is asked of an exponential whose operand is nowhere above zero.

    ROUNDED: its value. SCALED: its value, or all values of a row times one power of two, which cancels out. TERM: its value where that is
    normal, else any that is as small: it is a term of sums that are at least 1.
    """

    ROUNDED = "rounded"
    SCALED = "scaled"
    TERM = "term"
