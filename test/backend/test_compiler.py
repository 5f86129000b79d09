"""Compiling without running: artefacts, targets, errors, the cache."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from triton import knobs
from triton.compiler.errors import CompilationError

from triton_spacemit.backend import set_device
from triton_spacemit.backend.errors import OptionError

MACHINES = {"x60": 243, "a100": 243}


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(x + index, index < n)
    b = tl.load(y + index, index < n)
    tl.store(out + index, a + b, index < n)


@triton.jit
def inline_assembly(x, out):
    index = tl.arange(0, 16)
    value = tl.load(x + index)
    value = tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [value], dtype=tl.int32, is_pure=True, pack=1)
    tl.store(out + index, value)


@pytest.fixture
def compilations():
    """Whether each compilation was served from the cache, in order."""
    seen = []
    knobs.compilation.listener = lambda **event: seen.append(event["cache_hit"])
    yield seen
    knobs.compilation.listener = None


def compile_add(block=64):
    add.device_caches.clear()
    x = torch.zeros(100)
    return add[(1,)](x, x, x, 100, BLOCK=block)


def elf_machine(binary: bytes) -> int:
    assert binary[:4] == b"\x7fELF"
    assert int.from_bytes(binary[16:18], "little") == 1, "not relocatable"
    return int.from_bytes(binary[18:20], "little")


@pytest.mark.parametrize("chip", ["x60", "a100"])
def test_artefacts(chip):
    set_device("null", chip=chip)
    kernel = compile_add()
    assert list(kernel.asm) == ["source", "ttir", "xsmt", "llir", "o"]
    assert "tt.load" in kernel.asm["ttir"]
    assert "xsmt.descriptor_load" in kernel.asm["xsmt"]
    assert f'"{__file__}":' in kernel.asm["xsmt"], "locations are kept"
    assert "define void @add(" in kernel.asm["llir"]
    assert elf_machine(kernel.asm["o"]) == MACHINES[chip]
    assert kernel.metadata.name == "add"
    assert kernel.metadata.arch == chip


def test_assembly_is_made_when_asked_for():
    set_device("null")
    kernel = compile_add()
    assert "asm" in kernel.asm
    assert "vfadd" in kernel.asm["asm"]
    assert kernel.asm.get("sass") is None
    with pytest.raises(KeyError, match="Unknown key: 'ptx'"):
        kernel.asm["ptx"]


def test_each_target_has_its_own_kernels():
    x = torch.zeros(100)
    add.device_caches.clear()
    set_device("null")
    first = add[(1,)](x, x, x, 100, BLOCK=64)
    set_device("null", chip="a100")
    second = add[(1,)](x, x, x, 100, BLOCK=64)
    set_device("null")
    again = add[(1,)](x, x, x, 100, BLOCK=64)
    assert again is first
    assert first.asm["o"] != second.asm["o"]


def test_what_is_not_supported_names_the_line():
    set_device("null")
    x = torch.zeros(16, dtype=torch.int32)
    with pytest.raises(CompilationError) as caught:
        inline_assembly[(1,)](x, x)
    line = inline_assembly.starting_line_number + 4
    assert f"at {line}:" in str(caught.value)
    assert "value = tl.inline_asm_elementwise(" in str(caught.value)
    assert "kernel 'inline_assembly'" in str(caught.value)


def test_options_are_checked():
    set_device("null")
    x = torch.zeros(16)
    with pytest.raises(KeyError, match="threads was specified but unrecognised"):
        add[(1,)](x, x, x, 16, BLOCK=16, threads=3)
    with pytest.raises(OptionError, match="num_ctas=2"):
        add[(1,)](x, x, x, 16, BLOCK=16, num_ctas=2)


def test_a_second_process_finds_the_kernel_in_the_cache(compilations):
    set_device("null")
    compile_add()
    compile_add()
    assert compilations == [False, True]
    suffixes = sorted(path.suffix for path in Path(knobs.cache.dir).rglob("*") if path.is_file() and not path.name.startswith("__"))
    assert suffixes == [".json", ".llir", ".o", ".source", ".ttir", ".xsmt"]


@pytest.mark.parametrize("suffix", [".o", ".llir", ".json"])
@pytest.mark.parametrize("keep", [0, 40])
def test_a_damaged_cache_entry_is_compiled_again(compilations, suffix, keep):
    set_device("null")
    binary = compile_add().asm["o"]
    (path,) = (path for path in Path(knobs.cache.dir).rglob(f"add{suffix}") if path.name == f"add{suffix}")
    path.write_bytes(path.read_bytes()[:keep])
    assert compile_add().asm["o"] == binary
    assert compile_add().asm["o"] == binary
    assert compilations == [False, False, True]


def test_two_processes_compile_the_same_kernel_at_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import torch, triton, triton.language as tl\n"
        "@triton.jit\n"
        "def double(x, BLOCK: tl.constexpr):\n"
        "    i = tl.arange(0, BLOCK)\n"
        "    tl.store(x + i, tl.load(x + i) * 2)\n"
        "print(double[(1,)](torch.zeros(64), BLOCK=64).metadata.hash)\n"
    )
    environment = {"TRITON_SPACEMIT_DEVICE": "null", "TRITON_CACHE_DIR": str(tmp_path / "shared")}
    processes = [subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    hashes = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(hashes) == 1
    assert len(list((tmp_path / "shared").rglob("double.o"))) == 1
