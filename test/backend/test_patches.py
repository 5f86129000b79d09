"""What is changed in Triton: as expected, once, taken back, and nothing to kernels of other backends."""

import dataclasses
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel
from triton.runtime import jit

from triton_spacemit.backend import launch_path, patches, set_device
from triton_spacemit.backend.errors import ArgumentError
from triton_spacemit.backend.tools import cli

GPUS = (GPUTarget("cuda", 80, 32), GPUTarget("hip", "gfx942", 64))


@triton.jit
def dot_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + i, mask=i < n, other=0.0) * tl.load(y_ptr + i, mask=i < n, other=0.0)
    tl.store(out_ptr, tl.sum(total))


@triton.jit
def copy_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i))


@triton.jit
def negate_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, -tl.load(x_ptr + i))


def stored() -> list[object]:
    """What stands in Triton where rows put something."""
    return [patches._read(patches.resolve(patch.owner), patch.name) for patch in patches.PATCHES]


def python(code: str, **environment: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip() + result.stderr.strip()


@pytest.fixture
def original() -> list[object]:
    """Triton as it was; our rows are applied again afterwards."""
    patches.revert()
    yield stored()
    patches.revert()
    patches.apply(patches.COMPILE, patches.LAUNCH)


@pytest.mark.parametrize("patch", patches.PATCHES, ids=str)
def test_triton_is_as_the_row_expects(original, patch):
    assert patches.mismatch(patch) is None


def test_triton_has_what_is_called_as_it_is():
    assert patches.unmet() == []


def test_rows_are_applied_once_and_taken_back(original):
    patches.apply(patches.COMPILE, patches.LAUNCH)
    first = stored()
    different = [patch for patch, old, new in zip(patches.PATCHES, original, first, strict=True) if old is not new]
    assert different == list(patches.applied()) == [patch for patch in patches.PATCHES if patch.when in (patches.COMPILE, patches.LAUNCH)]
    patches.apply(patches.COMPILE)
    patches.apply(patches.COMPILE, patches.LAUNCH)
    assert all(old is new for old, new in zip(first, stored(), strict=True))
    patches.revert()
    assert all(old is new for old, new in zip(original, stored(), strict=True))


def test_kernels_run_after_everything_was_taken_back(original):
    set_device("host")
    x, out = torch.arange(16.0), torch.zeros(16)
    patches.apply(patches.COMPILE, patches.LAUNCH)
    copy_kernel[(1,)](x, out, BLOCK=16)
    assert torch.equal(x, out)
    patches.revert()
    copy_kernel[(1,)](x + 1, out, BLOCK=16)
    copy_kernel[(1,)](x[:8] + 2, out, BLOCK=8)
    assert out.tolist() == [*(x[:8] + 2), *(x[8:] + 1)]


NOTHING_APPLIED = "from triton_spacemit.backend import patches; print([str(patch) for patch in patches.applied()])"
COMPILE_FOR = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import make_backend
make_backend(GPUTarget({!r}, {!r}, 32))
"""


def test_nothing_is_changed_before_the_backend_is_used():
    assert python("import triton;" + NOTHING_APPLIED) == "[]"
    assert python(COMPILE_FOR.format("cuda", 80) + NOTHING_APPLIED) == "[]"


def test_compiling_changes_nothing_of_launches():
    import_patches = "from triton_spacemit.backend import patches;"
    said = python(COMPILE_FOR.format("cpu", "x60") + import_patches + "print({patch.when for patch in patches.applied()})")
    assert said == "{'compile'}"


def artefacts(target: GPUTarget) -> dict[str, object]:
    types = {"x_ptr": "*fp32", "y_ptr": "*fp32", "out_ptr": "*fp32", "n": "i32", "BLOCK": "constexpr"}
    source = ASTSource(dot_kernel, signature=types, constexprs={"BLOCK": 256})
    return dict(triton.compile(source, target=target).asm)


@pytest.mark.parametrize("target", GPUS, ids=lambda target: target.backend)
def test_kernels_for_gpus_come_out_the_same(original, target, monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_ALWAYS_COMPILE", "1")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    plain = artefacts(target)
    assert type(triton.compiler.compiler.AsmDict({})).__module__ == "triton.compiler.compiler"
    patches.apply(patches.COMPILE, patches.LAUNCH)
    assert artefacts(target) == plain
    assert not list(tmp_path.rglob("__sha__*"))


def test_launches_of_other_backends_go_the_way_they_went(original, monkeypatch):
    """Binders, keys and kernels are Triton's own, and a mistake is reported as Triton reports it."""
    made = ({}, {}, GPUS[0], None, None)
    function, kernel = SimpleNamespace(device_caches={0: made}), object.__new__(CompiledKernel)
    kernel.module = None
    assert launch_path.do_compile(lambda *arguments: kernel)(function, "key", {}, 0) is kernel
    assert type(kernel) is CompiledKernel
    assert function.device_caches[0] is made
    patches.apply(patches.LAUNCH)
    keys: dict[object, str] = {}
    assert jit.compute_cache_key(keys, [("*fp32", "D")], {"num_warps": 4}) == "[('*fp32', 'D')]{'num_warps': 4}"
    assert list(keys) == [((("*fp32", "D"),), "{'num_warps': 4}")], "as Triton keeps it"
    other = SimpleNamespace(get_current_device=lambda: 1 / 0, get_current_target=lambda: GPUS[0])
    monkeypatch.setattr(triton.runtime.driver, "_active", other)
    with pytest.raises(ZeroDivisionError):
        copy_kernel[(1,)](None)


EARLY = """
import torch, triton, triton.language as tl

@triton.jit
def copy_kernel(x, y):
    tl.store(y, tl.load(x))

x, y = torch.ones(1), torch.zeros(1)
kernels = [copy_kernel[(1,)](x, y) for _ in range(3)]
(caches,) = copy_kernel.device_caches.values()
print(y.item(), len(set(kernels)), type(kernels[0]).__name__, type(caches[1]).__name__, len(caches[1]))
"""


def test_functions_from_before_the_driver_are_served_too(tmp_path):
    """Triton binds a method of theirs when they are defined."""
    (tmp_path / "early.py").write_text(EARLY)
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, tmp_path / "early.py"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", "1", "LaunchedKernel", "Keys", "2"]  # a key for the first launch, one for the others


def test_an_unexpected_triton_is_named_and_only_the_row_is_missing(original, monkeypatch):
    changes = {"__getitem__": {"parameters": "self, place"}, "AsmDict": {"name": "AsmDictionary"}}
    rows = tuple(dataclasses.replace(patch, **changes.get(patch.name, {})) for patch in patches.PATCHES)
    monkeypatch.setattr(patches, "PATCHES", rows)
    with pytest.warns(RuntimeWarning) as warned:
        patches.apply(patches.COMPILE, patches.LAUNCH)
    first, second = sorted(str(warning.message) for warning in warned)
    version = triton.__version__
    assert f"(comfort): Triton {version} has no triton.compiler.compiler.AsmDictionary" in first
    assert f"Triton {version}: triton.runtime.jit.KernelInterface.__getitem__ takes (self, grid), not (self, place)" in second
    set_device("host")
    x, out = torch.arange(16.0), torch.zeros(16)
    kernel = negate_kernel[(1,)](x, out, BLOCK=16)
    assert torch.equal(-x, out)
    assert "asm" not in kernel.asm
    with pytest.raises(TypeError, match="missing a required argument|missing 1 required positional argument") as error:
        negate_kernel[(1,)](x, BLOCK=16)
    assert not isinstance(error.value, ArgumentError)


def test_the_command_prints_every_row(monkeypatch, capsys, original):
    monkeypatch.setattr(sys, "argv", ["triton-spacemit", "patches"])
    assert cli.main() == 0
    said = capsys.readouterr()
    assert said.out.count("as expected") == len(patches.PATCHES)
    assert said.err == ""
    monkeypatch.setattr(patches, "SYMBOLS", ("no_such_symbol",))
    assert cli.main() == 1
    assert "libtriton exports no no_such_symbol" in capsys.readouterr().err
