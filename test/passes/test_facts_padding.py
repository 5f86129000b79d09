"""What blocks hold behind their bounds, asked of small functions."""

import math

import pytest
from small_functions import LastValue, spelled
from small_functions import last_value as last_value

from triton_spacemit.passes.facts.affine import Describer
from triton_spacemit.passes.facts.masks import Masks
from triton_spacemit.passes.facts.nodes import Nodes
from triton_spacemit.passes.facts.padding import Padding, Paddings

ARGUMENTS = "%x: !llvm.ptr, %n: i64, %f: f32, %l: i32"
BLOCK = "tensor<64xf32>"


def padding_of(value: object, dim: int = 0) -> Padding | None:
    return Paddings(Masks(Describer(Nodes(value.context)))).of(value, dim)


def load(other: str, name: str = "%v", value: str = "%other") -> str:
    """A row of n elements, filled up with a number."""
    numbers = "" if other == "%f" else f"{value} = arith.constant {other} : f32\n"
    number = "%f" if other == "%f" else value
    return (
        f"{name}_zero = arith.constant 0 : i64\n{name}_one = arith.constant 1 : i64\n{numbers}"
        f'{name} = "xsmt.descriptor_load"(%x, {name}_one, {name}_zero, %n, {number}) {{operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>}}'
        f" : (!llvm.ptr, i64, i64, i64, f32) -> {BLOCK}\n"
    )


INFINITY, NAN = "0xFF800000", "0x7FC00000"
CONSTANT = "%c = arith.constant dense<{}> : " + BLOCK + "\n"


def op(name: str, *operands: str) -> str:
    return f"%r = {name} {', '.join(operands)} : {BLOCK}\n"


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (load("2.0"), 2.0),
        (load(INFINITY), -math.inf),
        (load("2.0") + CONSTANT.format("3.0") + op("arith.addf", "%v", "%c"), 5.0),
        (load("2.0") + op("arith.mulf", "%v", "%v"), 4.0),
        (load(INFINITY) + op("math.exp", "%v"), 0.0),
        (load(NAN) + CONSTANT.format("3.0") + op("arith.maxnumf", "%v", "%c"), 3.0),
        (load(NAN) + CONSTANT.format("3.0") + op("arith.minnumf", "%c", "%v"), 3.0),
        # rounded, and infinite where the type has no such number
        (load("0.1") + CONSTANT.format("0.2") + op("arith.addf", "%v", "%c"), 0.30000001192092896),
        (load("3.0e38") + op("arith.addf", "%v", "%v"), math.inf),
        # not known: of an argument, of an exponential of anything else, of only one operand
        (load("%f"), None),
        (load("0.0") + op("math.exp", "%v"), None),
        (load("0.0") + load("%f", "%w") + op("arith.addf", "%v", "%w"), None),
        (load("0.0") + load("%f", "%w") + op("arith.mulf", "%v", "%w"), None),
        # numbers that are not the same in every type
        (load("0.1") + f"%r = arith.truncf %v : {BLOCK} to tensor<64xf16>", None),
        (load("1.0") + f"%r = arith.truncf %v : {BLOCK} to tensor<64xf16>", 1.0),
        (load(INFINITY) + f"%r = arith.truncf %v : {BLOCK} to tensor<64xbf16>", -math.inf),
        (load(INFINITY) + f"%r = arith.truncf %v : {BLOCK} to tensor<64xf8E4M3FN>", None),
    ],
)
def test_numbers(last_value: LastValue, body: str, number: float | None) -> None:
    padding = padding_of(last_value(body, ARGUMENTS))
    assert (None if padding is None else padding.number) == number
    if padding is not None:
        assert [spelled(limit) for limit in padding.limits] == ["%1"]
        assert not padding.greater


def test_differences(last_value: LastValue) -> None:
    """-inf less one number for the row is -inf, where that is greater than -inf; less a number for each element it may be anything."""
    value = last_value(load(INFINITY) + f'%m = "tt.splat"(%f) : (f32) -> {BLOCK}\n' + op("arith.subf", "%v", "%m"), ARGUMENTS)
    padding = padding_of(value)
    assert (padding.number, [v.owner.name for v in padding.greater]) == (-math.inf, ["tt.splat"])
    assert padding_of(last_value(load(INFINITY) + load("%f", "%w") + op("arith.subf", "%v", "%w"), ARGUMENTS)) is None
    assert (
        padding_of(last_value(load("0.0") + f'%m = "tt.splat"(%f) : (f32) -> {BLOCK}\n' + op("arith.subf", "%v", "%m"), ARGUMENTS)) is None
    )


WHERE = """%i = "tt.make_range"() {{start = 0 : i32, end = 64 : i32}} : () -> tensor<64xi32>
%s = "tt.splat"(%l) : (i32) -> tensor<64xi32>
%mask = arith.cmpi {}, %i, %s : tensor<64xi32>
%r = arith.select %mask, {}, {} : tensor<64xi1>, tensor<64xf32>
"""


def test_choices(last_value: LastValue) -> None:
    """`where` of a mask that ends, its second choice; of one that begins, nothing."""
    padding = padding_of(last_value(load("%f") + CONSTANT.format("3.0") + WHERE.format("slt", "%v", "%c"), ARGUMENTS))
    assert (padding.number, [spelled(limit) for limit in padding.limits]) == (3.0, ["(wide %3)"])
    assert padding_of(last_value(load("%f") + CONSTANT.format("3.0") + WHERE.format("sge", "%v", "%c"), ARGUMENTS)) is None
    assert padding_of(last_value(load("%f") + CONSTANT.format("3.0") + WHERE.format("slt", "%c", "%v"), ARGUMENTS)) is None


def test_integers_wrap_around(last_value: LastValue) -> None:
    body = "%c = arith.constant dense<2147483647> : tensor<64xi32>\n%r = arith.addi %c, %c : tensor<64xi32>"
    assert padding_of(last_value(body, ARGUMENTS)).number == -2


def test_long_chains(last_value: LastValue) -> None:
    lines = [load("1.0") + CONSTANT.format("1.0") + f"%v0 = arith.mulf %v, %c : {BLOCK}"]
    lines += [f"%v{i} = arith.mulf %v{i - 1}, %c : {BLOCK}" for i in range(1, 5000)]
    assert padding_of(last_value("\n".join(lines), ARGUMENTS)).number == 1.0
