"""A user's kernels in packages of AOTInductor's: they run without Triton, and what PyTorch would run wrongly is refused by name."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from torch import nn
from torch._inductor import config
from torch._inductor.utils import fresh_cache

from triton_spacemit.backend import set_device
from triton_spacemit.backend.errors import PackageError
from triton_spacemit.backend.inductor import kernel_library
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.native import package_launcher, zig

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="PyTorch compiles packages with g++, which is not here")


@pytest.fixture(autouse=True)
def _inductor(host: None) -> Iterator[None]:
    torch._dynamo.reset()
    with fresh_cache(), config.patch(compile_threads=1):
        yield
    torch._dynamo.reset()


@triton.jit
def scaled_sum(x, y, out, n, factor, negative, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = (tl.load(x + i, i < n) + tl.load(y + i, i < n)) * factor
    tl.store(out + i, tl.where(negative, -total, total), i < n)


@triton.jit
def positions(out, m, n, BLOCK: tl.constexpr):
    """Rows and columns of programs in a grid of two dimensions."""
    i, j = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i * n + j, i * 1000 + j + tl.num_programs(0) * 1000000, j < n)


@triton.jit
def powers(x, out, n, BLOCK: tl.constexpr):
    """PyTorch also runs it on random numbers, while it makes a package."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + i, i < n, 1.0)
    tl.device_assert(value < 50, "too large")
    tl.store(out + i, tl.exp(value), i < n)


class Sums(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out, exponentials = torch.empty_like(x), torch.empty_like(x)
        places = torch.empty(x.shape, dtype=torch.int32)
        n, (rows, columns) = x.numel(), x.shape
        scaled_sum[(triton.cdiv(n, 256),)](x, y, out, n, 0.3, True, BLOCK=256)
        positions[(rows, triton.cdiv(columns, 16))](places, rows, columns, BLOCK=16)
        powers[(triton.cdiv(n, 256),)](y, exponentials, n, BLOCK=256)
        return out * 2, places, exponentials


def package(model: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, shapes: object = None) -> Path:
    with torch.no_grad(), config.patch(_use_fp64_for_unbacked_floats=False):
        program = torch.export.export(model, inputs, dynamic_shapes=shapes, strict=True)  # which sees kernels
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    return path


def expected(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """By PyTorch, and by the same kernel in this process."""
    rows, columns = x.shape
    places = torch.arange(rows)[:, None] * 1000 + torch.arange(columns) + rows * 1000000
    exponentials = torch.empty_like(y)
    powers[(triton.cdiv(y.numel(), 256),)](y, exponentials, y.numel(), BLOCK=256)
    return -((x + y) * torch.tensor(0.3)) * 2, places.int(), exponentials


def inputs(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, columns), torch.randn(rows, columns)


#: A process that has PyTorch, but neither Triton nor this package.
RUN = """
import sys
sys.modules["triton"] = sys.modules["triton_spacemit"] = None
import torch
from torch._inductor import aoti_load_package
model = aoti_load_package(sys.argv[1])
for path in sys.argv[2:]:
    inputs = torch.load(path)
    try:
        torch.save(model(*inputs), path)
    except RuntimeError as error:
        print("failed:", error)
"""


def run(path: Path, work: Path, *inputs: tuple[torch.Tensor, ...], **environment: str) -> tuple[list[object], str]:
    """What the package gives for each of `inputs`, and what the process said."""
    files = [work / f"{number}.pt" for number in range(len(inputs))]
    for file, each in zip(files, inputs, strict=True):
        torch.save(each, file)
    command = [sys.executable, "-c", RUN, str(path), *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert result.returncode == 0, result.stderr
    return [torch.load(file) for file in files], result.stdout + result.stderr


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package for inputs of any number of rows and columns."""
    rows, columns = torch.export.Dim("rows", min=2, max=4096), torch.export.Dim("columns", min=2, max=4096)
    shape = {0: rows, 1: columns}
    with knobs.scope(), fresh_cache(), config.patch(compile_threads=1):
        set_device("host")
        folder = tmp_path_factory.mktemp("package")
        return package(Sums(), inputs(8, 40), folder / "sums.pt2", (shape, shape))


def test_a_package_runs_without_triton(sums: Path, tmp_path: Path) -> None:
    """On several threads; a failed assertion is an exception, and the next call works."""
    wrong = torch.ones(20, 20)
    wrong[19, 19] = 60.0
    cases = [inputs(8, 40), (torch.ones(20, 20), wrong), inputs(2, 2), inputs(37, 1001), inputs(513, 64)]
    found, said = run(sums, tmp_path, *cases, TRITON_SPACEMIT_THREADS="3")
    assert "kernel 'powers' in this package failed in program (1, 0, 0): device assertion failed" in said
    assert "device assertion failed: too large at /" in said
    assert torch.equal(found[1][1], wrong)  # nothing was written
    for case, results in zip(cases, found, strict=True):
        if case[1] is not wrong:
            for result, wanted in zip(results, expected(*case), strict=True):
                assert torch.equal(result, wanted)


def test_a_setting_that_cannot_be(sums: Path, tmp_path: Path) -> None:
    _, said = run(sums, tmp_path, inputs(8, 40), TRITON_SPACEMIT_THREADS="many")
    assert "Unable to use TRITON_SPACEMIT_THREADS=many: expected 0 to 1024" in said


#: What PyTorch's C++ does, in a process with nothing but Python.
LAUNCH = """
import ctypes, sys
offset, grid = int(sys.argv[3]), int(sys.argv[4])
kernel = ctypes.c_char.in_dll(ctypes.CDLL(sys.argv[1]), "scaled_sum")
launch = ctypes.CDLL(sys.argv[2]).run_from_nativert
memory = (ctypes.c_float * 400)(*range(400))
start = (ctypes.addressof(memory) + 63) // 64 * 64
n, factor, negative = ctypes.c_int64(96), ctypes.c_float(0.5), ctypes.c_bool(True)
numbers = [ctypes.addressof(each) for each in (n, factor, negative)]
arguments = (ctypes.c_void_p * 7)(start + offset, start + offset, start + 1024, *numbers, None)
launch.argtypes = (ctypes.c_uint32,) * 3 + (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
launch(grid, 1, 1, 1, arguments, ctypes.addressof(kernel))
floats = ctypes.POINTER(ctypes.c_float)
print([each for i, each in enumerate(ctypes.cast(start + 1024, floats)[:96]) if each != -ctypes.cast(start, floats)[i]])
"""


@pytest.mark.parametrize(
    ("offset", "grid", "said"),
    [
        (0, 2, ""),
        (
            4,
            2,
            "kernel 'scaled_sum' in this package was compiled for arguments number 0 that are multiples of 16, and got one that is none",
        ),
        (0, 1 << 31, "kernel 'scaled_sum' in this package: (2147483648, 1, 1) is no grid"),
    ],
)
def test_the_launcher_by_itself(tmp_path: Path, offset: int, grid: int, said: str) -> None:
    kernel = scaled_sum.warmup(torch.zeros(96), torch.zeros(96), torch.zeros(96), 96, 0.5, True, BLOCK=64, grid=(1,))
    (tmp_path / "kernel.so").write_bytes(kernel_library(kernel))
    command = [sys.executable, "-I", "-S", "-c", LAUNCH, str(tmp_path / "kernel.so"), str(package_launcher()), str(offset), str(grid)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr.startswith(said)
    assert bool(result.stderr) == bool(said)
    assert result.returncode == (-signal.SIGABRT if said else 0)
    assert result.stdout == ("" if said else "[]\n")


def test_kernels_for_other_machines_are_refused() -> None:
    with knobs.scope():
        set_device("null", "x60")
        kernel = scaled_sum.warmup(torch.zeros(96), torch.zeros(96), torch.zeros(96), 96, 0.5, True, BLOCK=64, grid=(1,))
    with pytest.raises(PackageError, match="kernel 'scaled_sum' .*: it was compiled for the chip x60, and packages run on this machine"):
        kernel_library(kernel)


def test_one_launcher_for_all_kernels(sums: Path) -> None:
    with zipfile.ZipFile(sums) as archive:
        libraries = [archive.read(name) for name in archive.namelist() if name.endswith(".so")]
    launchers = [library for library in libraries if b"run_from_nativert" in library and b"aoti_torch" not in library]
    assert len(launchers) == 1
    assert len(libraries) == 5  # the model, three kernels
    assert len(launchers[0]) <= 64 << 10


#: A program that loads the model from a folder, which it runs three times: with numbers that it takes and with some that it does not.
PROGRAM = """
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern "C" {
int32_t aoti_torch_device_type_cpu();
int32_t aoti_torch_dtype_float32();
int32_t aoti_torch_create_tensor_from_blob(void *, int64_t, const int64_t *, const int64_t *, int64_t, int32_t, int32_t, int32_t, void **);
int32_t aoti_torch_get_data_ptr(void *, void **);
int32_t aoti_torch_delete_tensor_object(void *);
}

static const int64_t sizes[] = {4, 8}, strides[] = {8, 1};

static void *tensor(float *data) {
  void *made = nullptr;
  const int32_t type = aoti_torch_dtype_float32(), device = aoti_torch_device_type_cpu();
  aoti_torch_create_tensor_from_blob(data, 2, sizes, strides, 0, type, device, 0, &made);
  return made;
}

int main(int, char **arguments) {
  void *library = dlopen(arguments[1], RTLD_NOW);
  if (!library) return puts(dlerror()), 1;
  auto create = reinterpret_cast<int32_t (*)(void **, size_t, const char *, const char *)>(
      dlsym(library, "AOTInductorModelContainerCreateWithDevice"));
  auto run = reinterpret_cast<int32_t (*)(void *, void **, size_t, void **, size_t, void *, void *)>(
      dlsym(library, "AOTInductorModelContainerRun"));
  void *model = nullptr;
  if (create(&model, 1, "cpu", arguments[2])) return 2;
  alignas(64) static float x[32], y[32];
  for (int turn = 0; turn < 3; turn++) {
    for (int i = 0; i < 32; i++) x[i] = static_cast<float>(i), y[i] = turn == 1 ? 100.0f : 1.0f + static_cast<float>(i);
    void *inputs[] = {tensor(x), tensor(y)}, *outputs[3] = {};
    if (run(model, inputs, 2, outputs, 3, nullptr, nullptr)) {
      puts("refused");
      continue;
    }
    float *sums = nullptr, *exponentials = nullptr;
    aoti_torch_get_data_ptr(outputs[0], reinterpret_cast<void **>(&sums));
    aoti_torch_get_data_ptr(outputs[2], reinterpret_cast<void **>(&exponentials));
    for (int i = 0; i < 32; i++) printf("%.9g %.9g ", sums[i], exponentials[i]);
    puts("");
    for (void *output : outputs) aoti_torch_delete_tensor_object(output);
  }
}
"""


def test_a_cpp_program(sums: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(sums) as archive:
        archive.extractall(tmp_path)
    (model,) = tmp_path.rglob("*.wrapper.so")
    libraries = Path(torch.__file__).parent / "lib"
    (tmp_path / "program.cpp").write_text(PROGRAM)
    flags = ("-std=c++17", "-O1", f"-L{libraries}", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{libraries}", "-Wl,--allow-shlib-undefined")
    zig("c++", "program.cpp", *flags, "-o", str(tmp_path / "program"), work=tmp_path)
    command = [str(tmp_path / "program"), str(model), str(model.parent)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    first, second, third = result.stdout.splitlines()
    assert second == "refused"
    assert "kernel 'powers' in this package failed in program (0, 0, 0): device assertion failed" in result.stderr
    x = torch.arange(32.0).reshape(4, 8)
    out, _, exponentials = expected(x, x + 1)
    wanted = torch.stack([out, exponentials], -1).flatten()
    for line in (first, third):
        assert torch.equal(torch.tensor(list(map(float, line.split()))), wanted)


def refused(model: nn.Module, *inputs: torch.Tensor, message: str, **settings: object) -> None:
    with config.patch(**settings), torch.no_grad(), pytest.raises(Exception, match=message):
        torch._inductor.aoti_compile_and_package(torch.export.export(model, inputs, strict=True))


def test_kernels_that_pytorch_generates_are_refused() -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.exp().sum(-1)

    message = "cannot be part of an AOTInductor package: PyTorch generated it, and launches such kernels in packages on a grid of one"
    refused(Model(), torch.randn(8, 40), message=message, cpu_backend="triton")


@triton.autotune([triton.Config({"BLOCK": block}) for block in (32, 64)], key=[])
@triton.jit
def doubled(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) * 2, i < n)


def test_grids_that_autotune_chooses_are_refused() -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = torch.empty_like(x)
            doubled[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, out, x.numel())
            return out

    message = "kernel 'doubled' cannot be part of an AOTInductor package: its grid depends on what autotune chooses"
    refused(Model(), torch.randn(8, 40), message=message)


def test_numbers_of_64_bits_are_refused() -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = torch.empty_like(x)
            scaled_sum[(1,)](x, x, out, x.numel(), 0.3, False, BLOCK=512)
            return out

    refused(Model(), torch.randn(8, 40), message="its argument 'factor' is a number of type fp64, which PyTorch passes as a float")
