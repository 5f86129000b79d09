"""The devices that kernels run on in tests: this machine, and an emulated X60 (VLEN 256) and A100 (VLEN 1024)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from triton import knobs as triton_knobs

TARGETS = [
    pytest.param(("host", None), id="host"),
    pytest.param(("qemu", "x60"), id="x60", marks=pytest.mark.qemu),
    pytest.param(("qemu", "a100"), id="a100", marks=pytest.mark.qemu),
]
EMULATED = TARGETS[1:]


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the run: tests never read what an earlier run compiled."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(cache_folder: Path) -> Iterator[None]:
    with triton_knobs.cache.scope():
        triton_knobs.cache.dir = str(cache_folder)
        yield
