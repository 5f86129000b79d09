"""Compute packed blocks in their plain form, where tiles are an order of elements and not of memory.

A packed block [I, J, p, q] is a matrix of I * p rows and J * q columns. Every value whose matrix can be had is replaced by it: views become
windows of matrices (`xsmt.subview`), packed products become `tt.dot`, and with them what happens element by element, by rows or by
columns; loops carry matrices. So a packed product is lowered like any other, a load with a view behind it reads from memory what the
product needs, and nothing is rearranged that no machine instruction asks for. Where an op needs the tiles themselves an `xsmt.pack` or
`xsmt.unpack` of the whole block stays.

Annotations end here: those of a product become attributes of its `tt.dot` (`xsmt.mr`, ...), which lowering reads; others go.

Products of 16-bit floats are summed in f32; a loop that only adds products to a block carries the sum as f32 and rounds it once, behind it.

```mlir
func.func @product(%a: tensor<32x16xf16>, %b: tensor<16x32xf16>) -> tensor<32x32xf16> {
  %zero = arith.constant 0 : i32
  %0 = "xsmt.pack"(%a, %zero, %zero) : (tensor<32x16xf16>, i32, i32) -> tensor<4x1x8x16xf16>
  %1 = "xsmt.pack"(%b, %zero, %zero) : (tensor<16x32xf16>, i32, i32) -> tensor<1x1x16x32xf16>
  %2 = "xsmt.mmt4d"(%0, %1) {transposed = false} : (tensor<4x1x8x16xf16>, tensor<1x1x16x32xf16>) -> tensor<4x1x8x32xf16>
  %3 = "xsmt.unpack"(%2, %zero, %zero) : (tensor<4x1x8x32xf16>, i32, i32) -> tensor<32x32xf16>
  return %3 : tensor<32x32xf16>
}
```
"""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect.module import kernel_of, operations
from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.dialect.xsmt import HINTS

ELEMENTWISE = frozenset(
    "tt." + name for name in "bitcast fp_to_fp clampf mulhiui precise_divf precise_sqrt extern_elementwise".split()
)
_PURE = frozenset(
    "tt.broadcast tt.expand_dims tt.reduce tt.reshape tt.splat tt.trans tt.dot "
    "xsmt.pack xsmt.unpack xsmt.repack xsmt.subview xsmt.mmt4d xsmt.descriptor_load".split()
)
_IEEE = 2  # of Triton's InputPrecision
_ROWS_OF_TILES, _COLUMNS_OF_TILES, _ROW, _COLUMN = range(4)


def plain_blocks(module: ir.Module) -> None:
    """Run the pass on the module's kernel."""
    kernel = kernel_of(module)
    with module.context:
        rewriter = _Rewriter()
        rewriter.block(kernel.regions[0].blocks[0])
        rewriter.finish()
        _sweep(kernel.regions[0].blocks[0])
        _widen_sums(kernel)


def _rank(type_: ir.Type) -> int:
    return type_.rank if isinstance(type_, ir.RankedTensorType) else 0


def _tensor(shape: Sequence[int], element: ir.Type) -> ir.Type:
    return ir.RankedTensorType.get(shape, element, loc=ir.Location.unknown())


def _matrix(type_: ir.Type) -> ir.Type:
    rows, columns, row, column = type_.shape
    return _tensor([rows * row, columns * column], type_.element_type)


def _create(
    name: str, operands: Sequence[ir.Value], result: ir.Type, at: ir.Operation, attributes: dict[str, ir.Attribute] | None = None
) -> ir.Value:
    """The result of a new op before `at`, at its location."""
    return ir.Operation.create(name, [result], list(operands), attributes, loc=at.location, ip=ir.InsertionPoint(at)).result


def _recreate(op: ir.Operation, operands: Sequence[ir.Value], result: ir.Type) -> ir.Value:
    """The result of a copy of `op` with other operands and another type. Properties of unregistered ops are seen by their copies alone."""
    copy = op.clone(ir.InsertionPoint(op))
    for number, operand in enumerate(operands):
        copy.operands[number] = operand
    copy.result.set_type(result)
    return copy.result


def _combination(reduce: ir.Operation) -> str:
    """The text of a reduction's body: of a copy without surroundings, so that its values are numbered from 0."""
    return str(reduce.clone(False)).partition("({")[2].rpartition("})")[0]


def _i32(value: int) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(32), value)


def _dot_of(value: ir.Value) -> ir.Operation | None:
    """The product that a matrix is, rounded or not."""
    op = producer_of(value)
    if op is not None and op.name == "arith.truncf":
        op = producer_of(op.operands[0])
    return op if op is not None and op.name == "tt.dot" else None


def _users(value: ir.Value) -> list[ir.Operation]:
    return [use.owner.operation for use in value.uses]


def _constant(value: ir.Value) -> int | None:
    number = constant_of(value)
    return None if number is None else number.value


def _following(op: ir.Operation) -> ir.Operation:
    operations = [view.operation for view in op.block.operations]
    return operations[operations.index(op) + 1]


def _attributes(op: ir.Operation) -> dict[str, ir.Attribute]:
    return {name: op.attributes[name] for name in op.attributes}


class _Rewriter:
    """Finds the matrix of each packed value, in program order."""

    def __init__(self) -> None:
        self.plain: dict[ir.Value, ir.Value] = {}
        self.products: dict[ir.Value, list[ir.Value]] = {}  # the matrices whose product a packed value is, nothing added
        self.converted: list[ir.Operation] = []

    def block(self, block: ir.Block) -> None:
        for view in list(block.operations):
            op = view.operation
            rule = _RULES.get(op.name)
            if rule is not None:
                rule(self, op)
            elif op.results and _rank(op.results[0].type) == 4 and any(operand in self.plain for operand in op.operands):
                matrix = self.derived(op)
                if matrix is not None:
                    self.found(op, matrix)
            elif op.name not in ("tt.scan", "tt.map_elementwise"):
                for region in op.regions:
                    for inner in region.blocks:
                        self.block(inner)

    def found(self, op: ir.Operation, matrix: ir.Value) -> None:
        self.plain[op.results[0]] = matrix
        self.converted.append(op)

    def finish(self) -> None:
        """Where the packed form of a converted value is still needed, pack its matrix; then the old op is dead."""
        for op in reversed(self.converted):
            result = op.results[0]
            if next(iter(result.uses), None) is not None and op.name not in ("xsmt.pack", "xsmt.descriptor_load"):
                result.replace_all_uses_with(self.whole(self.plain[result], result.type, op))
            if next(iter(result.uses), None) is None:
                op.erase()

    # The matrix of a value

    def matrix(self, value: ir.Value) -> ir.Value:
        """The matrix of any packed value: known, derived from what it is computed from, or unpacked."""
        matrix = self.plain.get(value)
        if matrix is None:
            op = producer_of(value)
            matrix = self.derived(op) if op is not None else None
            if matrix is None:
                matrix = self.unpacked(value)
            self.plain[value] = matrix
        return matrix

    def unpacked(self, value: ir.Value) -> ir.Value:
        op = producer_of(value)
        at = next(iter(value.owner.operations)).operation if op is None else _following(op)
        zero = _create("arith.constant", [], ir.IntegerType.get_signless(32), at, {"value": _i32(0)})
        return _create("xsmt.unpack", [value, zero, zero], _matrix(value.type), at)

    def derived(self, op: ir.Operation) -> ir.Value | None:
        """The matrix of an op's result from the matrices of its operands; None where it does not follow from them."""
        type_ = op.results[0].type
        if _rank(type_) != 4:
            return None
        name, target = op.name, _matrix(type_)
        if name == "arith.constant":
            value = op.attributes["value"]
            if not value.is_splat:
                return None
            return _create(name, [], target, op, {"value": ir.DenseElementsAttr.get_splat(target, value.get_splat_value())})
        if name == "tt.splat":
            return _create(name, op.operands, target, op)
        if name.startswith(("arith.", "math.")) or name in ELEMENTWISE:
            operands = [self.matrix(operand) if _rank(operand.type) == 4 else operand for operand in op.operands]
            return _recreate(op, operands, target)
        if name == "tt.broadcast":
            return self._broadcast(op, target)
        if name == "tt.trans" and list(op.attributes["order"]) in ([1, 0, 3, 2], [0, 1, 2, 3]):
            order = ir.DenseI32ArrayAttr.get(list(op.attributes["order"])[:2])
            return _create(name, [self.matrix(op.operands[0])], target, op, {"order": order})
        if name in ("tt.reshape", "tt.expand_dims"):
            return self._reshape(op, target)
        return None

    def _broadcast(self, op: ir.Operation, target: ir.Type) -> ir.Value | None:
        """Rows, columns or single elements spread over the whole matrix; not over part of a tile or of the tiles."""
        source = op.operands[0]
        small, large = source.type.shape, target.shape
        for extent, tiles, lane in ((large[0], small[0], small[2]), (large[1], small[1], small[3])):
            if tiles * lane not in (1, extent):
                return None
        return _create(op.name, [self.matrix(source)], target, op)

    def _reshape(self, op: ir.Operation, target: ir.Type) -> ir.Value | None:
        """A row [1, J, 1, q] or column [I, 1, p, 1] of elements in their order."""
        rows, columns, row, column = op.results[0].type.shape
        if rows * row != 1 and columns * column != 1:
            return None
        return _create("tt.reshape", [op.operands[0]], target, op)

    # Ops that only packed blocks have

    def window(self, op: ir.Operation, base: ir.Value, type_: ir.Type) -> ir.Value:
        """The matrix of `type_` at the offsets of the view `op` in the matrix `base`."""
        offsets = list(op.operands)[1:]
        if base.type == type_ and all(_constant(offset) == 0 for offset in offsets):
            return base
        return _create("xsmt.subview", [base, *offsets], type_, op)

    def view(self, op: ir.Operation) -> None:
        base, result = op.operands[0], op.results[0]
        if _rank(result.type) == 4:
            matrix = base if _rank(base.type) == 2 else self.matrix(base)
            self.found(op, self.window(op, matrix, _matrix(result.type)))
        elif op.name == "xsmt.unpack":
            result.replace_all_uses_with(self.window(op, self.matrix(base), result.type))
            op.erase()

    def mmt4d(self, op: ir.Operation) -> None:
        left, right = (self.matrix(operand) for operand in list(op.operands)[:2])
        if op.attributes["transposed"].value:
            columns, inner = right.type.shape
            order = ir.DenseI32ArrayAttr.get([1, 0])
            right = _create("tt.trans", [right], _tensor([inner, columns], right.type.element_type), op, {"order": order})
        result = op.results[0]
        start = self.matrix(op.operands[2]) if len(op.operands) > 2 else None
        if start is None:
            self.products[result] = [left, right]
        self.found(op, self.product(op, left, right, start, _matrix(result.type)))

    def product(self, at: ir.Operation, left: ir.Value, right: ir.Value, start: ir.Value | None, type_: ir.Type) -> ir.Value:
        """`left @ right + start`; floats are summed in f32."""
        element = type_.element_type
        narrow = isinstance(element, ir.F16Type | ir.BF16Type)
        wide = _tensor(type_.shape, ir.F32Type.get()) if narrow else type_
        if start is None:
            zero = _i32(0) if isinstance(element, ir.IntegerType) else ir.FloatAttr.get(ir.F32Type.get(), 0.0, loc=ir.Location.unknown())
            start = _create("arith.constant", [], wide, at, {"value": ir.DenseElementsAttr.get_splat(wide, zero)})
        elif narrow:
            start = _create("arith.extf", [start], wide, at)
        attributes = {"inputPrecision": _i32(_IEEE), "maxNumImpreciseAcc": _i32(0)}
        total = _create("tt.dot", [left, right, start], wide, at, attributes)
        return _create("arith.truncf", [total], type_, at) if narrow else total

    def add(self, op: ir.Operation) -> None:
        """A sum: of a product and anything else it is that product's accumulator."""
        if _rank(op.results[0].type) != 4:
            return
        for product, other in (op.operands, reversed(list(op.operands))):
            if product in self.products and product != other and len(_users(product)) == 1:
                start = self.matrix(other)
                left, right = self.products[product]
                self.found(op, self.product(op, left, right, start, _matrix(op.results[0].type)))
                old, new = (_dot_of(self.plain[value]) for value in (product, op.results[0]))
                for hint in HINTS:
                    if f"xsmt.{hint}" in old.attributes:
                        new.attributes[f"xsmt.{hint}"] = old.attributes[f"xsmt.{hint}"]
                return
        if any(operand in self.plain for operand in op.operands):
            self.found(op, self.derived(op))

    def annotation(self, op: ir.Operation) -> None:
        dot = _dot_of(self.plain.get(op.operands[0], op.operands[0]))
        if dot is not None:
            dot.attributes[f"xsmt.{op.attributes['hint'].value}"] = op.attributes["value"]
        op.erase()

    # Accesses

    def load(self, op: ir.Operation) -> None:
        """A load of tiles that lie in memory as a matrix does."""
        if _rank(op.results[0].type) != 4:
            return
        access = self.flattened(op, op.results[0].type)
        other = op.opview.other
        if access is None or _rank(other.type if other is not None else None):
            return
        operands, sizes = access
        last = [other] if other is not None else []
        attributes = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, *sizes, 0, len(last)])}
        operands = [op.opview.base, *operands, *last]
        self.found(op, _create(op.name, operands, _matrix(op.results[0].type), op, attributes))

    def store(self, op: ir.Operation) -> None:
        value = op.opview.value
        access = self.flattened(op, value.type) if _rank(value.type) == 4 and value in self.plain else None
        if access is None:
            return
        operands, sizes = access
        attributes = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, *sizes, 0])}
        ir.Operation.create(
            op.name, [], [op.opview.base, self.plain[value], *operands], attributes, loc=op.location, ip=ir.InsertionPoint(op)
        )
        op.erase()

    def flattened(self, op: ir.Operation, type_: ir.Type) -> tuple[list[ir.Value], list[int]] | None:
        """Strides and bounds of an unbounded access to tiles as one to a matrix, with their numbers; None where it is none."""
        access, shape = op.opview, type_.shape
        if access.mask is not None:
            return None
        for lower, upper, extent in zip(access.lower, access.upper, shape, strict=True):
            if (_constant(lower), _constant(upper)) != (0, extent):
                return None
        strides = [_constant(stride) for stride in access.strides]
        kept, ends = [], []
        for outer, inner in ((_ROWS_OF_TILES, _ROW), (_COLUMNS_OF_TILES, _COLUMN)):
            if shape[outer] == 1:
                kept.append(access.strides[inner])
            elif shape[inner] == 1:
                kept.append(access.strides[outer])
            elif None not in (strides[outer], strides[inner]) and strides[outer] == strides[inner] * shape[inner]:
                kept.append(access.strides[inner])
            else:
                return None
            ends.append(shape[outer] * shape[inner])
        i64 = ir.IntegerType.get_signless(64)
        bounds = [_create("arith.constant", [], i64, op, {"value": ir.IntegerAttr.get(i64, n)}) for n in (0, 0, *ends)]
        return [*kept, *bounds], [2, 2, 2]

    # Reductions

    def reduce(self, op: ir.Operation) -> None:
        """Along a tile and then along the tiles it is one reduction of the matrix along its rows or columns."""
        source = op.operands[0]
        if len(op.operands) != 1 or _rank(source.type) != 4 or source not in self.plain:
            return
        users = _users(op.results[0])
        if len(users) != 1 or users[0].name != "tt.reduce" or _combination(users[0]) != _combination(op):
            return
        second = users[0]
        axes = op.attributes["axis"].value, second.attributes["axis"].value
        axis = {(3, 1): 1, (1, 2): 1, (2, 0): 0, (0, 1): 0}.get(axes)
        if axis is None:
            return
        matrix = self.plain[source]
        kept = matrix.type.shape[1 - axis]
        attributes = _attributes(op) | {"axis": _i32(axis)}
        result = _tensor([kept], matrix.type.element_type)
        new = ir.Operation.create(op.name, [result], [matrix], attributes, regions=1, loc=op.location, ip=ir.InsertionPoint(second))
        op.regions[0].blocks[0].append_to(new.regions[0])
        shaped = _create("tt.reshape", [new.result], second.results[0].type, second)
        second.results[0].replace_all_uses_with(shaped)

    # Loops

    def loop(self, op: ir.Operation) -> None:
        """Carry matrices instead of packed blocks whose matrix is known or a constant."""
        carried = {}
        for number, initial in enumerate(list(op.operands)[3:]):
            producer = producer_of(initial)
            known = initial in self.plain or (producer is not None and producer.name in ("arith.constant", "tt.splat"))
            if known and _rank(initial.type) == 4:
                carried[number] = self.matrix(initial)
        types = {number: op.results[number].type for number in carried}
        new = carrying(op, carried) if carried else op
        body = new.regions[0].blocks[0]
        for number, type_ in types.items():
            argument = body.arguments[number + 1]
            uses = list(argument.uses)
            if uses:
                pack = self.whole(argument, type_, next(iter(body.operations)).operation)
                for use in uses:
                    use.owner.operation.operands[use.operand_number] = pack
        self.block(body)
        end = body.operations[len(body.operations) - 1].operation
        for number in carried:
            end.operands[number] = self.matrix(end.operands[number])
        if new is op:
            return
        at = _following(new)
        for number, (old, result) in enumerate(zip(op.results, new.results, strict=True)):
            if number in types:
                result = self.whole(result, types[number], at)
                self.view(producer_of(result))
            old.replace_all_uses_with(result)
        op.erase()

    def whole(self, matrix: ir.Value, type_: ir.Type, at: ir.Operation) -> ir.Value:
        zero = _create("arith.constant", [], ir.IntegerType.get_signless(32), at, {"value": _i32(0)})
        return _create("xsmt.pack", [matrix, zero, zero], type_, at)


_RULES = {
    "xsmt.pack": _Rewriter.view,
    "xsmt.repack": _Rewriter.view,
    "xsmt.subview": _Rewriter.view,
    "xsmt.unpack": _Rewriter.view,
    "xsmt.mmt4d": _Rewriter.mmt4d,
    "xsmt.annotation": _Rewriter.annotation,
    "xsmt.descriptor_load": _Rewriter.load,
    "xsmt.descriptor_store": _Rewriter.store,
    "arith.addf": _Rewriter.add,
    "arith.addi": _Rewriter.add,
    "tt.reduce": _Rewriter.reduce,
    "scf.for": _Rewriter.loop,
}


def carrying(op: ir.Operation, initial: dict[int, ir.Value]) -> ir.Operation:
    """The loop `op` with other initial values, by number, and their types; its body moves, its uses stay with `op`."""
    operands, types = list(op.operands), [result.type for result in op.results]
    body = op.regions[0].blocks[0]
    for number, value in initial.items():
        operands[3 + number], types[number] = value, value.type
    new = ir.Operation.create("scf.for", types, operands, _attributes(op), regions=1, loc=op.location, ip=ir.InsertionPoint(op))
    body.append_to(new.regions[0])
    for number, value in initial.items():
        body.arguments[number + 1].set_type(value.type)
    return new


def _widen_sums(kernel: ir.Operation) -> None:
    """Carry f32 through loops that only add products of narrower floats to a block."""
    for loop in operations(kernel, "scf.for"):
        body = loop.regions[0].blocks[0]
        end = body.operations[len(body.operations) - 1].operation
        wide = {}
        for number, argument in enumerate(list(body.arguments)[1:]):
            narrowed = producer_of(end.operands[number])
            if narrowed is None or narrowed.name != "arith.truncf" or len(_users(narrowed.result)) != 1:
                continue
            dot, extended = producer_of(narrowed.operands[0]), _users(argument)
            if dot is None or dot.name != "tt.dot" or len(_users(dot.result)) != 1 or len(extended) != 1:
                continue
            if extended[0].name == "arith.extf" and _users(extended[0].result) == [dot] and dot.operands[2] == extended[0].result:
                wide[number] = (narrowed, extended[0])
        if not wide:
            continue
        initial = {n: _create("arith.extf", [loop.operands[3 + n]], ext.result.type, loop) for n, (_, ext) in wide.items()}
        new = carrying(loop, initial)
        at = _following(new)
        for number, (old, result) in enumerate(zip(loop.results, new.results, strict=True)):
            if number in wide:
                narrowed, extended = wide[number]
                extended.result.replace_all_uses_with(body.arguments[number + 1])
                end.operands[number] = narrowed.operands[0]
                narrowed.erase()
                extended.erase()
                result = _create("arith.truncf", [result], old.type, at)
            old.replace_all_uses_with(result)
        loop.erase()


def _sweep(block: ir.Block) -> None:
    """Erase pure ops that nothing uses, users first."""
    for view in reversed(list(block.operations)):
        op = view.operation
        for region in op.regions:
            for inner in region.blocks:
                _sweep(inner)
        pure = op.name.startswith(("arith.", "math.")) or op.name in ELEMENTWISE or op.name in _PURE
        if pure and all(next(iter(result.uses), None) is None for result in op.results):
            op.erase()
