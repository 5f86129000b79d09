"""Instruction counts against counts by hand."""

import pytest
import torch
from kernels.handwritten import INCREMENT, compiled, launch

from triton_spacemit.backend.devices.counting import count, weight
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
        ("vl4re32.v", 1, 4),
        ("vs1r.v", 8, 1),
    ],
)
def test_weights(mnemonic: str, lmul: float, expected: float) -> None:
    assert weight(mnemonic, lmul) == expected


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
