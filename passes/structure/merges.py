"""How pointer and offset tensors go through control flow: what of their forms is carried instead of them.

A value that an scf op carries is assumed to keep everything of its form but the offset; what turns out to change is carried too, each part
as a scalar. Where even the part that is not affine changes, pointers are carried as tensors of addresses, and integers as they are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from torch_mlir import ir

from triton_spacemit.dialect.identity import identity
from triton_spacemit.passes.facts import tensors
from triton_spacemit.passes.facts.affine import Describer
from triton_spacemit.passes.facts.divisibility import of_number
from triton_spacemit.passes.facts.forms import Form
from triton_spacemit.passes.facts.nodes import Node, Nodes
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.facts.ranges import Range, turns
from triton_spacemit.passes.structure.needed import terminator


@dataclass(eq=False)
class Carried:
    """One carried value: the parts of its form that are passed on, `pointer`, `offset` or the number of a dimension's stride.

    Or it is carried as a tensor of `addresses`, or stays as it is (`plain`). The op's block arguments fill `inner_slots`, its results
    `outer_slots`.
    """

    parts: list[str | int] = field(default_factory=list)
    addresses: bool = False
    plain: bool = False
    inner_slots: list[Node] = field(default_factory=list)
    outer_slots: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class Plan:
    """What an scf op carries by parts: `entering` by number of the initial value (after `fixed` operands), `leaving` by the result's."""

    op: ir.Operation
    fixed: int
    entering: dict[int, Carried] = field(default_factory=dict)
    leaving: dict[int, Carried] = field(default_factory=dict)

    @property
    def rewrites(self) -> bool:
        return bool(self.entering or self.leaving)


def sides(plan: Plan, region: int) -> tuple[dict[int, Carried], dict[int, Carried], int]:
    """For a region of the op: what its arguments carry (by number), what its terminator passes on (by number), after how many operands."""
    if plan.op.name == "scf.for":
        return {number + 1: carried for number, carried in plan.entering.items()}, plan.leaving, 0
    if plan.op.name == "scf.if":
        return {}, plan.leaving, 0
    return (plan.entering, plan.leaving, 1) if region == 0 else (plan.leaving, plan.entering, 0)


class Planner:
    """Makes the plan of each scf op when it is first asked for, with the forms of all that it carries."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.describer = Describer(nodes, self)
        self.plans: dict[int, Plan] = {}  # by the identity of the op
        self.needed: set[ir.Value] = set()  # integer tensors in control flow that accesses need

    def carries(self, *values: ir.Value) -> bool:
        """Whether a value, known by these names, is a tensor of pointers, or of integers that accesses need."""
        shape, bits, pointee = self.describer.info(values[0].type)
        return bool(shape) and (pointee is not None or (bool(bits) and any(value in self.needed for value in values)))

    def plan(self, op: ir.Operation) -> Plan:
        plan = self.plans.get(identity(op))
        if plan is None:
            plan = {"scf.for": self._plan_for, "scf.if": self._plan_if, "scf.while": self._plan_while}[op.name](op)
            for carried in (plan.entering, plan.leaving):
                for number in [number for number, how in carried.items() if how.plain]:
                    del carried[number]
            self.plans[identity(op)] = plan
        return plan

    def starts(self, op: ir.Operation) -> list[ir.Value]:
        """What the plan of `op` describes first: the values that enter a loop, or that the sides of a branch end with."""
        if identity(op) in self.plans:
            return []
        if op.name == "scf.if":
            carried = [number for number, result in enumerate(op.results) if self.carries(result)]
            return [terminator(region.blocks[0]).operands[number] for region in op.regions for number in carried]
        block = op.regions[0].blocks[0]
        arguments, values = list(block.arguments), list(op.operands)
        if op.name == "scf.for":
            arguments, values = arguments[1:], values[3:]
            return [value for value, names in zip(values, zip(arguments, op.results, strict=True), strict=True) if self.carries(*names)]
        return [value for value, argument in zip(values, arguments, strict=True) if self.carries(argument)]

    def parts(self, value: ir.Value, carried: Carried, op: ir.Operation) -> list[Node]:
        """What is passed on instead of `value`, from before `op`."""
        form = self.describer.describe(value)
        if carried.addresses:
            return [tensors.addresses_of(self.describer, form, op)]
        return [_part(form, part) for part in carried.parts]

    def _plan_for(self, op: ir.Operation) -> Plan:
        plan, forms = Plan(op, 3), self.describer.forms
        body = op.regions[0].blocks[0]
        arguments, results, initial = list(body.arguments)[1:], list(op.results), list(op.operands)[3:]
        yielded = list(terminator(body).operands)
        for number, argument in enumerate(arguments):
            if self.carries(argument, results[number]):
                plan.entering[number] = plan.leaving[number] = Carried(["offset"])
        starts = {number: self.describer.describe(initial[number]) for number in plan.entering}
        for _ in self._attempts(plan.entering.values()):
            assumed = {}
            for number, carried in plan.entering.items():
                assumed[number], carried.inner_slots = self._assume(starts[number], carried, arguments[number])
                forms[arguments[number]] = assumed[number]
            for number, carried in plan.entering.items():
                self._widen(carried, assumed[number], self.describer.describe(yielded[number]))
        for number, carried in plan.leaving.items():
            forms[results[number]], carried.outer_slots = self._assume(starts[number], carried, results[number])
            self._count(op, carried, starts[number], self.describer.describe(yielded[number]))
        return plan

    def _count(self, op: ir.Operation, carried: Carried, start: Form, yielded: Form) -> None:
        """Learn what the offset can be that grows by the same number every turn."""
        if "offset" not in carried.parts or carried.addresses or carried.plain or "unsignedCmp" in op.attributes:
            return
        ranges, place = self.describer.ranges, carried.parts.index("offset")
        slot, after, new = carried.inner_slots[place], carried.outer_slots[place], yielded.offset
        most = turns(*(ranges.of(value) for value in list(op.operands)[:3]))
        if most is None or new.name != "arith.addi" or new.operands[0] is not slot or new.operands[1].constant is None:
            return
        step, first = new.operands[1].constant, ranges.of_node(start.offset)
        divisor = min(ranges.divisibility.of_node(start.offset), of_number(step))
        ranges.learn(slot, first.plus(Range(step, step).times(Range(0, most - 1))), divisor)
        ranges.learn(after, first.plus(Range(step, step).times(Range(0, most))), divisor)

    def _plan_if(self, op: ir.Operation) -> Plan:
        plan = Plan(op, 1)
        for number, result in enumerate(op.results):
            if not self.carries(result):
                continue
            first, second = (self.describer.describe(terminator(region.blocks[0]).operands[number]) for region in op.regions)
            carried = plan.leaving[number] = Carried()
            self._widen(carried, first, second)
            self.describer.forms[result], carried.outer_slots = self._assume(first, carried, result, op)
        return plan

    def _plan_while(self, op: ir.Operation) -> Plan:
        plan, forms = Plan(op, 0), self.describer.forms
        before, after = (region.blocks[0] for region in op.regions)
        initial, passed, yielded = list(op.operands), list(terminator(before).operands)[1:], list(terminator(after).operands)
        plan.entering = {n: Carried(["offset"]) for n, argument in enumerate(before.arguments) if self.carries(argument)}
        plan.leaving = {n: Carried(["offset"]) for n, argument in enumerate(after.arguments) if self.carries(argument, op.results[n])}
        starts = {number: self.describer.describe(initial[number]) for number in plan.entering}
        leaving = {}
        for _ in self._attempts([*plan.entering.values(), *plan.leaving.values()]):
            assumed = {}
            for number, carried in plan.entering.items():
                argument = before.arguments[number]
                assumed[number], carried.inner_slots = self._assume(starts[number], carried, argument)
                forms[argument] = assumed[number]
            for number, carried in plan.leaving.items():
                leaving[number] = self.describer.describe(passed[number])
                self._pass_on(carried, leaving[number], op)
                argument = after.arguments[number]
                forms[argument], carried.inner_slots = self._assume(leaving[number], carried, argument, op)
            for number, carried in plan.entering.items():
                self._widen(carried, assumed[number], self.describer.describe(yielded[number]))
        for number, carried in plan.leaving.items():
            result = op.results[number]
            forms[result], carried.outer_slots = self._assume(leaving[number], carried, result, op)
        return plan

    def _attempts(self, carried: Iterable[Carried]) -> Iterator[None]:
        """Repeat the loop's body until it leaves all of `carried` as it was; what a failed attempt described is forgotten."""
        carried = list(carried)
        while True:
            forms, plans = len(self.describer.forms), len(self.plans)
            before = [(len(how.parts), how.addresses, how.plain) for how in carried]
            yield
            if before == [(len(how.parts), how.addresses, how.plain) for how in carried]:
                return
            self.describer.rollback(forms)
            while len(self.plans) > plans:
                self.plans.popitem()

    def _assume(self, form: Form, carried: Carried, value: ir.Value, op: ir.Operation | None = None) -> tuple[Form, list[Node]]:
        """The form of `value`, which is like `form` in all that is not carried, and the slots for what is carried.

        With `op`, what is not carried comes from inside that op and is computed before it instead.
        """
        shape, _, pointee = self.describer.info(value.type)
        if carried.plain:
            return self.describer.opaque(value), []
        if carried.addresses:
            slot = self.nodes.slot(self.describer.integers(shape, self.nodes.i64))
            return self.describer.addresses(shape, pointee, slot), [slot]
        if op is not None:
            moved = {part: node and self.nodes.moved(node, op) for part, node in _parts(form)}
        else:
            moved = dict(_parts(form))
        slots = []
        for part in carried.parts:
            slots.append(self.nodes.slot(self.nodes.ptr if part == "pointer" else self.nodes.i64))
            moved[part] = slots[-1]
        strides = tuple(moved[d] for d in range(len(shape)))
        return replace(form, pointer=moved["pointer"], offset=moved["offset"], rest=moved["rest"], strides=strides), slots

    def _widen(self, carried: Carried, assumed: Form, found: Form) -> None:
        """Carry what differs between the two forms of one value; integers that may have wrapped around on the way stay as they are."""
        if assumed.checks or found.checks:
            carried.plain = True
            return
        different = [
            part
            for (part, a), (_, b) in zip(_parts(assumed), _parts(found), strict=True)
            if (a and a.key) != (b and b.key) and part not in carried.parts
        ]
        if different or (assumed.size, assumed.unit) != (found.size, found.unit):
            pointers = assumed.pointer is not None
            if "rest" in different or (assumed.size, assumed.unit) != (found.size, found.unit):
                carried.addresses, carried.plain = pointers, not pointers
            elif not pointers and different != ["offset"]:
                carried.plain = True
            else:
                carried.parts += different

    def _pass_on(self, carried: Carried, form: Form, op: ir.Operation) -> None:
        """Carry what of `form` is computed inside `op`."""
        if form.checks:
            carried.plain = True
            return
        inside = [part for part, node in _parts(form) if node is not None and part not in carried.parts and not _outside(node, op)]
        if "rest" in inside:
            carried.addresses, carried.plain = form.pointer is not None, form.pointer is None
        elif inside:
            carried.parts += inside


def _parts(form: Form) -> list[tuple[str | int, Node | None]]:
    return [("pointer", form.pointer), ("offset", form.offset), *enumerate(form.strides), ("rest", form.rest)]


def _part(form: Form, part: str | int) -> Node:
    return form.strides[part] if isinstance(part, int) else getattr(form, part)


def _outside(node: Node, op: ir.Operation) -> bool:
    """Whether `node` is computed from what is known before `op`. Slots count as inside, which is safe."""
    outside: dict[Node, bool] = {}
    for one in unanswered(node, outside, lambda n: n.operands):
        if one.operands:
            outside[one] = all(outside[operand] for operand in one.operands)
        else:
            outside[one] = one.constant is not None or one.key == "null" or (one.is_leaf and not _stands_in(one.value, op))
    return outside[node]


def _stands_in(value: ir.Value, op: ir.Operation) -> bool:
    """Whether `op` or an op inside it defines `value`."""
    owner = value.owner
    place = owner.operation if isinstance(value, ir.OpResult) else owner.owner.operation
    while place is not None:
        if place == op:
            return True
        parent = place.parent
        place = parent.operation if parent is not None else None
    return False
