"""The choice of a product's tile: the cheapest that the chip has for its types and sizes.

candidates(chip, request)   what there is, with its cost or the reason why it cannot be used
chosen(found)               the one that is used
described(found)            both as text
"""

import math
from dataclasses import dataclass

from triton_spacemit.dialect.chips import Chip, MatrixTile
from triton_spacemit.passes.loops.active_vectors import ActiveVectors
from triton_spacemit.passes.loops.grouped_vectors import GroupedVectors, UnsignedGroupedVectors
from triton_spacemit.passes.loops.ime_tiles import ImeTiles
from triton_spacemit.passes.loops.micro_tile import MicroTile, Request, width
from triton_spacemit.passes.loops.vectors import Vectors

FORMS: dict[str, type[MicroTile]] = {
    "vectors": Vectors,
    "active-vectors": ActiveVectors,
    "grouped-vectors": GroupedVectors,
    "ime": ImeTiles,
    "unsigned-grouped-vectors": UnsignedGroupedVectors,
}


_COPY = 0.25  # the time of copying an element of an operand, in that of a vector instruction


@dataclass(frozen=True)
class Candidate:
    """A tile, and the register tile of its units: so many rows and columns. A refused one has a reason instead."""

    row: MatrixTile
    rows: int = 0
    columns: int = 0
    cost: float = math.inf
    refusal: str = ""

    @property
    def form(self) -> type[MicroTile]:
        return FORMS[self.row.form]


def candidates(chip: Chip, request: Request) -> list[Candidate]:
    """The chip's own multiply-adds, then LLVM's vectors, which are always legal."""
    factor = factor_type(chip, request)
    vectors = MatrixTile("vectors", 1, 0, 1, factor, factor, request.sums, "")
    return [_assessed(chip, row, request) for row in (*chip.matrix, vectors)]


def chosen(found: list[Candidate]) -> Candidate:
    return min((candidate for candidate in found if not candidate.refusal), key=lambda candidate: candidate.cost)


def described(found: list[Candidate]) -> str:
    """The chosen tile first, then the others."""
    best = chosen(found)
    return "; ".join([_text(best), *(_text(candidate) for candidate in found if candidate is not best)])


def factor_type(chip: Chip, request: Request) -> str:
    """The type in which vectors hold operands: their own where the chip multiplies it, widening, into sums of theirs."""
    takers = [row.left for row in chip.matrix if row.m == row.k == 1 and row.sums == request.sums and takes(row.left, request.left)]
    if takers:
        return min(takers, key=width)
    own = request.left == "f16" and chip.native_float16
    return request.left if own else request.sums


def takes(factor: str, element: str) -> bool:
    """Whether operands of type `element` can be held as `factor`s, each the same number.

    Narrower integers can; so can narrower floats, which are held as float32 or wider.
    """
    if factor == element:
        return True
    whole = [type_.lstrip("u").startswith("i") for type_ in (element, factor)]
    if width(element) >= width(factor) or whole[0] != whole[1]:
        return False
    return not factor.startswith("u") if whole[1] else width(factor) >= 32


def _assessed(chip: Chip, row: MatrixTile, request: Request) -> Candidate:
    refusal = _types_differ(row, request)
    form = FORMS[row.form]
    refusal = refusal or form.refusal(chip, row, request)
    if refusal:
        return Candidate(row, refusal=refusal)
    tile = form.register_tile(chip, row, request)
    return Candidate(row, *tile, form.cost(chip, row, request, tile) + _copying(row, request))


def _copying(row: MatrixTile, request: Request) -> float:
    """The part of one product in the copies of operands that cannot be read where they are: each element is copied once for all."""
    left, right = (
        row.m > 1 or row.k > 1 or factor != element for factor, element in ((row.left, request.left), (row.right, request.right))
    )
    return _COPY * (left / request.columns + right / request.rows)


def _types_differ(row: MatrixTile, request: Request) -> str:
    if row.form == "vectors":
        return ""
    if row.sums != request.sums:
        return f"it adds up {row.sums}, not {request.sums}"
    for side, factor, element in (("left", row.left, request.left), ("right", row.right, request.right)):
        if not takes(factor, element):
            return f"its {side} operand is {factor}, not {element}"
    return ""


def _text(candidate: Candidate) -> str:
    row = candidate.row
    name = f"{row.instruction or row.form} of {row.left}"
    if candidate.refusal:
        return f"not {name}: {candidate.refusal}"
    return f"{name}, {candidate.rows} x {candidate.columns} sums, {candidate.cost:.3f} a product"
