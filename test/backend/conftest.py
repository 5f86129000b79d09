"""Fixtures for the plugin's tests."""

from collections.abc import Iterator

import pytest
from triton import knobs as triton_knobs

from triton_spacemit.backend.knobs import knobs


@pytest.fixture(autouse=True)
def _settings(tmp_path) -> Iterator[None]:
    """A cache of the test's own; settings as they were afterwards."""
    with knobs.scope(), triton_knobs.compilation.scope(), triton_knobs.cache.scope():
        triton_knobs.cache.dir = str(tmp_path / "cache")
        yield
