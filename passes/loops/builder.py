"""Emission of scalar and vector code into nested scopes, with values placed at the outermost scope they allow."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.predicates import FloatPredicate, IntPredicate, attribute_of
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.facts.divisibility import of_number, of_op
from triton_spacemit.passes.folding import Operand, fold


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


class Builder:
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
        self._limits: dict[ir.Value, float] = {}  # that numbers are not above

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

    # Integer arithmetic on i64 scalars, folded where constant

    def _folded(self, name: str, a: Emitted, b: Emitted, attributes: dict | None = None) -> Emitted:
        found = fold(name, a.constant, b.constant, a is b)
        if isinstance(found, Operand):
            return {Operand.LEFT: a, Operand.RIGHT: b}[found]
        return self._known(name, a, b, attributes) if found is None else self.constant(found)

    def add(self, a: Emitted, b: Emitted) -> Emitted:
        return self._folded("arith.addi", a, b, {"overflowFlags": self.nsw})

    def sub(self, a: Emitted, b: Emitted) -> Emitted:
        return self._folded("arith.subi", a, b, {"overflowFlags": self.nsw})

    def mul(self, a: Emitted, b: Emitted) -> Emitted:
        return self._folded("arith.muli", a, b, {"overflowFlags": self.nsw})

    def minimum(self, a: Emitted, b: Emitted) -> Emitted:
        for one, other in ((a, b), (b, a)):
            if one.constant is not None and self._most(other) <= one.constant:
                return other
        result = self._folded("arith.minsi", a, b)
        self._limits[result.value] = min(self._most(a), self._most(b))
        return result

    def maximum(self, a: Emitted, b: Emitted) -> Emitted:
        result = self._folded("arith.maxsi", a, b)
        self._limits[result.value] = max(self._most(a), self._most(b))
        return result

    def _most(self, number: Emitted) -> float:
        """What a number is known not to be above, as a minimum with a constant."""
        return self._limits.get(number.value, math.inf) if number.constant is None else number.constant

    def _known(self, name: str, a: Emitted, b: Emitted, attributes: dict | None = None) -> Emitted:
        depth = max(a.depth, b.depth)
        key = (name, a.value, b.value)
        known = self.scopes[depth].known
        if key not in known:
            known[key] = self.op(name, self.i64, [a, b], attributes)
            known[key].multiple = of_op(name, (a.divisor, b.divisor))
        return known[key]

    def divided(self, number: Emitted, size: int) -> Emitted:
        """How many times `size`, a power of two, goes into a number that is not negative."""
        if number.constant is not None or size == 1:
            return number if size == 1 else self.constant(number.constant // size)
        quotient = self._known("arith.shrui", number, self.constant(size.bit_length() - 1))
        quotient.multiple = max(1, number.divisor // size)
        return quotient

    def rounded_down(self, number: Emitted, size: int) -> Emitted:
        """The largest multiple of `size`, a power of two, that is not above `number`: itself where it is known to be one."""
        if number.divisor % size == 0:
            return number
        if number.constant is not None:
            return self.constant(number.constant & -size)
        return self._known("arith.andi", number, self.constant(-size))

    def compare(self, predicate: str, a: Emitted, b: Emitted) -> Emitted:
        depth = max(a.depth, b.depth)
        key = ("arith.cmpi", predicate, a.value, b.value)
        known = self.scopes[depth].known
        if key not in known:
            known[key] = self.op("arith.cmpi", self.i1, [a, b], {"predicate": attribute_of(IntPredicate[predicate])})
        return known[key]

    def compare_floats(self, predicate: str, a: Emitted, b: Emitted) -> Emitted:
        return self.op("arith.cmpf", self.i1, [a, b], {"predicate": attribute_of(FloatPredicate[predicate])})

    def both(self, a: Emitted | None, b: Emitted | None) -> Emitted | None:
        """The conjunction of two conditions, either of which may be absent (true)."""
        if a is None or b is None:
            return b if a is None else a
        for one, other in ((a, b), (b, a)):
            if one.constant is not None and not one.width:
                return other if one.constant else one
        return self.op("arith.andi", self.i1, [a, b])

    def select(self, condition: Emitted, a: Emitted, b: Emitted) -> Emitted:
        width = max(condition.width, a.width, b.width)
        if condition.constant is not None and not condition.width:
            return self.broadcast(a if condition.constant else b, width)
        if condition.width == 0 and width:  # a scalar condition selects whole vectors
            depth = max(condition.depth, a.depth, b.depth)
            values = [condition.value, self.broadcast(a, width).value, self.broadcast(b, width).value]
            return Emitted(self.create("arith.select", [values[1].type], values, depth=depth).results[0], depth, width)
        return self.op("arith.select", self.element(a), [condition, a, b])

    def cast_index(self, a: Emitted, type_: ir.Type) -> Emitted:
        """An integer scalar or vector as `type_`, sign-extended or truncated."""
        old = self.element(a)
        if old == type_:
            return a
        if a.constant is not None and not a.width:
            return self.constant(a.constant, type_)
        name = "arith.index_cast" if "index" in (str(old), str(type_)) else "arith.extsi" if type_.width > old.width else "arith.trunci"
        key = (name, a.value, type_)
        known = self.scopes[a.depth].known
        if key not in known:
            known[key] = self.op(name, type_, [a], {"overflowFlags": self.no_flags} if name == "arith.trunci" else None)
        return known[key]

    def offset(self, pointer: Emitted, index: Emitted, element: ir.Type) -> Emitted:
        """`&pointer[index]`, `index` in elements of type `element`; a vector index gives a vector of pointers."""
        if index.constant == 0 and not index.width:
            return pointer
        depth = max(pointer.depth, index.depth)
        key = ("gep", pointer.value, index.value, element)
        known = self.scopes[depth].known
        if key not in known:
            result = self.vector_type(self.ptr, index.width) if index.width else pointer.value.type
            attributes = {"rawConstantIndices": self.dynamic, "elem_type": ir.TypeAttr.get(element)}
            value = self.create("llvm.getelementptr", [result], [pointer.value, index.value], attributes, depth=depth).results[0]
            known[key] = Emitted(value, depth, index.width or pointer.width)
        return known[key]

    def freeze(self, value: Emitted) -> Emitted:
        """The same value, which loop passes do not see as a function of a loop's variable."""
        return Emitted(self.create("llvm.freeze", [value.value.type], [value.value]).results[0], self.depth, value.width)

    def opaque(self, value: Emitted, depth: int | None = None) -> Emitted:
        """The same number, which LLVM does not know where it is a constant: it stays in a register from here, or scope `depth`, on."""
        return self._through_assembly(value, self.depth if depth is None else depth, {})

    def pinned(self, value: Emitted) -> Emitted:
        """The same number, which LLVM knows nowhere but here: what is computed of it is computed behind this place."""
        return self._through_assembly(value, self.depth, {"has_side_effects": ir.UnitAttr.get()})

    def _through_assembly(self, value: Emitted, depth: int, attributes: dict[str, ir.Attribute]) -> Emitted:
        constraints = "=f,0" if isinstance(value.value.type, ir.FloatType) else "=r,0"
        attributes = {**attributes, "asm_string": ir.StringAttr.get(""), "constraints": ir.StringAttr.get(constraints)}
        attributes["tail_call_kind"] = ir.Attribute.parse("#llvm.tailcallkind<none>")
        result = self.create("llvm.inline_asm", [value.value.type], [value.value], attributes, depth=depth).results[0]
        return Emitted(result, depth, value.width)

    def shuffle(self, first: Emitted, second: Emitted, lanes: Sequence[int]) -> Emitted:
        """Lanes of two vectors of equal length, those of the second counted on behind the first's."""
        depth = max(first.depth, second.depth)
        type_ = self.vector_type(self.element(first), len(lanes))
        attributes = {"mask": ir.DenseI64ArrayAttr.get(list(lanes))}
        result = self.create("vector.shuffle", [type_], [first.value, second.value], attributes, depth=depth).results[0]
        return Emitted(result, depth, len(lanes))

    # Control flow

    @contextlib.contextmanager
    def inside(self, op: ir.Operation, block: ir.Block) -> Iterator[int]:
        """Fill `block` of `op`, the last op of the innermost scope; yields the new scope's depth."""
        outer = self.scopes[-1]
        resume = outer.ip
        outer.ip = ir.InsertionPoint(op)
        self.scopes.append(Scope(ir.InsertionPoint(block)))
        try:
            yield self.depth
        finally:
            self.scopes.pop()
            outer.ip = resume

    def for_loop(
        self,
        begin: Emitted,
        end: Emitted,
        step: int,
        carried: Sequence[Emitted],
        body: Callable[[Emitted, list[Emitted]], Sequence[Emitted]],
        type_: ir.Type | None = None,
    ) -> tuple[list[Emitted], ir.Operation | None]:
        """`for i in range(begin, end, step)`; the carried values' last state, and the loop (None where it ran no or one time)."""
        if begin.value == end.value:
            return list(carried), None
        if begin.constant is not None and end.constant is not None:
            trips = -(-(end.constant - begin.constant) // step)
            if trips <= 0:
                return list(carried), None
            if trips == 1:
                return list(body(begin, list(carried))), None
        types = [c.value.type for c in carried]
        operands = [begin.value, end.value, self.constant(step).value, *(c.value for c in carried)]
        loop = self.create("scf.for", types, operands, regions=1)
        block = loop.regions[0].blocks.append(self.i64, *types, arg_locs=[self.location] * (1 + len(types)))
        with self.inside(loop, block) as depth:
            arguments = [Emitted(a, depth, c.width) for a, c in zip(list(block.arguments)[1:], carried, strict=True)]
            results = body(Emitted(block.arguments[0], depth, 0), arguments)
            self.create("scf.yield", [], [self.broadcast(r, c.width).value for r, c in zip(results, carried, strict=True)])
        return [Emitted(r, self.depth, c.width) for r, c in zip(loop.results, carried, strict=True)], loop

    def repeat(self, begin: Emitted, end: Emitted, step: int, body: Callable[[Emitted], None]) -> None:
        """`for i in range(begin, end, step)` that carries nothing."""

        def once(i: Emitted, _: list[Emitted]) -> list[Emitted]:
            body(i)
            return []

        self.for_loop(begin, end, step, [], once)

    def when(self, condition: Emitted | None, body: Callable[[], object]) -> None:
        """`body` where the scalar `condition` holds (None: always)."""
        if condition is None:
            body()
            return

        def taken() -> list[Emitted]:
            body()
            return []

        self.if_else(condition, [], taken, None)

    def choose(self, condition: Emitted, body: Callable[[], object], otherwise: Callable[[], object]) -> None:
        """`body` where the scalar `condition` holds, else `otherwise`."""

        def run(side: Callable[[], object]) -> list[Emitted]:
            side()
            return []

        self.if_else(condition, [], lambda: run(body), lambda: run(otherwise))

    def if_else(
        self,
        condition: Emitted,
        types: Sequence[tuple[ir.Type, int]],
        then: Callable[[], Sequence[Emitted]],
        otherwise: Callable[[], Sequence[Emitted]] | None,
    ) -> list[Emitted]:
        """`scf.if` with results of (element type, width)."""
        results = [self.vector_type(t, w) for t, w in types]
        branch = self.create("scf.if", results, [condition.value], regions=2)
        for region, body in zip(branch.regions, (then, otherwise), strict=True):
            if body is None:
                continue
            block = region.blocks.append()
            with self.inside(branch, block):
                values = body()
                self.create("scf.yield", [], [self.broadcast(v, w).value for v, (_, w) in zip(values, types, strict=True)])
        return [Emitted(r, self.depth, w) for r, (_, w) in zip(branch.results, types, strict=True)]

    def fail(self, op: ir.Operation, message: str) -> LoweringError:
        return LoweringError(f"'{op.name}' op {message}", op.location)
