"""Emission of ops into nested scopes, each at the outermost scope that its operands allow."""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.facts.divisibility import of_number


class Emitted:
    """An SSA value in the new code: `width` lanes (0 for a scalar), defined in the scope of number `depth`.

    multiple: a power of two that is known to divide an integer that is no constant.
    """

    __slots__ = ("constant", "depth", "multiple", "value", "width")

    def __init__(self, value: ir.Value, depth: int, width: int, constant: int | None = None, multiple: int = 1) -> None:
        self.value = value
        self.depth = depth
        self.width = width
        self.constant = constant
        self.multiple = multiple

    @property
    def divisor(self) -> int:
        """A power of two that divides the integer."""
        return self.multiple if self.constant is None else of_number(self.constant)


def is_zero(value: Emitted | None) -> bool:
    """Whether the value is a constant zero, also a negative one."""
    number = None if value is None else constant_of(value.value)
    return number is not None and number.value == 0


class Scope:
    """A region that is being filled: where its next op goes, and what was computed in it so far."""

    __slots__ = ("ip", "known")

    def __init__(self, ip: ir.InsertionPoint) -> None:
        self.ip = ip
        self.known: dict = {}


class Emitter:
    """Creates ops at the scope that their operands allow: what does not depend on a loop's variable lands before that loop."""

    def __init__(self, context: ir.Context) -> None:
        self.context = context
        self.location = ir.Location.unknown(context)
        self.scopes: list[Scope] = []
        with context, self.location:
            self.i1 = ir.IntegerType.get_signless(1)
            self.i8 = ir.IntegerType.get_signless(8)
            self.i32 = ir.IntegerType.get_signless(32)
            self.i64 = ir.IntegerType.get_signless(64)
            self.f16 = ir.F16Type.get()
            self.bf16 = ir.BF16Type.get()
            self.f32 = ir.F32Type.get()
            self.ptr = ir.Type.parse("!llvm.ptr")
            self.dynamic = ir.DenseI32ArrayAttr.get([-(2**31)])
            self.no_flags = ir.Attribute.parse("#arith.overflow<none>")
            self.nsw = ir.Attribute.parse("#arith.overflow<nsw>")
        self._vectors: dict = {}

    # Types

    def vector_type(self, element: ir.Type, width: int) -> ir.Type:
        if not width:
            return element
        key = (element, width)
        if key not in self._vectors:
            self._vectors[key] = ir.VectorType.get([width], element, loc=self.location)
        return self._vectors[key]

    def element(self, emitted: Emitted) -> ir.Type:
        type_ = emitted.value.type
        return type_.element_type if emitted.width else type_

    # Ops

    @property
    def depth(self) -> int:
        return len(self.scopes) - 1

    def create(
        self, name: str, results: list, operands: list, attributes: dict | None = None, regions: int = 0, depth: int | None = None
    ) -> ir.Operation:
        """An op at the end of scope `depth` (the innermost by default); operands are `ir.Value`s."""
        ip = self.scopes[-1 if depth is None else depth].ip
        return ir.Operation.create(name, results, operands, attributes, None, regions, self.location, ip, False)

    def op(
        self,
        name: str,
        element: ir.Type,
        operands: Sequence[Emitted],
        attributes: dict | None = None,
        width: int | None = None,
        depth: int | None = None,
    ) -> Emitted:
        """A pure op on scalars or lanes: placed at the deepest operand's scope, scalars broadcast where others are vectors."""
        width = max(o.width for o in operands) if width is None else width
        depth = max(o.depth for o in operands) if depth is None else depth
        values = [(o if o.width or not width else self.broadcast(o, width)).value for o in operands]
        result = self.create(name, [self.vector_type(element, width)], values, attributes, depth=depth).results[0]
        return Emitted(result, depth, width)

    def broadcast(self, emitted: Emitted, width: int) -> Emitted:
        if emitted.width == width or not width:
            return emitted
        key = ("broadcast", emitted.value, width)
        known = self.scopes[emitted.depth].known
        if key not in known:
            type_ = self.vector_type(emitted.value.type, width)
            value = self.create("vector.broadcast", [type_], [emitted.value], depth=emitted.depth).results[0]
            known[key] = Emitted(value, emitted.depth, width)
        return known[key]

    def constant(self, value: int | float, type_: ir.Type | None = None) -> Emitted:
        type_ = type_ or self.i64
        key = ("constant", value, str(value), type_)
        known = self.scopes[0].known
        if key not in known:
            is_float = isinstance(type_, ir.FloatType)
            attribute = ir.FloatAttr.get(type_, float(value), loc=self.location) if is_float else ir.IntegerAttr.get(type_, value)
            known[key] = self.constant_attribute(attribute, type_)
            known[key].constant = None if is_float else value
        return known[key]

    def constant_attribute(self, attribute: ir.Attribute, type_: ir.Type) -> Emitted:
        value = ir.Operation.create(
            "arith.constant", [type_], [], {"value": attribute}, None, 0, self.location, self.entry_ip(), False
        ).results[0]
        return Emitted(value, 0, 0)

    def immediate(self, value: int) -> Emitted:
        """A number that an intrinsic takes as part of the instruction."""
        key = ("immediate", value)
        known = self.scopes[0].known
        if key not in known:
            attribute = {"value": ir.IntegerAttr.get(self.i64, value)}
            made = ir.Operation.create("llvm.mlir.constant", [self.i64], [], attribute, None, 0, self.location, self.entry_ip(), False)
            known[key] = Emitted(made.results[0], 0, 0)
        return known[key]

    def entry_ip(self) -> ir.InsertionPoint:
        """Constants and allocations go to the function's start, before any code that could use them."""
        return self._entry

    def set_entry(self, marker: ir.Operation) -> None:
        self._entry = ir.InsertionPoint(marker)

    def iota(self, width: int, type_: ir.Type) -> Emitted:
        """The vector 0, 1, .. width - 1."""
        return self.numbers(range(width), type_)

    def numbers(self, values: Sequence[int], type_: ir.Type) -> Emitted:
        """A vector of integers."""
        key = ("numbers", tuple(values), type_)
        known = self.scopes[0].known
        if key not in known:
            vector = self.vector_type(type_, len(values))
            attribute = ir.DenseElementsAttr.get([ir.IntegerAttr.get(type_, value) for value in values], vector)
            known[key] = self.constant_attribute(attribute, vector)
            known[key].width = len(values)
        return known[key]
