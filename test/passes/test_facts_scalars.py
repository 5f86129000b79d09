"""What is known of scalars, asked of small functions."""

import pytest
from small_functions import LastValue
from small_functions import last_value as last_value

from triton_spacemit.passes.facts.divisibility import MOST, Divisibility
from triton_spacemit.passes.facts.nodes import Nodes
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.facts.ranges import Range, Ranges, signed, turns

ALL = signed(32)


def test_order_of_a_long_chain() -> None:
    """Each answer finds those that it needs, without recursion; what is known already is not asked for."""
    answers = {0: 1}
    asked = []
    for number in unanswered(20000, answers, lambda n: [n - 1]):
        asked.append(number)
        answers[number] = answers[number - 1] + 1
    assert answers[20000] == 20001
    assert asked == list(range(1, 20001))


def test_order_of_what_is_needed_twice() -> None:
    answers: dict[str, int] = {}
    needs = {"a": ["b", "c", "b"], "b": ["d"], "c": ["d"], "d": []}
    for name in unanswered("a", answers, needs.__getitem__):
        assert name not in answers
        answers[name] = 1 + sum(answers[other] for other in needs[name])
    assert answers == {"d": 1, "b": 2, "c": 2, "a": 7}


@pytest.mark.parametrize(
    ("body", "divisor"),
    [
        ("%r = arith.constant 48 : i32", 16),
        ("%r = arith.constant 0 : i32", MOST),
        ("%r = arith.addi %n, %n : i32", 1),
        ("%k = arith.constant 1024 : i32\n%r = arith.muli %n, %k : i32", 1024),
        ("%k = arith.constant 1024 : i32\n%p = arith.muli %n, %k : i32\n%e = arith.constant 96 : i32\n%r = arith.addi %p, %e : i32", 32),
        ("%k = arith.constant 64 : i32\n%p = arith.muli %n, %k : i32\n%r = arith.extsi %p : i32 to i64", 64),
        ("%k = arith.constant -64 : i32\n%r = arith.andi %n, %k : i32", 64),
        ("%k = arith.constant 64 : i32\n%p = arith.muli %n, %k : i32\n%r = arith.divsi %p, %k : i32", 1),
    ],
)
def test_divisors(last_value: LastValue, body: str, divisor: int) -> None:
    assert Divisibility().of(last_value(body)) == divisor


def test_divisors_of_arguments(last_value: LastValue) -> None:
    """What the launcher says of an argument; of another, nothing is known."""
    arguments = "%n: i32 {tt.divisibility = 16 : i32}, %m: i32"
    assert Divisibility().of(last_value("%r = arith.subi %n, %n : i32", arguments)) == 16
    assert Divisibility().of(last_value("%r = arith.subi %n, %m : i32", arguments)) == 1


LOOP = """%lower = arith.constant {0} : i32
%upper = arith.constant {1} : i32
%step = arith.constant {2} : i32
%first = arith.constant 0 : i32
%r = scf.for {3} %i = %lower to %upper step %step iter_args(%a = %first) -> (i32) : i32 {{
  %b = arith.addi %a, %i : i32
  scf.yield %b : i32
}}"""


@pytest.mark.parametrize(
    ("loop", "range_", "divisor"),
    [
        ((8, 1000, 8, ""), Range(8, 992), 8),
        ((4, 1000, 8, ""), Range(4, 996), 4),
        ((-5, 10, 3, ""), Range(-5, 9), 1),
        ((0, -1, 1, "unsigned"), ALL, 1),  # the upper bound is 2^32 - 1
    ],
)
def test_indices_of_loops(last_value: LastValue, loop: tuple, range_: Range, divisor: int) -> None:
    result = last_value(LOOP.format(*loop))
    index = result.owner.operation.regions[0].blocks[0].arguments[0]
    assert Divisibility().of(index) == divisor
    assert Ranges().of(index) == range_
    assert Ranges().of(result) == ALL  # what a loop carries may be anything


ADVANCED = """%lower = arith.constant 0 : i32
%step = arith.constant {step} : i32
%first = arith.constant {first} : i32
%more = arith.constant {more} : i32
%r = scf.for %i = %lower to %n step %step iter_args(%a = %first) -> (i32) : i32 {{
  %b = arith.{op} %a, {by} : i32
  scf.yield %b : i32
}}"""


@pytest.mark.parametrize(
    ("loop", "range_", "divisor"),
    [
        ({"step": 64, "first": 0, "more": 64, "op": "addi", "by": "%more"}, Range(0, 2**31 - 64), 64),
        ({"step": 64, "first": 32, "more": 16, "op": "addi", "by": "%more"}, Range(32, 2**29 - 16 + 32), 16),
        ({"step": 1, "first": 0, "more": -1, "op": "addi", "by": "%more"}, Range(-(2**31) + 2, 0), 1),
        # as many turns times as much wrap around, or anything may be added, or it is something else that is done
        ({"step": 64, "first": 0, "more": 128, "op": "addi", "by": "%more"}, Range(-(2**31), 2**31 - 128), 128),
        ({"step": 64, "first": 0, "more": 64, "op": "addi", "by": "%n"}, ALL, 1),
        ({"step": 64, "first": 0, "more": 64, "op": "muli", "by": "%more"}, ALL, 1),
    ],
)
def test_what_loops_advance(last_value: LastValue, loop: dict, range_: Range, divisor: int) -> None:
    result = last_value(ADVANCED.format(**loop))
    carried = result.owner.operation.regions[0].blocks[0].arguments[1]
    assert Divisibility().of(carried) == divisor
    assert Ranges().of(carried) == range_


def number(name: str, value: int, type_: str = "i32") -> str:
    return f"%{name} = arith.constant {value} : {type_}\n"


PID = '%p = "tt.get_program_id"() {axis = 0 : i32} : () -> i32\n'


@pytest.mark.parametrize(
    ("body", "range_"),
    [
        ("%r = arith.addi %n, %n : i32", ALL),
        (PID + '%r = "tt.get_program_id"() {axis = 0 : i32} : () -> i32', Range(0, 2**31 - 2)),
        (PID + number("k", 2) + "%r = arith.muli %p, %k : i32", Range(-(2**31), 2**31 - 2)),  # wraps around, but is even
        (PID + "%w = arith.extsi %p : i32 to i64\n" + number("k", 3, "i64") + "%r = arith.muli %w, %k : i64", Range(0, 3 * (2**31 - 2))),
        (number("k", 10) + "%r = arith.remsi %n, %k : i32", Range(-9, 9)),
        (PID + number("k", 10) + "%r = arith.remsi %p, %k : i32", Range(0, 9)),
        (PID + number("k", 16) + "%r = arith.divsi %p, %k : i32", Range(0, 2**27 - 1)),
        (number("k", 16) + "%r = arith.floordivsi %n, %k : i32", Range(-(2**27), 2**27 - 1)),
        (number("k", 15) + "%r = arith.divsi %n, %k : i32", Range(-(2**31 // 15), 2**31 // 15)),
        (number("k", 15) + "%r = arith.divui %n, %k : i32", ALL),
        (PID + "%r = arith.divsi %n, %p : i32", ALL),
        (number("k", 15) + "%r = arith.andi %n, %k : i32", Range(0, 15)),
        (number("k", 15) + "%a = arith.andi %n, %k : i32\n" + number("l", 16) + "%r = arith.ori %a, %l : i32", Range(0, 31)),
        (number("k", 0) + "%a = arith.maxsi %n, %k : i32\n" + number("l", 7) + "%r = arith.minsi %a, %l : i32", Range(0, 7)),
        (number("k", -3) + number("l", 9) + "%r = arith.select %c, %k, %l : i32", Range(-3, 9)),
        ("%r = arith.extsi %n : i32 to i64", ALL),
        ("%r = arith.extui %n : i32 to i64", Range(0, 2**32 - 1)),
        ("%r = arith.extui %c : i1 to i32", Range(0, 1)),
        ("%r = arith.trunci %m : i64 to i32", ALL),
        (number("k", 5, "i64") + "%r = arith.trunci %k : i64 to i32", Range(5, 5)),
        (number("k", 3) + number("l", 15) + "%a = arith.andi %n, %l : i32\n%r = arith.shli %a, %k : i32", Range(0, 120)),
        (number("k", 4) + "%r = arith.shrsi %n, %k : i32", Range(-(2**27), 2**27 - 1)),
        (number("k", 4) + "%r = arith.shrui %n, %k : i32", ALL),
    ],
)
def test_ranges(last_value: LastValue, body: str, range_: Range) -> None:
    assert Ranges().of(last_value(body)) == range_


def test_nodes(last_value: LastValue) -> None:
    """Of values to be, and of what is filled in later, as soon as something is learned of it."""
    value = last_value(PID + number("k", 64) + "%r = arith.muli %p, %k : i32")
    nodes, ranges, op = Nodes(value.context), Ranges(), value.owner.operation
    start = nodes.scalar(value, op)
    assert ranges.of_node(start) == Range(-(2**31), 2**31 - 64)
    assert ranges.of_node(nodes.add(start, nodes.const(63), op)).within(ALL)
    assert not ranges.of_node(nodes.add(start, nodes.const(64), op)).within(ALL)
    slot = nodes.slot(nodes.i64)
    after = nodes.add(nodes.mul(slot, nodes.const(2), op), nodes.const(1), op)
    assert ranges.of_node(after) == Range(-(2**63) + 1, 2**63 - 1)
    ranges.learn(slot, Range(0, 100), 8)
    assert ranges.of_node(after) == Range(1, 193)


def test_turns() -> None:
    assert turns(Range(0, 0), Range(0, 100), Range(16, 16)) == 7
    assert turns(Range(0, 0), Range(-5, 0), Range(1, 1)) == 1
    assert turns(Range(0, 0), Range(0, 9), Range(0, 4)) is None


def test_long_chains(last_value: LastValue) -> None:
    """Longer than Python's stack is deep."""
    lines = ["%v0 = arith.addi %n, %n : i32"] + [f"%v{i} = arith.addi %v{i - 1}, %n : i32" for i in range(1, 5000)]
    value = last_value("\n".join(lines))
    assert Ranges().of(value) == ALL
    assert Divisibility().of(value) == 1
