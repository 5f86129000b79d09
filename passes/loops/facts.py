"""What `passes/facts` knows of the program's values, for the loops: asking makes no op, using what was found does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.predicates import IntPredicate, predicate_of
from triton_spacemit.passes.facts.affine import Describer
from triton_spacemit.passes.facts.masks import Masks, Prefix
from triton_spacemit.passes.facts.nodes import Node, Nodes
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.facts.padding import Paddings
from triton_spacemit.passes.facts.ranges import signed
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted

_FOLDED = {"arith.addi": Builder.add, "arith.subi": Builder.sub, "arith.muli": Builder.mul}
_EXTREMES = {"arith.minsi": Builder.minimum, "arith.maxsi": Builder.maximum}


@dataclass(eq=False)
class Linear:
    """An integer block as `base + sum steps[d] * i[d]`, which holds if `condition` (None: always) does."""

    base: Emitted
    steps: list[Emitted]
    condition: Emitted | None = None


@dataclass(frozen=True, eq=False)
class Place:
    """A mask that is `inside` at the one place along `dim` where numbers that count from `first` on are `number`, and elsewhere not."""

    dim: int
    first: Node
    number: Emitted
    inside: bool


class Facts:
    """Answers about one function. `scalar` gives the new code's value of a scalar, `repeated` the one that a block repeats."""

    def __init__(self, builder: Builder, scalar: Callable[[ir.Value], Emitted], repeated: Callable[[ir.Value], Emitted | None]) -> None:
        self.b = builder
        self.scalar = scalar
        self.repeated = repeated
        self.nodes = Nodes(builder.context)

        def uniform(value: ir.Value) -> Node | None:
            emitted = repeated(value)
            return None if emitted is None else self.nodes.given(emitted, emitted.value.type)

        self.describer = Describer(self.nodes, uniform=uniform)
        self.rows = Describer(self.nodes, uniform=uniform, remainders=True)
        self.counts = Describer(self.nodes, uniform=uniform, signs=True)
        self.masks = Masks(self.describer)
        self.padding = Paddings(self.masks).of

    # Questions

    def prefix(self, mask: ir.Value) -> Prefix | None:
        """Where along one dimension a mask ends, if it is true everywhere before."""
        return self.masks.prefix(mask)

    def counted_from(self, value: ir.Value, axis: int) -> Node | None:
        """The first of integers that count the elements along an axis and are the same along the others."""
        form = self.describer.describe(value)
        counts = [stride.constant for stride in form.strides] == [int(d == axis) for d in range(len(form.shape))]
        return form.offset if counts and self.describer.fits(form, self.describer.bits(value)) else None

    def multiple(self, value: ir.Value) -> int:
        """A power of two that divides an integer scalar."""
        return self.describer.ranges.divisibility.of(value)

    def place(self, compare: ir.Operation) -> Place | None:
        """Where the elements lie that are equal to a scalar, or unlike it, where what is compared counts along one dimension."""
        predicate = predicate_of(compare)
        if predicate not in (IntPredicate.eq, IntPredicate.ne):
            return None
        for value, other in (tuple(compare.operands), tuple(compare.operands)[::-1]):
            number = self.repeated(other)
            if number is None or not isinstance(number.value.type, ir.IntegerType) or self.repeated(value) is not None:
                continue
            for dim, extent in enumerate(value.type.shape):
                first = self.counted_from(value, dim) if extent > 1 else None
                if first is not None:
                    return Place(dim, first, number, predicate == IntPredicate.eq)
        return None

    # Code

    def linear(self, value: ir.Value, wanted: Sequence[Emitted]) -> Linear | None:
        """An index block as a linear function of its coordinates, if no remainder in it begins anew among the `wanted` first elements."""
        return self._linear(self.rows, value, wanted)

    def counted(self, value: ir.Value) -> Linear | None:
        """The same if no number in it that is divided by a constant is negative."""
        return self._linear(self.counts, value, [self.b.constant(extent) for extent in value.type.shape])

    def _linear(self, describer: Describer, value: ir.Value, wanted: Sequence[Emitted]) -> Linear | None:
        op = value.owner.operation if isinstance(value, ir.OpResult) else None
        form = describer.describe(value) if op is not None else None
        if form is None or form.rest is not None:
            return None
        extents, condition = [self._node(end) for end in wanted], None
        for check in form.checks:
            for node in describer.conditions(check, op, extents) or ():
                condition = self.b.both(condition, self.emit(node))
        return Linear(self.emit(form.offset), [self.emit(stride) for stride in form.strides], condition)

    def _node(self, emitted: Emitted) -> Node:
        return self.nodes.given(emitted, self.nodes.i64) if emitted.constant is None else self.nodes.const(emitted.constant)

    def emit(self, node: Node) -> Emitted:
        """The scalar `node` in the new code; what is known by then is found again."""
        made: dict[Node, Emitted] = {}
        for one in unanswered(node, made, lambda n: n.operands):
            made[one] = self._made(one, [made[operand] for operand in one.operands])
        return made[node]

    def _made(self, node: Node, operands: list[Emitted]) -> Emitted:
        b = self.b
        if node.constant is not None:
            return b.constant(node.constant)
        if node.given is not None:
            return node.given
        if node.is_leaf:
            return self.scalar(node.value)
        if node.name in _FOLDED and self._is_exact(node):
            return _FOLDED[node.name](b, *operands)
        if node.name in _EXTREMES:
            return _EXTREMES[node.name](b, *operands)
        if node.name in ("arith.extsi", "arith.index_cast"):
            return b.cast_index(operands[0], node.type)
        if node.name == "arith.cmpi":
            return b.compare(IntPredicate(node.attributes["predicate"].value).name, *operands)
        if node.name == "arith.select":
            return b.select(*operands)
        if node.name == "arith.remsi":
            return b.op(node.name, node.type, operands, depth=b.depth)  # may be guarded by a condition of the program: stays where it is
        flags = {"overflowFlags": b.no_flags} if node.name in _FOLDED else None
        return b.op(node.name, node.type, operands, flags)

    def _is_exact(self, node: Node) -> bool:
        """Whether i64 arithmetic is known not to wrap around."""
        left, right = (self.describer.ranges.of_node(operand) for operand in node.operands)
        if node.name == "arith.muli":
            return left.times(right).within(signed(64))
        return (left.plus(right) if node.name == "arith.addi" else left.minus(right)).within(signed(64))
