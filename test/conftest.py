"""Makes the folder `kernels`, which tests, demo and benchmarks share, importable, and names the devices that a test can ask for."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "qemu: runs RISC-V code under qemu-riscv64")
