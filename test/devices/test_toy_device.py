"""A device is a class and a row of the table: one here with memory of its own, as a board has."""

import ctypes
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import devices, set_device
from triton_spacemit.backend.devices import Clock, Signature
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.devices.host import HostDevice
from triton_spacemit.backend.devices.mirror import Mirror
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import active_target, knobs
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import Chip


class ToyMemory:
    """Other addresses for ranges of this process's memory."""

    def __init__(self) -> None:
        self.blocks: dict[tuple[int, int], Any] = {}

    def there(self, address: int) -> int:
        for (start, end), block in self.blocks.items():
            if start <= address < end:
                return ctypes.addressof(block) + address - start
        return 0

    def copy_in(self, start: int, end: int) -> int:
        self.blocks[start, end] = ctypes.create_string_buffer(end - start)
        ctypes.memmove(self.there(start), start, end - start)
        return end

    def copy_out(self, start: int, end: int) -> None:
        ctypes.memmove(start, self.there(start), end - start)

    def read(self, start: int, end: int) -> bytes:
        return ctypes.string_at(self.there(start), end - start)


class ToyDevice:
    name = "toy"
    chips = ("host",)
    clock = Clock.NONE
    launches: list[list[tuple[int, int]]] = []

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.host = HostDevice(chip)

    def load(self, artifact: Artifact) -> Any:
        return self.host.load(artifact)

    def unload(self, kernel: Any) -> None:
        self.host.unload(kernel)

    def launch(self, kernel: Any, grid: tuple[int, int, int], slots: bytes, pointers: Sequence[Any], signature: Signature) -> None:
        memory = ToyMemory()
        mirror = Mirror(memory, pointers, signature)
        self.launches.append(mirror.spans)
        mirror.copy_in()
        words = list(struct.unpack(f"<{len(slots) // 8}Q", slots))
        for number in signature.pointers:
            words[number] = memory.there(words[number])
        self.host.launch(kernel, grid, struct.pack(f"<{len(words)}Q", *words), pointers, signature)
        mirror.copy_out()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[tuple[int, int]]]]:
    """Selects the device; the value is what its launches copied."""
    monkeypatch.setitem(devices.DEVICES, "toy", f"{__name__}:ToyDevice")
    ToyDevice.launches.clear()
    with knobs.scope():
        set_device("toy")
        yield ToyDevice.launches


@triton.jit
def add_kernel(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)


def test_kernels_run_on_it(toy: list[list[tuple[int, int]]]) -> None:
    x, y, out = torch.randn(3, 1000).unbind()  # views of one storage
    other = torch.randn(1000)
    add_kernel[(8,)](x, y, out, 1000, BLOCK=128)
    assert torch.equal(out, x + y)
    add_kernel[(8,)](x, other, other, 1000, BLOCK=128)
    storage = x.untyped_storage()
    assert toy[0] == [(storage.data_ptr(), storage.data_ptr() + 12000)]
    assert len(toy[1]) == 2


def test_it_is_asked_for_what_depends_on_the_device(toy: list[list[tuple[int, int]]]) -> None:
    assert active_target() == ("toy", "host")
    driver = triton.runtime.driver.active
    assert driver.get_benchmarker() is triton.testing.do_bench
    with pytest.raises(DeviceError, match="the active one is 'toy'"):
        count(lambda: None)
    with pytest.raises(ValueError, match="device 'toy' cannot run code for chip 'x60'"):
        set_device("toy", "x60")


def test_without_its_row_there_is_none() -> None:
    with pytest.raises(ValueError, match="unknown device 'toy'; known: host, qemu, remote, null"):
        set_device("toy")
