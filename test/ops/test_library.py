"""Registration with PyTorch: what runs here, what PyTorch answers, and that everything is undone."""

import subprocess
import sys
import threading

import pytest
import torch

from triton_spacemit import ops
from triton_spacemit.ops.library import implementation_of
from triton_spacemit.ops.registry import OPERATORS


def test_what_is_enabled_runs_here_and_no_longer_when_disabled(launches):
    a, b = torch.randn(2, 1000)
    expected = torch.dot(a, b)
    assert launches == []
    ops.enable("dot")
    torch.testing.assert_close(torch.dot(a, b), expected)
    assert launches == ["_dot"]
    ops.disable("dot")
    assert torch.equal(torch.dot(a, b), expected)
    assert launches == ["_dot"]


def test_nested_with_blocks_put_back_what_was_there():
    with ops.enabled("dot"):
        with ops.enabled("dot"):
            assert "dot" in ops.active()
        assert "dot" in ops.active()
    assert ops.active() == ()


def test_an_unknown_name_changes_nothing():
    with pytest.raises(ValueError, match="no such operator: 'nonsense'; there are .*dot"):
        ops.enable("dot", "nonsense")
    assert ops.active() == ()


def test_other_dtypes_are_pytorchs_and_counted():
    a = torch.randn(10, dtype=torch.complex64)
    expected, before = torch.dot(a, a), ops.left_to_pytorch().get("dot", 0)
    with ops.enabled("dot"):
        assert torch.equal(torch.dot(a, a), expected)
    assert ops.left_to_pytorch()["dot"] == before + 1


def test_numbers_alone():
    with ops.enabled("mul", "div", "add"):
        assert [torch.mul(6, 4).item(), torch.div(6, 4).item(), torch.add(6, 4).item()] == [24, 1.5, 10]


def test_mistakes_raise_what_pytorch_raises():
    with pytest.raises(RuntimeError) as eager:
        torch.dot(torch.randn(3), torch.randn(4))
    with ops.enabled("dot"), pytest.raises(RuntimeError) as ours:
        torch.dot(torch.randn(3), torch.randn(4))
    assert str(ours.value) == str(eager.value)


def test_gradients_go_through(launches):
    a, b = torch.randn(2, 1000)
    a.requires_grad_()
    with ops.enabled("dot"):
        torch.dot(a, b).backward()
    assert torch.equal(a.grad, b)
    assert "_dot" in launches


def test_compiled_functions_and_fake_tensors():
    def double(a, b):
        return torch.dot(a, b) * 2

    a, b = torch.randn(2, 1000)
    expected = double(a, b)
    with ops.enabled():
        torch.testing.assert_close(torch.compile(double, fullgraph=True)(a, b), expected)
        with torch._subclasses.FakeTensorMode() as mode:
            fake = torch.dot(mode.from_tensor(a), mode.from_tensor(b))
        assert (fake.shape, fake.dtype) == ((), torch.float32)


def test_threads_enable_and_disable():
    mistakes = []

    def work():
        try:
            for _ in range(20):
                ops.enable("dot")
                ops.disable("dot")
        except Exception as error:
            mistakes.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mistakes == []
    assert ops.active() == ()


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_rows_name_overloads_and_functions_that_exist(operator):
    for overload, place in operator.overloads.items():
        name, _, variant = overload.partition(".")
        assert variant or "default" in getattr(torch.ops.aten, name).overloads()
        assert variant in ("", *getattr(torch.ops.aten, name).overloads())
        assert callable(implementation_of(place))
    assert all(isinstance(getattr(torch, dtype), torch.dtype) for dtype in operator.dtypes)


def test_names_and_overloads_occur_once():
    overloads = [overload for operator in OPERATORS for overload in operator.overloads]
    assert len(overloads) == len(set(overloads))
    assert len({operator.name for operator in OPERATORS}) == len(OPERATORS)


def test_enabling_all_prints_nothing():
    program = "from triton_spacemit import ops; ops.enable(); import torch; torch.dot(torch.ones(3), torch.ones(3))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
