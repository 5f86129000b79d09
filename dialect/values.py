"""Accessors for values: what is known of one from the op that gives it."""

from torch_mlir import ir


def producer_of(value: ir.Value, *names: str) -> ir.Operation | None:
    """The op whose result `value` is, if it is called one of `names` (any, where none is given); None for an argument of a block."""
    if isinstance(value.owner, ir.Block):
        return None
    op = value.owner.operation
    return op if not names or op.name in names else None


def constant_of(value: ir.Value) -> ir.IntegerAttr | ir.FloatAttr | None:
    """The number that `value` is known to be, or that all elements of it are."""
    constant = producer_of(value, "arith.constant")
    attribute = constant.attributes["value"] if constant is not None else None
    if isinstance(attribute, ir.DenseElementsAttr) and attribute.is_splat:
        attribute = attribute.get_splat_value()
    return attribute if isinstance(attribute, ir.IntegerAttr | ir.FloatAttr) else None
