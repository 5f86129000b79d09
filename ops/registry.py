"""The one table of operators: which overloads of PyTorch's operators are kernels here, and where.

An implementation is a function with the signature of its overload. It returns the overload's result, or `NotImplemented` where PyTorch's
own kernel is to answer: for dtypes that its row does not list, and for arguments that are an error, so that the caller gets PyTorch's
exception. It decides that before it writes anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int8", "uint8", "int16", "int32", "int64")


@dataclass(frozen=True)
class Operator:
    """A row of the table.

    overloads: those of PyTorch's `aten` namespace that this operator consists of (forward, backward, in place, out) to "module:function", a
    module below `triton_spacemit.ops`. dtypes: of the tensors that are computed here, by PyTorch's names. path: what the operator becomes,
    for the support table. error: the largest error against float64, in words.
    """

    name: str
    family: str
    overloads: Mapping[str, str]
    dtypes: tuple[str, ...]
    path: str
    error: str


OPERATORS: tuple[Operator, ...] = (
    Operator(
        "dot",
        "Products",
        {"dot": "products.vectors:dot", "dot.out": "products.vectors:dot_out"},
        FLOATS,
        path="a sum of vectors",
        error="rounding of sums in float32",
    ),
)


def by_name() -> dict[str, Operator]:
    """Every operator by its name."""
    return {operator.name: operator for operator in OPERATORS}
