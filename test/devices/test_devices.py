"""What every device does with a kernel: grids, threads, scratch memory, services, and calls out of the object."""

import struct

import numpy as np
import pytest
import torch
from kernels.handwritten import INCREMENT, compiled, launch

from triton_spacemit.backend.devices import Device
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

pytestmark = pytest.mark.parametrize("threads", [1, 3])


@pytest.fixture(autouse=True)
def _threads(threads: int) -> None:
    knobs.threads = threads


@pytest.mark.parametrize("grid", [(1, 1, 1), (7, 1, 1), (1, 5, 1), (3, 4, 5), (5000, 1, 1), (33, 1, 77)])
def test_every_program_runs_once_with_its_ids(device: Device, grid: tuple[int, int, int]) -> None:
    kernel = compiled(
        device,
        """
  %row = call i64 @linear(ptr %context)
  %g = getelementptr [4 x i32], ptr %p0, i64 %row
  %ids = load <4 x i32>, ptr %context, align 4
  %old = load <4 x i32>, ptr %g, align 4
  %x = insertelement <4 x i32> %ids, i32 1, i32 3
  %sum = add <4 x i32> %old, %x
  store <4 x i32> %sum, ptr %g, align 4
  ret void
""",
        """
define internal i64 @linear(ptr %context) {
  %all = load <8 x i32>, ptr %context, align 4
  %e = sext <8 x i32> %all to <8 x i64>
  %x = extractelement <8 x i64> %e, i32 0
  %y = extractelement <8 x i64> %e, i32 1
  %z = extractelement <8 x i64> %e, i32 2
  %nx = extractelement <8 x i64> %e, i32 3
  %ny = extractelement <8 x i64> %e, i32 4
  %a = mul i64 %z, %ny
  %b = add i64 %a, %y
  %c = mul i64 %b, %nx
  %d = add i64 %c, %x
  ret i64 %d
}""",
    )
    total = grid[0] * grid[1] * grid[2]
    out = torch.zeros(total, 4, dtype=torch.int32)
    launch(device, kernel, out, grid=grid)
    z, y, x = np.unravel_index(np.arange(total), grid[::-1])
    np.testing.assert_array_equal(out.numpy(), np.stack([x, y, z, np.ones(total)], 1))


def test_scratch_memory_is_aligned_and_a_programs_own(device: Device) -> None:
    # Each program fills its scratch with its number, works for a while, and reports what it then finds.
    kernel = compiled(
        device,
        """
  %q = getelementptr i8, ptr %context, i64 32
  %scratch = load ptr, ptr %q
  %address = ptrtoint ptr %scratch to i64
  %low = and i64 %address, 63
  br label %fill
fill:
  %i = phi i64 [0, %0], [%i1, %fill]
  %e = getelementptr i32, ptr %scratch, i64 %i
  store volatile i32 %id, ptr %e
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, 2500
  br i1 %more, label %fill, label %check
check:
  %j = phi i64 [0, %fill], [%j1, %check]
  %bad = phi i64 [%low, %fill], [%bad1, %check]
  %f = getelementptr i32, ptr %scratch, i64 %j
  %v = load volatile i32, ptr %f
  %d = xor i32 %v, %id
  %d64 = zext i32 %d to i64
  %bad1 = or i64 %bad, %d64
  %j1 = add i64 %j, 1
  %again = icmp ult i64 %j1, 2500
  br i1 %again, label %check, label %done
done:
  %g = getelementptr i64, ptr %p0, i32 %id
  store i64 %bad1, ptr %g
  ret void
""",
        scratch_bytes=10_000,
    )
    out = torch.ones(200, dtype=torch.int64)
    launch(device, kernel, out, grid=(200, 1, 1))
    assert not out.any()


def test_thread_numbers_lie_below_the_number_of_threads(device: Device, threads: int) -> None:
    kernel = compiled(
        device,
        """
  %q = getelementptr i8, ptr %context, i64 24
  %v = load i64, ptr %q
  %g = getelementptr i64, ptr %p0, i32 %id
  store i64 %v, ptr %g
  ret void
""",
    )
    out = torch.zeros(1000, 2, dtype=torch.int32)
    launch(device, kernel, out, grid=(1000, 1, 1))
    assert (out[:, 1] == threads).all()
    assert 0 <= int(out[:, 0].min()) <= int(out[:, 0].max()) < threads


def test_a_failed_assertion_ends_the_launch_and_the_next_one_works(device: Device) -> None:
    kernel = compiled(
        device,
        """
  %bad = icmp eq i32 %id, 321
  br i1 %bad, label %fail, label %fine
fail:
  %f = call ptr @service(ptr %context, i64 0)
  call void %f(ptr %context, ptr @message)
  unreachable
fine:
  ret void
""",
        '@message = private constant [20 x i8] c"x < 4 (line file:7)\\00"',
    )
    with pytest.raises(DeviceError, match=r"kernel 'k', program \(321, 0, 0\): x < 4 \(line file:7\)"):
        launch(device, kernel, grid=(1000, 1, 1))
    launch(device, kernel, grid=(300, 1, 1))


PRINT = """
  %f = call ptr @service(ptr %context, i64 1)
  call void %f(ptr %context, ptr @prefix, i32 TYPE, i32 HEX, i32 RANK, ptr @shape, ptr %p0)
  ret void
"""


@pytest.mark.parametrize(
    ("data", "kind", "hex", "expected"),
    [
        (np.array([-1, 5], np.int32), 0 << 8 | 32, 0, ["-1", "5"]),
        (np.array([-1, 5], np.int8), 1 << 8 | 8, 0, ["255", "5"]),
        (np.array([-1, 5], np.int64), 0 << 8 | 64, 1, ["0xffffffffffffffff", "0x0000000000000005"]),
        (np.array([-1, 5], np.int16), 0 << 8 | 16, 1, ["0xffff", "0x0005"]),
        (np.array([1, 0], np.int8), 0 << 8 | 1, 0, ["1", "0"]),
        (np.array([1.5, -2], np.float32), 2 << 8 | 32, 0, ["1.500000", "-2.000000"]),
        (np.array([1.5, -1e300], np.float64), 2 << 8 | 64, 0, ["1.500000", f"{-1e300:f}"]),
        (np.array([0.1, np.inf], np.float16), 2 << 8 | 16, 0, ["0.099976", "inf"]),
        (np.array([0x3FC0, 0xC000], np.uint16), 3 << 8 | 16, 0, ["1.500000", "-2.000000"]),
        (np.array([1.5, -6.0], np.float32), 2 << 8 | 32, 1, ["0x1.8p+0", "-0x1.8p+2"]),
        (np.array([64, 0], np.int64), 4 << 8 | 64, 0, ["0x0000000000000040", "0x0000000000000000"]),
    ],
)
def test_print_shows_each_element(
    device: Device, capfd: pytest.CaptureFixture[str], data: np.ndarray, kind: int, hex: int, expected: list[str]
) -> None:
    body = PRINT.replace("TYPE", str(kind)).replace("HEX", str(hex)).replace("RANK", "1")
    kernel = compiled(device, body, '@prefix = constant [5 x i8] c" x: \\00"\n@shape = constant [1 x i64] [i64 2]')
    launch(device, kernel, torch.from_numpy(data.view(np.uint8)))
    assert capfd.readouterr().out.splitlines() == [f"pid (0, 0, 0) idx ({i}) x: {text}" for i, text in enumerate(expected)]


def test_print_of_a_matrix_from_many_programs_keeps_lines_whole(device: Device, capfd: pytest.CaptureFixture[str]) -> None:
    body = PRINT.replace("TYPE", "32").replace("HEX", "0").replace("RANK", "2")
    kernel = compiled(device, body, '@prefix = constant [3 x i8] c": \\00"\n@shape = constant [2 x i64] [i64 20, i64 128]')
    launch(device, kernel, torch.arange(20 * 128, dtype=torch.int32), grid=(1, 3, 1))
    lines = capfd.readouterr().out.splitlines()
    elements = [(p, i, j) for p in range(3) for i in range(20) for j in range(128)]
    assert sorted(lines) == sorted(f"pid (0, {p}, 0) idx ({i:2}, {j:3}): {i * 128 + j}" for p, i, j in elements)


def test_print_without_a_value(device: Device, capfd: pytest.CaptureFixture[str]) -> None:
    body = PRINT.replace("TYPE", "0").replace("HEX", "0").replace("RANK", "0")
    kernel = compiled(device, body, '@prefix = constant [8 x i8] c" no arg\\00"\n@shape = constant [0 x i64] zeroinitializer')
    launch(device, kernel)
    assert capfd.readouterr().out == "pid (0, 0, 0) no arg\n"


def test_calls_out_of_the_object(device: Device) -> None:
    # memcpy and memset of unknown size, fmod, a 128-bit division, and conversions that some targets leave to a library.
    kernel = compiled(
        device,
        """
  %src = load ptr, ptr %p1
  %g0 = getelementptr i8, ptr %p0, i64 0
  %n = load i64, ptr %p1
  call void @llvm.memset.p0.i64(ptr %p0, i8 7, i64 %n, i1 false)
  %d1 = getelementptr i8, ptr %p0, i64 100
  call void @llvm.memcpy.p0.p0.i64(ptr %d1, ptr %p1, i64 %n, i1 false)
  %s1 = getelementptr i8, ptr %p1, i64 8
  %x = load double, ptr %s1
  %y = frem double %x, 0.75
  %d2 = getelementptr i8, ptr %p0, i64 200
  store double %y, ptr %d2
  %s2 = getelementptr i8, ptr %p1, i64 16
  %wide = load i128, ptr %s2, align 8
  %q = sdiv i128 %wide, 1000000007
  %d3 = getelementptr i8, ptr %p0, i64 208
  store i128 %q, ptr %d3, align 8
  %h = fptrunc double %x to half
  %d4 = getelementptr i8, ptr %p0, i64 224
  store half %h, ptr %d4
  %b = fptrunc double %x to bfloat
  %d5 = getelementptr i8, ptr %p0, i64 226
  store bfloat %b, ptr %d5
  %f = fptrunc double %x to float
  %c = fptrunc float %f to bfloat
  %d6 = getelementptr i8, ptr %p0, i64 228
  store bfloat %c, ptr %d6
  %big = sitofp i128 %wide to double
  %d7 = getelementptr i8, ptr %p0, i64 232
  store double %big, ptr %d7
  ret void
""",
        "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\ndeclare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
    )
    value, wide = 5.2 + 2**-30, -(3 << 90) - 12345
    given = torch.frombuffer(bytearray(struct.pack("<qd", 32, value) + wide.to_bytes(16, "little", signed=True)), dtype=torch.uint8)
    out = torch.zeros(240, dtype=torch.uint8)
    launch(device, kernel, out, given)
    got = out.numpy().tobytes()
    assert got[:32] == b"\7" * 32
    assert got[100:132] == given.numpy().tobytes()
    assert struct.unpack_from("<d", got, 200)[0] == value % 0.75
    assert int.from_bytes(got[208:224], "little", signed=True) == -(-wide // 1000000007)
    assert struct.unpack_from("<e", got, 224)[0] == np.float16(value)
    expected = torch.tensor(value, dtype=torch.float64).bfloat16().view(torch.int16).item()
    assert struct.unpack_from("<hh", got, 226) == (expected, expected)
    assert struct.unpack_from("<d", got, 232)[0] == float(wide)


@pytest.mark.parametrize(
    "device", [pytest.param(("host", None), id="host"), pytest.param(("qemu", "x60"), id="x60", marks=pytest.mark.qemu)], indirect=True
)
def test_bfloat16_is_rounded_once(device: Device) -> None:
    kernel = compiled(
        device,
        """
  %s = getelementptr double, ptr %p1, i32 %id
  %x = load double, ptr %s
  %b = fptrunc double %x to bfloat
  %d = getelementptr bfloat, ptr %p0, i32 %id
  store bfloat %b, ptr %d
  ret void
""",
    )
    # Just above and below a tie, closer to it than float32 can tell; and the ends of the range.
    values = [sign * (1 + 2**-8 * odd + off) for sign in (1, -1) for odd in (1, 3) for off in (0, 2**-40, -(2**-40))]
    values += [0.0, -0.0, float("inf"), -float("inf"), 3.4e38, 1e-40, 5e-324]
    expected = [0x3F80, 0x3F81, 0x3F80, 0x3F82, 0x3F82, 0x3F81]
    expected += [bits | 0x8000 for bits in expected] + [0, 0x8000, 0x7F80, 0xFF80, 0x7F80, 1, 0]
    out = torch.zeros(len(values), dtype=torch.int16)
    launch(device, kernel, out, torch.tensor(values, dtype=torch.float64), grid=(len(values), 1, 1))
    assert out.numpy().view(np.uint16).tolist() == expected


def test_jump_tables_constants_and_writable_data(device: Device) -> None:
    cases = "\n".join(f"    i32 {i}, label %c{i}" for i in range(12))
    blocks = "\n".join(f"c{i}:\n  call void @set{i}(ptr %g)\n  br label %end" for i in range(12))
    function = """
define internal void @set{i}(ptr %g) noinline {{
  %a = load i32, ptr %g
  %b = {op} i32 %a, {operand}
  store i32 %b, ptr %g
  ret void
}}"""
    functions = "".join(function.format(i=i, op=op, operand=i + 2) for i, op in enumerate(["add", "mul", "xor", "sub"] * 3))
    kernel = compiled(
        device,
        f"""
  %g = getelementptr i32, ptr %p0, i32 %id
  %e = getelementptr [12 x i32], ptr @table, i32 0, i32 %id
  %t = load i32, ptr %e
  store i32 %t, ptr %g
  %old = atomicrmw add ptr @counter, i32 1 seq_cst
  %k = load ptr, ptr @pointer
  %kv = load i32, ptr %k
  %p1e = getelementptr i32, ptr %p1, i32 %id
  store i32 %kv, ptr %p1e
  switch i32 %id, label %end [
{cases}
  ]
{blocks}
end:
  ret void
""",
        f"""
@table = private constant [12 x i32] [{", ".join(f"i32 {1000 * i}" for i in range(12))}]
@counter = private global i32 0
@pointer = private global ptr @answer
@answer = private constant i32 42
{functions}
""",
    )
    out, seen = torch.zeros(12, dtype=torch.int32), torch.zeros(12, dtype=torch.int32)
    launch(device, kernel, out, seen, grid=(12, 1, 1))
    calls = [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a ^ b, lambda a, b: a - b] * 3
    assert out.tolist() == [calls[i](1000 * i, i + 2) for i in range(12)]
    assert (seen == 42).all()


@pytest.mark.parametrize("offset", [0, 1, 22, 63])
def test_a_store_straight_to_writable_data(device: Device, offset: int) -> None:
    # One store to a known place: the lower half of the address is in the store itself.
    kernel = compiled(
        device,
        f"""
  store volatile i8 7, ptr getelementptr (i8, ptr @bytes, i64 {offset})
  %all = load ptr, ptr @pointer
  %from = getelementptr i8, ptr %all, i32 %id
  %v = load volatile i8, ptr %from
  %to = getelementptr i8, ptr %p0, i32 %id
  store i8 %v, ptr %to
  ret void
""",
        "@bytes = internal global [64 x i8] zeroinitializer\n@pointer = global ptr @bytes",
    )
    out = torch.zeros(64, dtype=torch.uint8)
    launch(device, kernel, out, grid=(64, 1, 1))
    assert out.tolist() == [7 * (i == offset) for i in range(64)]


def test_kernels_come_and_go(device: Device) -> None:
    out = torch.zeros(4, dtype=torch.int32)
    for _ in range(20):
        kernel = device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip)))
        launch(device, kernel, out, grid=(4, 1, 1))
        device.unload(kernel)
    assert out.tolist() == [20] * 4


def test_the_number_of_threads_can_change(device: Device) -> None:
    kernel = device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip)))
    out = torch.zeros(3000, dtype=torch.int32)
    for count in (4, 1, 7, 2):
        knobs.threads = count
        launch(device, kernel, out, grid=(3000, 1, 1))
    assert (out == 4).all()
