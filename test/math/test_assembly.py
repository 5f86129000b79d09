"""What the X60 executes: no call, no code per lane, and no more instructions than stated."""

import re

import pytest

from triton_spacemit.passes.math.table import FUNCTIONS

_INTEGER_RESULT = {"ilogb": "i32", "llrint": "i64", "isnan": "i1", "isinf": "i1", "isfinite": "i1", "signbit": "i1"}
_BINARY = {"pow", "atan2", "hypot", "fmod", "copysign", "nextafter", "div_rn", "div_rz", "div_rd", "div_ru"}


def _kinds(name: str, kind: str) -> list[str]:
    return [kind, "i32"] if name == "ldexp" else [kind] * (1 + (name in _BINARY))


_OF_INTEGERS = {"popc", "clz"}


@pytest.mark.parametrize("kind", ["bf16", "f16", "f32", "f64"])
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in _OF_INTEGERS])
def test_no_calls(name, kind, assembly):
    text = assembly(name, _kinds(name, kind), _INTEGER_RESULT.get(name, kind))
    assert not re.search(r"\b(call|tail)\b", text)
    # a function done lane by lane moves each lane out of its vector
    assert len(re.findall(r"\bvf?mv\.[xf]\.[sf]|vslidedown", text)) < 4


@pytest.mark.parametrize("name", sorted(_OF_INTEGERS))
def test_no_calls_on_integers(name, assembly):
    assert not re.search(r"\b(call|tail)\b", assembly(name, ["i32"], "i32"))


_BOUNDS = {"exp": 24, "exp2": 22, "log": 38, "tanh": 36, "erf": 42, "sin": 60, "gelu_tanh": 36, "silu": 30}


@pytest.mark.parametrize(("name", "bound"), _BOUNDS.items())
def test_instructions(name, bound, assembly):
    """Vector instructions of the straight-line part, the load and the store included, configuration not."""
    text = assembly(name, ["f32"], "f32")
    loop = re.search(r"^(\.LBB\w+):.*?b\w+\s[^\n]*\1$", text, re.DOTALL | re.MULTILINE)
    vector = [line for line in loop[0].splitlines() if re.match(r"\s+v(?!set)", line)]
    assert len(vector) <= bound
