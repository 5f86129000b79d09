"""The benchmarks' own parts, and the command `triton-spacemit bench`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from perf import mca
from perf.report import cells, table
from perf.result import Line, Result, Row, cheapest
from targets import own_board

from triton_spacemit.backend.tools.bench import load_function

_PROGRAM = """
import torch, triton, triton.language as tl

@triton.jit
def scale(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, i < n) * 2, i < n)

x = torch.ones(1000)
out = torch.empty_like(x)

def ours():
    scale[(4,)](x, out, 1000, BLOCK=256)

def twenty():
    for _ in range(20):
        ours()

def torchs():
    return x * 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "benched.py").write_text(_PROGRAM)
    return tmp_path


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triton_spacemit.backend.tools.cli", "bench", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_times_on_the_host(folder: Path) -> None:
    run = bench(folder, "benched.py:ours", "--against", "benched.py:twenty", "--threads", "1", "--seconds", "0.05", "--json")
    result = json.loads(run.stdout)
    assert result["device"] == result["chip"] == "host"
    assert 0 < result["ours_ms"]["minimum"] <= result["ours_ms"]["median"]
    assert 5 < result["times_as_fast"] < 80  # against what does the same twenty times


@pytest.mark.qemu
def test_instructions_under_qemu(folder: Path) -> None:
    result = json.loads(bench(folder, "benched.py:ours", "--device", "qemu", "--per", "1000", "--json").stdout)
    # A load, a product and a store, 8 elements a register.
    vectors = {m: w for m, w in result["weighted_by_mnemonic"].items() if m.startswith("v") and not m.startswith("vset")}
    assert sum(vectors.values()) == pytest.approx(3 / 8, rel=0.1)
    assert result["instructions"] < result["weighted"] < 1


@pytest.mark.qemu
def test_another_function_under_qemu(folder: Path) -> None:
    result = json.loads(bench(folder, "benched.py:ours", "--against", "benched.py:twenty", "--device", "qemu", "--json").stdout)
    assert result["against"]["instructions"] == 20 * result["instructions"]
    assert result["times_as_fast"] == result["against"]["estimated_cycles"] / result["estimated_cycles"]


def test_times_on_a_board(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_SPACEMIT_BOARD", own_board())
    arguments = ["--against", "benched.py:twenty", "--device", "remote", "--chip", "host", "--seconds", "0.05", "--json"]
    result = json.loads(bench(folder, "benched.py:ours", *arguments).stdout)
    assert result["device"] == "remote"
    assert 0 < result["ours_ms"]["minimum"] <= result["ours_ms"]["median"]
    assert result["times_as_fast"] > 5  # what does the same twenty times; each of its launches may wait for other processes


@pytest.mark.parametrize(("device", "what"), [("qemu", "cost on an emulated chip"), ("remote", "time on a board")])
@pytest.mark.qemu
def test_what_launches_nothing_has_no_cost(folder: Path, monkeypatch: pytest.MonkeyPatch, device: str, what: str) -> None:
    monkeypatch.setenv("TRITON_SPACEMIT_BOARD", own_board())
    chip = {"qemu": "x60", "remote": "host"}[device]
    run = bench(folder, "benched.py:ours", "--against", "benched.py:torchs", "--device", device, "--chip", chip)
    assert run.returncode == 1
    assert f"launches no kernel, and nothing else has a {what}" in run.stderr


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("benched.py:scale", "'scale' is a kernel; name a function"),
        ("benched.py:absent", "has no function 'absent'"),
        ("absent.py:ours", "must be FILE:FUNCTION"),
    ],
)
def test_mistakes_are_named(folder: Path, place: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_function(str(folder / place))


def test_the_command_refuses(folder: Path) -> None:
    run = bench(folder, "absent.py:ours")
    assert run.returncode == 2
    assert "'absent.py:ours' must be FILE:FUNCTION" in run.stderr


def test_the_inner_loop_is_the_one_that_multiplies_most() -> None:
    text = """
	vsetvli	zero, a0, e32, m4, ta, ma
.LBB0_1:
	vfmul.vf	v8, v8, fa0
	bnez	a0, .LBB0_1
.LBB0_2:
	vle32.v	v4, (a0)
	vfmacc.vf	v8, fa0, v4
	vsetvli	zero, a0, e32, m2, ta, ma
	vfmacc.vf	v12, fa1, v4
	bnez	a1, .LBB0_2
	vfmacc.vf	v12, fa1, v4
	ret
"""
    loop = mca.inner_loop(text)
    assert loop[0] == "# LLVM-MCA-RISCV-LMUL M4"
    assert [line.split()[0] for line in mca.multiplications(loop) if not line.startswith("#")] == ["vfmacc.vf", "vfmacc.vf"]
    assert loop.index("# LLVM-MCA-RISCV-LMUL M2") < len(loop) - 2


def test_lines_are_judged() -> None:
    def line(value: float, anchor: float | None = 2.0, error: float = 0.5, **row: float) -> Line:
        return Line(Row("row", "ms", lambda _: Result(value), "anchor", **row), Result(value, anchor, error))  # type: ignore[arg-type]

    assert line(1.0, speed=2.0).met
    assert not line(1.1, speed=2.0).met
    assert line(1.0, reach=1.0).met
    assert not line(1.0, error=1.1, reach=1.0).met
    assert line(1.0, None, speed=1.0).met is None
    assert line(1.0, None, speed=1.0, given=1.5).speed == 1.5
    assert cells(line(1.0, error=2.0, reach=1.0))[7] == "wrong"
    failed = Line(Row("row", "ms", lambda _: Result(0.0)), failure="broken")
    assert not failed.right
    assert "broken" in table([failed])


def test_a_config_that_fails_is_passed_over() -> None:
    def cost(config: int) -> float:
        if config == 1:
            raise ValueError("too large")
        return float(config)

    assert cheapest([1, 3, 2], cost) == 2
    with pytest.raises(ValueError, match="too large"):
        cheapest([1], cost)
