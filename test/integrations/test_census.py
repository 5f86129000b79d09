"""The census of FlagGems' tests, on a checkout of a few tests that stands for FlagGems'."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "third_party" / "flaggems"
TESTS = """
import os, time
import pytest, torch
from . import accuracy_utils as utils

@pytest.mark.good
@pytest.mark.parametrize("n", range(5))
def test_good(n):
    assert n == 4, "the last of the function's parameters is taken"

@pytest.mark.copied
def test_reference_is_another_tensor():
    x = torch.ones(3)
    reference = utils.to_reference(x)
    x += 1
    assert reference.tolist() == [1, 1, 1]

@pytest.mark.filled
@pytest.mark.parametrize("dtype", [torch.float16])
def test_new_memory_is_filled(dtype):
    assert torch.empty(3, dtype=dtype).isnan().all() and torch.empty_like(torch.ones(2, dtype=dtype)).isnan().all()
    assert torch.ones(3).new_empty(2).isnan().all() and torch.empty_strided((2, 2), (1, 2)).isnan().all()
    assert (torch.empty(3, dtype=torch.int32) == 0x5FFFFFFF).all() and torch.empty(0).numel() == 0

@pytest.mark.translated
def test_cuda_is_the_cpu():
    assert torch.ones(1, device="cuda").device.type == "cpu" and torch.ones(1).is_cuda

@pytest.mark.wrong
def test_wrong():
    assert torch.ones(1).item() == 2, "not close"

@pytest.mark.slow
def test_slow():
    while True:
        pass

@pytest.mark.ending
def test_ends_the_process():
    os.abort()

@pytest.mark.several
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.one), pytest.param(2, marks=pytest.mark.two)])
def test_several_operators(n):
    pass

@pytest.mark.unsupported
@pytest.mark.skip(reason="no vLLM")
def test_skipped():
    pass
"""
CONFTEST = """
def pytest_addoption(parser):
    parser.addoption("--ref")
    parser.addoption("--quick", action="store_true")
"""


@pytest.fixture(scope="module")
def census():
    spec = importlib.util.spec_from_file_location("flaggems_census", FOLDER / "census.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks for its module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def report(tmp_path_factory, census):
    folder = tmp_path_factory.mktemp("census")
    tests = folder / "checkout" / "tests"
    tests.mkdir(parents=True)
    (folder / "checkout" / "src").mkdir()
    (folder / "checkout" / "conf").mkdir()
    marks = sorted(set(re.findall(r"mark\.(\w+)", TESTS)) - {"parametrize", "skip"})
    (folder / "checkout" / "conf" / "operators.yaml").write_text("ops:\n" + "".join(f"  - id: {mark}\n" for mark in marks))
    (tests / "__init__.py").write_text("")
    (tests / "conftest.py").write_text(CONFTEST)
    (tests / "accuracy_utils.py").write_text("def to_reference(inp, upcast=False):\n    return inp\n")
    (tests / "test_some.py").write_text(TESTS)
    path = folder / "report.jsonl"
    command = [sys.executable, FOLDER / "census.py", "--flaggems", folder / "checkout", "--vendor", "spacemit"]
    command += ["--limit", "2", "--sample", "1"]
    for _ in range(2):  # the second run has nothing to do
        result = subprocess.run([*command, "--report", path], capture_output=True, text=True, env=os.environ)
        assert result.returncode == 0, result.stderr
    return path


def test_every_test_has_its_result(census, report):
    results = {name.removeprefix("test_some.py::test_"): test for name, test in census.read([report]).items()}
    assert {name: test["outcome"] for name, test in results.items()} == {
        "good[4]": "passed",
        "reference_is_another_tensor": "passed",
        "new_memory_is_filled[dtype0]": "passed",
        "cuda_is_the_cpu": "passed",
        "wrong": "failed",
        "slow": "failed",
        "ends_the_process": "died",
        "several_operators[1]": "passed",
        "several_operators[2]": "passed",
        "skipped": "skipped",
    }
    assert "longer than 2 s of processor time" in results["slow"]["message"]
    assert results["wrong"]["place"].startswith("tests/test_some.py:")
    assert results["several_operators[2]"]["operators"] == ["several", "two"]


def test_nothing_runs_twice(report):
    started = [record["test"] for record in map(json.loads, report.read_text().splitlines()) if "started" in record]
    assert len(started) == len(set(started))


def test_the_table_names_what_did_not_pass(census, report):
    tests = census.read([report])
    lines = census.table(tests, {}, ["good"]).splitlines()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ") and "---" not in line}
    assert rows.keys() == {"operator", "wrong", "slow", "ending"}
    assert "| fail | unknown |" in rows["wrong"]
    control = {name: test | {"outcome": "failed"} for name, test in tests.items()}
    assert f"control: {len(tests)} of {len(tests)} fail" in census.table(tests, control, [])


def test_the_quickest_test_of_each_operator(census):
    tests = {
        "a": {"operators": ["x", "y"], "seconds": 3.0},
        "b": {"operators": ["x"], "seconds": 1.0},
        "c": {"operators": ["z"], "seconds": 9.0},
    }
    assert census._one_each(tests) == {"a", "b", "c"}
    assert census._one_each({name: tests[name] for name in "ab"}) == {"a", "b"}
    assert census._one_each(tests | {"d": {"operators": ["y"], "seconds": 2.0}}) == {"b", "c", "d"}


def test_verdicts_are_judged_in_order(census):
    faults = {"FlagGems", "its test", "no CPU kernel", "Triton 3.9", "size", "CPython", "this backend"}
    for row in census.verdicts():
        assert row["fault"] in faults
        assert len(row["proof"]) > 20
        assert row.keys() <= {"test", "message", "fault", "proof"}
        assert "test" in row or "message" in row
        for key in ("test", "message"):
            re.compile(row.get(key, ""))
    assert census.judge("test_x.py::test_x", "Could not run 'aten::x' with arguments from the 'CPU' backend")[0] == "no CPU kernel"
    assert census.judge("test_x.py::test_x", "something else") == ("unknown", "something else")
