"""docs/operators.md is what registry and measured times give."""

import json
from pathlib import Path

import pytest

from triton_spacemit.ops.reference import _kind, reference, speeds
from triton_spacemit.ops.registry import OPERATORS

_DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_not_stale():
    page = reference(json.loads((_DOCS / "operators.json").read_text()))
    assert (_DOCS / "operators.md").read_text() == page, "docs/operators.md is stale: run `make docs`"


def test_every_operator_is_on_it():
    page = reference({})
    assert [operator.name for operator in OPERATORS if f"| `{operator.name}` | " not in page] == []


@pytest.mark.parametrize(
    ("overload", "kind"),
    [
        ("add.Tensor", "forward"),
        ("add_.Tensor", "in place"),
        ("add.out", "out"),
        ("pow.Tensor_Tensor_out", "out"),
        ("gelu_backward.grad_input", "backward"),
        ("_log_softmax_backward_data", "backward"),
        ("log_sigmoid_forward.output", "out"),
        ("max.dim_max", "forward"),
    ],
)
def test_overloads_are_told_apart(overload, kind):
    assert _kind(overload) == kind


def test_speeds_are_geometric_means():
    rows = {
        "a": {"operator": "add", "1": {"ours": 1, "eager": 2}, "2": {"ours": 2, "eager": 2}},
        "b": {"operator": "add", "1": {"ours": 1, "eager": 8}, "2": {"ours": 2, "eager": 2}},
    }
    assert speeds(rows) == {"add": "4.00 / 1.00 (2)"}
