"""Accessors for Triton's ops, which stay unregistered: pointer types, optional operands, enumerations."""

import re

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError

# By the number in the attribute `atomic_rmw_op`, `sem` and `predicate`.
RMW_KINDS = ("", "and", "or", "xor", "add", "fadd", "max", "min", "umax", "umin", "xchg")
ORDERS = ("", "relaxed", "acquire", "release", "acq_rel")

_POINTER = re.compile(r"!tt\.ptr<(.+?)(?:, \d+)?>$")

_BITS = re.compile(r"[a-z]+(\d+)")


def pointee(type_: ir.Type) -> str | None:
    """The text of the type that `!tt.ptr<...>` points to; None for any other type."""
    match = _POINTER.match(str(type_)) if isinstance(type_, ir.OpaqueType) else None
    return match[1] if match else None


def size_of(element: str) -> int:
    """Bytes in memory of a scalar type given as text: i1 takes one, pointers eight."""
    if element.startswith("!"):
        return 8
    match = _BITS.match(element)
    if match is None:
        raise LoweringError(f"a pointer to {element} is not supported")
    return (int(match[1]) + 7) // 8


def access_operands(op: ir.Operation) -> tuple[ir.Value, list[ir.Value], ir.Value | None, ir.Value | None]:
    """Pointer, values, mask and other of an op that accesses memory; None for a mask or other that the op does not have.

    A store or atomic update has one value, `tt.atomic_cas` has what it compares with and what it writes.
    """
    pointer, *operands = op.operands
    other = None
    if op.name == "tt.load":
        segments = [bool(size) for size in op.attributes["operandSegmentSizes"]]
        other = operands.pop() if segments[2] else None
    values = {"tt.load": 0, "tt.atomic_load": 0, "tt.atomic_cas": 2}.get(op.name, 1)
    return pointer, operands[:values], operands[values] if len(operands) > values else None, other


def combining_op(op: ir.Operation) -> str | None:
    """The name of the op that combines the two arguments of a reduction's or scan's function, in any order, where that is all it does."""
    block = op.regions[0].blocks[0]
    inner = [view.operation for view in block.operations]
    if len(inner) != 2 or len(block.arguments) != 2 or inner[1].operands[0] != inner[0].results[0]:
        return None
    left, right = block.arguments
    return inner[0].name if list(inner[0].operands) in ([left, right], [right, left]) else None


def cache_policy(op: ir.Operation) -> dict[str, str]:
    """The fields of `#tt.cache_policy<cache_modifier = cs, eviction_policy = evict_first>` by their names; none where `op` has none."""
    if "cachePolicy" not in op.attributes:
        return {}
    fields = str(op.attributes["cachePolicy"]).partition("<")[2].removesuffix(">").split(",")
    return {name.strip(): value.strip() for name, _, value in (field.partition("=") for field in fields)}


def streams(op: ir.Operation) -> bool:
    """Whether a store says, by the cache modifier ".cs", that what it stores is not read again soon."""
    return cache_policy(op).get("cache_modifier") == "cs"
