"""The kernel ABI has one definition: C, ctypes and Python lay it out alike, and nothing is built from a stale header."""

import ctypes
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest

from triton_spacemit.backend import native, protocol
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.dialect import abi

RUNTIME = Path(native.__file__).parent / "runtime"


@pytest.mark.parametrize(("name", "module"), [("abi.h", abi), ("protocol.h", protocol)])
def test_the_headers_are_not_stale(name: str, module: ModuleType) -> None:
    assert (RUNTIME / name).read_text() == module.header(), f"backend/runtime/{name} is stale: run `make docs`"


def test_a_stale_header_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abi, "VERSION", abi.VERSION + 1)
    native.host_library.cache_clear()
    with pytest.raises(DeviceError, match=r"abi\.h is not what triton_spacemit\.dialect\.abi defines"):
        native.host_library()


@pytest.mark.parametrize("struct", [abi.CONTEXT, abi.SERVICES, abi.PROGRAM, abi.FAILURE, protocol.CONTROL], ids=lambda struct: struct.name)
def test_ctypes_lays_it_out_alike(struct: abi.Struct) -> None:
    made = struct.as_ctypes()
    assert {name: getattr(made, name).offset for name in struct.offsets()} == struct.offsets()
    assert ctypes.sizeof(made) == struct.size


def test_fields_behind_smaller_ones_are_aligned() -> None:
    struct = abi.Struct(
        "S", "", (abi.Field("a", "char", count=3), abi.Field("b", "int32_t"), abi.Field("c", "void *"), abi.Field("d", "char"))
    )
    assert struct.offsets() == {"a": 0, "b": 4, "c": 8, "d": 16}
    assert struct.size == 24
    made = struct.as_ctypes()
    assert ctypes.sizeof(made) == 24


@pytest.mark.parametrize("target", ["x86_64-linux-gnu", "riscv64-linux-musl"])
@pytest.mark.parametrize("right", [True, False])
def test_the_c_compiler_checks_the_offsets(tmp_path: Path, target: str, right: bool) -> None:
    text = abi.header()
    if not right:
        text = text.replace("offsetof(Context, services) == 40", "offsetof(Context, services) == 48")
    (tmp_path / "abi.h").write_text(text)
    (tmp_path / "a.c").write_text('#include "abi.h"\n')
    with nullcontext() if right else pytest.raises(DeviceError, match=r"Context\.services"):
        native.build([str(tmp_path / "a.c")], ("-target", target, "-std=gnu11", "-Wall", "-c"), tmp_path / "a.o")


@pytest.mark.parametrize(("version", "oldest", "runs"), [(1, 1, True), (2, 1, True), (2, 2, False), (3, 2, False)])
def test_kernels_run_where_fields_were_only_added_since(monkeypatch: pytest.MonkeyPatch, version: int, oldest: int, runs: bool) -> None:
    monkeypatch.setattr(abi, "VERSION", version)
    monkeypatch.setattr(abi, "OLDEST", oldest)
    assert not abi.unsupported(version)
    assert (abi.unsupported(1) == "") == runs
    later = abi.unsupported(version + 1)
    assert f"version {version + 1} of the kernel ABI" in later
    assert str(version) in later.partition("runs")[2]
