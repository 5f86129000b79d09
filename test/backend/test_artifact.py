"""What a compiled kernel says of itself: the same in LLVM IR, in the object and after a cache hit, and checked where it is loaded."""

import json
import struct
from dataclasses import replace

import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices import check_artifact, get_device
from triton_spacemit.backend.driver import Utils
from triton_spacemit.backend.elf import ElfObject, ObjectError
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import active_index, knobs
from triton_spacemit.dialect import abi
from triton_spacemit.dialect.artifact import Artifact, ArtifactError
from triton_spacemit.dialect.chips import get_chip
from triton_spacemit.passes import codegen

ARTIFACT = Artifact("k", "a100", ("*f32", "i32", "bf16"), 4096, True, stored=(0,), binary=b"code")


@triton.jit
def mixed_kernel(x, pointers, n, scale: tl.float32, SKIPPED: tl.constexpr):
    i = tl.arange(0, 16)
    tl.store(x + i, tl.load(x + i, i < n) * scale)
    tl.store(pointers, 0)


@triton.jit
def parallel_kernel(x, n):
    for i in smt.parallel(0, n):
        tl.store(x + i, i)


def compiled(
    kernel: triton.runtime.JITFunction, *arguments: object, chip: str = "x60", **constants: object
) -> triton.compiler.CompiledKernel:
    with knobs.scope():
        set_device("null", chip)
        return kernel.warmup(*arguments, grid=(1,), **constants)


@pytest.mark.parametrize("artifact", [ARTIFACT, Artifact("k", "host"), Artifact("k", "host", stored=())], ids=["all", "defaults", "none"])
def test_it_comes_back_from_attributes_and_notes(artifact: Artifact) -> None:
    assert Artifact.from_attributes("k", artifact.attributes()) == replace(artifact, binary=b"")
    assert Artifact.from_note(artifact.note(), artifact.binary) == artifact
    for name, value in artifact.attributes().items():
        assert not set(name + value) & set(' "=')


@pytest.mark.parametrize("missing", replace(ARTIFACT, stored=None).attributes())
def test_attributes_that_are_missing(missing: str) -> None:
    left = {name: value for name, value in ARTIFACT.attributes().items() if name != missing}
    with pytest.raises(ArtifactError, match=f"function 'k' has no attribute '{missing}'"):
        Artifact.from_attributes("k", left)


def note(**changed: object) -> bytes:
    """The note with some of its values changed."""
    return note_of(json.dumps(json.loads(ARTIFACT.note()[28:]) | changed).encode())


def note_of(text: bytes) -> bytes:
    return struct.pack("<III", 16, len(text), 1) + b"triton_spacemit\0" + text


def test_a_later_note_may_say_more() -> None:
    assert Artifact.from_note(note(more=[1]), b"code") == ARTIFACT


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        ARTIFACT.note()[:20],
        ARTIFACT.note()[:-8],
        ARTIFACT.note().replace(b"triton_", b"another"),
        note_of(b"[]"),
        note_of(b"{}"),
        note_of(b'{"name": '),
        note_of(b"\xff"),
        note(abi="1"),
        note(slots=5),
        note(scratch_bytes=1.5),
        note(concurrent=1),
        note(stored=0),
    ],
)
def test_damaged_notes(damaged: bytes) -> None:
    with pytest.raises(ArtifactError, match="is damaged"):
        Artifact.from_note(damaged, b"")


def test_the_object_says_it(cache: None) -> None:
    x, pointers = torch.zeros(16, dtype=torch.float16), torch.zeros(4, dtype=torch.int64)
    kernel = compiled(mixed_kernel, x, pointers, 7, 1.5, SKIPPED=3)
    artifact = ElfObject(kernel.asm["o"], "mixed_kernel").artifact()
    assert artifact == Artifact("mixed_kernel", "x60", ("*f16", "*i64", "i32", "f32"), 0, False, abi.VERSION, kernel.asm["o"], (0, 1))
    assert '"xsmt-chip"="x60"' in kernel.asm["llir"]


@pytest.mark.parametrize("chip", ["x60", "host"])
def test_programs_of_several_threads_say_so(cache: None, chip: str) -> None:
    kernel = compiled(parallel_kernel, torch.zeros(8), 8, chip=chip)
    assert ElfObject(kernel.asm["o"], "parallel_kernel").artifact().concurrent


def test_assembly_after_a_cache_hit(cache: None) -> None:
    arguments = torch.zeros(8), 8
    first = compiled(parallel_kernel, *arguments, chip="a100")
    parallel_kernel.device_caches.clear()
    second = compiled(parallel_kernel, *arguments, chip="a100")
    assert first is not second
    assert "asm" in second.asm
    assert second.asm["asm"] == first.asm["asm"]
    assert "parallel_kernel:" in second.asm["asm"]


def test_llvm_ir_for_another_chip(cache: None) -> None:
    text = compiled(parallel_kernel, torch.zeros(8), 8).asm["llir"]
    with pytest.raises(ValueError, match="'parallel_kernel' is LLVM IR for chip 'x60', and is to be compiled for 'a100'"):
        codegen.compile_object(text, get_chip("a100"))
    with pytest.raises(ValueError, match="says which chip"):
        codegen.assembly("define void @f() {\n  ret void\n}")


def test_a_kernel_for_another_chip_is_not_loaded(cache: None) -> None:
    binary = compiled(parallel_kernel, torch.zeros(8), 8, chip="a100").asm["o"]
    with knobs.scope():
        set_device("null", "x60")
        with pytest.raises(DeviceError, match="'parallel_kernel' was compiled for chip 'a100'; the device 'null' runs 'x60'"):
            Utils().load_binary("parallel_kernel", binary, 0, active_index())


@pytest.mark.parametrize("version", [abi.OLDEST - 1, abi.VERSION + 1])
def test_another_version_of_the_abi_is_not_loaded(version: int) -> None:
    with pytest.raises(DeviceError, match=rf"'k' was compiled for version {version} of the kernel ABI, and this runtime runs version"):
        check_artifact(get_device("null", "a100"), replace(ARTIFACT, abi=version))
    check_artifact(get_device("null", "a100"), ARTIFACT)


def test_objects_that_say_nothing(cache: None) -> None:
    binary = codegen.compile_object("define void @k(ptr %a, ptr %c) {\n  ret void\n}", get_chip("x60"))
    with pytest.raises(ObjectError, match="the object of kernel 'k' does not say what kernel it is"):
        ElfObject(binary, "k").artifact()
    other = compiled(parallel_kernel, torch.zeros(8), 8).asm["o"]
    with pytest.raises(ObjectError, match="the object of kernel 'k' is that of kernel 'parallel_kernel'"):
        ElfObject(other, "k").artifact()
