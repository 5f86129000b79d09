"""Scalars as polynomials of others: what is equal however it was computed, and how many strides lie between two addresses."""

import pytest
from small_functions import LastValue
from small_functions import last_value as last_value

from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.facts.polynomials import Polynomials, constant, number_of, plus, steps_of

ARGUMENTS = "%p: !llvm.ptr, %m: i64, %n: i64, %i: i32, %c: i1"
ONE = "%one = arith.constant 1 : i64\n%more = arith.addi %m, %one : i64\n"


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (ONE + "%x = arith.muli %more, %n : i64\n%p0 = arith.muli %n, %m : i64\n%y = arith.addi %p0, %n : i64", 0),
        (ONE + "%x = arith.muli %more, %n : i64\n%y = arith.muli %n, %m : i64", None),
        (ONE + "%x = arith.subi %m, %one : i64\n%y = arith.addi %more, %one : i64", 3),
        ("%x = arith.subi %m, %n : i64\n%y = arith.subi %n, %m : i64", None),
        ("%x = arith.minsi %m, %n : i64\n%y = arith.maxsi %m, %n : i64", None),
        ("%x = arith.extsi %i : i32 to i64\n%y = arith.extsi %i : i32 to i64", None),
        (ONE + "%x = arith.addi %m, %n : i64\n%s = arith.select %c, %more, %n : i64\n%y = arith.addi %s, %n : i64", 1),
    ],
)
def test_difference_where_a_condition_holds(last_value: LastValue, body: str, number: int | None) -> None:
    """Of `%y` and `%x`, as a number."""
    difference = last_value(body + "\n%d = arith.subi %y, %x : i64", ARGUMENTS)
    condition = difference.owner.block.arguments[4] if hasattr(difference.owner, "block") else difference.owner.operation.block.arguments[4]
    assert number_of(Polynomials([condition]).of(difference)) == number


def test_a_select_of_which_nothing_is_known(last_value: LastValue) -> None:
    difference = last_value("%s = arith.select %c, %m, %n : i64\n%d = arith.subi %s, %m : i64", ARGUMENTS)
    assert number_of(Polynomials().of(difference)) is None


def test_a_long_chain(last_value: LastValue) -> None:
    """Answered link by link."""
    links = "".join(f"%v{k + 1} = arith.addi %v{k}, %one : i64\n" for k in range(5000))
    value = last_value(f"{ONE}%v0 = arith.addi %m, %one : i64\n{links}%d = arith.subi %v5000, %m : i64", ARGUMENTS)
    assert number_of(Polynomials().of(value)) == 5001


def test_steps_between_pointers(last_value: LastValue) -> None:
    body = ONE + "%a = arith.muli %more, %n : i64\n%b = arith.addi %a, %one : i64\n%c0 = arith.muli %m, %n : i64\n"
    gep = "llvm.getelementptr {}[{}] : (!llvm.ptr, i64) -> !llvm.ptr, f32\n"
    value = last_value(body + "%q = " + gep.format("%p", "%b") + "%r = " + gep.format("%p", "%c0"), ARGUMENTS)
    polynomials = Polynomials()
    root, second = polynomials.address(value)
    operations = list(producer_of(value, "llvm.getelementptr").block.operations)
    other, first = polynomials.address(operations[-3].operation.results[0])
    assert root == other
    stride = plus({}, polynomials.of(operations[2].operation.operands[1]), 4)
    assert steps_of(plus(first, second, -1), stride) == (1, 4)
    assert steps_of(constant(130), constant(64)) == (2, 2)
    assert steps_of(constant(-70), constant(64)) == (-1, -6)
    assert steps_of(stride, constant(64)) is None
