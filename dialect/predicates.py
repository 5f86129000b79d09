"""Predicates of `arith.cmpi` and `arith.cmpf`, by the names that they have in MLIR's text."""

from enum import Enum

from torch_mlir import ir

# Their values are the numbers in the attribute.
IntPredicate = Enum("IntPredicate", "eq ne slt sle sgt sge ult ule ugt uge", start=0)
FloatPredicate = Enum("FloatPredicate", "false oeq ogt oge olt ole one ord ueq ugt uge ult ule une uno true", start=0)
Predicate = IntPredicate | FloatPredicate

# The predicate that says the same of the operands in the other order.
FLIPPED = {IntPredicate[a]: IntPredicate[b] for a, b in {
    "eq": "eq", "ne": "ne", "slt": "sgt", "sle": "sge", "sgt": "slt", "sge": "sle", "ult": "ugt", "ule": "uge", "ugt": "ult", "uge": "ule",
}.items()}  # fmt: skip

# The signed predicate of each unsigned one.
SIGNED_OF = {IntPredicate[f"u{order}"]: IntPredicate[f"s{order}"] for order in ("lt", "le", "gt", "ge")}


def predicate_of(op: ir.Operation) -> Predicate:
    """The predicate of an `arith.cmpi` or `arith.cmpf`."""
    kind = FloatPredicate if op.name == "arith.cmpf" else IntPredicate
    return kind(op.attributes["predicate"].value)


def attribute_of(predicate: Predicate) -> ir.Attribute:
    """The attribute `predicate` of a comparison."""
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), predicate.value)
