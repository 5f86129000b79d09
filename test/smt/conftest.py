"""The devices that smt kernels run on: this machine, and an emulated X60 (VLEN 256) and A100 (VLEN 1024)."""

from collections.abc import Iterator

import pytest
from triton import knobs as triton_knobs

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs

TARGETS = [
    pytest.param(("host", None), id="host"),
    pytest.param(("qemu", "x60"), id="x60", marks=pytest.mark.qemu),
    pytest.param(("qemu", "a100"), id="a100", marks=pytest.mark.qemu),
]


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with triton_knobs.cache.scope():
        triton_knobs.cache.dir = str(tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, _cache: None) -> Iterator[str]:
    """Selects a device and its chip; the value is the device's name. At least four threads, more than many machines' cores."""
    with knobs.scope():
        knobs.threads = 4
        set_device(*request.param)
        yield request.param[0]
