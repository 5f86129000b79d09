"""Makes the folder `kernels`, which tests, demo and benchmarks share, importable, and names the devices that a test can ask for."""

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ggml", type=Path, help="a working copy of ggml's or llama.cpp's repository, whose kernels are run beside ours")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "qemu: runs RISC-V code under qemu-riscv64")
    config.addinivalue_line("markers", "remote: runs RISC-V code on an emulated board; but for one in so many of them, with -m slow only")
    config.addinivalue_line("markers", "slow: takes minutes; runs with -m slow only, as in `make slow`")


#: Of the tests that run on an emulated board as on QEMU itself, so many stand for the others in `make test`.
ONE_IN = 24


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("remote") and zlib.crc32(item.nodeid.encode()) % ONE_IN:
            item.add_marker(pytest.mark.slow)
    if not config.option.markexpr:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Device, threads and other settings are as before when a test ends, for those behind it and for the processes that they start."""
    from triton_spacemit.backend.knobs import knobs

    with knobs.scope():
        yield
