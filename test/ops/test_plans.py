"""Calls like one before: they launch without their implementation, and the nearest unlike call does not."""

import ast
import gc
import os
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from triton_spacemit import ops
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import copies, library, plans
from triton_spacemit.ops.elementwise import overloads
from triton_spacemit.ops.launching import Kernel, constant, flag, raised, warn


@triton.jit
def _axpy(x, y, out, a: tl.float64, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) * a.to(tl.float32) + tl.load(y + i, i < n), i < n)


@triton.jit
def _at(x, place, out):
    tl.store(out, tl.load(x + tl.load(place)))


@triton.jit
def _add(out, x, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(out + i, i < n) + tl.load(x + i, i < n), i < n)


@triton.jit
def _negative(x, bad, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    if tl.min(tl.load(x + i, i < n, 0), 0) < 0:
        tl.store(bad, 1)


@triton.jit
def _slow(x, copied, out, turns, BLOCK: tl.constexpr):
    """A copy of `x`, and then for a while something else."""
    i = tl.arange(0, BLOCK)
    value = tl.load(x + i)
    tl.store(copied + i, value)
    for _ in range(turns):
        value = tl.sqrt(value * value + 1)
    tl.store(out + i, value)


_AXPY, _AT, _SLOW = Kernel(_axpy, BLOCK=64), Kernel(_at), Kernel(_slow, BLOCK=64)
_ADD, _NEGATIVE = Kernel(_add, BLOCK=64), Kernel(_negative, BLOCK=128)
_TURNS = 5_000_000


class Counted:
    """An implementation with plans, and how often it has been entered."""

    def __init__(self, implementation: Callable[..., Any]) -> None:
        self.entered, self.left = 0, 0
        self.implementation = implementation
        self.call = plans.planned(self._count, self._leave)

    def _count(self, *args: Any, **kwargs: Any) -> Any:
        self.entered += 1
        return self.implementation(*args, **kwargs)

    def _leave(self, *args: Any, **kwargs: Any) -> str:
        self.left += 1
        return "left"

    def is_planned(self, *args: Any, **kwargs: Any) -> bool:
        """Whether the implementation is not entered by a call that has come three times before."""
        for _ in range(3):
            self.call(*args, **kwargs)
        before = self.entered
        self.call(*args, **kwargs)
        return self.entered == before


def axpy(x: torch.Tensor, y: torch.Tensor, a: float = 2.0) -> torch.Tensor:
    """`x * a + y` of float32."""
    out = torch.empty_like(x)
    _AXPY((-(-x.numel() // 64),), x, y, out, a, x.numel())
    return out


def test_this_process_has_what_plans_take():
    assert plans.missing() == ""


def test_third_like_call_launches_alone(host):
    counted = Counted(axpy)
    for turn in range(5):
        x, y = torch.randn(100), torch.randn(100)
        assert torch.equal(counted.call(x, y), axpy(x, y))
        assert counted.entered == min(turn + 1, 2)
    x, y = torch.randn(100), torch.randn(100)
    results = [counted.call(x, y) for _ in range(2)]
    assert results[0].data_ptr() != results[1].data_ptr()


_X, _Y = torch.arange(100.0).view(10, 10), torch.ones(10, 10)
_LONG = torch.arange(105.0)
UNLIKE = {
    "shape": (_X[:5], _Y[:5]),
    "strides": (_X.t(), _Y),
    "dtype": (_X.double(), _Y.double()),
    "address": (_LONG[1:101].view(10, 10), _Y),
    "the same tensor": (_X, _X),
    "the same memory": (_X, _X.view(10, 10)),
    "overlapping memory": (_LONG[:100].view(10, 10), _LONG[4:104].view(10, 10)),
    "number": (_X, _Y, 2.5),
    "integer": (_X, _Y, 2),
    "one": (_X, _Y, 1),
    "one as a float": (_X, _Y, 1.0),
    "truth value": (_X, _Y, True),
    "none of it": (_X, _Y, False),
    "negative zero": (_X, _Y, -0.0),
    "word": (_X, _Y, "2.0"),
    "none": (_X, _Y, None),
    "list": (_X, _Y, [2.0]),
    "tuple": (_X, _Y, (2.0,)),
    "list of a list": (_X, _Y, [[2.0]]),
    "longer list": (_X, _Y, [2.0, 2.0]),
    "dtype as an argument": (_X, _Y, torch.float32),
    "fewer arguments": (_X, _Y),
}


def test_unlike_arguments_have_other_plans(host):
    entered: list[str] = []

    def implementation(x: torch.Tensor, y: torch.Tensor, a: Any = "none", b: Any = None) -> torch.Tensor:
        entered.append(repr(a))
        return torch.empty_like(x)

    call = plans.planned(implementation, lambda *_: NotImplemented)
    calls = [(_X, _Y, 2.0), (_X, _Y, 0.0), *UNLIKE.values()]
    for arguments in calls:
        entered.clear()
        for _ in range(4):
            result = call(*arguments)
        assert len(entered) == 2, f"{arguments[2:]} has another call's plan, or none"
        assert (result.shape, result.stride(), result.dtype) == (arguments[0].shape, arguments[0].stride(), arguments[0].dtype)
    for named in ({"a": 2.0}, {"b": 2.0}, {"a": 2.0, "b": 2.0}):
        entered.clear()
        for _ in range(4):
            call(_X, _Y, **named)
        assert len(entered) == 2, f"{named} has another call's plan, or none"


def test_neighbours_share_no_memory(host):
    counted = Counted(axpy)
    assert counted.is_planned(torch.randn(100), torch.randn(100))
    both = torch.randn(200)
    before = counted.entered
    torch.testing.assert_close(counted.call(both[:100], both[100:]), both[:100] * 2 + both[100:])
    assert counted.entered == before


@pytest.mark.parametrize("numbers", [(_X, _X), (_X, _X.clone()), (_LONG[:100], _LONG[4:104]), (_LONG[:100], _LONG[5:105])])
def test_results_are_those_of_these_tensors(host, numbers):
    """A plan that was made of `x + x` does not take the second operand for the first one."""
    counted = Counted(axpy)
    for first, second in ((_X, _X), numbers, (_X, _Y), numbers):
        for _ in range(4):
            torch.testing.assert_close(counted.call(first.view(-1), second.view(-1)), first.view(-1) * 2 + second.view(-1))


def test_default_dtype_counts_where_no_tensor_is_a_float(host, monkeypatch):
    counted = Counted(getattr(overloads, "div.Tensor"))
    x = torch.arange(1, 9, dtype=torch.int32)
    assert counted.is_planned(x, x)
    monkeypatch.setattr(torch, "get_default_dtype", torch.get_default_dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert counted.call(x, x).dtype is torch.float64
        assert counted.is_planned(x, x)
        assert counted.call(x, x).dtype is torch.float64
    finally:
        torch.set_default_dtype(before)
    assert counted.call(x, x).dtype is torch.float32


def test_settings_count(host, monkeypatch):
    counted = Counted(axpy)
    x, y = torch.randn(2, 100)
    assert counted.is_planned(x, y)
    for change in (
        lambda: setattr(knobs, "threads", 3),
        lambda: delattr(knobs, "chip"),
        lambda: monkeypatch.setenv("LOCAL_WORLD_SIZE", "2"),
        lambda: monkeypatch.setenv("TRITON_SPACEMIT_THREADS", "2"),
    ):
        change()
        before = counted.entered
        counted.call(x, y)
        assert counted.entered == before + 1
        assert counted.is_planned(x, y)


def test_other_devices_have_no_plans(x60):
    counted = Counted(axpy)
    x, y = torch.randn(2, 100)
    assert not counted.is_planned(x, y)
    assert torch.equal(counted.call(x, y), axpy(x, y))


def test_processors_count_where_threads_were_asked_for(host):
    asks = Counted(lambda x: torch.empty(knobs.num_threads, dtype=x.dtype))
    asks_not = Counted(torch.empty_like)
    x, all_ = torch.zeros(3), os.sched_getaffinity(0)
    if len(all_) < 2:
        pytest.skip("there is one processor")
    assert asks.is_planned(x)
    assert asks_not.is_planned(x)
    os.sched_setaffinity(0, {min(all_)})
    try:
        assert asks.call(x).numel() == 1
        before = asks_not.entered
        asks_not.call(x)
        assert asks_not.entered == before
    finally:
        os.sched_setaffinity(0, all_)
    assert asks.call(x).numel() == len(all_)


_OTHER = torch.randn(100)
_CONSTANT = constant(torch.randn(100))


def _copying_view(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return axpy(x, torch.empty_like(y).view(10, 10).t().reshape(-1))


def _warning(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warn("This is so of all like it.")
    return axpy(x, y)


NONE = {
    "an element is read": lambda x, y: axpy(x, y, float(y[0])),
    "a decision by elements": lambda x, y: axpy(x, y) if y.any() else x,
    "a random number": lambda x, y: axpy(x, torch.rand(100)),
    "a kernel of PyTorch's": lambda x, y: axpy(x, y * 1),
    "a new tensor with values": lambda x, y: axpy(x, torch.ones(100)),
    "a flag, and an argument that is written to": lambda x, y: _checked(x, y, y),
    "a view that copies": _copying_view,
    "another tensor": lambda x, y: axpy(x, _OTHER),
    "a view of an argument as the result": lambda x, y: x[:5],
    "a part of a new tensor as the result": lambda x, y: axpy(x, y)[:5],
    "a result twice": lambda x, y: (axpy(x, y),) * 2,
    "a warning": _warning,
    "no tensor": lambda x, y: 5,
    "left to PyTorch": lambda x, y: NotImplemented,
    "in place by PyTorch": lambda x, y: y.mul_(1),
}


@pytest.mark.parametrize("implementation", NONE.values(), ids=NONE)
def test_what_is_not_in_the_key_has_no_plan(host, implementation):
    assert not Counted(implementation).is_planned(torch.randn(100), torch.randn(100))


def _from_zeros(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    own, out = torch.zeros_like(x), x.new_zeros(100, dtype=torch.float32)
    _ADD((2,), own, x, 100)
    _ADD((2,), out, own, 100)
    _ADD((2,), out, y, 100)
    return out


def _checked(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor | None = None) -> Any:
    """`x + y`, unless an element of `x` is negative."""
    bad, out = flag(), torch.zeros_like(x) if out is None else out
    _NEGATIVE((1,), x, bad, 100)
    if raised(bad):
        return NotImplemented
    _ADD((2,), out, x, 100)
    _ADD((2,), out, y, 100)
    return out


PLANNED = {
    "tensors that begin as zeros": _from_zeros,
    "zeros by threads": lambda x, y: axpy(x, copies.zeros((1 << 16,), torch.float32)[:100]),
    "a flag": _checked,
    "a constant": lambda x, y: axpy(x, _CONSTANT),
    "views of an argument": lambda x, y: axpy(x.view(10, 10)[2], y.view(10, 10)[7]),
    "a temporary tensor": lambda x, y: axpy(axpy(axpy(x, y), x), y),
    "several results": lambda x, y: (axpy(x, y), None, axpy(y, x, 3.0), x.new_empty(0)),
    "an argument as the result": lambda x, y: (_AXPY((2,), x, y, y, 3.0, 100), y)[1],
    "a result across": lambda x, y: axpy(x.view(5, 20), y).t(),
}


@pytest.mark.parametrize("implementation", PLANNED.values(), ids=PLANNED)
def test_what_has_plans(host, implementation):
    counted = Counted(implementation)
    assert counted.is_planned(torch.rand(100), torch.randn(100))
    before = counted.entered
    x, y = torch.rand(2, 100)
    y = y.clone()
    other = y.clone()
    result, expected = counted.call(x, y), implementation(x, other)
    assert counted.entered == before
    assert (result is y) == (expected is other)
    pairs = zip(result, expected, strict=True) if isinstance(expected, tuple) else [(result, expected)]
    for mine, theirs in pairs:
        assert mine is None and theirs is None or mine.stride() == theirs.stride() and torch.equal(mine, theirs)


def test_a_flag_that_is_raised(host):
    counted = Counted(_checked)
    x, y = torch.rand(100), torch.rand(100)
    assert counted.is_planned(x, y)
    before = counted.entered
    assert counted.call(x - 2, y) == "left"
    assert (counted.entered, counted.left) == (before + 1, 1)
    assert torch.equal(counted.call(x, y), x + y)
    assert counted.entered == before + 1


_ROWS, _LAST = torch.randn(4, 200), torch.tensor([0, 3, 1])
CHECKING = {
    "index_select": (lambda at: _ROWS.index_select(0, at), 4),
    "embedding": (lambda at: F.embedding(at, _ROWS), 4),
    "gather": (lambda at: _ROWS.gather(1, at.expand(4, 3)), 200),
    "index": (lambda at: _ROWS[at], 4),
    "scatter_add": (lambda at: _ROWS.scatter_add(1, at.expand(4, 3), _ROWS), 200),
    "nll_loss": (lambda at: F.nll_loss(_ROWS[:3], at), 200),
}


@pytest.mark.parametrize("operator", CHECKING)
def test_wrong_indices_behind_plans(host, operator):
    call, size = CHECKING[operator]
    expected = call(_LAST)
    with ops.enabled(operator):
        for _ in range(4):
            torch.testing.assert_close(call(_LAST), expected)
        for _ in range(2):
            with pytest.raises((IndexError, RuntimeError), match="out of (range|bounds)"):
                call(torch.tensor([0, size, 1]))
            torch.testing.assert_close(call(_LAST), expected)


def test_calls_that_are_left(host):
    counted = Counted(lambda x: NotImplemented)
    assert [counted.call(_X) for _ in range(4)] == ["left"] * 4
    assert counted.left == 4


def test_hooks_are_told_of_launches(host):
    counted = Counted(axpy)
    x, y = torch.randn(2, 100)
    assert counted.is_planned(x, y)
    runtime, told = triton.knobs.runtime, []
    for watch in (
        lambda: runtime.launch_enter_hook.add(told.append),
        lambda: setattr(runtime, "launch_exit_hook", told.append),
        lambda: setattr(runtime, "launch_enter_hook", type(runtime.launch_enter_hook)()) or runtime.launch_enter_hook.add(told.append),
    ):
        with runtime.scope():
            watch()
            told.clear()
            counted.call(x, y)
            assert told
            type(runtime).launch_enter_hook.calls.clear()
        before = counted.entered
        told.clear()
        counted.call(x, y)
        assert (counted.entered, told) == (before, [])


def test_a_launch_that_faults_says_so(host):
    def at(x: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        out = x.new_empty(())
        _AT((1,), x, place, out)
        return out

    counted = Counted(at)
    x = torch.randn(4)
    place = torch.tensor(1)
    assert counted.is_planned(x, place)
    with pytest.raises(DeviceError, match="_at"):
        counted.call(x, torch.tensor(1 << 45))
    assert counted.call(x, torch.tensor(2)) == x[2]


def test_exceptions_are_those_of_the_implementation(host):
    def refuse(x: torch.Tensor) -> None:
        raise KeyError("no")

    call = plans.planned(refuse, lambda *_: NotImplemented)
    for _ in range(3):
        with pytest.raises(KeyError, match="no"):
            call(_X)


def test_nothing_is_kept_alive(host):
    counted = Counted(axpy)
    x, y = torch.randn(2, 100)
    assert counted.is_planned(x, y)
    counted.call(x, y)
    before = sys.getrefcount(x), sys.getrefcount(y), sys.getrefcount(None)
    for _ in range(10000):
        result = counted.call(x, y)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before[:2]
    assert abs(sys.getrefcount(None) - before[2]) < 1000
    gone = weakref.ref(result)
    del result
    assert gone() is None

    def implementation(x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)

    call = plans.planned(implementation, lambda *_: NotImplemented)
    for _ in range(4):
        call(x)
    gone = weakref.ref(implementation)
    del implementation, call
    gc.collect()
    assert gone() is None


def test_many_unlike_calls(host):
    """More than are kept: those that came first are planned anew."""
    counted = Counted(lambda x, a: torch.empty_like(x))
    x = torch.empty(0)
    for number in range(20000):
        counted.call(x, number)
    assert counted.entered == 20000
    assert counted.is_planned(x, 0)


def test_threads_do_not_share_temporary_tensors(host):
    counted = Counted(lambda x, y: axpy(axpy(axpy(x, y), x), y))
    assert counted.is_planned(torch.randn(100), torch.randn(100))
    wrong: list[int] = []

    def work(number: int) -> None:
        x, y = torch.full((100,), float(number)), torch.full((100,), float(-number))
        for _ in range(2000):
            if not (counted.call(x, y) == number * ((2 - 1) * 2 + 1) * 2 - number).all():
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_a_handler_of_a_signal_may_call_the_same(host):
    def late(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        own, out = torch.empty_like(x), torch.empty_like(x)
        _SLOW((1,), x, own, out, _TURNS)
        return axpy(own, y)

    counted = Counted(late)
    x, y = torch.randn(64), torch.randn(64)
    assert counted.is_planned(x, y)
    other, inner = torch.randn(64), []
    expected = [axpy(each, y) for each in (x, other)]
    before = signal.signal(signal.SIGALRM, lambda *_: inner or inner.append(counted.call(other, y)))
    entered = counted.entered
    try:
        while not inner:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            outer = counted.call(x, y)
            assert torch.equal(outer, expected[0])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert torch.equal(inner[0], expected[1])
    assert counted.entered == entered


def test_without_what_plans_take(host, monkeypatch):
    monkeypatch.setattr(plans, "library", lambda: "another PyTorch")
    monkeypatch.setattr(library, "_function", library._function.__wrapped__)  # made without that
    assert plans.missing() == "another PyTorch"
    counted = Counted(axpy)
    assert not counted.is_planned(torch.randn(100), torch.randn(100))
    x, y = torch.randn(4), torch.randn(4)
    with ops.enabled("add"):
        assert torch.equal(x + y, torch.tensor([float(a) + float(b) for a, b in zip(x, y, strict=True)]))


# Through PyTorch


def test_plans_are_kept_while_an_operator_is_disabled(host, monkeypatch):
    x, recorded, plan = torch.randn(37, 3), [], plans._plan
    monkeypatch.setattr(plans, "_plan", lambda *args: recorded.append(1) or plan(*args))
    for _ in range(5):
        with ops.enabled("abs"):
            assert torch.equal(x.abs(), x.abs())
    assert len(recorded) == 1


def test_results_given_that_overlap(host):
    memory = torch.arange(8.0)
    expected = torch.arange(8.0)[:6] * 2
    with ops.enabled("mul"):
        for _ in range(4):
            assert torch.equal(torch.mul(memory[:6], 2.0, out=torch.empty(6)), expected)
        before = ops.left_to_pytorch().get("mul.out", 0)
        with pytest.raises(RuntimeError, match="memory"):
            torch.mul(memory[:6], 2.0, out=memory[1:7])
        assert ops.left_to_pytorch()["mul.out"] == before + 1
        for _ in range(4):
            x = torch.arange(8.0)
            assert torch.equal(torch.mul(x, 2.0, out=x), torch.arange(8.0) * 2)


@pytest.mark.parametrize("kind", ["negated", "of a lazy clone", "a parameter", "a subclass"])
def test_tensors_that_are_not_what_they_seem(host, kind):
    class Subclass(torch.Tensor):
        pass

    makes: dict[str, Callable[[torch.Tensor], Any]] = {
        "negated": lambda x: torch.complex(x, -x).conj().imag,
        "of a lazy clone": lambda x: x._lazy_clone(),
        "a parameter": lambda x: torch.nn.Parameter(x),
        "a subclass": lambda x: x.as_subclass(Subclass),
    }
    plain = [torch.randn(64) for _ in range(5)]
    with ops.enabled("add", "mul"):
        for x in plain:
            made, before = makes[kind](x), x.clone()
            assert torch.equal((made + 1.0).detach().as_subclass(torch.Tensor), torch.tensor([float(one) + 1 for one in before]))
            made.detach().mul_(0.0)
            if kind == "of a lazy clone":
                assert torch.equal(x, before)
                assert not made.any()


WARNING = {
    "var": lambda x: x.var(1),
    "std": lambda x: x.std(1),
    "var_mean": lambda x: torch.var_mean(x, 1),
    "std_mean": lambda x: torch.std_mean(x, 1, correction=3),
    "out": lambda x: torch.var(x, 1, out=torch.empty(3)),
    "without results": lambda x: x.new_empty(0, 5).var(1),
}


@pytest.mark.parametrize("call", WARNING.values(), ids=WARNING)
def test_every_call_warns_that_does_in_pytorch(host, call):
    def given() -> list[tuple[str, str, int]]:
        with warnings.catch_warnings(record=True) as all_:
            warnings.simplefilter("always")
            for _ in range(4):
                call(torch.ones(3, 1))
        return [(str(each.message).partition(" (Triggered")[0], each.filename, each.lineno) for each in all_]

    expected = given()
    assert len(expected) == 4
    with ops.enabled("var", "std", "var_mean", "std_mean"):
        assert given() == expected


def test_gradients_with_plans(host):
    with ops.enabled("mul", "add"):
        for _ in range(5):
            x = torch.randn(8, requires_grad=True)
            y = (x * x + x).sum()
            y.backward()
            torch.testing.assert_close(x.grad, 2 * x.detach() + 1)


def test_new_tensors_have_a_dtype_that_is_named():
    """Keys have the default dtype only where no tensor is a float. What reads memory behind PyTorch's back, or warns, no recording sees."""
    makers = {"empty", "zeros", "ones", "full", "tensor", "empty_strided", "arange", "scalar_tensor"}
    reads = {"tolist", "numpy", "storage"}
    folder = Path(ops.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if {"quantised", "integrations", "tuning"} & set(path.relative_to(folder).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            where = f"{path.relative_to(folder)}:{node.lineno}"
            assert node.func.attr not in reads, where
            assert ast.unparse(node.func) != "warnings.warn" or path.name == "launching.py", where
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "torch" and node.func.attr in makers:
                named = {keyword.arg for keyword in node.keywords}
                assert "dtype" in named or node.func.attr == "empty_strided" and "device" in named, where
