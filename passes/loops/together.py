"""Stores behind each other that share a loop: what both are computed from is then loaded once, as the halves that rotary embeddings turn.

A store comes before the next one in whole. In one loop they alternate, place by place, which makes no difference for three facts: no
element is stored by two of them (`apart`), so that their order does not matter; no load stands between them, so that nothing reads what
the first has stored; and what both read is made independent of what either stores (`aliasing.py`). All are proven from the IR, but that
stores through different pointers go to different elements: those share a loop where their addresses are found apart at run time, on
cores that need not count registers (`accesses.py`). Stores that are computed from different loads have nothing to share.
"""

from collections.abc import Iterator

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.passes.facts.steps import from_root, step_of
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.lane_results import held
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import bits

_LOADS = ("xsmt.descriptor_load", "xsmt.gather", "tt.gather", "llvm.load")
_SCALARS = ("llvm.getelementptr", "llvm.mlir.zero", "llvm.ptrtoint", "llvm.inttoptr")
_MOST = 4096  # distances along a dimension that are looked at
_MOST_VALUES = 256  # that are looked at for what two stores have in common
_MOST_STORES = 4  # that are compared with each other at run time


def stores_together(low: Lowering, first: Node) -> list[Node]:
    """The stores behind `first` that may share its loop; what stands between is lowered."""
    found: list[Node] = []
    between: list[Node] = []
    if not _is_plain(first):
        return found
    loads = set(_loads_of(first))
    for node in first.block.behind(first):
        if _is_plain(node) and held(low, node) is None and _may_join(low, [first, *found], loads, node):
            for ahead in between:
                if ahead not in low.lowered:
                    low.lower_ahead(ahead)
            between = []
            found.append(node)
            loads.update(_loads_of(node))
            low.lowered.add(node)
        elif only_computes(node) and node.name not in _LOADS:
            between.append(node)
        else:
            break
    return found


def _may_join(low: Lowering, group: list[Node], loads: set[ir.Value], node: Node) -> bool:
    """Whether a store needs one of the `loads` of a group, and goes to other elements, or may be compared with it at run time."""
    if loads.isdisjoint(_loads_of(node)):
        return False
    if all(apart(other, node) for other in group):
        return True
    return not low.chip.in_order and len(group) < _MOST_STORES and all(_alike(other, node) for other in group)


def _loads_of(store: Node) -> Iterator[ir.Value]:
    """The blocks that are loaded to compute what is stored, as far as it is looked at."""
    stack: list[ir.Value] = [store.op.opview.value]
    seen: set[ir.Value] = set()
    while stack and len(seen) < _MOST_VALUES:
        value = stack.pop()
        if value in seen or not isinstance(value, ir.OpResult):
            continue
        seen.add(value)
        op = value.owner.operation
        if op.name in _LOADS:
            yield value
        elif not op.regions:
            stack.extend(operand for operand in op.operands if isinstance(operand.type, ir.RankedTensorType))


def _alike(first: Node, second: Node) -> bool:
    """Whether two stores have the same bounds and the same constant strides."""
    one, other = first.op.opview, second.op.opview
    if list(one.value.type.shape) != list(other.value.type.shape) or any(constant_of(stride) is None for stride in one.strides):
        return False
    return all(list(getattr(one, name)) == list(getattr(other, name)) for name in ("strides", "lower", "upper"))


def only_computes(node: Node) -> bool:
    """Whether an op may be lowered before one that it stands behind and does not need."""
    return node.is_lazy or node.name in _SCALARS


def _is_plain(node: Node) -> bool:
    return node.name == "xsmt.descriptor_store" and node.op.opview.mask is None and "streams" not in node.op.attributes


def apart(first: Node, second: Node) -> bool:
    """Whether two stores with the same bounds and constant strides go to elements a constant distance apart that no lanes share."""
    one, other = first.op.opview, second.op.opview
    if one.value.type != other.value.type or not _alike(first, second):
        return False
    distance = _distance(one.base, other.base, bits(one.value.type.element_type) // 8)
    if distance is None:
        return False
    strides = [constant_of(stride) for stride in one.strides]
    steps = sorted(((abs(stride.value), extent) for stride, extent in zip(strides, one.value.type.shape, strict=True)), reverse=True)
    return not _reaches(distance, steps)


def _reaches(distance: int, steps: list[tuple[int, int]]) -> bool:
    """Whether a distance is a sum of multiples of strides, each less in size than its dimension's extent."""
    if not steps:
        return distance == 0
    (stride, extent), *inner = steps
    if stride == 0:
        return _reaches(distance, inner)
    reach = sum(step * (n - 1) for step, n in inner)
    least = max(-(extent - 1), -(-(distance - reach) // stride))
    most = min(extent - 1, (distance + reach) // stride)
    if most - least >= _MOST:
        return True  # not looked at
    return any(_reaches(distance - count * stride, inner) for count in range(least, most + 1))


def _distance(first: ir.Value, second: ir.Value, size: int) -> int | None:
    """The constant number of elements of `size` bytes from one pointer to another, where it is known."""
    (place, number), (other_place, other_number) = _place(first), _place(second)
    distance = other_number - number
    return distance // size if place == other_place and distance % size == 0 else None


def _place(pointer: ir.Value) -> tuple[tuple[ir.Value, int, tuple[ir.Value, ...]], int]:
    """A pointer as a constant number of bytes behind another one, or behind that and an index, which counts so many bytes."""
    root, number = from_root(pointer)
    step = step_of(root)
    if step is None or step.index is None:
        return (root, 0, ()), number
    index = step.index
    total = producer_of(index, "arith.addi")
    if total is not None and (added := constant_of(total.operands[1])) is not None:
        index, number = total.operands[0], number + added.value * step.size
    return (step.pointer, step.size, (index,)), number
