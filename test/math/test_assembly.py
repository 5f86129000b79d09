"""What the X60 executes: no call, no code per lane, and no more instructions than stated."""

import re

import pytest

from triton_spacemit.passes.math.table import FUNCTIONS

_INTEGER_RESULT = {"ilogb": "i32", "llrint": "i64", "isnan": "i1", "isinf": "i1", "isfinite": "i1", "signbit": "i1"}
_OPERANDS = {
    **dict.fromkeys(("pow", "atan2", "hypot", "rhypot", "fmod", "remainder", "copysign", "nextafter", "fdim"), 2),
    **dict.fromkeys(("norm", "rnorm"), 3),
    **dict.fromkeys(("umulhi", "mulhi", "mul24", "umul24", "hadd", "uhadd", "rhadd", "urhadd"), 2),
    **dict.fromkeys(("byte_perm", "sad", "usad"), 3),
    **{f"{name}_r{mode}": count for name, count in (("div", 2), ("add", 2), ("sub", 2), ("mul", 2), ("fma", 3)) for mode in "nzdu"},
}
_OF_INTEGERS = {
    "popc", "clz", "iabs", "ffs", "brev", "byte_perm", "mulhi", "umulhi", "mul24", "umul24", "sad", "usad", "hadd", "uhadd", "rhadd",
    "urhadd",
}  # fmt: skip
_OF_ONE_TYPE = {"rcp64h": ("f64", "f64")}
for _mode in "nzdu":
    _OF_ONE_TYPE |= {f"narrow_r{_mode}": ("f64", "f32"), f"s_to_f64_r{_mode}": ("i64", "f64"), f"u_to_f64_r{_mode}": ("i64", "f64")}
    _OF_ONE_TYPE |= {f"s_to_f32_r{_mode}": ("i64", "f32"), f"u_to_f32_r{_mode}": ("i32", "f32")}
for _mode in "nzdua":
    _OF_ONE_TYPE |= {f"to_s32_r{_mode}": ("f64", "i32"), f"to_u32_r{_mode}": ("f32", "i32")}
    _OF_ONE_TYPE |= {f"to_s64_r{_mode}": ("f32", "i64"), f"to_u64_r{_mode}": ("f64", "i64")}


def _kinds(name: str, kind: str) -> list[str]:
    return [kind, "i32"] if name in ("ldexp", "jn", "yn") else [kind] * _OPERANDS.get(name, 1)


def _check_no_calls(text: str) -> None:
    assert not re.search(r"\b(call|tail)\b", text)
    # a function done lane by lane moves each of the 8 lanes out of its vector
    assert len(re.findall(r"\bvf?mv\.[xf]\.[sf]|vslidedown", text)) < 8


@pytest.mark.parametrize("kind", ["bf16", "f16", "f32", "f64"])
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in _OF_INTEGERS and name not in _OF_ONE_TYPE])
def test_no_calls(name, kind, assembly):
    _check_no_calls(assembly(name, _kinds(name, kind), _INTEGER_RESULT.get(name, kind)))


@pytest.mark.parametrize("name", sorted(_OF_INTEGERS))
def test_no_calls_on_integers(name, assembly):
    _check_no_calls(assembly(name, _kinds(name, "i32"), "i32"))


@pytest.mark.parametrize("name", _OF_ONE_TYPE)
def test_no_calls_of_one_type(name, assembly):
    source, result = _OF_ONE_TYPE[name]
    _check_no_calls(assembly(name, [source], result))


_BOUNDS = {"exp": 24, "exp2": 22, "log": 38, "tanh": 36, "erf": 42, "gelu_none": 38, "sin": 60, "gelu_tanh": 36, "silu": 30}


@pytest.mark.parametrize(("name", "bound"), _BOUNDS.items())
def test_instructions(name, bound, assembly):
    """Vector instructions of the straight-line part, the load and the store included, configuration not."""
    text = assembly(name, ["f32"], "f32")
    loop = re.search(r"^(\.LBB\w+):.*?b\w+\s[^\n]*\1$", text, re.DOTALL | re.MULTILINE)
    vector = [line for line in loop[0].splitlines() if re.match(r"\s+v(?!set)", line)]
    assert len(vector) <= bound
