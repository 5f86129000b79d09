"""The program of examples/: tensor-parallel, data-parallel, FSDP and ZeRO on several processes are as one process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/distributed.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache, so that processes that start at once compile at once."""
    return tmp_path_factory.mktemp("kernels")


def _run(program: Path, processes: int, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), str(program), *options]
    environment = os.environ | {"TRITON_CACHE_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_as_one_process(processes, folder):
    run = _run(EXAMPLE, processes, folder, "--steps", "2")
    assert run.returncode == 0, run.stdout + run.stderr
    lines = re.findall(rf"(\w+), {processes} processes: losses .*, (\d+) kernels here", run.stdout)
    assert [name for name, _ in lines] == ["tensor", "data", "fsdp", "zero"]
    assert all(int(kernels) > 100 for _, kernels in lines)


def test_another_result_is_told(folder, tmp_path):
    """Of a batch of 7, the mean over two parts is not the mean of the parts' means."""
    program = tmp_path / "wrong.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(EXAMPLE.parent)!r}); import distributed; distributed.BATCH = 7; sys.exit(distributed.main())"
    )
    run = _run(program, 2, folder, "--ways", "data", "--steps", "1")
    assert run.returncode != 0
    assert "data, 2 processes" in run.stdout, run.stderr
