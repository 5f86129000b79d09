"""Compute packed blocks in their plain form, where tiles are an order of elements and not of memory.

A packed block [I, J, p, q] is a matrix of I * p rows and J * q columns. Every value whose matrix can be had is replaced by it: views become
windows of matrices (`xsmt.subview`), packed products become `tt.dot`, and with them what happens element by element, by rows or by
columns; loops carry matrices. So a packed product is lowered like any other, a load with a view behind it reads from memory what the
product needs, and nothing is rearranged that no machine instruction asks for. Where an op needs the tiles themselves an `xsmt.pack` or
`xsmt.unpack` of the whole block stays.

Annotations end here: those of a product become attributes of its `tt.dot` (`xsmt.mr`, ...), which lowering reads; others go.

Products of 16-bit floats are summed in f32 and rounded; `widen-sums` then rounds sums that a loop carries once.

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

from torch_mlir import ir

from triton_spacemit.dialect.module import kernel_of
from triton_spacemit.dialect.values import producer_of
from triton_spacemit.dialect.xsmt import HINTS
from triton_spacemit.passes.matrices import Matrices, constant, flattened, matrix_type, packed, rank
from triton_spacemit.passes.rewriting import attributes_of, carrying, create, following, i32, last_of, only_user, sweep, tensor

_IEEE = 2  # of Triton's InputPrecision


def plain_blocks(module: ir.Module) -> None:
    """Run the pass on the module's kernel."""
    kernel = kernel_of(module)
    with module.context:
        rewriter = _Rewriter()
        rewriter.block(kernel.regions[0].blocks[0])
        rewriter.finish()
        sweep(kernel)


def _combination(reduce: ir.Operation) -> str:
    """The text of a reduction's body: of a copy without surroundings, so that its values are numbered from 0."""
    return str(reduce.clone(False)).partition("({")[2].rpartition("})")[0]


def _dot_of(value: ir.Value) -> ir.Operation | None:
    """The product that a matrix is, rounded or not."""
    op = producer_of(value)
    if op is not None and op.name == "arith.truncf":
        op = producer_of(op.operands[0])
    return op if op is not None and op.name == "tt.dot" else None


class _Rewriter:
    """Finds the matrix of each packed value, in program order."""

    def __init__(self) -> None:
        self.matrices = Matrices()
        self.products: dict[ir.Value, list[ir.Value]] = {}  # the matrices whose product a packed value is, nothing added
        self.converted: list[ir.Operation] = []

    def block(self, block: ir.Block) -> None:
        for view in list(block.operations):
            op = view.operation
            rule = _RULES.get(op.name)
            if rule is not None:
                rule(self, op)
            elif op.results and rank(op.results[0].type) == 4 and any(operand in self.matrices.known for operand in op.operands):
                matrix = self.matrices.derived(op)
                if matrix is not None:
                    self.found(op, matrix)
            elif op.name not in ("tt.scan", "tt.map_elementwise"):
                for region in op.regions:
                    for inner in region.blocks:
                        self.block(inner)

    def found(self, op: ir.Operation, matrix: ir.Value) -> None:
        self.matrices.known[op.results[0]] = matrix
        self.converted.append(op)

    def finish(self) -> None:
        """Where the packed form of a converted value is still needed, pack its matrix; then the old op is dead."""
        for op in reversed(self.converted):
            result = op.results[0]
            if next(iter(result.uses), None) is not None and op.name not in ("xsmt.pack", "xsmt.descriptor_load"):
                result.replace_all_uses_with(packed(self.matrices.known[result], result.type, op))
            if next(iter(result.uses), None) is None:
                op.erase()

    # Ops that only packed blocks have

    def window(self, op: ir.Operation, base: ir.Value, type_: ir.Type) -> ir.Value:
        """The matrix of `type_` at the offsets of the view `op` in the matrix `base`."""
        offsets = list(op.operands)[1:]
        if base.type == type_ and all(constant(offset) == 0 for offset in offsets):
            return base
        return create("xsmt.subview", [base, *offsets], type_, op)

    def view(self, op: ir.Operation) -> None:
        base, result = op.operands[0], op.results[0]
        if rank(result.type) == 4:
            matrix = base if rank(base.type) == 2 else self.matrices.of(base)
            self.found(op, self.window(op, matrix, matrix_type(result.type)))
        elif op.name == "xsmt.unpack":
            result.replace_all_uses_with(self.window(op, self.matrices.of(base), result.type))
            op.erase()

    def mmt4d(self, op: ir.Operation) -> None:
        left, right = (self.matrices.of(operand) for operand in list(op.operands)[:2])
        if op.attributes["transposed"].value:
            columns, inner = right.type.shape
            order = ir.DenseI32ArrayAttr.get([1, 0])
            right = create("tt.trans", [right], tensor([inner, columns], right.type.element_type), op, {"order": order})
        result = op.results[0]
        start = self.matrices.of(op.operands[2]) if len(op.operands) > 2 else None
        if start is None:
            self.products[result] = [left, right]
        self.found(op, self.product(op, left, right, start, matrix_type(result.type)))

    def product(self, at: ir.Operation, left: ir.Value, right: ir.Value, start: ir.Value | None, type_: ir.Type) -> ir.Value:
        """`left @ right + start`; floats are summed in f32."""
        element = type_.element_type
        narrow = isinstance(element, ir.F16Type | ir.BF16Type)
        wide = tensor(type_.shape, ir.F32Type.get()) if narrow else type_
        if start is None:
            zero = i32(0) if isinstance(element, ir.IntegerType) else ir.FloatAttr.get(ir.F32Type.get(), 0.0, loc=ir.Location.unknown())
            start = create("arith.constant", [], wide, at, {"value": ir.DenseElementsAttr.get_splat(wide, zero)})
        elif narrow:
            start = create("arith.extf", [start], wide, at)
        attributes = {"inputPrecision": i32(_IEEE), "maxNumImpreciseAcc": i32(0)}
        total = create("tt.dot", [left, right, start], wide, at, attributes)
        return create("arith.truncf", [total], type_, at) if narrow else total

    def add(self, op: ir.Operation) -> None:
        """A sum: of a product and anything else it is that product's accumulator."""
        if rank(op.results[0].type) != 4:
            return
        for product, other in (op.operands, reversed(list(op.operands))):
            if product in self.products and product != other and only_user(product) is not None:
                start = self.matrices.of(other)
                left, right = self.products[product]
                self.found(op, self.product(op, left, right, start, matrix_type(op.results[0].type)))
                old, new = (_dot_of(self.matrices.known[value]) for value in (product, op.results[0]))
                for hint in HINTS:
                    if f"xsmt.{hint}" in old.attributes:
                        new.attributes[f"xsmt.{hint}"] = old.attributes[f"xsmt.{hint}"]
                return
        if any(operand in self.matrices.known for operand in op.operands):
            self.found(op, self.matrices.derived(op))

    def annotation(self, op: ir.Operation) -> None:
        dot = _dot_of(self.matrices.known.get(op.operands[0], op.operands[0]))
        if dot is not None:
            dot.attributes[f"xsmt.{op.attributes['hint'].value}"] = op.attributes["value"]
        op.erase()

    # Accesses

    def load(self, op: ir.Operation) -> None:
        """A load of tiles that lie in memory as a matrix does."""
        if rank(op.results[0].type) != 4:
            return
        access = flattened(op, op.results[0].type)
        other = op.opview.other
        if access is None or rank(other.type if other is not None else None):
            return
        last = [other] if other is not None else []
        attributes = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 2, 2, 2, 0, len(last)])}
        self.found(op, create(op.name, [op.opview.base, *access, *last], matrix_type(op.results[0].type), op, attributes))

    def store(self, op: ir.Operation) -> None:
        value = op.opview.value
        access = flattened(op, value.type) if rank(value.type) == 4 and value in self.matrices.known else None
        if access is None:
            return
        attributes = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, 2, 2, 2, 0])}
        operands = [op.opview.base, self.matrices.known[value], *access]
        ir.Operation.create(op.name, [], operands, attributes, loc=op.location, ip=ir.InsertionPoint(op))
        op.erase()

    # Reductions

    def reduce(self, op: ir.Operation) -> None:
        """Along a tile and then along the tiles it is one reduction of the matrix along its rows or columns."""
        source = op.operands[0]
        if len(op.operands) != 1 or rank(source.type) != 4 or source not in self.matrices.known:
            return
        second = only_user(op.results[0])
        if second is None or second.name != "tt.reduce" or _combination(second) != _combination(op):
            return
        axes = op.attributes["axis"].value, second.attributes["axis"].value
        axis = {(3, 1): 1, (1, 2): 1, (2, 0): 0, (0, 1): 0}.get(axes)
        if axis is None:
            return
        matrix = self.matrices.known[source]
        kept = matrix.type.shape[1 - axis]
        attributes = attributes_of(op) | {"axis": i32(axis)}
        result = tensor([kept], matrix.type.element_type)
        new = ir.Operation.create(op.name, [result], [matrix], attributes, regions=1, loc=op.location, ip=ir.InsertionPoint(second))
        op.regions[0].blocks[0].append_to(new.regions[0])
        shaped = create("tt.reshape", [new.result], second.results[0].type, second)
        second.results[0].replace_all_uses_with(shaped)

    # Loops

    def loop(self, op: ir.Operation) -> None:
        """Carry matrices instead of packed blocks whose matrix is known or a constant."""
        carried = {}
        for number, initial in enumerate(list(op.operands)[3:]):
            producer = producer_of(initial)
            known = initial in self.matrices.known or (producer is not None and producer.name in ("arith.constant", "tt.splat"))
            if known and rank(initial.type) == 4:
                carried[number] = self.matrices.of(initial)
        types = {number: op.results[number].type for number in carried}
        new = carrying(op, carried) if carried else op
        body = new.regions[0].blocks[0]
        for number, type_ in types.items():
            argument = body.arguments[number + 1]
            uses = list(argument.uses)
            if uses:
                pack = packed(argument, type_, next(iter(body.operations)).operation)
                for use in uses:
                    use.owner.operation.operands[use.operand_number] = pack
        self.block(body)
        end = last_of(body)
        for number in carried:
            end.operands[number] = self.matrices.of(end.operands[number])
        if new is op:
            return
        at = following(new)
        for number, (old, result) in enumerate(zip(op.results, new.results, strict=True)):
            if number in types:
                result = packed(result, types[number], at)
                self.view(producer_of(result))
            old.replace_all_uses_with(result)
        op.erase()


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
