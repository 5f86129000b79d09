"""The rows of `make bench-ops` name operators that exist, and one is measured."""

import pytest
from perf.operator_rows import ROWS
from perf.operators import main, measure

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.registry import by_name


def test_names_are_of_operators_and_occur_once():
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert [row.name for row in ROWS if {row.operator, *row.enabled} - by_name().keys()] == []


def test_a_row_is_measured():
    with knobs.scope():
        set_device("host")
        times = measure(next(row for row in ROWS if row.operator == "dot"), 1, 0)
    assert times.ours > 0
    assert times.eager > 0


def test_unknown_rows_are_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["operators", "--rows", "nonsense"])
    with pytest.raises(SystemExit):
        main()
    assert "no row has such a name" in capsys.readouterr().err
