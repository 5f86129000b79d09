"""A matrix product: its types, and the register tile that it is computed in."""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.elementwise import element_of
from triton_spacemit.passes.loops.lanes import GroupedLanes, PairLanes, QuadLanes
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.storage import ROOM
from triton_spacemit.passes.loops.tensors import Buffer, Tensor, bits


@dataclass(eq=False)
class Product:
    """What stays the same for every turn: shapes, types, the register tile, where the result accumulates and how much of it is wanted."""

    batch: list[int]
    rows: int
    inner: int
    columns: int
    factor: ir.Type  # operands are read in this type
    accumulate: ir.Type
    target: Buffer
    height: int
    lanes: int
    wanted_rows: Emitted
    wanted_columns: Emitted
    depth: int = 1  # steps of k that are one of the tile's: a key of `GROUPED` where it is more
    rows_follow: bool = False  # A, and B, are copies with elements behind the wanted ones
    columns_follow: bool = False


def factor_type(low: Lowering, element: ir.Type, accumulate: ir.Type) -> ir.Type:
    """The type in which operands of type `element` are multiplied: their own where the chip multiplies it, widening, into `accumulate`."""
    b = low.b
    chip = low.chip
    if element == accumulate or (element == b.f16 and chip.native_float16) or (element == b.bf16 and chip.native_bfloat16):
        return element
    if isinstance(element, ir.FloatType):
        return accumulate
    return ir.IntegerType.get_signless(16) if bits(element) <= 16 and chip.active_lengths and accumulate == b.i32 else accumulate


def grouped_lanes(low: Lowering, left: Tensor, right: Tensor, result: ir.Type) -> type[GroupedLanes] | None:
    """The instructions that take several steps of k at once, where the chip has them for such operands."""
    b = low.b
    if left.element != right.element or len(left.shape) != 2 or min(*left.shape, right.shape[-1]) < GroupedLanes.PART:
        return None
    if low.chip.quads and left.element == b.i8 and result == b.i32:
        return QuadLanes
    return PairLanes if low.chip.pairs and left.element == b.bf16 and result == b.f32 else None


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
    accumulate = element if narrow or isinstance(element, (ir.F64Type, ir.IntegerType)) else b.f32
    grouped = grouped_lanes(low, left, right, element)
    factor, depth = (factor_type(low, left.element, accumulate), 1) if grouped is None else (b.i32, grouped.DEPTH)
    lanes = min(columns, low.chip.lanes(bits(accumulate), low.chip.costs.tile_group))
    most = hinted(dot, "nr", lanes)
    lanes = lanes if most == lanes else 1 << (most.bit_length() - 1)
    exact, most = bool(batch) or target.room < ROOM * columns, hinted(dot, "mr", rows)
    group, factor_group = (max(1, bits(t) * lanes // low.chip.vlen) for t in (accumulate, factor))
    height = tile_height(low, rows, group, factor_group, exact, min(most, ROOM))
    wanted_rows, wanted_columns = (b.constant(n) if w is None else w for w, n in zip(wanted, (rows, columns), strict=True))
    return Product(batch, rows, inner, columns, factor, accumulate, target, height, lanes, wanted_rows, wanted_columns, depth)


def hinted(dot: Node, name: str, otherwise: int) -> int:
    """What the kernel wants for the rows (`mr`) or columns (`nr`) of the register tile at most."""
    hint = dot.attribute(f"xsmt.{name}")
    return min(otherwise, max(1, hint.value)) if hint is not None else otherwise


def tile_height(low: Lowering, rows: int, group: int, factor_group: int, exact: bool, limit: int) -> int:
    """Rows of a register tile: as many as leave room for B, weighed against rows that the last tile has too many.

    An in-order core loads the next vector of B while it multiplies with one; elsewhere a scalar of A takes a register.
    """
    others = 2 * factor_group if low.chip.in_order else factor_group + 1
    most = max(1, (low.chip.vector_registers - others) // group)
    heights = [h for h in range(1, min(limit, most) + 1) if not exact or rows % h == 0]
    return min(heights, key=lambda h: (-(-rows // h) * (h * (group + 1) + group + 2), -h))
