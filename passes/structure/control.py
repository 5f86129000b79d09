"""Control flow with what it carries in parts, as `merges.py` has planned it."""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect.identity import identity
from triton_spacemit.passes.facts import tensors
from triton_spacemit.passes.structure.function import Function
from triton_spacemit.passes.structure.merges import Carried, Plan, sides
from triton_spacemit.passes.structure.needed import CONTROL, terminator


def control(f: Function, op: ir.Operation) -> None:
    """Rewrite an scf op that carries described values: they are dropped from its operands, arguments and results, and their parts
    are appended instead."""
    plan = f.planner.plan(op)
    if not plan.rewrites:
        for region in op.regions:
            for block in region.blocks:
                f.block(block)
        for result in op.results:
            f.retype(result)
        return
    fixed, initial = op.operands[: plan.fixed], op.operands[plan.fixed :]
    operands = [*fixed, *carry(f, initial, plan.entering, op)]
    attributes = {name: op.attributes[name] for name in op.attributes if name != "operandSegmentSizes"}
    kept = [result for number, result in enumerate(op.results) if number not in plan.leaving]
    for result in kept:
        f.retype(result)
    types = [result.type for result in kept] + [slot.type for carried in plan.leaving.values() for slot in carried.outer_slots]
    new = f.create(op.name, operands, types, ir.InsertionPoint(op), op.location, attributes, regions=len(op.regions))
    f.planner.plans[identity(new)] = Plan(new, plan.fixed)  # what it still carries itself is left alone
    for region, target in zip(op.regions, new.regions, strict=True):
        for block in list(region.blocks):
            block.append_to(target)
    for number, region in enumerate(new.regions):
        if not region.blocks:
            continue
        block = region.blocks[0]
        entering, leaving, skipped = sides(plan, number)
        arguments(f, block, entering)
        f.block(block)
        end = terminator(block)
        operands = [*end.operands[:skipped], *carry(f, end.operands[skipped:], leaving, end)]
        f.create(end.name, operands, [], ir.InsertionPoint(end), end.location)
        end.erase()
    for old, result in zip(kept, new.results, strict=False):
        f.replaced[old] = result
        old.replace_all_uses_with(result)
    slots = [slot for carried in plan.leaving.values() for slot in carried.outer_slots]
    for slot, result in zip(slots, list(new.results)[len(kept) :], strict=True):
        slot.value = result
    for number in plan.leaving:
        rematerialize(f, op.results[number], op)
    f.done.add(identity(op))


def carry(f: Function, values: Sequence[ir.Value], carried: dict[int, Carried], op: ir.Operation) -> list[ir.Value]:
    """What is passed instead of `values`: the ones that are kept, then the parts of those that are carried."""
    kept = [value for number, value in enumerate(values) if number not in carried]
    parts = [f.planner.parts(values[number], how, op) for number, how in carried.items()]
    return kept + [f.emit(node) for nodes in parts for node in nodes]


def arguments(f: Function, block: ir.Block, carried: dict[int, Carried]) -> None:
    if not carried:
        return
    first = next(iter(block.operations)).operation
    old = list(block.arguments)
    for number, how in carried.items():
        for slot in how.inner_slots:
            slot.value = block.add_argument(slot.type, old[number].location)
    f.carried_arguments.append((block, list(carried)))
    for number in carried:
        rematerialize(f, old[number], first)


def rematerialize(f: Function, value: ir.Value, op: ir.Operation) -> None:
    """Compute an integer tensor that is no longer carried, for its uses other than in accesses."""
    shape, bits, pointee = f.describer.info(value.type)
    if pointee is not None or next(iter(value.uses), None) is None:
        return
    form = f.describer.describe(value)
    new = f.emit(tensors.integers_of(f.describer, form, op))
    if bits < 64:
        new = f.before(op, "arith.trunci", [new], value.type)
    f.describer.forms[new] = form
    value.replace_all_uses_with(new)


RULES = dict.fromkeys(CONTROL, control)
