"""The devices that operators run on, and what a test may have left enabled."""

from collections.abc import Iterator

import pytest
from targets import cache, cache_folder
from triton import knobs as triton_knobs

from triton_spacemit import ops
from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs

__all__ = ["cache", "cache_folder", "host", "launches", "undone", "x60"]


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    yield
    ops.disable()


@pytest.fixture
def launches() -> Iterator[list[str]]:
    """The names of the kernels launched during a test."""
    names: list[str] = []

    def note(metadata: object) -> None:
        names.append(metadata.get()["name"])  # type: ignore[attr-defined]

    triton_knobs.runtime.launch_enter_hook.add(note)
    yield names
    triton_knobs.runtime.launch_enter_hook.remove(note)


@pytest.fixture
def host(cache: None) -> Iterator[None]:
    with knobs.scope():
        set_device("host")
        yield


@pytest.fixture
def x60(cache: None) -> Iterator[None]:
    with knobs.scope():
        set_device("qemu", "x60")
        yield
