"""The loader: what it refuses, and that it refuses it cleanly."""

import io
import random
import struct

import pytest
from elftools.elf.elffile import ELFFile
from kernels.handwritten import INCREMENT, compiled, kernel_ir

from triton_spacemit.backend.devices import Device
from triton_spacemit.backend.elf import ObjectError
from triton_spacemit.backend.loader import KernelObject, host_machine
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import get_chip
from triton_spacemit.passes.codegen import compile_object

CHIPS = ("host", "x60")
EVERYTHING = {name: 1 << 36 for name in ("memset", "fmod")}
BODY = """
  call void @llvm.memset.p0.i64(ptr %p0, i8 7, i64 %n, i1 false)
  %old = atomicrmw add ptr @counter, i32 1 seq_cst
  %x = load volatile double, ptr @constant
  %y = frem double %x, 0.75
  store double %y, ptr %p1
  ret void
"""
EXTRA = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
@counter = private global i32 0
@constant = private constant double 5.0
"""


def make(chip: str) -> bytes:
    return compile_object(kernel_ir("  %n = load i64, ptr %p0\n" + BODY, EXTRA), get_chip(chip))


def link(binary: bytes) -> bytes:
    return bytes(KernelObject(binary, "k").link(1 << 36, EVERYTHING))


@pytest.mark.parametrize("chip", CHIPS)
def test_parts_of_the_image_lie_on_pages_of_their_own(chip: str) -> None:
    object_ = KernelObject(make(chip), "k")
    assert 0 < object_.code_end < object_.readonly_end < object_.size
    assert not (object_.code_end | object_.readonly_end | object_.size) % 4096
    assert 0 <= object_.entry < object_.code_end
    assert sorted(object_.externals) == ["fmod", "memset"]


@pytest.mark.parametrize("chip", CHIPS)
def test_a_truncated_object_is_refused(chip: str) -> None:
    binary = make(chip)
    for size in range(0, len(binary), 37):
        with pytest.raises(ObjectError, match="kernel 'k'"):
            link(binary[:size])


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("count", [1000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_damaged_object_is_refused_or_linked_but_nothing_else(chip: str, count: int) -> None:
    binary, refused, random_ = make(chip), 0, random.Random(count)
    for _ in range(count):
        damaged = bytearray(binary)
        for _ in range(random_.randint(1, 8)):
            damaged[random_.randrange(len(damaged))] = random_.choice((0, 1, 0x7F, 0xFF, random_.randrange(256)))
        try:
            link(bytes(damaged))
        except ObjectError:
            refused += 1
    assert refused > 100


def test_an_object_for_another_machine_is_refused(device: Device) -> None:
    other = "x60" if device.name == "host" else "host"
    with pytest.raises(ObjectError, match=r"the object of kernel 'k' is for \w+; the (\w+ device|board) runs \w+"):
        device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, get_chip(other))))
    assert host_machine() == "x86_64"


def test_an_executable_is_refused() -> None:
    binary = bytearray(make("x60"))
    struct.pack_into("<H", binary, 16, 2)
    with pytest.raises(ObjectError, match="ELF type 2"):
        link(bytes(binary))


def test_a_missing_kernel_is_named() -> None:
    with pytest.raises(ObjectError, match="'other' does not define the kernel"):
        KernelObject(make("x60"), "other")


def test_an_unknown_function_is_named(device: Device) -> None:
    # The host links when it loads, the guest when it first launches.
    from kernels.handwritten import launch

    with pytest.raises(ObjectError, match="calls strange, which the runtime does not have"):
        launch(device, compiled(device, "  call void @strange()\n  ret void\n", "declare void @strange()"))


def test_what_a_jump_cannot_reach_is_refused() -> None:
    object_ = KernelObject(make("host"), "k")
    object_._relocations = [r.__class__(r.section, r.offset, r.kind, r.symbol, 1 << 40) for r in object_._relocations if r.kind == 2]
    assert object_._relocations
    with pytest.raises(ObjectError, match="out of range"):
        object_.link(1 << 36, EVERYTHING)


def with_symbol(binary: bytes, section: str | None, value: int | None) -> bytes:
    """The object with the kernel's symbol in another section, or at another place in its own."""
    file = ELFFile(io.BytesIO(binary))
    table = file.get_section_by_name(".symtab")
    number = next(i for i, symbol in enumerate(table.iter_symbols()) if symbol.name == "k")
    place = table["sh_offset"] + number * table["sh_entsize"]
    damaged = bytearray(binary)
    if section is not None:
        struct.pack_into("<H", damaged, place + 6, file.get_section_index(section))
    if value is not None:
        struct.pack_into("<Q", damaged, place + 8, value)
    return bytes(damaged)


@pytest.mark.parametrize("chip", CHIPS)
def test_the_kernel_begins_in_the_code(chip: str) -> None:
    binary = make(chip)
    code = ELFFile(io.BytesIO(binary)).get_section_by_name(".text")["sh_size"]
    assert KernelObject(with_symbol(binary, None, code - 2), "k").entry
    data = next(s.name for s in ELFFile(io.BytesIO(binary)).iter_sections() if s.name.startswith((".bss", ".sbss")))
    for section, value in ((None, code), (None, 1 << 40), (None, (1 << 64) - 8), (data, 0)):
        with pytest.raises(ObjectError, match="kernel 'k' does not define the kernel in its code"):
            KernelObject(with_symbol(binary, section, value), "k")


@pytest.mark.parametrize("error", [TypeError, AttributeError, RecursionError, MemoryError])
def test_a_line_table_that_cannot_be_read_hides_nothing(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fail(self: ELFFile, **_: object) -> None:
        raise error

    object_ = KernelObject(make("x60"), "k")
    monkeypatch.setattr(ELFFile, "get_dwarf_info", fail)
    assert object_.line_of(0) is None
