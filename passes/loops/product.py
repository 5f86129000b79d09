"""A matrix product: its types, and the register tile that it is computed in."""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes import remarks
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import element_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import MicroTile, Request
from triton_spacemit.passes.loops.narrow import factor_name
from triton_spacemit.passes.loops.selection import Candidate, candidates, chosen, described
from triton_spacemit.passes.loops.storage import ROOM
from triton_spacemit.passes.loops.tensors import Buffer, Tensor


@dataclass(frozen=True, eq=False)
class Product:
    """What stays the same for every turn: shapes, the register tile, where the result accumulates and how much of it is wanted.

    steps: of k that register tiles run over at a time, at most.
    """

    batch: tuple[int, ...]
    rows: int
    inner: int
    columns: int
    tile: Candidate
    left: Layout
    right: Layout
    target: Buffer
    wanted_rows: Emitted
    wanted_columns: Emitted
    steps: int

    def units(self, low: Lowering, tile: tuple[int, int], active: Emitted | None) -> MicroTile:
        """The micro-tile of register tiles of so many rows and columns, of which `active` (None: all) columns are wanted."""
        return self.tile.form(low, self.tile.row, self.target, tile, active)


def make_product(
    low: Lowering, dot: Node, left: Tensor, right: Tensor, target: Buffer, wanted: tuple[Emitted | None, Emitted | None]
) -> Product:
    """Sums are float32, float64 or int32; float16 for a float16 result whose kernel allows it (`max_num_imprecise_acc` not below k)."""
    b = low.b
    *batch, rows, inner = left.shape
    columns = right.shape[-1]
    element = element_of(dot.results[0].type)
    imprecise = dot.attribute("maxNumImpreciseAcc")
    narrow = element == b.f16 == left.element and low.chip.native_float16 and imprecise is not None and imprecise.value >= inner
    sums = element if narrow or isinstance(element, (ir.F64Type, ir.IntegerType)) else b.f32
    factors = [factor_name(v) for v in dot.operands[:2]] if dot.name == "tt.dot" else [str(t.element) for t in (left, right)]
    request = Request(
        rows=rows,
        inner=inner,
        columns=columns,
        left=factors[0],
        right=factors[1],
        sums=str(sums),
        stored=str(target.stored),
        most_rows=hinted(dot, "mr", rows),
        most_columns=hinted(dot, "nr", columns),
        exact=bool(batch) or target.room < ROOM * columns,
        batched=bool(batch),
    )
    found = candidates(low.chip, request)
    tile = chosen(found)
    remarks.emit(dot.op.location, lambda: f"product of {rows} x {inner} and {inner} x {columns}: {described(found)}")
    layouts = tile.form.layouts(low.chip, tile.row, request)
    wanted_rows, wanted_columns = (b.constant(n) if w is None else w for w, n in zip(wanted, (rows, columns), strict=True))
    return Product(tuple(batch), rows, inner, columns, tile, *layouts, target, wanted_rows, wanted_columns, inner)


def tile_of(low: Lowering, dot: Node, left: tuple[int, ...], right: tuple[int, ...], element: str) -> Candidate:
    """The tile of a product of two matrices whose sums have the type of its result, `element`."""
    a, b = (factor_name(value) for value in dot.operands[:2])
    (rows, inner), (_, columns) = left, right
    most = hinted(dot, "mr", rows), hinted(dot, "nr", columns)
    return chosen(candidates(low.chip, Request(rows, inner, columns, a, b, element, element, *most)))


def hinted(dot: Node, name: str, otherwise: int) -> int:
    """What the kernel wants for the rows (`mr`) or columns (`nr`) of the register tile at most."""
    hint = dot.attribute(f"xsmt.{name}")
    return min(otherwise, max(1, hint.value)) if hint is not None else otherwise
