"""What is checked in this process runs on the host. Workers choose their own device."""

from collections.abc import Iterator

import pytest
from targets import cache, cache_folder

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs

__all__ = ["cache", "cache_folder"]


@pytest.fixture(autouse=True)
def host(cache: None) -> Iterator[None]:
    with knobs.scope():
        set_device("host")
        yield
