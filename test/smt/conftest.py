"""The devices that smt kernels run on."""

from collections.abc import Iterator

import pytest
from targets import TARGETS, cache, cache_folder, choose

from triton_spacemit.backend.knobs import knobs

__all__ = ["cache", "cache_folder", "target"]


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, cache: None) -> Iterator[str]:
    """Selects a device and its chip; the value is the device's name. At least four threads, more than many machines' cores."""
    with knobs.scope():
        knobs.threads = 4
        choose(*request.param)
        yield request.param[0]
