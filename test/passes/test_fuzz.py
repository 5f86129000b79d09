"""Damaged modules: lowered or refused in words, never a crash, a hang or an error of Python's."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(first: int, count: int, folder: Path, seconds: int) -> list[str]:
    """One outcome for each mutant."""
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), str(first), str(count), str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    outcomes = result.stdout.splitlines()
    assert len(outcomes) == count
    return outcomes


def check(outcomes: list[str], folder: Path) -> None:
    defects = [outcome for outcome in outcomes if "DEFECT" in outcome]
    assert not defects, "\n".join([*defects, *(path.read_text() for path in folder.glob("*.mlir"))])
    kinds = [outcome.split()[1] for outcome in outcomes]
    assert min(kinds.count("lowered"), kinds.count("refused")) > len(kinds) / 10


def test_some_hundred(tmp_path):
    check(run(0, 250, tmp_path, 300), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(250))
def test_a_hundred_thousand(tmp_path, part):
    check(run(1000 + part * 400, 400, tmp_path, 1200), tmp_path)


def test_an_error_of_a_pass_is_a_defect(tmp_path):
    """The check itself: a pass that is not careful is found out."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fuzz
def careless(module):
    return {{}}["missing"]
fuzz.opt.registry.lookup = lambda name: careless
print(fuzz.outcome("func.func @f() {{ return }}", ["--structure"]))
print(fuzz.outcome("func.func @f() {{ return }}", []))
print(fuzz.outcome("func.func @f() {{ retur }}", []))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "DEFECT error: KeyError: 'missing'\nlowered\nrefused\n"
