"""Arithmetic of scalars and lanes: integers are folded where they are constants, and computed once in a scope."""

import math
from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FloatPredicate, IntPredicate, attribute_of
from triton_spacemit.passes.facts.divisibility import of_op
from triton_spacemit.passes.folding import Operand, fold
from triton_spacemit.passes.loops.emitter import Emitted, Emitter


class Arithmetic(Emitter):
    """Integers are scalars of i64 unless a method says otherwise."""

    def __init__(self, context: ir.Context) -> None:
        super().__init__(context)
        self._limits: dict[ir.Value, float] = {}  # that numbers are not above

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
