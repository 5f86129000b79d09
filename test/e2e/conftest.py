"""The devices that every kernel runs on."""

from collections.abc import Iterator

import pytest
from targets import EMULATED, TARGETS, cache, cache_folder, choose

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs

__all__ = ["cache", "cache_folder", "emulated", "host", "target"]


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, cache: None) -> Iterator[str]:
    """Selects a device and its chip; the value is the device's name."""
    device, chip = request.param
    with knobs.scope():
        choose(device, chip)
        yield device


@pytest.fixture
def host(cache: None) -> Iterator[None]:
    with knobs.scope():
        set_device("host")
        yield


@pytest.fixture(params=EMULATED)
def emulated(request: pytest.FixtureRequest, cache: None) -> Iterator[None]:
    with knobs.scope():
        choose(*request.param)
        yield
