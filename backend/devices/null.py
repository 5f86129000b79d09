"""The device that runs nothing: kernels compile and load, a launch only checks its arguments."""

from collections.abc import Sequence
from typing import Any

from triton_spacemit.backend.devices import Clock, Signature
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import CHIPS, Chip


class NullDevice:
    name = "null"
    chips = (*CHIPS, "host")
    clock = Clock.NONE

    def __init__(self, chip: Chip) -> None:
        self.chip = chip

    def load(self, artifact: Artifact) -> str:
        return artifact.name

    def unload(self, kernel: str) -> None:
        pass

    def launch(self, kernel: str, grid: tuple[int, int, int], slots: bytes, pointers: Sequence[Any], signature: Signature) -> None:
        pass
