"""Masks as bounds, asked of small functions."""

import pytest
from small_functions import LastValue, spelled
from small_functions import last_value as last_value

from triton_spacemit.passes.facts.affine import Describer
from triton_spacemit.passes.facts.masks import Bounds, Masks
from triton_spacemit.passes.facts.nodes import Nodes

RANGE = '%i = "tt.make_range"() {start = 0 : i32, end = 16 : i32} : () -> tensor<16xi32>\n'
LIMIT = '%s = "tt.splat"(%n) : (i32) -> tensor<16xi32>\n'
START = '%t = "tt.splat"(%l) : (i32) -> tensor<16xi32>\n%a = arith.addi %i, %t : tensor<16xi32>\n'
ARGUMENTS = "%n: i32, %l: i32, %flag: i1"
FIXED = "%s = arith.constant dense<7> : tensor<16xi32>\n"


def masks_of(value: object) -> Masks:
    return Masks(Describer(Nodes(value.context)))


def text(bounds: Bounds) -> str:
    """Lower and upper bounds, then what else has to hold."""
    ends = [f"{spelled(lower)}..{spelled(upper)}" for lower, upper in zip(bounds.lower, bounds.upper, strict=True)]
    others = [spelled(node) for node in (*bounds.conditions, *bounds.rest)]
    return " ".join(ends + others + [f"unless {spelled(holds)}: {spelled(mask)}" for holds, mask in bounds.checked])


def compare(predicate: str, left: str = "%i", right: str = "%s") -> str:
    return f"%r = arith.cmpi {predicate}, {left}, {right} : tensor<16xi32>\n"


WRAPPED = "unless (<= (wide %1) 2147483632): arith.cmpi"


@pytest.mark.parametrize(
    ("body", "bounds"),
    [
        (RANGE + LIMIT + compare("slt"), "none..(wide %0)"),
        (RANGE + LIMIT + compare("sle"), "none..(+ (wide %0) 1)"),
        (RANGE + LIMIT + compare("sgt"), "(+ (wide %0) 1)..none"),
        (RANGE + LIMIT + compare("sge"), "(wide %0)..none"),
        (RANGE + LIMIT + compare("sgt", "%s", "%i"), "none..(wide %0)"),
        (RANGE + LIMIT + compare("eq"), "(wide %0)..(+ (wide %0) 1)"),
        (RANGE + LIMIT + compare("ne"), "none..none arith.cmpi"),
        (RANGE + FIXED + compare("slt"), "none..7"),
        (RANGE + "%s = arith.constant dense<-7> : tensor<16xi32>\n" + compare("sge"), "none..none"),
        # an unsigned limit of what is not negative, and of what may be
        (RANGE + LIMIT + compare("ult"), "none..(extui %0)"),
        (RANGE + LIMIT + START + compare("ult", "%a"),
         "(select (and (<= (wide %1) 2147483632) (>= (wide %0) 0)) (- 0 (wide %1)) 0).."
         "(select (and (<= (wide %1) 2147483632) (>= (wide %0) 0)) (- (wide %0) (wide %1)) 16) "
         "unless (and (<= (wide %1) 2147483632) (>= (wide %0) 0)): arith.cmpi"),
        # a sum that may wrap around
        (RANGE + LIMIT + START + compare("slt", "%a"),
         "none..(select (<= (wide %1) 2147483632) (- (wide %0) (wide %1)) 16) " + WRAPPED),
        # of two coordinates, or of what is not affine
        (RANGE + LIMIT + "%m = arith.muli %i, %i : tensor<16xi32>\n" + compare("slt", "%m"), "none..none arith.cmpi"),
        (RANGE + LIMIT + "%m = arith.muli %i, %s : tensor<16xi32>\n" + compare("slt", "%m"), "none..none arith.cmpi"),
        # all of one number, which is a comparison of scalars
        (LIMIT + FIXED.replace("%s", "%f") + compare("slt", "%s", "%f"), "none..none (< (wide %0) 7)"),
    ],
)  # fmt: skip
def test_comparisons(last_value: LastValue, body: str, bounds: str) -> None:
    value = last_value(body, ARGUMENTS)
    assert text(masks_of(value).bounds(value)) == bounds


def test_conjunction(last_value: LastValue) -> None:
    body = RANGE + LIMIT + compare("slt") + "%t = arith.constant dense<3> : tensor<16xi32>\n%g = arith.cmpi sge, %i, %t : tensor<16xi32>\n"
    body += '%f = "tt.splat"(%flag) : (i1) -> tensor<16xi1>\n%x = arith.andi %r, %g : tensor<16xi1>\n%y = arith.andi %x, %f : tensor<16xi1>'
    value = last_value(body, ARGUMENTS)
    assert text(masks_of(value).bounds(value)) == "3..(wide %0) %2"


def test_dimensions(last_value: LastValue) -> None:
    """Bounds, and what decides at run time whether they hold, go with the dimensions."""
    body = RANGE + LIMIT + START + compare("slt", "%a")
    body += '%e = "tt.expand_dims"(%r) {axis = 1 : i32} : (tensor<16xi1>) -> tensor<16x1xi1>\n'
    body += '%b = "tt.broadcast"(%e) : (tensor<16x1xi1>) -> tensor<16x4xi1>'
    value = last_value(body, ARGUMENTS)
    bounds = "none..(select (<= (wide %1) 2147483632) (- (wide %0) (wide %1)) 16) none..none"
    assert text(masks_of(value).bounds(value)) == bounds + " unless (<= (wide %1) 2147483632): (broadcast (expand_dims arith.cmpi))"


def test_nothing_is_lost(last_value: LastValue) -> None:
    """A mask that is false by a constant stays false where the dimension of its bound goes."""
    body = '%z = arith.constant dense<false> : tensor<1x8xi1>\n%r = "tt.reshape"(%z) : (tensor<1x8xi1>) -> tensor<8xi1>'
    value = last_value(body, ARGUMENTS)
    assert text(masks_of(value).bounds(value)) == "none..none tt.reshape"


def test_wide_scalars(last_value: LastValue) -> None:
    """A comparison of scalars of 64 bits is one, however large they are."""
    body = '%a = "tt.splat"(%n) : (i64) -> tensor<8xi64>\n%b = "tt.splat"(%m) : (i64) -> tensor<8xi64>\n'
    value = last_value(body + "%r = arith.cmpi slt, %a, %b : tensor<8xi64>", "%n: i64, %m: i64")
    assert text(masks_of(value).bounds(value)) == "none..none (< %0 %1)"


def test_prefixes(last_value: LastValue) -> None:
    """Only a mask that is true up to one bound, and false behind it, is a prefix; under a condition where it may wrap around."""
    value = last_value(RANGE + LIMIT + compare("slt"), ARGUMENTS)
    prefix = masks_of(value).prefix(value)
    assert (prefix.dim, spelled(prefix.end), prefix.holds) == (0, "(wide %0)", None)
    value = last_value(RANGE + LIMIT + START + compare("slt", "%a"), ARGUMENTS)
    assert spelled(masks_of(value).prefix(value).holds) == "(<= (wide %1) 2147483632)"
    for body in (
        RANGE + LIMIT + compare("sge"),
        RANGE + LIMIT + compare("eq"),
        RANGE + LIMIT + compare("ne"),
        LIMIT + compare("slt", "%s"),
    ):
        value = last_value(body, ARGUMENTS)
        assert masks_of(value).prefix(value) is None


def test_long_chains(last_value: LastValue) -> None:
    lines = [RANGE + LIMIT + "%v0 = arith.cmpi slt, %i, %s : tensor<16xi32>"]
    lines += [f"%v{i} = arith.andi %v{i - 1}, %v{i - 1} : tensor<16xi1>" for i in range(1, 5000)]
    value = last_value("\n".join(lines), ARGUMENTS)
    assert text(masks_of(value).bounds(value)) == "none..(wide %0)"
