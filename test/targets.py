"""The devices that kernels run on in tests: this machine, and an emulated X60 (VLEN 256) and A100 (VLEN 1024)."""

from collections.abc import Iterator

import pytest
from triton import knobs as triton_knobs

TARGETS = [
    pytest.param(("host", None), id="host"),
    pytest.param(("qemu", "x60"), id="x60", marks=pytest.mark.qemu),
    pytest.param(("qemu", "a100"), id="a100", marks=pytest.mark.qemu),
]
EMULATED = TARGETS[1:]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the run: tests never read what an earlier run compiled."""
    with triton_knobs.cache.scope():
        triton_knobs.cache.dir = str(tmp_path_factory.mktemp("cache"))
        yield
