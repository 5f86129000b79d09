"""Rules of ops about the program itself, and of what it says."""

from torch_mlir import ir

from triton_spacemit.dialect.tt_verifier.types import i32s, is_integer, is_static, shape_of


def place(op: ir.Operation) -> bool:
    return is_integer(op.results[0].type, 32) and not shape_of(op.results[0].type) and 0 <= op.attributes["axis"].value < 3


def print_(op: ir.Operation) -> bool:
    prefix, hex_, signed = op.attributes["prefix"].value, op.attributes["hex"].value, i32s(op, "isSigned")
    return isinstance(prefix, str) and isinstance(hex_, bool) and len(signed) == len(op.operands)


def assert_(op: ir.Operation) -> bool:
    return isinstance(op.attributes["message"].value, str) and is_integer(op.operands[0].type, 1) and is_static(op.operands[0].type)
