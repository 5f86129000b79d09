"""The models of `make bench-compile` and its own parts."""

import math

import pytest
import torch
from perf.inductor import Result, calls_of, double, error_share, geometric_mean, main, summary, table
from perf.inductor_models import MODELS


def test_names_occur_once():
    assert len({model.name for model in MODELS}) == len(MODELS) >= 20


@pytest.mark.parametrize("name", ["LSTM cell, training", "layer norm, training", "rms norm and rotary"])
def test_a_call_gives_results_and_gradients(name):
    model = next(model for model in MODELS if model.name == name)
    function, inputs = model.make()
    wanted = sum(x.requires_grad for x in inputs)
    wanted += len(list(function.parameters())) if isinstance(function, torch.nn.Module) else 0
    found = calls_of(model, function, function, inputs)()
    assert len(found) == (1 + wanted if model.trains else 2 if isinstance(function(*inputs), tuple) else 1)
    exact_function = double(function)
    exact = calls_of(model, exact_function, exact_function, tuple(map(double, inputs)))
    assert all(value.dtype == torch.float64 for value in exact())


def test_errors_are_shares_of_what_is_allowed():
    exact = [torch.linspace(1, 2, 100).double()]
    eager = [exact[0].float()]
    assert error_share(eager, eager, exact) < 1
    assert error_share([eager[0] * (1 + 1e-4)], eager, exact) > 1
    assert error_share([torch.zeros(1)], [torch.zeros(1)], [torch.zeros(1).double()]) == 0
    assert error_share([torch.ones(1) * 1e-30], [torch.zeros(1)], [torch.zeros(1).double()]) == math.inf


def test_the_table_and_its_summary():
    results = [Result("fast", 1, 2, 3, 1, 4, 0.5), Result("slow", 2, 1, 3, 1, 4, 0.5), Result("broken", failure="RuntimeError: no")]
    assert "| fast | 1.000 | 2.000 | 3.000 | 2.00 |" in table(results)
    assert "RuntimeError: no" in table(results)
    assert geometric_mean(one.speed for one in results[:2]) == pytest.approx(1)
    assert "2 of 3 models" in summary(results)
    assert "slow (0.50)" in summary(results)


def test_unknown_rows_are_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["inductor", "--rows", "nonsense"])
    with pytest.raises(SystemExit):
        main()
    assert "no model has such a name" in capsys.readouterr().err
