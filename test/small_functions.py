"""Small functions to ask questions about, and answers as text."""

from collections.abc import Callable

import pytest
from torch_mlir import ir

from triton_spacemit.dialect.context import make_context
from triton_spacemit.passes.facts.nodes import Node

LastValue = Callable[..., ir.Value]
_NAMES = {"arith.addi": "+", "arith.subi": "-", "arith.muli": "*", "arith.extsi": "wide", "arith.andi": "and", "arith.select": "select"}
_SIGNED = ("==", "!=", "<", "<=", ">", ">=")


@pytest.fixture
def last_value() -> Callable[..., ir.Value]:
    """Gives the result of the last op but the return of a function, from the text of its body."""
    modules, context = [], make_context()

    def parse(body: str, arguments: str = "%n: i32, %m: i64, %c: i1") -> ir.Value:
        modules.append(ir.Module.parse(f"func.func @f({arguments}) {{\n{body}\nreturn\n}}", context))  # they own the values
        block = modules[-1].body.operations[0].regions[0].blocks[0]
        return block.operations[len(block.operations) - 2].operation.results[0]

    return parse


def spelled(node: Node | None) -> str:
    """A value to be in prefix form; arguments of the function by number, other values by the name of their op."""
    if node is None:
        return "none"
    if node.constant is not None:
        return str(node.constant)
    if node.is_leaf:
        return node.value.owner.name if isinstance(node.value, ir.OpResult) else f"%{node.value.arg_number}"
    name = _NAMES.get(node.name, node.name.split(".")[-1])
    if node.name == "arith.cmpi":
        name = _SIGNED[node.attributes["predicate"].value]
    return f"({' '.join([name, *map(spelled, node.operands)])})"
