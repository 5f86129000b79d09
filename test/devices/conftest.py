"""The devices that run code."""

from collections.abc import Iterator

import pytest
from targets import TARGETS, choose

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices import Device, get_device
from triton_spacemit.backend.knobs import knobs


@pytest.fixture(params=TARGETS)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Every device that runs code."""
    with knobs.scope():
        choose(*request.param)
        yield get_device(request.param[0], request.param[1] or "host")


@pytest.fixture
def qemu() -> Iterator[Device]:
    with knobs.scope():
        set_device("qemu", "x60")
        yield get_device("qemu", "x60")


@pytest.fixture
def host() -> Iterator[Device]:
    with knobs.scope():
        set_device("host")
        yield get_device("host", "host")
