"""Bundles of kernels compiled ahead of time: used from C, C++ and Python without Triton, with the bits that a launch by Triton gives."""

import hashlib
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from triton import knobs

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.find_qemu import find_qemu
from triton_spacemit.backend.native import zig
from triton_spacemit.backend.tools import cli
from triton_spacemit.backend.tools.aot import c_source, requests
from triton_spacemit.backend.tools.aot.libraries import target
from triton_spacemit.backend.tools.aot.variants import Variant, functions_of
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import get_chip

PROGRAM = Path(__file__).with_name("program.py")
M, N, K, LENGTH = 37, 29, 45, 1000
KERNELS = f"""
[[kernel]]
kernel = "{PROGRAM}:add"
signature = "*fp32:16, *fp32:16, *fp32:16, i32:16, 256"
grid = "cdiv(n, BLOCK)"

[[kernel]]
kernel = "{PROGRAM}:add"
signature = "*fp32, *fp32, *fp32, i32:1, 256"
grid = "cdiv(n, BLOCK)"

[[kernel]]
kernel = "{PROGRAM}:product"
signature = "*fp32, *fp32, *fp32, i32, i32, i32, i32, i32, i32:1, 16, 16, 16"
grid = "cdiv(m, M), cdiv(n, N)"

[[kernel]]
kernel = "{PROGRAM}:numbers"
signature = "*fp64, fp64, fp32, fp16, bf16, i8, u32, i64, i1"
grid = "1"

[[kernel]]
kernel = "{PROGRAM}:extents"
signature = "*i32, i32, i64"
grid = "n % 7 + max(m // 3, 1), min(n, 3) * 2 - 1, cdiv(m, n)"

[[kernel]]
kernel = "{PROGRAM}:meeting"
signature = "*i32, i32"
grid = "1"

[[kernel]]
kernel = "{PROGRAM}:wild"
signature = "*fp32, i64"
grid = "16"

[[kernel]]
kernel = "{PROGRAM}:endless"
signature = "*fp32, i32"
grid = "4"

[[kernel]]
kernel = "{PROGRAM}:deadlock"
signature = "*i32, i32"
grid = "1"
name = "stuck"
"""

#: Writes the results of every kernel to stdout, from inputs that Python can make too.
USER = """
#include "kernels.h"
#include <stdio.h>
#include <stdlib.h>

static float *inputs(int count, int seed) {
  float *x = (float *)calloc((size_t)count + 16, sizeof *x);
  for (int i = 0; i < count; i++) x[i] = (float)((i * 37 + seed) % 101 - 50) / 8;
  return x;
}
static void put(const void *data, size_t bytes) { fwrite(data, 1, bytes, stdout); }
static void check(int result, const ts_launch *how) {
  if (result != TS_OK) fprintf(stderr, "%d %s\\n", result, how->message), exit(1);
}

int main(void) {
  static ts_launch how;
  how.threads = 2;
  const float *x = inputs(LENGTH, 1), *y = inputs(LENGTH, 2);  // a kernel that only reads takes what may not be written
  float *out = inputs(LENGTH, 3);
  const int counts[] = {LENGTH - LENGTH % 16, LENGTH, 1, 0};
  for (int i = 0; i < 4; i++) check(add(&how, x, y, out, counts[i]), &how), put(out, LENGTH * sizeof *out);
  check(add(NULL, x + 1, y + 2, out + 3, 500), &how), put(out, LENGTH * sizeof *out);
  const float *a = inputs(M * K, 4), *b = inputs(K * N, 5);
  float *c = inputs(M * N, 6);
  check(product(&how, a, b, c, M, N, K, K, N, 1), &how), put(c, M * N * sizeof *c);
  check(product(&how, a, b, c, M, N, K, K, 1, K), &how), put(c, M * N * sizeof *c);
  double values[8];
  check(numbers(&how, values, 1.0 / 3, 1.0f / 3, 1.0f / 3, 1.0f / 3, -128, 4000000000u, -(INT64_C(1) << 50), true), &how);
  put(values, sizeof values);
  int32_t sums[12];
  check(meeting(&how, sums, 6), &how), put(sums, sizeof sums);
  int result = stuck(&how, sums, 3);
  fprintf(stderr, "%d (%d, %d, %d) %s\\n", result, how.program_id[0], how.program_id[1], how.program_id[2], how.message);
  result = extents(&how, sums, 0, 5);
  fprintf(stderr, "%d %s\\n", result, how.message);
  check(add(NULL, x, y, out, LENGTH), &how), put(out, LENGTH * sizeof *out);

  // Two programs at a time, the last ones first.
  float *parts = inputs(M * N, 7);
  int64_t count = product_count(a, b, parts, M, N, K, K, N, 1);
  for (int64_t i = (count - 1) / 2 * 2; i >= 0; i -= 2)
    check(product_programs(&how, i, count - i < 2 ? count - i : 2, a, b, parts, M, N, K, K, N, 1), &how);
  put(&count, sizeof count), put(parts, M * N * sizeof *parts);
  check(product_programs(&how, count, 0, a, b, parts, M, N, K, K, N, 1), &how);
  int refused = product_programs(&how, count - 1, 2, a, b, parts, M, N, K, K, N, 1);
  fprintf(stderr, "%d %s\\n", refused, how.message);
  refused = meeting_programs(&how, 0, 1, sums, 6);
  fprintf(stderr, "%d %s\\n", refused, how.message);
  return extents_count(sums, 0, 5) != -1;
}
"""


def inputs(count: int, seed: int) -> torch.Tensor:
    i = torch.arange(count)
    return (((i * 37 + seed) % 101 - 50) / 8).float()


def expected(program: object) -> bytes:
    """What `USER` writes, by launches of the same kernels on the active device."""
    parts = []

    def put(tensor: torch.Tensor) -> None:
        parts.append(tensor.numpy().tobytes())

    x, y, out = (inputs(LENGTH, seed) for seed in (1, 2, 3))

    def add(x: torch.Tensor, y: torch.Tensor, to: torch.Tensor, n: int) -> None:
        program.add[(-(-n // 256),)](x, y, to, n, BLOCK=256)
        put(out)

    for n in (LENGTH - LENGTH % 16, LENGTH, 1, 0):
        add(x, y, out, n)
    add(x[1:], y[2:], out[3:], 500)
    a, b, c = inputs(M * K, 4), inputs(K * N, 5), inputs(M * N, 6)
    for strides in ((K, N, 1), (K, 1, K)):
        program.product[(-(-M // 16), -(-N // 16))](a, b, c, M, N, K, *strides, M=16, N=16, K=16)
        put(c)
    half, brain = (torch.tensor(1 / 3).to(dtype).item() for dtype in (torch.float16, torch.bfloat16))
    parts.append(np.array([1 / 3, np.float32(1 / 3), half, brain, -128, 4000000000, -(2.0**50), 1]).tobytes())
    sums = torch.zeros(12, dtype=torch.int32)
    program.meeting[(1,)](sums, 6)
    put(sums)
    add(x, y, out, LENGTH)
    program.product[(-(-M // 16), -(-N // 16))](a, b, c, M, N, K, K, N, 1, M=16, N=16, K=16)
    parts.append(np.int64(-(-M // 16) * -(-N // 16)).tobytes())
    put(c)
    return b"".join(parts)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for the host and the X60."""
    folder = tmp_path_factory.mktemp("aot")
    (folder / "kernels.toml").write_text(KERNELS)
    with knobs.cache.scope():
        knobs.cache.dir = str(folder / "cache")
        code = run("aot", str(folder / "kernels.toml"), "--chip", "host", "--chip", "x60", "-o", str(folder / "kernels"))
    assert code == 0
    return folder / "kernels"


def run(*arguments: str) -> int:
    argv, sys.argv = sys.argv, ["triton-spacemit", *arguments]
    try:
        return cli.main()
    finally:
        sys.argv = argv


@pytest.fixture(scope="module")
def program() -> object:
    spec = importlib.util.spec_from_file_location("aot_program", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(bundle: Path, work: Path, *flags: str, source: str = "user.c") -> Path:
    (work / source).write_text(USER)
    sizes = [f"-D{name}={value}" for name, value in (("LENGTH", LENGTH), ("M", M), ("N", N), ("K", K))]
    strict = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", f"-I{bundle}/include")
    zig("c++" if source.endswith("cpp") else "cc", source, *sizes, *strict, *flags, "-o", str(work / "user"), work=work)
    return work / "user"


def check(command: list[str], program: object) -> None:
    """Run a program made of `USER`: its results are those of launches on the active device, and failures are reported."""
    result = subprocess.run(command, capture_output=True, timeout=300, check=False)
    stuck, extents, programs, meeting = result.stderr.decode().splitlines()
    assert stuck.startswith("1 (0, 0, 0) deadlock: nobody is left to arrive at the barrier")
    assert "program.py:" in stuck
    assert extents == "4 extents: the grid divides by zero, or exceeds 64 bits"
    assert programs == "4 these are no programs of the grid"
    assert meeting == "1 meeting_programs: a program of this kernel has threads of its own"
    assert result.returncode == 0
    assert result.stdout == expected(program)


def test_c_with_shared_libraries(bundle: Path, tmp_path: Path, program: object) -> None:
    libraries = bundle / "lib" / "host"
    path = built(bundle, tmp_path, "-std=c99", f"-L{libraries}", "-lkernels", "-ltriton_spacemit", f"-Wl,-rpath,{libraries}")
    check([str(path)], program)


def test_cpp_with_static_libraries(bundle: Path, tmp_path: Path, program: object) -> None:
    libraries = bundle / "lib" / "host"
    archives = (str(libraries / "libkernels.a"), str(libraries / "libtriton_spacemit.a"))
    path = built(bundle, tmp_path, "-std=c++17", *archives, "-lpthread", "-lm", source="user.cpp")
    check([str(path)], program)


@pytest.mark.qemu
def test_a_static_riscv64_program(bundle: Path, tmp_path: Path, program: object) -> None:
    libraries = bundle / "lib" / "x60"
    archives = (str(libraries / "libkernels.a"), str(libraries / "libtriton_spacemit.a"))
    path = built(bundle, tmp_path, "-target", "riscv64-linux-musl", "-mcpu=baseline_rv64+v", "-static", "-s", *archives)
    set_device("qemu", chip="x60")
    try:
        check([str(find_qemu()), "-cpu", "max,vlen=256", str(path)], program)
    finally:
        set_device("host")
    other = subprocess.run([str(find_qemu()), "-cpu", "max,vlen=128", str(path)], capture_output=True, text=True, check=False)
    assert (other.returncode, other.stderr) == (1, "3 kernels: this library is for the chip x60, which this is not\n")


PYTHON = """
import array, os, sys
sys.dont_write_bytecode = True
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import kernels, others
assert not {"torch", "triton", "numpy"} & sys.modules.keys()
x, out = array.array("f", range(100000)), array.array("f", [0] * 100000)
kernels.add(x, x, out, 100000, threads=3)
assert list(out) == [2.0 * i for i in range(100000)]
threads = len(os.listdir("/proc/self/task"))
others.plus(x, out, out, 100000, threads=3)
assert list(out) == [3.0 * i for i in range(100000)]
print(threads, len(os.listdir("/proc/self/task")))
kernels.ts_guard()
try:
    kernels.wild(0, 4)
except RuntimeError as error:
    print(error)
try:
    kernels.stuck(array.array("i", [0] * 9), 3)
except RuntimeError as error:
    print(error)
for wrong in (1.5, b"bytes"):
    try:
        kernels.add(wrong, x, out, 1)
    except TypeError as error:
        print(error)
"""


def test_python_without_triton_and_two_bundles_with_one_pool(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "others"
    signature = "*fp32, *fp32, *fp32, i32, 256"
    arguments = ("--signature", signature, "--grid", "cdiv(n, 256)", "--name", "plus", "--chip", "host", "-o", str(other))
    assert run("aot", f"{PROGRAM}:add", *arguments) == 0
    command = [sys.executable, "-I", "-S", "-c", PYTHON, str(bundle), str(other)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.stderr == ""
    threads, wild, stuck, number, text = result.stdout.splitlines()
    assert threads == "3 3"
    assert "): invalid memory access (SIGSEGV) at address 0x10, at 0x" in wild
    assert stuck.startswith("stuck failed in program (0, 0, 0): deadlock")
    assert number == "x must be an address, a tensor or a writable buffer, not float"
    assert text == "x must be an address, a tensor or a writable buffer, not bytes"


#: Kernels that fault or do not end, before and after a launch that is as it should be; guarded where there is an argument.
WILD = """
#include "kernels.h"
#include <stdio.h>
#include <stdlib.h>

static ts_launch how = {2, {0, 0, 0}, ""};
static void tell(int result) {
  printf("%d %d %s\\n", result, how.program_id[0] >= 0 && how.program_id[0] < 16, result ? how.message : "");
  fflush(stdout);
}

int main(int count, char **arguments) {
  (void)arguments;
  float values[64] = {0};
  if (count > 1) ts_guard(0.3);
  tell(wild(&how, values, 5));
  tell(wild(&how, NULL, 4));
  tell(wild(&how, values, INT64_C(1) << 40));
  tell(endless(&how, values, 1));
  tell(wild_programs(&how, 3, 1, NULL, 4));
  tell(add(&how, values, values, values + 32, 32));
  return values[32 + 5] != 2 * values[5];
}
"""


def run_wild(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (result.returncode, result.stdout.splitlines()) == (-signal.SIGSEGV, ["0 1 "])
    result = subprocess.run([*command, "guarded"], capture_output=True, text=True, timeout=200, check=False)
    fine, null, far, endless, part, add = result.stdout.splitlines()
    assert result.returncode == 0
    assert fine == add == "0 1 "
    assert null.startswith("5 1 invalid memory access (SIGSEGV) at address 0x10, at 0x")
    assert null.endswith(" in the kernel's code")
    assert part.startswith("5 1 invalid memory access (SIGSEGV) at address 0x10, at 0x")
    assert far.startswith("5 1 invalid memory access (SIGSEGV) at address 0x")
    assert endless == "6 1 it took longer than ts_guard allows, and was stopped"


@pytest.mark.parametrize("linked", ["shared", "static"])
def test_faults_under_the_guard(bundle: Path, tmp_path: Path, linked: str) -> None:
    libraries = bundle / "lib" / "host"
    (tmp_path / "wild.c").write_text(WILD)
    shared = (f"-L{libraries}", "-lkernels", "-ltriton_spacemit", f"-Wl,-rpath,{libraries}")
    archives = (str(libraries / "libkernels.a"), str(libraries / "libtriton_spacemit.a"))
    flags = ("-O1", f"-I{bundle}/include", *(shared if linked == "shared" else archives), "-lpthread", "-lm")
    zig("cc", "wild.c", *flags, "-o", str(tmp_path / "wild"), work=tmp_path)
    run_wild([str(tmp_path / "wild")])


@pytest.mark.qemu
def test_faults_under_the_guard_in_a_static_riscv64_program(bundle: Path, tmp_path: Path) -> None:
    libraries = bundle / "lib" / "x60"
    (tmp_path / "wild.c").write_text(WILD)
    archives = (str(libraries / "libkernels.a"), str(libraries / "libtriton_spacemit.a"))
    flags = ("-target", "riscv64-linux-musl", "-mcpu=baseline_rv64+v", "-static", "-s", "-O1", f"-I{bundle}/include")
    zig("cc", "wild.c", *flags, *archives, "-o", str(tmp_path / "wild"), work=tmp_path)
    run_wild([str(find_qemu()), "-cpu", "max,vlen=256", str(tmp_path / "wild")])


#: The bundle's C with kernels and a runtime that only tell what they are called with.
CHOICES = """
#include <stdio.h>
static void tell(int number) { printf("%d", number); }
void add__0(const uint64_t *slots, void *context) { (void)slots, (void)context, tell(0); }
void add__1(const uint64_t *slots, void *context) { (void)slots, (void)context, tell(1); }
void add__2(const uint64_t *slots, void *context) { (void)slots, (void)context, tell(2); }
#define STUB(name) void name(const uint64_t *slots, void *context) { (void)slots, (void)context; }
STUB(product__0) STUB(product__1) STUB(numbers__0) STUB(extents__0) STUB(meeting__0) STUB(wild__0) STUB(endless__0) STUB(stuck__0)
int64_t ts_count(int64_t x, int64_t y, int64_t z) { return x * y * z; }
int ts_run_part(ts_launch *how, const ts_kernel *code, const uint64_t *slots, int64_t x, int64_t y, int64_t z, int64_t first,
                int64_t count) {
  return (void)first, (void)count, ts_run(how, code, slots, x, y, z);
}
int ts_run(ts_launch *how, const ts_kernel *kernel, const uint64_t *slots, int64_t x, int64_t y, int64_t z) {
  (void)how;
  kernel->code(slots, NULL);
  printf(" %lld %lld %lld\\n", (long long)x, (long long)y, (long long)z);
  return TS_OK;
}
int ts_refuse(ts_launch *how, int result, const char *message) { return (void)how, (void)message, puts("refused"), result; }
int main(void) {
  _Alignas(16) static float x[64];
  add(NULL, x, x, x, 32), add(NULL, x, x, x, 33), add(NULL, x, x + 1, x, 32), add(NULL, x, x, x, 1), add(NULL, x + 1, x, x, 1);
  static const int64_t values[] = {INT64_MIN, -7, -1, 0, 1, 2, 3, 100, INT64_MAX};
  for (int i = 0; i < 9; i++)
    for (int j = 0; j < 9; j++) extents(NULL, NULL, (int32_t)values[i], values[j]);
}
"""


def test_variants_and_grids(bundle: Path, tmp_path: Path) -> None:
    functions = functions_of(requests.read(bundle.with_name("kernels.toml")))
    manifest = json.loads((bundle / "manifest.json").read_text())
    for function in functions:
        function.only_read = frozenset(manifest["functions"][function.name]["only_read"])
    stubs = {
        function.name: (
            function,
            [
                Variant(conditions, (), f"{function.name}__{number}", Artifact("", "host"))
                for number, (conditions, _) in enumerate(function.specialisations)
            ],
        )
        for function in functions
    }
    (tmp_path / "choices.c").write_text(c_source.source("kernels", stubs, get_chip("host")) + CHOICES)
    zig("cc", "choices.c", "-O2", *target(get_chip("host")), f"-I{bundle}/include", "-o", str(tmp_path / "choices"), work=tmp_path)
    lines = subprocess.run([str(tmp_path / "choices")], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["0", "2", "2", "1", "1"]
    grid = next(function.grid for function in functions if function.name == "extents")
    values = [-(2**63), -7, -1, 0, 1, 2, 3, 100, 2**63 - 1]
    narrow = [int(np.int64(value).astype(np.int32)) for value in values]
    refused = 0
    for line, (n, m) in zip(lines[5:], [(n, m) for n in narrow for m in values], strict=True):
        try:
            extents = grid.evaluate({"n": n, "m": m})
            exact = all(abs(extent) < 2**63 for extent in extents) and m != -(2**63)
        except ZeroDivisionError:
            exact = False
        refused += not exact
        assert line.split() == (list(map(str, extents)) if exact else ["refused"]), (n, m)
    assert refused == 9 * 2 + 7  # divided by n = 0 (twice: INT64_MIN is 0 in 32 bits), and -INT64_MIN


def test_pointers_that_are_only_read_are_const(bundle: Path) -> None:
    header = (bundle / "include" / "kernels.h").read_text()
    assert "int add(ts_launch *how, const float *x, const float *y, float *out, int32_t n);" in header
    assert "int64_t product_count(const float *a, const float *b, float *c, " in header
    assert "int meeting(ts_launch *how, int32_t *out, int32_t n);" in header
    assert json.loads((bundle / "manifest.json").read_text())["functions"]["add"]["only_read"] == ["x", "y"]


@pytest.mark.parametrize("chip", ["host", "x60"])
def test_the_runtime_is_small(bundle: Path, chip: str) -> None:
    assert (bundle / "lib" / chip / "libtriton_spacemit.so").stat().st_size <= 40 << 10


def test_the_manifest_has_hashes(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert manifest["files"].keys() == files - {"manifest.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    variants = manifest["functions"]["add"]["variants"]["x60"]
    assert [len(variant["conditions"]) for variant in variants] == [4, 1, 0]
    assert "n" not in variants[1]["slots"]
    assert manifest["functions"]["meeting"]["variants"]["host"][0]["concurrent"] is True


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="no pkg-config")
def test_pkg_config(bundle: Path, tmp_path: Path, program: object) -> None:
    command = ["pkg-config", "--with-path", str(bundle / "lib" / "pkgconfig"), "--cflags", "--libs", "kernels-host"]
    flags = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    path = built(bundle, tmp_path, *flags, f"-Wl,-rpath,{bundle}/lib/host")
    check([str(path)], program)


@pytest.mark.skipif(not (shutil.which("cmake") and shutil.which("cc")), reason="no CMake, or no C compiler that it would use")
def test_cmake(bundle: Path, tmp_path: Path, program: object) -> None:
    (tmp_path / "user.c").write_text(USER)
    (tmp_path / "CMakeLists.txt").write_text(f"""cmake_minimum_required(VERSION 3.16)
project(user C)
find_package(kernels REQUIRED)
add_executable(user user.c)
target_compile_definitions(user PRIVATE LENGTH={LENGTH} M={M} N={N} K={K})
target_link_libraries(user kernels::static)
add_executable(shared user.c)
target_compile_definitions(shared PRIVATE LENGTH={LENGTH} M={M} N={N} K={K})
target_link_libraries(shared kernels::kernels)
""")
    build = tmp_path / "build"
    for step in (["-S", str(tmp_path), "-B", str(build), f"-Dkernels_DIR={bundle}/lib/cmake/kernels"], ["--build", str(build)]):
        subprocess.run(["cmake", *step], capture_output=True, check=True)
    check([str(build / "user")], program)
    check([str(build / "shared")], program)
