"""Packing of arguments into slots, and what the launcher refuses."""

import re
import struct
from types import SimpleNamespace

import pytest
import torch
import triton
from triton.tools.tensor_descriptor import TensorDescriptor

from triton_spacemit.backend import launcher, packing, set_device
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.errors import ArgumentError, DeviceError

MIXED = {"x": "*fp32", "n": "i32", "block": "constexpr", "scale": "fp32", "one": "constexpr"}


def pack(arguments, *values, constexprs=()):
    function, signature = packing.make_packer("kernel", arguments, set(constexprs))
    slots, pointers = function(values)
    assert len(slots) == 8 * len(signature.types)
    return slots, pointers, signature


def test_slots_hold_addresses_and_values():
    x = torch.zeros(4)
    slots, pointers, signature = pack(MIXED, x, -7, 64, 0.5, 1)
    assert struct.unpack("<Qi4xf4x", slots) == (x.data_ptr(), -7, 0.5)
    assert pointers == (x,)
    assert signature.types == ("*fp32", "i32", "fp32")
    assert signature.pointers == (0,)


def test_accepts_all_declared_or_runtime_arguments_only():
    x = torch.zeros(4)
    every, declared, runtime = ((x, 3, 64, 2.0, 1), (x, 3, 2.0, 1), (x, 3, 2.0))
    packed = [pack(MIXED, *values, constexprs=["block"])[0] for values in (every, declared, runtime)]
    assert packed[0] == packed[1] == packed[2]


@pytest.mark.parametrize("count", [0, 2, 6])
def test_wrong_count_is_refused(count):
    with pytest.raises(ArgumentError, match=rf"'kernel' takes 3 or 4 or 5 arguments \(x, n, block, scale, one\), got {count}"):
        pack(MIXED, *range(count), constexprs=["block"])


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("i1", True, b"\1"),
        ("i8", -1, b"\xff"),
        ("u8", 255, b"\xff"),
        ("i16", -2, b"\xfe\xff"),
        ("u32", 2**32 - 1, b"\xff" * 4),
        ("i64", -1, b"\xff" * 8),
        ("u64", 2**64 - 1, b"\xff" * 8),
        ("fp64", 1e300, struct.pack("<d", 1e300)),
        ("fp32", 1e300, struct.pack("<f", float("inf"))),
        ("fp32", 3, struct.pack("<f", 3)),
        ("fp16", 1.5, struct.pack("<e", 1.5)),
        ("fp16", -1e9, struct.pack("<e", float("-inf"))),
        ("bf16", -1e300, b"\x80\xff"),
        ("*fp32", 0, bytes(8)),
        ("*fp32", 4096, b"\0\x10" + bytes(6)),
    ],
)
def test_slot_of_each_type(type_, value, expected):
    assert pack({"a": type_}, value)[0] == expected.ljust(8, b"\0")


def test_bfloat16_rounds_to_nearest_even():
    values = [1.0, 1.00390625, 1.01171875, 3.3895e38, -2.5e-40, 0.1, float("inf"), float("-inf")]
    expected = torch.tensor(values).bfloat16().view(torch.uint16).tolist()
    assert [packing.bfloat16_bits(value) for value in values] == expected
    assert torch.tensor([packing.bfloat16_bits(float("nan"))], dtype=torch.uint16).view(torch.bfloat16).isnan().all()


def test_tuples_are_flattened():
    x, y = torch.zeros(1), torch.zeros(1)
    slots, pointers, signature = pack({"t": ("*fp32", ("constexpr", "i32"), "*fp32"), "n": "i32"}, (x, (5, 6), y), 7)
    assert struct.unpack("<Qi4xQi4x", slots) == (x.data_ptr(), 6, y.data_ptr(), 7)
    assert pointers == (x, y)
    assert signature.pointers == (0, 2)


def test_a_descriptor_becomes_base_shape_strides_and_flags():
    base = torch.zeros(32, 64)
    slots, pointers, signature = pack({"d": "tensordesc<fp32[16, 16]>"}, TensorDescriptor.from_tensor(base, [16, 16], padding="zero"))
    assert signature.types == ("*fp32", *["i64"] * 4, "i1", "i1", "i32", "i32", "i64", "i64")
    assert struct.unpack("<Qqqqq?7x?7xi4xi4xqq", slots) == (base.data_ptr(), 32, 64, 64, 1, False, False, 32, 64, 64, 1)
    assert pointers == (base,)


def test_wrapped_tensors_and_objects_with_an_address_are_taken():
    x = torch.zeros(4, dtype=torch.int8)
    wrapped = triton.reinterpret(x, triton.language.float8e5)
    plain = SimpleNamespace(data_ptr=lambda: 64)
    slots, pointers, _ = pack({"a": "*fp8e5", "b": "*fp32"}, wrapped, plain)
    assert struct.unpack("<QQ", slots) == (x.data_ptr(), 64)
    assert pointers == (wrapped, plain)


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        ("*fp32", torch.zeros(4, device="meta"), "argument 'a' of kernel 'kernel' is a tensor on device 'meta'"),
        ("*fp32", SimpleNamespace(device=torch.device("cuda", 1), data_ptr=int), "'a' of kernel 'kernel' is a tensor on device 'cuda'"),
        ("*fp32", [1.0], "'a' of kernel 'kernel' must be a tensor on the CPU or an address, got list"),
        ("i32", 2**31, "'a' of kernel 'kernel' must be an integer that fits i32, got 2147483648"),
        ("i32", 1.5, "'a' of kernel 'kernel' must be an integer that fits i32, got 1.5"),
        ("fp32", "1", "'a' of kernel 'kernel' must be a number, got str"),
        ("bf16", "1", "'a' of kernel 'kernel' must be a number, got str"),
        ("i32", torch.zeros(64), r"'a' of kernel 'kernel' must be an integer that fits i32, got a Tensor of shape \(64,\)"),
        ("fp32", torch.zeros(64), r"'a' of kernel 'kernel' must be a number, got a Tensor of shape \(64,\)"),
        pytest.param("fp32", 10**400, "'a' of kernel 'kernel' must be a number, got 10000", id="past float64"),
    ],
)
def test_wrong_values_are_refused_by_name(type_, value, message):
    with pytest.raises(ArgumentError, match=message):
        pack({"a": type_}, value)


class Recorder:
    """A device that records its launches."""

    def __init__(self):
        self.launches = []

    def __call__(self, kernel, grid, slots, pointers, signature):
        self.launches.append((kernel, grid, slots))


@pytest.fixture
def recorder(monkeypatch):
    set_device("null")
    recorder = Recorder()
    monkeypatch.setattr(get_device("null", "x60"), "launch", recorder, raising=False)
    return recorder


def make(arguments, chip="x60"):
    return launcher.make_launcher(
        SimpleNamespace(signature=arguments), SimpleNamespace(name="kernel", arch=chip, launch_cooperative_grid=False, sanitize=False)
    )


def test_launch_passes_grid_and_slots(recorder):
    make({"n": "i32"})(2, 3, 4, 0, "function", None, None, None, None, 5)
    assert recorder.launches == [("function", (2, 3, 4), struct.pack("<q", 5))]


@pytest.mark.parametrize("grid", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_an_empty_grid_runs_nothing_but_checks_arguments(recorder, grid):
    launch = make({"n": "i32"})
    launch(*grid, 0, "function", None, None, None, None, 5)
    assert recorder.launches == []
    with pytest.raises(ArgumentError):
        launch(*grid, 0, "function", None, None, None, None)


@pytest.mark.parametrize("grid", [(1 << 22, 1 << 21, 1 << 21), (1 << 21, 1 << 21, 1 << 21)], ids=str)
def test_a_grid_of_more_programs_than_can_be_counted_is_refused(recorder, grid):
    launch = make({"n": "i32"})
    with pytest.raises(ArgumentError, match=rf"the grid of kernel 'kernel' must have at most {2**63 - 1} programs, got \({grid[0]}, "):
        launch(*grid, 0, "function", None, None, None, None, 5)
    launch((1 << 21) - 1, 1 << 21, 1 << 21, 0, "function", None, None, None, None, 5)
    assert len(recorder.launches) == 1


@pytest.mark.parametrize("grid", [(1, -1, 1), (1 << 31, 1, 1), (1.0, 1, 1), (1, 1, None), ("1", 1, 1)], ids=str)
def test_a_grid_of_anything_but_extents_is_refused(recorder, grid):
    message = rf"the grid of kernel 'kernel' must be integers from 0 to 2147483647, got {re.escape(str(grid))}"
    with pytest.raises(ArgumentError, match=message):
        make({"n": "i32"})(*grid, 0, "function", None, None, None, None, 5)
    assert recorder.launches == []


def test_hooks_surround_the_launch(recorder):
    seen = []
    make({})(1, 1, 1, 0, "f", None, "data", lambda data: seen.append((data, 0)), lambda data: seen.append((data, len(recorder.launches))))
    assert seen == [("data", 0), ("data", 1)]


def test_a_kernel_for_another_chip_is_refused():
    set_device("null", chip="a100")
    with pytest.raises(DeviceError, match="compiled for chip 'x60'; the active device 'null' runs 'a100'"):
        make({})
