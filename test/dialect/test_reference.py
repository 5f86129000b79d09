"""docs/dialect.md is what the definitions give, its examples are valid, and every rule in it has a case that breaks it."""

import re
from pathlib import Path

import pytest
from torch_mlir import ir

from triton_spacemit.dialect import xsmt
from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.reference import Op, ops, reference

_ROOT = Path(__file__).parents[2]
_OPS = ops()


def test_the_document_is_not_stale() -> None:
    assert (_ROOT / "docs/dialect.md").read_text() == reference(), "docs/dialect.md is stale: run `make docs`"


def test_every_op_is_in_it() -> None:
    classes = [value for value in vars(xsmt).values() if isinstance(value, type) and issubclass(value, xsmt.XSMT.Operation)]
    assert {f"xsmt.{op.name}" for op in _OPS} == {cls.OPERATION_NAME for cls in classes if hasattr(cls, "OPERATION_NAME")}
    for op in _OPS:
        assert op.rules
        assert re.match(r"[A-Z`].*\.$", op.text.partition("\n")[0]), f"{op.name} has no summary"


def as_module(example: str) -> str:
    """A function around an example, whose parameters are the values that it uses and does not make."""
    match = re.search(r'"xsmt\.\w+"\(([^)]*)\)', example)
    assert match is not None
    types = re.findall(r":\s*\(([^()]*)\) ->", example)[-1]
    # Commas between types are not inside brackets.
    parameters = zip(re.findall(r"%\w+", match[1]), re.split(r",\s*(?![^<]*>)", types), strict=True) if match[1] else ()
    return f"func.func @example({', '.join(f'{name}: {type_}' for name, type_ in parameters)}) {{\n{example}\nreturn\n}}"


@pytest.mark.parametrize("op", _OPS, ids=lambda op: op.name)
def test_examples_are_valid_and_round_trip(op: Op) -> None:
    assert f'"xsmt.{op.name}"(' in op.example
    with make_context():
        module = ir.Module.parse(as_module(op.example))
        assert module.operation.verify()
        text = str(module)
        assert str(ir.Module.parse(text)) == text
        assert f'"xsmt.{op.name}"(' in text


@pytest.mark.parametrize("op", _OPS, ids=lambda op: op.name)
def test_every_rule_has_a_case_that_breaks_it(op: Op) -> None:
    """In test/dialect/*_invalid.mlir, for this op or, where a helper checks the rule for many, for another one."""
    expected = "\n".join(
        message
        for path in (_ROOT / "test/dialect").glob("xsmt*_invalid.mlir")
        for message in re.findall(r"expected-error.*?\{\{(.*?)\}\}", path.read_text())
    )
    for rule in op.rules:
        pattern = ".*".join(re.escape(part) for part in re.split(r"`\w+`(?:'s type)?|…", rule))
        # One message for all numbers of operands, and one for all three of these groups.
        pattern = re.sub(r"^operandSegmentSizes.*", "operandSegmentSizes", pattern)
        pattern = re.sub(r"have.*result", "have.*result", pattern)
        pattern = re.sub(r"\b(strides|lower|upper)\b", "(strides|lower|upper)", pattern)
        assert re.search(pattern, expected), rule
