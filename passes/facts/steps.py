"""Scalar pointers as distances from other ones."""

from typing import NamedTuple

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of

_DYNAMIC = -(1 << 31)


class Step(NamedTuple):
    """`pointer`, and `size` bytes times `index`, or where that is None times `constant`, further on."""

    pointer: ir.Value
    index: ir.Value | None
    constant: int
    size: int


def step_of(pointer: ir.Value) -> Step | None:
    """The step by which a pointer is computed from another one, where it is one of whole bytes."""
    op = producer_of(pointer, "llvm.getelementptr")
    if op is None:
        return None
    unit = op.attributes["elem_type"].value
    indices = list(ir.DenseI32ArrayAttr(op.attributes["rawConstantIndices"]))
    if not isinstance(unit, ir.IntegerType | ir.FloatType) or unit.width % 8 or len(indices) != 1:
        return None
    size, (number,) = unit.width // 8, indices
    if number != _DYNAMIC:
        return Step(op.operands[0], None, number, size)
    known = constant_of(op.operands[1])
    return Step(op.operands[0], op.operands[1] if known is None else None, known.value if known is not None else 0, size)


def from_root(pointer: ir.Value) -> tuple[ir.Value, int]:
    """The pointer that this one lies at a known distance from, and the distance in bytes."""
    distance = 0
    while (step := step_of(pointer)) is not None and step.index is None:
        pointer, distance = step.pointer, distance + step.constant * step.size
    return pointer, distance


def lie_apart(first: ir.Value | None, second: ir.Value | None) -> bool:
    """Whether pointers lead to memory that does not meet: one of them to what the program allocated, the other to something else.

    An argument of the kernel is older than what a program allocates, and does not lead there.
    """
    roots = [None if pointer is None else root_of(pointer) for pointer in (first, second)]
    one, other = roots
    if one is None or other is None or one == other:
        return False
    return any(isinstance(root, ir.OpResult) for root in roots)


def root_of(pointer: ir.Value) -> ir.Value | None:
    """The argument of the function, or the result of `xsmt.alloc`, that a pointer is computed from; None where it comes from elsewhere."""
    while (step := step_of(pointer)) is not None:
        pointer = step.pointer
    if isinstance(pointer, ir.OpResult):
        return pointer if pointer.owner.name == "xsmt.alloc" else None
    return pointer if pointer.owner.owner.operation.name == "func.func" else None
