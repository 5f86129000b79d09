"""Triton's cache: processes that compile the same kernel at once, and files that were cut short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import torch
from kernels.softmax import softmax, softmax_kernel
x = torch.randn(8, 100, generator=torch.Generator().manual_seed(0))
assert torch.allclose(softmax(x), torch.softmax(x, -1), atol=1e-6)
"""


def _start(cache: Path) -> subprocess.Popen:
    environment = os.environ | {
        "TRITON_CACHE_DIR": str(cache),
        "TRITON_SPACEMIT_DEVICE": "host",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    return subprocess.Popen([sys.executable, "-c", CODE], env=environment, stderr=subprocess.PIPE, text=True)


def _run(cache: Path, processes: int = 1) -> None:
    for process in [_start(cache) for _ in range(processes)]:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def test_processes_compile_the_same_kernel_at_once(tmp_path):
    _run(tmp_path, processes=3)
    assert [path.name for path in tmp_path.rglob("*.tmp*")] == []


@pytest.mark.parametrize("suffix", [".o", ".json"])
def test_truncated_file_is_compiled_again(tmp_path, suffix):
    _run(tmp_path)
    (path,) = [path for path in tmp_path.rglob(f"softmax_kernel{suffix}")]
    whole = path.read_bytes()
    for length in (0, len(whole) // 2):
        path.write_bytes(whole[:length])
        _run(tmp_path)
        assert len(path.read_bytes()) >= len(whole) - 100
