"""Keep bfloat16 and float8 as integers; on RISC-V without float16 that as well.

In: narrow floats that nothing computes with (`legalize-floats`). Out: integers in their place, in loops, branches, functions and
memory too; the casts between them and their bits are gone. Operands of instructions that take bfloat16 are scalable vectors, and stay.

```mlir
func.func @copy(%x: !llvm.ptr, %y: !llvm.ptr) {
  %a = llvm.load %x : !llvm.ptr -> vector<8xbf16>
  llvm.store %a, %y : vector<8xbf16>, !llvm.ptr
  return
}
```
"""

from collections.abc import Iterable

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.module import chip_of
from triton_spacemit.passes.math.narrow_floats import code_of, nearest_code, storage_of


def retype_narrow_floats(module: ir.Module) -> None:
    """Raises LoweringError for an atomic on a narrow type."""
    with module.context, module.operation.location:
        retyping = _Retyping(storage_of(chip_of(module)))
        module.operation.walk(retyping.visit)
        for op in retyping.found:
            retyping.results(op)
        for cast in retyping.casts:
            cast.result.replace_all_uses_with(cast.operands[0])
            cast.erase()


class _Retyping:
    """What the pass does to each op. Most have no narrow type: these it leaves by as few looks as possible."""

    def __init__(self, storage: dict[str, str]) -> None:
        self.storage = storage
        self.wide: set[ir.Type] = set()  # types that stay
        self.found: list[ir.Operation] = []  # ops with narrow results
        self.casts: list[ir.Operation] = []

    def visit(self, op: ir.Operation) -> ir.WalkResult:
        name = op.name
        if name == "llvm.bitcast":  # made for an instruction on narrow types
            return ir.WalkResult.ADVANCE
        rule = _RULES.get(name)
        if rule is not None:
            rule(self, op)
        for type_ in op.results.types:
            if type_ not in self.wide and self.integer(type_) != type_:
                self.found.append(op)
                break
        if name.startswith(("scf.", "func.")):
            for region in op.regions:
                for block in region:
                    self.retype(block.arguments)
        return ir.WalkResult.ADVANCE

    def integer(self, type_: ir.Type) -> ir.Type:
        """The integers that hold the bits of a narrow type; any other type itself."""
        if type_ in self.wide:
            return type_
        is_vector = isinstance(type_, ir.VectorType)
        storage = self.storage.get(str(type_.element_type if is_vector else type_))
        if storage is None or (is_vector and type_.scalable):
            self.wide.add(type_)
            return type_
        return ir.VectorType.get(type_.shape, ir.Type.parse(storage)) if is_vector else ir.Type.parse(storage)

    def retype(self, values: Iterable[ir.Value]) -> None:
        for value in values:
            type_ = value.type
            new = self.integer(type_)
            if new != type_:
                value.set_type(new)

    def results(self, op: ir.Operation) -> None:
        type_ = op.results[0].type
        if op.name == "llvm.atomicrmw":
            raise LoweringError(f"atomic arithmetic on {type_} is not supported", op.location)
        if op.name == "arith.constant":
            op.attributes["value"] = _bits(op, self.integer(type_))
        self.retype(op.results)

    # Ops that name types elsewhere

    def element_type(self, op: ir.Operation) -> None:
        type_ = op.attributes["elem_type"].value
        if self.integer(type_) != type_:
            op.attributes["elem_type"] = ir.TypeAttr.get(self.integer(type_))

    def cast(self, op: ir.Operation) -> None:
        """Between a number and its bits nothing is left to do."""
        if self.integer(op.operands[0].type) == self.integer(op.result.type):
            self.casts.append(op)

    def function(self, op: ir.Operation) -> None:
        type_ = op.attributes["function_type"].value
        new = ir.FunctionType.get([self.integer(t) for t in type_.inputs], [self.integer(t) for t in type_.results])
        if new != type_:
            op.attributes["function_type"] = ir.TypeAttr.get(new)


def _bits(constant: ir.Operation, integers: ir.Type) -> ir.Attribute:
    """The value of a constant of a narrow type as one of `integers`."""
    attribute, type_ = constant.attributes["value"], constant.result.type
    if not isinstance(type_, ir.VectorType):
        return ir.IntegerAttr.get(integers, code_of(attribute.value, str(type_)))
    kind = str(type_.element_type)
    if attribute.is_splat:
        number = ir.IntegerAttr.get(integers.element_type, code_of(attribute.get_splat_value().value, kind))
        return ir.DenseElementsAttr.get_splat(integers, number)
    return ir.DenseElementsAttr.get([ir.IntegerAttr.get(integers.element_type, code) for code in _codes(attribute, kind)], integers)


def _codes(attribute: ir.Attribute, kind: str) -> list[int]:
    """The bits of each element of a dense constant.

    The bindings give no elements of these types, so they are read as MLIR writes them: in hexadecimal all together, or one by one, as a
    decimal that is next to no other number of the type, and as bits where they are infinite or NaN.
    """
    text = str(attribute)
    content = text[text.index("<") + 1 : text.rindex(">", 0, text.rindex(" : "))]
    if content.startswith('"0x'):
        data, size = bytes.fromhex(content[3:-1]), 1 if kind.startswith("f8") else 2
        return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    numbers = content.strip("[]").split(", ")
    return [int(number, 16) if number.startswith("0x") else nearest_code(float(number), kind) for number in numbers]


_RULES = {
    "func.func": _Retyping.function,
    "arith.bitcast": _Retyping.cast,
    "llvm.alloca": _Retyping.element_type,
    "llvm.getelementptr": _Retyping.element_type,
}
