"""The devices that run code."""

from collections.abc import Iterator

import pytest
from targets import TARGETS, choose, emulated_board, own_board

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices import Device, get_device
from triton_spacemit.backend.devices.remote import RemoteDevice
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


@pytest.fixture(params=["own", pytest.param("x60", marks=pytest.mark.qemu)])
def remote(request: pytest.FixtureRequest) -> Iterator[RemoteDevice]:
    """This machine as a board, in its sandbox, and an emulated one."""
    knobs.board = own_board("--require-sandbox") if request.param == "own" else emulated_board("x60")
    chip = "host" if request.param == "own" else "x60"
    set_device("remote", chip)
    device = get_device("remote", chip)
    yield device
    device.close()
