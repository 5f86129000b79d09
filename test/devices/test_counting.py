"""Instruction counts against counts by hand."""

import pytest
import torch
from kernels.handwritten import INCREMENT, compiled, launch

from triton_spacemit.backend.devices.counting import count, weight, with_segments
from triton_spacemit.backend.devices.host import HostDevice
from triton_spacemit.backend.devices.qemu import QemuDevice
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

pytestmark = pytest.mark.qemu


def test_a_straight_kernel(qemu: QemuDevice) -> None:
    # lw id; ld pointer; sh2add; lw; addi; sw; ret
    kernel = qemu.load(Artifact("k", qemu.chip.name, binary=compile_object(INCREMENT, qemu.chip)))
    out = torch.zeros(100, dtype=torch.int32)
    counts = count(lambda: launch(qemu, kernel, out, grid=(100, 1, 1)))
    assert (out == 1).all()
    assert (counts.instructions, counts.weighted) == (700, 700)
    assert counts.by_mnemonic == {"lw": 200, "ld": 100, "sh2add": 100, "addi": 100, "sw": 100, "ret": 100}


@pytest.mark.parametrize("lanes", [8, 16, 32])
def test_vector_instructions_weigh_their_registers(qemu: QemuDevice, lanes: int) -> None:
    body = """
  %x = load <L x float>, ptr %p1
  %y = fmul <L x float> %x, %x
  store <L x float> %y, ptr %p0
  ret void
"""
    kernel = compiled(qemu, body.replace("L", str(lanes)))
    data = torch.arange(lanes, dtype=torch.float32)
    out = torch.zeros(lanes)
    counts = count(lambda: launch(qemu, kernel, out, data))
    assert torch.equal(out, data * data)
    vector = {m: cost for m, cost in counts.weighted_by_mnemonic.items() if m.startswith("v") and not m.startswith("vset")}
    registers = lanes / 8  # of 256 bits; a load, a product and a store
    assert list(vector.values()) == [registers] * 3
    assert counts.weighted == counts.instructions + 3 * (registers - 1)


@pytest.mark.parametrize(
    ("mnemonic", "lmul", "expected"),
    [
        ("add", 4, 1),
        ("vsetvli", 4, 1),
        ("vadd.vv", 4, 4),
        ("vadd.vv", 0.5, 1),
        ("vwadd.vv", 2, 4),
        ("vfncvt.f.f.w", 1, 2),
        ("vnclip.wi", 1, 2),
        ("vnsra.wv", 0.5, 2),
        ("vfnmsac.vf", 4, 4),
        ("vfnmadd.vv", 2, 2),
        ("vnmsub.vx", 2, 2),
        ("vlseg4e32.v", 2, 8),
        ("vssseg2e8.v", 0.5, 2),
        ("vluxseg3ei16.v", 1, 3),
        ("vl4re32.v", 1, 4),
        ("vs1r.v", 8, 1),
    ],
)
def test_weights(mnemonic: str, lmul: float, expected: float) -> None:
    assert weight(mnemonic, lmul) == expected


@pytest.mark.parametrize(
    ("mnemonic", "lmul", "sew", "expected"),
    [
        ("vle32.v", 2, 8, 8),
        ("vle32.v", 4, 32, 4),
        ("vle8.v", 8, 32, 2),
        ("vsse64.v", 1, 32, 2),
        ("vlseg2e32.v", 1, 16, 4),
        ("vlse8.v", 1, 32, 1),
        ("vluxei64.v", 2, 32, 2),
        ("vl4re32.v", 1, 8, 4),
        ("vadd.vv", 2, 8, 2),
    ],
)
def test_accesses_of_another_width(mnemonic: str, lmul: float, sew: int, expected: float) -> None:
    """A load or store works on the registers that elements of its own width fill."""
    assert weight(mnemonic, lmul, sew) == expected


def test_segments_have_their_name_and_weight(qemu: QemuDevice) -> None:
    kernel = compiled(
        qemu,
        """
  %x = load <16 x float>, ptr %p1
  %even = shufflevector <16 x float> %x, <16 x float> poison, <8 x i32> <i32 0, i32 2, i32 4, i32 6, i32 8, i32 10, i32 12, i32 14>
  %odd = shufflevector <16 x float> %x, <16 x float> poison, <8 x i32> <i32 1, i32 3, i32 5, i32 7, i32 9, i32 11, i32 13, i32 15>
  %sum = fadd <8 x float> %even, %odd
  store <8 x float> %sum, ptr %p0
  ret void
""",
    )
    data, out = torch.arange(16.0), torch.zeros(8)
    counts = count(lambda: launch(qemu, kernel, out, data))
    assert torch.equal(out, data[::2] + data[1::2])
    assert counts.weighted_by_mnemonic["vlseg2e32.v"] == 2
    assert "vle32.v" not in counts.by_mnemonic


@pytest.mark.parametrize(
    ("word", "mnemonic", "expected"),
    [
        (0x02056407, "vle32.v", "vle32.v"),
        (0x22056407, "vle32.v", "vlseg2e32.v"),
        (0xE2056407, "vle32.v", "vlseg8e32.v"),
        (0x2AB56407, "vlse32.v", "vlsseg2e32.v"),
        (0x66856427, "vsuxei32.v", "vsuxseg4ei32.v"),
        (0x62856407, "vl4re32.v", "vl4re32.v"),
        (0x02B50533, "mul", "mul"),
    ],
)
def test_names_of_segments(word: int, mnemonic: str, expected: str) -> None:
    assert with_segments(mnemonic, word) == expected


def test_launches_after_counting_use_the_usual_guest(qemu: QemuDevice) -> None:
    kernel = qemu.load(Artifact("k", qemu.chip.name, binary=compile_object(INCREMENT, qemu.chip)))
    out = torch.zeros(10, dtype=torch.int32)
    launch(qemu, kernel, out, grid=(10, 1, 1))
    guest = qemu._session.guest
    count(lambda: launch(qemu, kernel, out, grid=(10, 1, 1)))
    launch(qemu, kernel, out, grid=(10, 1, 1))
    assert qemu._session.guest is guest
    assert (out == 3).all()


def test_the_host_is_not_counted(host: HostDevice) -> None:
    with pytest.raises(DeviceError, match="counted on the qemu device; the active one is 'host'"):
        count(lambda: None)
