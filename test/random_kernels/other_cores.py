"""RISC-V cores that the table of chips does not have, as the host device finds them on other people's boards; QEMU emulates them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from triton_spacemit.backend.devices.qemu import QemuDevice
from triton_spacemit.dialect.chips import CHIPS
from triton_spacemit.dialect.riscv_cores import Core, chip_of

_LEAST = frozenset("imafdcv")
#: Registers shorter than any of SpacemiT's cores has, and no float16; a length between theirs, and all that Linux tells of.
CORES = {
    "rvv128": Core(_LEAST, None, 128),
    "rvv512": Core(_LEAST | {"zba", "zbb", "zbs", "zfh", "zfa", "zicond", "zvfh", "zvbb", "zvfbfmin", "zvfbfwma"}, None, 512),
}


@contextmanager
def registered(name: str) -> Iterator[None]:
    """Have one of them in the table of chips, and emulated. Others are left as they are."""
    if name not in CORES:
        yield
        return
    CHIPS[name] = replace(chip_of(CORES[name]), name=name)
    QemuDevice.chips = tuple(CHIPS)
    try:
        yield
    finally:
        del CHIPS[name]
        QemuDevice.chips = tuple(CHIPS)
