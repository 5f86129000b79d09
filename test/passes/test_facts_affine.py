"""Affine forms of integer blocks, asked of small functions."""

import pytest
from small_functions import LastValue, spelled
from small_functions import last_value as last_value

from triton_spacemit.passes.facts.affine import Describer
from triton_spacemit.passes.facts.forms import Check, Form
from triton_spacemit.passes.facts.nodes import Nodes

RANGE = '%i = "tt.make_range"() {start = 0 : i32, end = 16 : i32} : () -> tensor<16xi32>\n'
SPLAT = '%s = "tt.splat"(%n) : (i32) -> tensor<16xi32>\n'
COLUMNS = '%e = "tt.expand_dims"(%i) {axis = 0 : i32} : (tensor<16xi32>) -> tensor<1x16xi32>\n'


def form_of(value: object, **options: object) -> tuple[Describer, Form]:
    describer = Describer(Nodes(value.context), **options)
    return describer, describer.describe(value)


def text(form: Form) -> str:
    if form.rest is not None:
        return f"{spelled(form.offset)} + {[spelled(s) for s in form.strides]} + {spelled(form.rest)}"
    return f"{spelled(form.offset)} + [{', '.join(spelled(s) for s in form.strides)}]"


def checks(form: Form) -> list[str]:
    return [f"{spelled(check.low)} <= {text(check.form)} < {spelled(check.end)}" for check in form.checks]


def op(name: str, left: str, right: str, type_: str = "tensor<16xi32>") -> str:
    return f"%r = {name} {left}, {right} : {type_}\n"


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (RANGE, "0 + [1]"),
        (SPLAT, "(wide %0) + [0]"),
        ("%r = arith.constant dense<-7> : tensor<16xi32>", "-7 + [0]"),
        (RANGE + SPLAT + op("arith.addi", "%i", "%s"), "(wide %0) + [1]"),
        (RANGE + SPLAT + op("arith.subi", "%s", "%i"), "(wide %0) + [-1]"),
        (RANGE + SPLAT + op("arith.muli", "%i", "%s"), "0 + [(wide %0)]"),
        (RANGE + "%q = arith.constant dense<3> : tensor<16xi32>\n" + op("arith.shli", "%i", "%q"), "0 + [8]"),
        (RANGE + COLUMNS, "0 + [0, 1]"),
        (RANGE + COLUMNS + '%t = "tt.trans"(%e) {order = array<i32: 1, 0>} : (tensor<1x16xi32>) -> tensor<16x1xi32>', "0 + [1, 0]"),
        (RANGE + COLUMNS + '%b = "tt.broadcast"(%e) : (tensor<1x16xi32>) -> tensor<4x16xi32>', "0 + [0, 1]"),
        (RANGE + '%r = "tt.reshape"(%i) : (tensor<16xi32>) -> tensor<4x4xi32>', "0 + [4, 1]"),
        (RANGE + SPLAT + "%r = arith.select %c, %i, %s : tensor<16xi32>", "(select %2 0 (wide %0)) + [(select %2 1 0)]"),
        # products of two coordinates, remainders, narrow integers are none
        (RANGE + op("arith.muli", "%i", "%i"), "0 + ['0'] + arith.muli"),
        (RANGE + SPLAT + op("arith.remsi", "%i", "%s"), "0 + ['0'] + arith.remsi"),
        (RANGE + "%t = arith.trunci %i : tensor<16xi32> to tensor<16xi8>\n%r = arith.extsi %t : tensor<16xi8> to tensor<16xi32>",
         "0 + ['0'] + arith.extsi"),
        # 2^28 * 16 wraps around for certain
        (RANGE + "%q = arith.constant dense<268435456> : tensor<16xi32>\n" + op("arith.muli", "%i", "%q"), "0 + ['0'] + arith.muli"),
    ],
)  # fmt: skip
def test_forms(last_value: LastValue, body: str, form: str) -> None:
    assert text(form_of(last_value(body))[1]) == form


WIDE = "%w = arith.extsi %r : tensor<16xi32> to tensor<16xi64>\n"
MULTIPLE = "%k = arith.constant 64 : i32\n%p = arith.muli %n, %k : i32\n" + '%s = "tt.splat"(%p) : (i32) -> tensor<16xi32>\n'


def test_extension(last_value: LastValue) -> None:
    """Of a sum that may have wrapped around, one checks; of a multiple of the block and less than a block, none."""
    _, form = form_of(last_value(RANGE + SPLAT + op("arith.addi", "%i", "%s") + WIDE))
    assert text(form) == "(wide %0) + [1]"
    assert checks(form) == ["-2147483648 <= (wide %0) + [1] < 2147483648"]
    _, form = form_of(last_value(RANGE + MULTIPLE + op("arith.addi", "%i", "%s") + WIDE))
    assert checks(form) == []
    # in 64 bits nothing wraps around where 32 bits were extended
    body = "%a = arith.extsi %i : tensor<16xi32> to tensor<16xi64>\n%b = arith.extsi %s : tensor<16xi32> to tensor<16xi64>\n"
    _, form = form_of(last_value(RANGE + SPLAT + body + op("arith.addi", "%a", "%b", "tensor<16xi64>")))
    assert (text(form), checks(form)) == ("(wide %0) + [1]", [])


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (RANGE + "%r = arith.extui %i : tensor<16xi32> to tensor<16xi64>", "0 + [1]"),
        (SPLAT + "%r = arith.extui %s : tensor<16xi32> to tensor<16xi64>", "(extui %0) + [0]"),
        ("%q = arith.constant dense<-1> : tensor<16xi32>\n%r = arith.extui %q : tensor<16xi32> to tensor<16xi64>", "4294967295 + [0]"),
        # what may be negative
        (RANGE + SPLAT + op("arith.addi", "%i", "%s") + "%w = arith.extui %r : tensor<16xi32> to tensor<16xi64>",
         "0 + ['0'] + arith.extui"),
        (RANGE + "%w = arith.extsi %i : tensor<16xi32> to tensor<16xi64>\n%r = arith.trunci %w : tensor<16xi64> to tensor<16xi32>",
         "0 + [1]"),
        # what does not fit
        (RANGE + "%w = arith.extsi %i : tensor<16xi32> to tensor<16xi64>\n%q = arith.constant dense<150000000> : tensor<16xi64>\n"
         "%d = arith.muli %w, %q : tensor<16xi64>\n%r = arith.trunci %d : tensor<16xi64> to tensor<16xi32>", "0 + ['0'] + arith.trunci"),
        (RANGE + '%s = "tt.splat"(%m) : (i64) -> tensor<16xi64>\n%r = arith.trunci %s : tensor<16xi64> to tensor<16xi32>',
         "0 + ['0'] + arith.trunci"),
    ],
)  # fmt: skip
def test_casts(last_value: LastValue, body: str, form: str) -> None:
    assert text(form_of(last_value(body))[1]) == form


def test_remainders(last_value: LastValue) -> None:
    """Linear from `start % count` on, if it does not begin anew and the start is not negative."""
    body = RANGE + MULTIPLE + op("arith.addi", "%i", "%s") + '%c2 = "tt.splat"(%n) : (i32) -> tensor<16xi32>\n'
    value = last_value(body + "%m2 = arith.remsi %r, %c2 : tensor<16xi32>")
    describer, form = form_of(value, remainders=True)
    assert text(form) == "(remsi (wide arith.muli) (wide %0)) + [1]"
    first, last = form.checks
    assert checks(form) == [
        "0 <= (wide arith.muli) + [0] < none",
        "none <= (remsi (wide arith.muli) (wide %0)) + [1] < (wide %0)",
    ]
    anchor = value.owner.operation
    assert [spelled(node) for node in describer.conditions(first, anchor)] == ["(>= (wide arith.muli) 0)"]
    # asked of some first elements alone
    some = describer.nodes.scalar(anchor.parent.regions[0].blocks[0].arguments[1], anchor)
    assert [spelled(node) for node in describer.conditions(last, anchor, [some])] == [
        "(<= (+ (remsi (wide arith.muli) (wide %0)) %1) (wide %0))"
    ]
    # the sum that it is the remainder of may have wrapped around
    value = last_value(body.replace("%k = arith.constant 64", "%k = arith.constant 8") + "%m2 = arith.remsi %r, %c2 : tensor<16xi32>")
    assert len(form_of(value, remainders=True)[1].checks) == 3


@pytest.mark.parametrize(
    ("multiple", "divisor", "form"),
    [
        (64, 32, "(remsi (wide arith.muli) 32) + [1]"),
        (16, 48, "(remsi (wide arith.muli) 48) + [1]"),
        (8, 32, None),  # begins anew where the block begins at 8 less than a multiple of 32
        (64, 24, None),
        (64, 8, None),  # begins anew in each block
    ],
)
def test_remainders_of_what_may_be_negative(last_value: LastValue, multiple: int, divisor: int, form: str | None) -> None:
    """With `signs` they are linear if the start is not negative."""
    start = MULTIPLE.replace("64", str(multiple)) + op("arith.addi", "%i", "%s")
    body = RANGE + start + f"%d = arith.constant dense<{divisor}> : tensor<16xi32>\n%m2 = arith.remsi %r, %d : tensor<16xi32>\n"
    assert form_of(last_value(body))[1].only_rest
    _, found = form_of(last_value(body), signs=True)
    if form is None:
        assert found.only_rest
    else:
        assert (text(found), checks(found)) == (form, ["0 <= (wide arith.muli) + [0] < none"])


def test_conditions(last_value: LastValue) -> None:
    """Nothing where a check is known to hold, None where it is known not to."""
    value = last_value(RANGE + SPLAT + op("arith.addi", "%i", "%s"))
    describer, form = form_of(value)
    nodes, anchor = describer.nodes, value.owner.operation

    def asked(low: int | None, end: int | None) -> list[str] | None:
        ends = (None if number is None else nodes.const(number) for number in (low, end))
        found = describer.conditions(Check(form, *ends), anchor)
        return None if found is None else [spelled(node) for node in found]

    assert asked(None, None) == []
    assert asked(-(2**31), 2**31 + 15) == []
    assert asked(-(2**31), 2**31 + 14) == ["(<= (wide %0) 2147483646)"]
    assert asked(0, 100) == ["(>= (wide %0) 0)", "(<= (wide %0) 84)"]
    assert asked(2**31, None) is None
    assert asked(None, -(2**31) + 15) is None


def test_uniform_blocks(last_value: LastValue) -> None:
    """What only the asker knows to repeat one number."""
    value = last_value(SPLAT + op("arith.divsi", "%s", "%s"))
    nodes = Nodes(value.context)
    describer = Describer(nodes, uniform=lambda asked: nodes.given("seven", nodes.i32) if asked == value else None)
    form = describer.describe(value)
    assert form.uniform
    assert form.offset.operands[0].given == "seven"


def test_long_chains(last_value: LastValue) -> None:
    """Longer than Python's stack is deep."""
    lines = [RANGE + SPLAT + "%v0 = arith.addi %i, %s : tensor<16xi32>"]
    lines += [f"%v{i} = arith.addi %v{i - 1}, %s : tensor<16xi32>" for i in range(1, 5000)]
    describer, form = form_of(last_value("\n".join(lines)))
    assert [stride.constant for stride in form.strides] == [1]
    assert not describer.fits(form, 32)
    moved = describer.nodes.moved(form.offset, form.offset.anchor)
    assert moved.key == form.offset.key
