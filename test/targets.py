"""The devices that kernels run on in tests: this machine, an emulated X60 (VLEN 256) and A100 (VLEN 1024), and both as boards at a link."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from triton import knobs as triton_knobs

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.find_qemu import find_qemu
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.native import agent_program
from triton_spacemit.dialect.chips import get_chip

TARGETS = [
    pytest.param(("host", None), id="host"),
    pytest.param(("qemu", "x60"), id="x60", marks=pytest.mark.qemu),
    pytest.param(("qemu", "a100"), id="a100", marks=pytest.mark.qemu),
    pytest.param(("remote", "x60"), id="remote-x60", marks=[pytest.mark.qemu, pytest.mark.remote]),
    pytest.param(("remote", "a100"), id="remote-a100", marks=[pytest.mark.qemu, pytest.mark.remote]),
]
EMULATED = TARGETS[1:]
SV39 = 1 << 38  # bytes that a process of a board may address


def emulated_board(chip: str, *options: str) -> str:
    """The name of a board whose only core is an emulated one of the chip; options are the agent's."""
    arguments = f"-R {SV39:#x} -cpu max,vlen={get_chip(chip).vlen} {agent_program('riscv64')} --stdio"
    return " ".join(("exec:" + str(find_qemu()), arguments, *options))


def own_board(*options: str) -> str:
    """The name of a board that is this machine itself; options are the agent's."""
    return " ".join((f"exec:{agent_program('x86_64')} --stdio", *options))


def choose(device: str, chip: str | None) -> None:
    """Select a device and its chip; a board for `remote`."""
    if device == "remote":
        knobs.board = emulated_board(chip or "x60")
    set_device(device, chip)


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the run: tests never read what an earlier run compiled."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(cache_folder: Path) -> Iterator[None]:
    with triton_knobs.cache.scope():
        triton_knobs.cache.dir = str(cache_folder)
        yield
