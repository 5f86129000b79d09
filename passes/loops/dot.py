"""Matrix products: register tiles of the result, and a loop over k that reads a vector of B and one element of A per row.

A product inside the loop `for ..: acc = dot(a, b, acc)` keeps its tile of `acc` in registers over many turns of that loop: the turns'
operands are located (or packed, where they do not lie in memory as they are needed) for a chunk of turns first, then the tiles run over
the chunk.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.elementwise import converted, element_of, shape_of
from triton_spacemit.passes.loops.lanes import ActiveLanes, FixedLanes, Lanes, QuadLanes
from triton_spacemit.passes.loops.lowering import GROUP, ROOM, SMALL_GROUP, Lowering
from triton_spacemit.passes.loops.tensors import Access, Buffer, Coordinate, Coordinates, Tensor, bits
from triton_spacemit.passes.loops.views import View, in_place

CHUNK = 256  # steps of k for which operands are located before tiles run over them
PACK_COLUMNS = 16  # from so many columns on, packing A costs less than strided reads of it
PACK_USES = 32  # off RISC-V, from so many uses of each element on, a copy without conflicts in the caches pays
LINE_BYTES = 64
QUAD = 4  # steps of k in one of a tile that multiplies bytes by fours
UNROLL = {False: 4, True: 16}  # steps of k in one turn of the inner loop; more where each needs instructions for addresses


Located = tuple[View, View, Emitted]  # A and B in memory, and how many steps of k there are


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
    depth: int = 1  # steps of k that are one of the tile's: four where bytes are multiplied by fours
    rows_follow: bool = False  # A, and B, are copies with elements behind the wanted ones
    columns_follow: bool = False


def factor_type(low: Lowering, element: ir.Type, accumulate: ir.Type) -> ir.Type:
    """The type in which operands of type `element` are multiplied: their own where the chip multiplies it, widening, into `accumulate`."""
    b = low.b
    if element == accumulate or (isinstance(element, ir.F16Type) and low.chip.native_float16):
        return element
    if isinstance(element, ir.FloatType):
        return accumulate
    return ir.IntegerType.get_signless(16) if bits(element) <= 16 and low.chip.has_vl and accumulate == b.i32 else accumulate


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
    factor, depth = factor_type(low, left.element, accumulate), 1
    if low.chip.quads and not batch and left.element == right.element == b.i8 and min(rows, columns, inner) >= QuadLanes.COUNT:
        factor, depth = b.i32, QUAD
    lanes = QuadLanes.COUNT if depth == QUAD else min(columns, low.chip.lanes(bits(accumulate), GROUP if low.chip.has_vl else SMALL_GROUP))
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
    others = 2 * factor_group if low.chip.has_vl else factor_group + 1
    most = max(1, (low.chip.vector_registers - others) // group)
    heights = [h for h in range(1, min(limit, most) + 1) if not exact or rows % h == 0]
    return min(heights, key=lambda h: (-(-rows // h) * (h * (group + 1) + group + 2), -h))


def lower_dot(low: Lowering, node: Node) -> None:
    """A product on its own: one turn."""
    multiply(low, node, low.tensor(node.operands[0]), low.tensor(node.operands[1]), node.operands[2])


def multiply(low: Lowering, node: Node, left: Tensor, right: Tensor, start: ir.Value | None) -> None:
    """The result of `node` is `left @ right`, plus `start` if there is one."""
    element = element_of(node.results[0].type)
    if start is None:
        target, at_zero = low.destination(node) or low.allocate(shape_of(node.results[0]), element), True
    else:
        target, at_zero = result_buffer(low, node, start, [left, right])
    product = make_product(low, node, left, right, target, (None, None))
    inner = inner_limit(low, product, left, right)
    operands = []
    for tensor, unit_dim in ((left, None), (right, len(product.batch) + 1)):
        shape = stored_shape(product, tensor.shape, unit_dim is None)
        operands.append(locate(low, product, tensor, unit_dim, inner, functools.partial(operand_buffer, low, shape, product.factor)))
    steps = tile_steps(low, product, inner)
    run_tiles(low, product, b_turns=None, views=lambda turn: (operands[0], operands[1], steps), begin_at_zero=at_zero)
    low.values[node.results[0]] = low.from_buffer(target, node)


def is_zero(value: Emitted | None) -> bool:
    owner = value.value.owner if value is not None else None
    attribute = (
        owner.attributes["value"] if isinstance(owner, ir.Operation | ir.OpView) and owner.operation.name == "arith.constant" else None
    )
    return isinstance(attribute, ir.IntegerAttr | ir.FloatAttr) and attribute.value == 0


def result_buffer(low: Lowering, node: Node, value: ir.Value, operands: list[Tensor]) -> tuple[Buffer, bool]:
    """Where the product accumulates, and whether it starts at zero there (nothing is stored yet).

    It is the start value's own buffer if nothing else needs that, else one with a copy of it; never memory that an operand is read from.
    """
    start = low.tensor(value)
    own = start.buffer if low.analysis.ends_at(value, node) and not start.shared else None
    if own is not None and not any(low.reads(operand, own) for operand in operands):
        return own, False
    buffer = low.destination(node)
    if buffer is None or any(low.reads(operand, buffer) for operand in operands):
        buffer = low.allocate(start.shape, start.element)
    if is_zero(start.uniform):
        return buffer, True
    low.write_all([(start, buffer)])
    return buffer, False


# -- products in a loop


def accumulating(low: Lowering, loop: Node) -> tuple[Node, int] | None:
    """The product of a loop `for ..: acc = dot(a, b, acc)` that does nothing else, and which carried value `acc` is."""
    carried = [i for i, v in enumerate(loop.operands[3:]) if isinstance(v.type, ir.RankedTensorType)]
    step = low.scalar(loop.operands[2]).constant
    if len(carried) != 1 or loop.writes or not step or step < 0 or "unsignedCmp" in loop.op.attributes:
        return None
    body = loop.regions[0]
    argument, end = body.arguments[1 + carried[0]], body.nodes[-1]
    product = low.analysis.producer.get(end.operands[carried[0]])
    if product is None or product.name != "tt.dot" or product.block is not body or len(argument.type.shape) != 2:
        return None
    if product.operands[2] != argument or low.analysis.users[argument] != [product] or low.analysis.users[product.results[0]] != [end]:
        return None
    plain = all(node is product or node.is_lazy or (not node.is_tensor and node.name.startswith("llvm.")) for node in body.nodes[:-1])
    return (product, carried[0]) if plain else None


def lower_accumulating(low: Lowering, loop: Node, dot: Node, index: int) -> None:
    """The whole loop: for a chunk of its turns locate the operands, then run the tiles over the chunk."""
    b = low.b
    first, last, step = (low.scalar(v) for v in loop.operands[:3])
    inits = loop.operands[3:]
    target, at_zero = result_buffer(low, loop, inits[index], [])
    if at_zero:
        low.write_all([(low.tensor(inits[index]), target)])
    scalars = [low.scalar(v) for i, v in enumerate(inits) if i != index]
    body = loop.regions[0]
    arguments = [a for i, a in enumerate(body.arguments[1:]) if i != index]
    left, right = (Tensor(shape_of(v), element_of(v.type), None) for v in dot.operands[:2])
    product = make_product(low, dot, left, right, target, low.wanted(loop, loop.results[index]))
    per_chunk = max(1, CHUNK // product.inner)
    distance = b.sub(b.cast_index(last, b.i64), b.cast_index(first, b.i64))
    rounded = b.add(distance, b.constant(step.constant - 1))
    turns = b.maximum(b.op("arith.divsi", b.i64, [rounded, b.constant(step.constant)]), b.constant(0))
    slots: dict[int, Buffer] = {}

    def chunk(start: Emitted, carried: list[Emitted]) -> list[Emitted]:
        count = b.minimum(b.sub(turns, start), b.constant(per_chunk))
        outside = b.depth
        kept: list[Callable[[Emitted | None], Emitted]] = []

        def keep(value: Emitted, turn: Emitted) -> None:
            """Remember a value of this turn for the tiles."""
            if value.depth <= outside:
                kept.append(lambda _: value)
                return
            type_ = value.value.type
            table = slots.setdefault(-1 - len(kept), None) or low.allocate((per_chunk,), type_)
            slots[-1 - len(kept)] = table
            low.memory.scalar_store(b.offset(table.base, turn, type_), value)
            kept.append(lambda t: low.memory.scalar_load(b.offset(table.base, t, type_), type_, None, None, b.depth))

        def find(turn: Emitted, carried: list[Emitted]) -> list[Emitted]:
            with low.region():
                return find_in(turn, carried)

        def find_in(turn: Emitted, carried: list[Emitted]) -> list[Emitted]:
            number = b.mul(b.add(start, turn), b.constant(step.constant))
            low.values[body.arguments[0]] = b.cast_index(b.add(b.cast_index(first, b.i64), number), first.value.type)
            low.values.update(zip(arguments, carried, strict=True))
            for node in body.nodes[:-1]:
                if node is not dot:
                    b.location = node.op.location
                    low.lower(node)
            b.location = dot.op.location  # of the tiles, too
            operands = [low.tensor(v) for v in dot.operands[:2]]
            inner = inner_limit(low, product, *operands)
            keep(tile_steps(low, product, inner), turn)
            for side, tensor in enumerate(operands):

                def slot(side: int = side, tensor: Tensor = tensor) -> Buffer:
                    if side not in slots:
                        slots[side] = operand_buffer(low, (per_chunk, *stored_shape(product, tensor.shape, side == 0)), product.factor)
                    whole = slots[side]
                    base = b.offset(whole.base, b.mul(turn, b.constant(whole.strides[0])), whole.stored)
                    return Buffer(base, whole.shape[1:], whole.strides[1:], whole.element, whole.stored)

                view = locate(low, product, tensor, 1 if side else None, inner, slot)
                keep(view.base, turn)
                for stride in view.strides:
                    keep(stride, turn)
            end = body.nodes[-1]
            return [low.scalar(v) for i, v in enumerate(end.operands) if i != index]

        carried, _ = b.for_loop(b.constant(0), count, 1, carried, find)

        def views(turn: Emitted | None) -> Located:
            inner, *values = (get(turn) for get in kept)
            return View(values[0], values[1:3], product.factor), View(values[3], values[4:], product.factor), inner

        run_tiles(low, product, count, views, begin_at_zero=False)
        return carried

    results, _ = b.for_loop(b.constant(0), turns, per_chunk, scalars, chunk)
    remaining = iter(results)
    for i, value in enumerate(loop.results):
        low.values[value] = low.from_buffer(target, loop) if i == index else next(remaining)


# -- operands


def inner_limit(low: Lowering, product: Product, left: Tensor, right: Tensor) -> Emitted:
    """Where along k both operands are zero from there on: steps behind it need not run."""
    rank = len(product.batch)
    ends = [zero_from(low, left, rank + 1), zero_from(low, right, rank)]
    return low.b.constant(product.inner) if None in ends else low.b.maximum(*ends)


def zero_from(low: Lowering, tensor: Tensor, dim: int) -> Emitted | None:
    """The bound along `dim` behind which a load gives zeros, where it has one."""
    b, access = low.b, tensor.access
    if tensor.buffer is None and tensor.permutes is not None:
        source, follows = tensor.permutes
        return zero_from(low, source, follows.index(dim))
    if (
        tensor.buffer is not None
        or access is None
        or isinstance(access.other, Tensor)
        or not (access.other is None or is_zero(access.other))
    ):
        return None
    upper, extent = access.upper[dim], access.shape[dim]
    if upper.constant is not None and upper.constant >= extent:
        return None
    return b.maximum(b.minimum(upper, b.constant(extent)), b.constant(0))


def tile_steps(low: Lowering, product: Product, inner: Emitted) -> Emitted:
    """The tile's steps for so many of k."""
    b = low.b
    if product.depth == 1:
        return inner
    rounded = b.add(inner, b.constant(product.depth - 1))
    if rounded.constant is not None:
        return b.constant(rounded.constant // product.depth)
    return b.op("arith.shrui", b.i64, [rounded, b.constant(product.depth.bit_length() - 1)])


def stored_shape(product: Product, shape: tuple[int, ...], is_left: bool) -> tuple[int, ...]:
    """The shape of an operand's copy, in elements of `factor`."""
    along_k = len(shape) - (1 if is_left else 2)
    return tuple(n // product.depth if d == along_k else n for d, n in enumerate(shape))


def operand_buffer(low: Lowering, shape: tuple[int, ...], factor: ir.Type) -> Buffer:
    """Room for a copy of an operand; rows whose starts would meet in few sets of a cache lie a cache line further apart."""
    line = LINE_BYTES * 8 // bits(factor)
    padded = shape[-1] if shape[-1] % (4 * line) else shape[-1] + line
    buffer = low.allocate((*shape[:-1], padded), factor)
    if not low.chip.has_vl:  # whatever lies there may be subnormal numbers, which slow a multiplication down a hundred times
        behind = low.b.offset(buffer.base, low.b.constant(math.prod((*shape[:-1], padded))), factor)
        zero, size = low.b.constant(0, low.b.i8), low.b.constant(buffer.room * bits(factor) // 8)
        once = {"isVolatile": ir.BoolAttr.get(False)}
        low.b.create("llvm.intr.memset", [], [behind.value, zero.value, size.value], once, depth=low.frame)
    return replace(buffer, shape=shape)


def locate(low: Lowering, product: Product, tensor: Tensor, unit_dim: int | None, inner: Emitted, slot: Callable[[], Buffer]) -> View:
    """An operand in memory as the tiles read it, `inner` steps along k: in place where it can be, else packed into `slot()`."""
    b = low.b
    rank = len(product.batch)
    wanted = [b.constant(n) for n in tensor.shape]
    wanted[rank:] = [product.wanted_rows, inner] if unit_dim is None else [inner, product.wanted_columns]
    is_left = unit_dim is None
    uses = product.columns if is_left else product.rows
    if product.depth == QUAD:
        return locate_quads(low, product, tensor, is_left, wanted, slot())
    if is_left and low.chip.has_vl and product.columns >= PACK_COLUMNS:
        unit_dim = rank + 1  # elements of A at constant distances need no instructions for their addresses
    found = in_place(low, tensor, wanted)
    view, condition = found or (None, None)
    if view is not None and tensor.element == product.factor and (unit_dim is None or view.strides[unit_dim].constant == 1):
        if low.chip.has_vl or tensor.buffer is not None or uses < PACK_USES:
            return either(low, product, view, condition, lambda: packed(low, product, tensor, slot()))
    buffer = slot()
    if is_left:
        product.rows_follow = True
    else:
        product.columns_follow = True
    if view is None or tensor.buffer is not None:
        return packed(low, product, tensor, buffer)
    plain = read_at(low, tensor, view, wanted)
    slack = product.height if is_left else 0

    def copy_view() -> list[Emitted]:
        copy_wanted(low, converted(low, plain, product.factor), buffer, wanted, slack)
        return []

    def otherwise() -> list[Emitted]:
        packed(low, product, tensor, buffer)
        return []

    if condition is None:
        copy_view()
    else:
        b.if_else(condition, [], copy_view, otherwise)
    return View(buffer.base, [b.constant(s) for s in buffer.strides], product.factor)


def copy_wanted(low: Lowering, tensor: Tensor, buffer: Buffer, wanted: list[Emitted], slack: int) -> None:
    """The `wanted` first elements of `tensor`, and zeros in `slack` rows behind them."""
    if low.crosses(tensor, buffer):
        low.write_all([(tensor, buffer)])
        return
    b = low.b
    access = low.memory.buffer_access(buffer, tensor.origin)
    dim, width = low.vector_shape([tensor], tensor.shape, [access])
    if not low.chip.has_vl:  # at least two vectors, so that full ones are read in a loop of their own, without a mask
        width = max(1, min(width, tensor.shape[dim] // 2))

    def body(at: Coordinates) -> None:
        low.memory.store(access, low.evaluate(tensor, at), at)

    def limit(at: Coordinates) -> Emitted | None:
        condition = None
        for d, (coordinate, end) in enumerate(zip(at, wanted, strict=True)):
            if d != dim and end.constant is None:
                condition = b.both(condition, b.compare("slt", coordinate.start, b.add(end, b.constant(slack if d == len(at) - 2 else 0))))
        end = wanted[dim]
        return end if condition is None else b.select(condition, end, b.constant(0))

    low.nest(tensor.shape, dim, width, body, limit)


def locate_quads(low: Lowering, product: Product, tensor: Tensor, is_left: bool, wanted: list[Emitted], buffer: Buffer) -> View:
    """The operand copied as `QuadLanes` reads it: A's bytes plus 128 along rows, B's by fours along k; zero behind the wanted ones of B."""
    b = low.b
    product.rows_follow = product.columns_follow = True
    view, condition = in_place(low, tensor, wanted) or (None, None)

    def copy(source: Tensor) -> Callable[[], list[Emitted]]:
        def run() -> list[Emitted]:
            with low.region():
                if is_left:
                    target = replace(buffer, shape=tensor.shape, strides=(buffer.strides[0] * QUAD, 1), element=b.i8, stored=b.i8)
                    low.write_all([(raised(low, source), target)])
                else:
                    low.write_all([(by_fours(low, row_major_of(low, source)), buffer)])
            return []

        return run

    if view is None or tensor.buffer is not None:
        copy(tensor)()
    elif condition is None:
        copy(read_at(low, tensor, view, wanted))()
    else:
        b.if_else(condition, [], copy(read_at(low, tensor, view, wanted)), copy(tensor))
    return View(buffer.base, [b.constant(s) for s in buffer.strides], product.factor)


def raised(low: Lowering, tensor: Tensor) -> Tensor:
    """Signed bytes as unsigned ones that are 128 larger."""
    b = low.b

    def compute(at: Coordinates) -> Emitted:
        return b.op("arith.xori", b.i8, [low.evaluate(tensor, at), b.constant(-128, b.i8)])

    return Tensor(tensor.shape, b.i8, compute, tensor.origin, ((tensor, (0, 1)),), tensor.cost + 1)


def row_major_of(low: Lowering, tensor: Tensor) -> Tensor:
    """The bytes in memory along rows, if they lie along columns."""
    if tensor.access is None or tensor.access.strides[-1].constant == 1:
        return tensor
    buffer = low.allocate(tensor.shape, tensor.element)
    low.write_all([(tensor, buffer)])
    result = Tensor(tensor.shape, tensor.element, None, tensor.origin, buffer=buffer, home=low.b.depth)
    access = low.memory.buffer_access(buffer, tensor.origin)
    result.compute = lambda at: low.memory.read_buffer(buffer, access, at, result)
    return result


def by_fours(low: Lowering, tensor: Tensor) -> Tensor:
    """Four rows of bytes as one row of 32 bits, the first lowest."""
    b = low.b
    shape = (tensor.shape[0] // QUAD, tensor.shape[1])

    def compute(at: Coordinates) -> Emitted:
        total = None
        for i in range(QUAD):
            row = Coordinate(b.add(b.mul(at[0].start, b.constant(QUAD)), b.constant(i)))
            part = b.op("arith.extui", b.i32, [low.evaluate(tensor, (row, at[1]))])
            if total is None:
                total = part
                continue
            shifted = b.op("arith.shli", b.i32, [part, b.constant(8 * i, b.i32)], {"overflowFlags": b.no_flags})
            total = b.op("arith.ori", b.i32, [total, shifted])
        return total

    return Tensor(shape, b.i32, compute, tensor.origin, ((tensor, (None, 1)),), tensor.cost + 8)


def packed(low: Lowering, product: Product, tensor: Tensor, buffer: Buffer) -> View:
    """The operand copied to `buffer`."""
    with low.region():
        low.write_all([(converted(low, tensor, product.factor), buffer)])
    return View(buffer.base, [low.b.constant(s) for s in buffer.strides], product.factor)


def read_at(low: Lowering, tensor: Tensor, view: View, wanted: list[Emitted]) -> Tensor:
    """The `wanted` first elements of a load, addressed as a view and without the bounds that it satisfies; zero behind them."""
    b = low.b
    zeros = [b.constant(0)] * len(tensor.shape)
    other = b.constant(0, view.element)
    access = Access(view.base, view.strides, zeros, wanted, None, 1, None, other, view.element, tensor.shape, tensor.origin)
    result = Tensor(tensor.shape, tensor.element, None, tensor.origin, home=b.depth, access=access)
    result.compute = lambda at: low.memory.load(result, access, at)
    return result


def either(low: Lowering, product: Product, view: View, condition: Emitted | None, pack: Callable[[], View]) -> View:
    """`view` where the condition holds, else what `pack` makes."""
    if condition is None:
        return view
    b = low.b
    types = [(b.ptr, 0)] + [(b.i64, 0)] * len(view.strides)
    copies: list[View] = []

    def otherwise() -> list[Emitted]:
        copies.append(pack())
        return [copies[0].base, *copies[0].strides]

    base, *strides = b.if_else(condition, types, lambda: [view.base, *view.strides], otherwise)
    same = [s.constant is not None and s.constant == p.constant for s, p in zip(view.strides, copies[0].strides, strict=True)]
    return View(base, [s if equal else either for s, equal, either in zip(view.strides, same, strides, strict=True)], product.factor)


# -- tiles


def run_tiles(
    low: Lowering, product: Product, b_turns: Emitted | None, views: Callable[[Emitted | None], Located], begin_at_zero: bool
) -> None:
    """All register tiles of the result, each over `b_turns` turns (None: the one turn); `views(turn)` gives the operands of a turn."""
    b = low.b
    target = product.target
    c_strides = [b.constant(s) for s in target.strides]

    def batched(at: list[Emitted]) -> None:
        if len(at) < len(product.batch):
            b.repeat(b.constant(0), b.constant(product.batch[len(at)]), 1, lambda i: batched([*at, i]))
            return
        base_c = target.base
        for i, stride in zip(at, c_strides, strict=False):
            base_c = b.offset(base_c, b.mul(i, stride), target.stored)

        def column(j: Emitted) -> None:
            left = b.minimum(b.sub(product.wanted_columns, j), b.constant(product.lanes))
            whole = product.wanted_columns.constant is not None or (product.columns_follow and not low.chip.has_vl)
            partial = None if whole else left

            def rows(part: Product, unroll: int) -> list[Emitted]:
                def row(i: Emitted) -> None:
                    tile(low, part, base_c, c_strides, at, i, j, partial, b_turns, views, begin_at_zero, unroll)

                b.repeat(b.constant(0), product.wanted_rows, product.height, row)
                return []

            unroll, narrow = UNROLL[low.chip.has_vl], product.lanes // GROUP
            if partial is None or not low.chip.has_vl or narrow * 64 < low.chip.vlen:
                rows(product, unroll)
                return
            # an instruction's time goes by its registers, not by its active lanes: a few last columns get a quarter of them
            few = b.compare("sle", left, b.constant(narrow))
            b.if_else(few, [], lambda: rows(replace(product, lanes=narrow), unroll // GROUP), lambda: rows(product, unroll))

        b.repeat(b.constant(0), product.wanted_columns, product.lanes, column)

    batched([])


def tile(
    low: Lowering,
    product: Product,
    base_c: Emitted,
    c_strides: list[Emitted],
    at: list[Emitted],
    i: Emitted,
    j: Emitted,
    partial: Emitted | None,
    b_turns: Emitted | None,
    views: Callable[[Emitted | None], Located],
    begin_at_zero: bool,
    most_unrolled: int,
) -> None:
    """`C[i : i + height, j : j + lanes] += sum over turns of A[i : i + height, :] @ B[:, j : j + lanes]`, the tile of C in registers.

    Rows behind the wanted ones read the last wanted row of A; what they give lands behind C's rows, where every buffer has room.
    """
    b, element = low.b, product.target.stored
    places = [b.add(i, b.constant(r)) for r in range(product.height)]
    rows_c = [b.offset(b.offset(base_c, b.mul(p, c_strides[-2]), element), j, element) for p in places]
    exact = product.rows_follow or product.wanted_rows.constant is not None and product.wanted_rows.constant % product.height == 0
    last = b.sub(product.wanted_rows, b.constant(1))
    rows = places if exact else [places[0]] + [b.minimum(p, last) for p in places[1:]]
    lanes: Lanes
    if product.depth == QUAD:
        lanes = QuadLanes(low)
    elif ActiveLanes.fits(low, product.lanes, product.factor, product.accumulate, element):
        lanes = ActiveLanes(low, product.lanes, product.factor, product.accumulate, element, partial or b.constant(product.lanes))
    else:
        lanes = FixedLanes(low, product.lanes, product.factor, product.accumulate, element, partial)

    def turn(number: Emitted | None, carried: list[Emitted]) -> list[Emitted]:
        a, bb, inner = views(number)
        base_a, base_b = a.base, bb.base
        for index, stride_a, stride_b in zip(at, a.strides, bb.strides, strict=False):
            base_a = b.offset(base_a, b.mul(index, stride_a), a.element)
            base_b = b.offset(base_b, b.mul(index, stride_b), bb.element)
        rows_a = [b.offset(base_a, b.mul(r, a.strides[-2]), a.element) for r in rows]
        column_b = b.offset(base_b, j, bb.element)
        unroll = math.gcd(product.inner // product.depth, most_unrolled)

        def address_of_row(k: Emitted, u: int) -> Emitted:
            return b.offset(column_b, b.mul(b.add(k, b.constant(u)), bb.strides[-2]), bb.element)

        def scalar_of(k: Emitted, u: int, r: int) -> Emitted:
            pointer = b.offset(rows_a[r], b.mul(b.add(k, b.constant(u)), a.strides[-1]), a.element)
            return low.memory.scalar_load(pointer, a.element, None, None, b.depth)

        def steps(count: int) -> Callable[[Emitted, list[Emitted]], list[Emitted]]:
            def step(k: Emitted, sums: list[Emitted]) -> list[Emitted]:
                sums, rest = list(sums[: product.height]), sums[product.height :]
                for u in range(count):
                    row = lanes.load_factor(address_of_row(k, u))
                    rest = lanes.seen(row, rest)
                    for r in range(product.height):
                        sums[r] = lanes.multiply_add(scalar_of(k, u, r), row, sums[r])
                return [*sums, *rest]

            def step_ahead(k: Emitted, carried: list[Emitted]) -> list[Emitted]:
                """The same for an in-order core: a vector and the scalars of a step are loaded among the multiplications of the one before.

                Its place in B is passed from step to step, behind a freeze: else loop passes compute it just before the load.
                """
                sums, (place, *vectors) = list(carried[: product.height]), carried[product.height :]
                place = b.freeze(place)
                vectors = [vectors[1], lanes.load_factor(place, vectors[0])]
                scalars = [scalar_of(k, 0, r) for r in range(product.height)]
                for u in range(count):
                    row, following = vectors[1], list(scalars)
                    place = b.offset(place, bb.strides[-2], bb.element)
                    for r in range(product.height):
                        sums[r] = lanes.multiply_add(scalars[r], row, sums[r])
                        if u + 1 == count:
                            continue
                        if r == 0:
                            vectors = [row, lanes.load_factor(place, vectors[0])]
                        for ready in [r - 1] * (r > 0) + [r] * (r + 1 == product.height):
                            following[ready] = scalar_of(k, u + 1, ready)
                    scalars = following
                return [*sums, place, *vectors]

            return step_ahead if lanes.in_order else step

        if inner.constant is not None:
            whole = b.constant(inner.constant & -unroll)
        else:
            whole = b.op("arith.andi", b.i64, [inner, b.constant(-unroll)])
        if lanes.in_order:
            carried = [*carried[: product.height], column_b, *carried[product.height :]]
        carried, _ = b.for_loop(b.constant(0), whole, unroll, carried, steps(unroll))
        carried, _ = b.for_loop(whole, inner, 1, carried, steps(1))
        if lanes.in_order:
            del carried[product.height]
        return carried

    sums = [lanes.zero() if begin_at_zero else lanes.load_sum(pointer) for pointer in rows_c]
    sums += lanes.nothing()
    if b_turns is None:
        sums = turn(None, sums)
    else:
        sums, _ = b.for_loop(b.constant(0), b_turns, 1, sums, turn)
    for pointer, value in zip(rows_c, sums, strict=False):
        lanes.store_sum(pointer, lanes.finished(value, sums[product.height :]))
