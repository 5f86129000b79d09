"""How exact an exponential of a distance from a maximum has to be, and the nearest programs of which less is known."""

import pytest
from torch_mlir import ir

from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.exactness import Exactness
from triton_spacemit.passes.facts.maxima import exactness

_REDUCE = """
%{name} = "tt.reduce"({value}) ({{
^bb0(%a{name}: f32, %b{name}: f32):
  %c{name} = {kind} %a{name}, %b{name} : f32
  "tt.reduce.return"(%c{name}) : (f32) -> ()
}}) {{axis = {axis} : i32}} : (tensor<{shape}xf32>) -> {result}
"""
_SPLAT = '%{0}s = "tt.splat"(%{0}) : (f32) -> tensor<64xf32>\n'


def reduced(name: str, value: str, kind: str, axis: int = 0, shape: str = "64", result: str = "f32") -> str:
    return _REDUCE.format(name=name, value=value, kind=kind, axis=axis, shape=shape, result=result)


def row(body: str, maximum: str = reduced("m", "%x", "arith.maxnumf") + _SPLAT.format("m")) -> str:
    return f"{maximum}%d = arith.subf %x, %ms : tensor<64xf32>\n%e = math.exp %d : tensor<64xf32>\n{body}"


def of(body: str, arguments: str = "%x: tensor<64xf32>, %y: tensor<64xf32>, %n: f32") -> Exactness | None:
    """What is asked of the one exponential of a function."""
    module = ir.Module.parse(f"func.func @f({arguments}) {{\n{body}\nreturn\n}}", make_context())
    block = module.body.operations[0].regions[0].blocks[0]
    (found,) = (view.operation for view in block.operations if view.operation.name == "math.exp")
    return exactness(found)


STORE = '%u = "tt.bitcast"(%e) : (tensor<64xf32>) -> tensor<64xi32>\n'  # any other use
SUM = reduced("s", "%e", "arith.addf") + _SPLAT.format("s")
DIVIDED = "%q = arith.divf %e, %ss : tensor<64xf32>\n"
ONE = f"""
%one = arith.constant 1.0 : f32
%i = arith.divf %one, %s : f32
{_SPLAT.format("i")}
%q = arith.mulf %e, %is : tensor<64xf32>
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (row(STORE), Exactness.ROUNDED),
        (row(SUM), Exactness.TERM),
        (row(SUM + DIVIDED), Exactness.SCALED),
        (row(SUM + ONE), Exactness.SCALED),
        # the exponential, or the sum, is used for something else as well
        (row(SUM + STORE), Exactness.ROUNDED),
        (row(SUM + DIVIDED + STORE), Exactness.ROUNDED),
        (row(SUM + DIVIDED + "%l = math.log %s : f32\n"), Exactness.ROUNDED),
        # divided by another sum; the sum divided by it; a small number over the sum
        (row(SUM + reduced("t", "%y", "arith.addf") + _SPLAT.format("t") + "%q = arith.divf %e, %ts : tensor<64xf32>"), Exactness.ROUNDED),
        (row(SUM + "%q = arith.divf %ss, %e : tensor<64xf32>"), Exactness.ROUNDED),
        (row(SUM + ONE.replace("constant 1.0", "constant 1.0e-30")), Exactness.ROUNDED),
        (row(SUM + ONE.replace("%one, %s", "%n, %s")), Exactness.ROUNDED),
        # a product of exponentials is no sum
        (row(reduced("s", "%e", "arith.mulf")), Exactness.ROUNDED),
        # a maximum of this and of other values: no exponential need be 1
        (row(SUM, reduced("p", "%x", "arith.maxnumf") + "%m = arith.maxnumf %n, %p : f32\n" + _SPLAT.format("m")), Exactness.ROUNDED),
        (row(SUM, "%ms = arith.maximumf %y, %x : tensor<64xf32>\n"), Exactness.ROUNDED),
        # of another block, of a minimum, of a number
        (row(SUM, reduced("m", "%y", "arith.maxnumf") + _SPLAT.format("m")), None),
        (row(SUM, reduced("m", "%x", "arith.minnumf") + _SPLAT.format("m")), None),
        (row(SUM, _SPLAT.format("n").replace("%ns", "%ms")), None),
    ],
)
def test_rows(body, expected):
    assert of(body) == expected


def matrix(reduced_axis: int, added_axis: int, summed_axis: int = 1) -> str:
    added = "1x32" if added_axis == 0 else "32x1"
    return (
        reduced("m", "%x", "arith.maxnumf", reduced_axis, "32x32", "tensor<32xf32>")
        + f'%a = "tt.expand_dims"(%m) {{axis = {added_axis} : i32}} : (tensor<32xf32>) -> tensor<{added}xf32>\n'
        + f'%b = "tt.broadcast"(%a) : (tensor<{added}xf32>) -> tensor<32x32xf32>\n'
        + "%d = arith.subf %x, %b : tensor<32x32xf32>\n%e = math.exp %d : tensor<32x32xf32>\n"
        + reduced("s", "%e", "arith.addf", summed_axis, "32x32", "tensor<32xf32>")
    )


@pytest.mark.parametrize(
    ("axes", "expected"),
    [((1, 1), Exactness.TERM), ((0, 0, 0), Exactness.TERM), ((1, 1, 0), Exactness.ROUNDED), ((1, 0), None), ((0, 1), None)],
)
def test_the_axes_agree(axes, expected):
    assert of(matrix(*axes), "%x: tensor<32x32xf32>") == expected
