"""SpacemiT's matrix instructions under QEMU: what they compute against NumPy, what they leave alone, and what they refuse."""

import itertools
import random
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kernels.handwritten import launch

from triton_spacemit.backend import native, set_device
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.devices.ime_calls import with_calls
from triton_spacemit.backend.devices.qemu import QemuDevice
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.ime import INSTRUCTIONS, MatrixInstruction, encode

pytestmark = pytest.mark.qemu

CHIPS = ("x60", "a100")
FULL = "vsetvli t0, zero, e8, m1, ta, ma"
# Each program has all vector registers in memory, one behind the other: it loads them, runs, and stores them.
WHOLE_FILE = """
  lw t0, 0(a1)
  csrr t1, vlenb
  slli t2, t1, 5
  mul t0, t0, t2
  ld a2, 0(a0)
  add a2, a2, t0
  slli t1, t1, 3
  mv a3, a2
{loads}  {code}
  mv a3, a2
{stores}  ret
"""
_EIGHTS = (0, 8, 16, 24)
LOADS = "".join(f"  vl8re8.v v{first}, (a3)\n  add a3, a3, t1\n" for first in _EIGHTS)
STORES = "".join(f"  vs8r.v v{first}, (a3)\n  add a3, a3, t1\n" for first in _EIGHTS)


@pytest.fixture(params=[(chip, emulate) for chip in CHIPS for emulate in ("trap", "call")], ids="-".join)
def device(request: pytest.FixtureRequest) -> Iterator[QemuDevice]:
    """Both ways of carrying the instructions out are held to the same model."""
    chip, emulate = request.param
    with knobs.scope():
        knobs.emulate = emulate
        set_device("qemu", chip)
        yield get_device("qemu", chip)


def assembled(device: QemuDevice, bodies: dict[str, str], folder: Path) -> dict[str, Any]:
    """The kernels with these names and bodies, loaded."""
    text = "".join(
        f".globl {name}\n.type {name}, @function\n{name}:\n{WHOLE_FILE.format(loads=LOADS, stores=STORES, code=code)}"
        for name, code in bodies.items()
    )
    (folder / "k.s").write_text(f".option norelax\n.text\n{text}")
    native.build([str(folder / "k.s")], ("-target", "riscv64-linux-musl", "-mcpu=baseline_rv64+v", "-c"), folder / "k.o")
    binary = (folder / "k.o").read_bytes()
    return {name: device.load(Artifact(name, device.chip.name, binary=binary)) for name in bodies}


def words(row: MatrixInstruction, number: int, seed: int) -> list[tuple[int, int, int]]:
    """Registers for so many instructions."""
    chosen = random.Random(seed)
    triples = itertools.product(range(0, 32, 2), range(0, 32, 2 if row.slide else 1), range(32))
    return chosen.choices([t for t in triples if t[0] not in (t[1] & ~1, t[2] & ~1)], k=number)


def elements(registers: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    if bits == 4:
        registers = np.stack([registers & 15, registers >> 4], axis=-1).reshape(len(registers), -1)
    values = registers.astype(np.int64)
    return values - (values >> (bits - 1) << bits) if signed else values


def model(files: np.ndarray, row: MatrixInstruction, vd: int, vs1: int, vs2: int) -> None:
    """What an instruction makes of register files: bytes by program, register and place."""
    tile = row.tile(files.shape[2] * 8)
    from_a = files[:, vs1 : vs1 + 2].reshape(len(files), -1)[:, row.slide * tile.k * row.bits // 8 :][:, : files.shape[2]]
    a = elements(from_a, row.bits, row.left).reshape(-1, tile.m, tile.k)
    b = elements(files[:, vs2], row.bits, row.right).reshape(-1, tile.n, tile.k)
    c = files[:, vd : vd + 2].reshape(len(files), -1).view(np.uint32)
    sums = c + (a @ b.transpose(0, 2, 1)).reshape(c.shape).astype(np.uint32)
    files[:, vd : vd + 2] = sums.view(np.uint8).reshape(len(files), 2, -1)


def files_of(device: QemuDevice, programs: int, seed: int) -> np.ndarray:
    """Random registers; sums near both ends of their range, and A and B of extreme elements, are among them."""
    random_bytes = np.random.default_rng(seed).integers(0, 256, (programs, 32, device.chip.vlen // 8), dtype=np.uint8)
    extremes = np.array([0, 0x80, 0x7F, 0xFF, 0x88, 0x77], dtype=np.uint8)
    random_bytes[::3] = extremes[random_bytes[::3] % len(extremes)]
    return random_bytes


Sequence = list[tuple[MatrixInstruction, tuple[int, int, int]]]


def check(device: QemuDevice, sequences: dict[str, Sequence], programs: int, folder: Path) -> None:
    """Run each sequence of instructions in each program, on registers of its own, and compare all of them."""
    bodies = {
        name: "\n  ".join([FULL, *(f".word {encode(row.mnemonic, *triple, row.bits):#x}" for row, triple in sequence)])
        for name, sequence in sequences.items()
    }
    kernels = assembled(device, bodies, folder)
    for seed, (name, sequence) in enumerate(sequences.items()):
        expected = files_of(device, programs, seed)
        found = torch.from_numpy(expected.copy())
        launch(device, kernels[name], found, grid=(programs, 1, 1))
        for row, triple in sequence:
            model(expected, row, *triple)
        np.testing.assert_array_equal(found.numpy(), expected, err_msg=str(sequence[0][0]))


def rows_of(device: QemuDevice) -> list[MatrixInstruction]:
    return [row for row in INSTRUCTIONS if row.generation <= device.chip.ime]


def each(device: QemuDevice, number: int) -> dict[str, Sequence]:
    """A sequence of each instruction alone."""
    return {f"k{i}": [(row, triple) for triple in words(row, number, seed=i)] for i, row in enumerate(rows_of(device))}


def test_each_instruction(device: QemuDevice, tmp_path: Path) -> None:
    check(device, each(device, 100), 20, tmp_path)


@pytest.mark.slow
def test_each_instruction_100_000_times(device: QemuDevice, tmp_path: Path) -> None:
    check(device, each(device, 200), 500, tmp_path)


def test_eight_threads(device: QemuDevice, tmp_path: Path) -> None:
    knobs.threads = 8
    sequence = [(row, triple) for row in rows_of(device) for triple in words(row, 8, seed=4)]
    random.Random(5).shuffle(sequence)
    check(device, {"k": sequence}, 64, tmp_path)


def test_vector_state_is_kept(device: QemuDevice, tmp_path: Path) -> None:
    """Also vl, vtype, vxrm and vxsat, and a tail policy other than the usual one."""
    code = f"""
  csrwi vcsr, 5
  vsetvli t0, zero, e8, m1, tu, mu
  .word {encode("smt.vmadot", 2, 4, 6):#x}
  csrr t3, vcsr
  csrr t4, vl
  csrr t5, vtype
  ld a4, 8(a0)
  sd t3, 0(a4)
  sd t4, 8(a4)
  sd t5, 16(a4)"""
    out = torch.zeros(3, dtype=torch.int64)
    launch(device, assembled(device, {"k": code}, tmp_path)["k"], torch.from_numpy(files_of(device, 1, 0)), out)
    assert out.tolist() == [5, device.chip.vlen // 8, 0]


def test_vector_registers_are_kept_where_memory_is_fetched(device: QemuDevice, tmp_path: Path) -> None:
    kernel = assembled(device, {"k": "ld a4, 8(a0)\n  ld a4, 0(a4)"}, tmp_path)["k"]
    elsewhere = torch.zeros(1 << 20, dtype=torch.int64)
    expected = files_of(device, 1, 0)
    found = torch.from_numpy(expected.copy())
    launch(device, kernel, found, elsewhere.data_ptr() + 4096, types=("*i8", "i64"))
    np.testing.assert_array_equal(found.numpy(), expected)


GOOD = encode("smt.vmadot", 2, 4, 6)


BROKEN = {
    f"{FULL}\n.word {GOOD | 1 << 7:#x}": "smt.vmadot v3, v4, v6 needs an even vd",
    f"{FULL}\n.word {encode('smt.vmadot', 2, 4, 0) | 3 << 20:#x}": "smt.vmadot v2, v4, v3 needs sources outside of the pair at vd",
    f"{FULL}\n.word {encode('smt.vmadot1u', 2, 0, 6) | 2 << 15:#x}": "smt.vmadot1u v2, v2, v6 needs sources outside of the pair at vd",
    f"{FULL}\n.word {GOOD & ~(1 << 25):#x}": "smt.vmadot v2, v4, v6 needs bit 25 set, since it takes no mask",
    f"li t0, -1\nvsetvl t0, zero, t0\n.word {GOOD:#x}": "smt.vmadot v2, v4, v6 needs a valid vtype",
    f"vsetvli t0, zero, e8, m2, ta, ma\n.word {GOOD:#x}": "needs LMUL 1",
    f"vsetvli t0, zero, e8, mf2, ta, ma\n.word {GOOD:#x}": "needs LMUL 1",
    f"vsetivli t0, 16, e8, m1, ta, ma\n.word {GOOD:#x}": "smt.vmadot v2, v4, v6 needs a vl of all elements of a register",
    f"{FULL}\ncsrwi vstart, 1\n.word {GOOD:#x}": "needs vstart 0",
}
#: The same of one chip: by SEW where the first generation refuses all but 8, else by the elements that are left out.
OF_CHIP = {
    "x60": {f"vsetvli t0, zero, {sew}, m1, ta, ma\n.word {GOOD:#x}": "smt.vmadot v2, v4, v6 needs SEW 8" for sew in ("e16", "e32", "e64")},
    "a100": {
        f"vsetivli t0, 31, e32, m1, ta, ma\n.word {GOOD:#x}": "smt.vmadot v2, v4, v6 needs a vl of all elements of a register",
        f"vsetvli t0, zero, e32, m4, ta, ma\n.word {GOOD:#x}": "smt.vmadot v2, v4, v6 needs LMUL 1",
    },
}
# Not described, or of another family.
OTHER = [f"{FULL}\n.word {word:#x}" for word in (0, 0xE88138AB, GOOD | 1 << 14)]


def test_what_breaks_a_rule(device: QemuDevice, tmp_path: Path) -> None:
    broken = BROKEN | OF_CHIP[device.chip.name]
    kernels = assembled(device, {f"k{i}": code for i, code in enumerate([*broken, *OTHER])}, tmp_path)
    registers = torch.from_numpy(files_of(device, 1, 0))
    messages = [f": .*{re.escape(message)}" for message in broken.values()] + [""] * len(OTHER)
    for (name, kernel), message in zip(kernels.items(), messages, strict=True):
        whole = rf"^kernel '{name}', program \(0, 0, 0\): illegal instruction \(SIGILL\){message}, at k\.s:\d+$"
        with pytest.raises(DeviceError, match=whole):
            launch(device, kernel, registers)
    check(device, {"k": [(INSTRUCTIONS[0], (2, 4, 6))]}, 1, tmp_path)  # the next launch works


@pytest.mark.parametrize("emulate", ["trap", "call"])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_second_generation_looks_at_no_sew(bits: int, emulate: str, tmp_path: Path) -> None:
    """What GGML's kernels for it do: the word alone says what the elements are."""
    with knobs.scope():
        knobs.emulate = emulate
        set_device("qemu", "a100")
        device = get_device("qemu", "a100")
        word = encode("smt.vmadotsu", 2, 4, 6, bits=bits)
        bodies = {sew: f"vsetvli t0, zero, {sew}, m1, ta, ma\n.word {word:#x}" for sew in ("e8", "e16", "e32", "e64")}
        results = []
        for kernel in assembled(device, bodies, tmp_path).values():
            registers = torch.from_numpy(files_of(device, 1, 0))
            launch(device, kernel, registers)
            results.append(registers)
    assert all(torch.equal(each, results[0]) for each in results)
    assert not torch.equal(results[0], torch.from_numpy(files_of(device, 1, 0)))


def test_elements_of_four_bits_are_of_the_second_generation(qemu: QemuDevice, tmp_path: Path) -> None:
    kernel = assembled(qemu, {"k": f"{FULL}\n.word {encode('smt.vmadot', 2, 4, 6, bits=4):#x}"}, tmp_path)["k"]
    with pytest.raises(DeviceError, match="smt.vmadot v2, v4, v6, i4 needs a chip that has it"):
        launch(qemu, kernel, torch.from_numpy(files_of(qemu, 1, 0)))


def test_they_are_counted_by_name(device: QemuDevice, tmp_path: Path) -> None:
    mnemonics = ("smt.vmadot", "smt.vmadot", "smt.vmadot2u")
    code = "\n".join([FULL, *(f".word {encode(mnemonic, 2, 4, 6):#x}" for mnemonic in mnemonics)])
    kernel = assembled(device, {"k": code}, tmp_path)["k"]
    counts = count(lambda: launch(device, kernel, torch.from_numpy(files_of(device, 3, 0)), grid=(3, 1, 1)))
    assert (counts.by_mnemonic["smt.vmadot"], counts.by_mnemonic["smt.vmadot2u"]) == (6, 3)
    assert counts.instructions == 3 * (8 + 8 + 1 + 3 + 1 + 8 + 1)


def test_calls_are_in_the_place_of_all_that_they_reach() -> None:
    """A compressed instruction in front of one; one that breaks a rule, which stays; one that is too far away."""
    end = 1 << 20
    image = bytearray(end)
    image[:2] = struct.pack("<H", 0x0001)  # c.nop
    image[2:10] = struct.pack("<II", GOOD, GOOD | 1 << 7)
    image[end - 8 : end - 4] = struct.pack("<I", GOOD)
    near, sites = with_calls(image, end, 256, 0x1234)
    assert list(sites.values()) == [end - 8]
    assert struct.unpack_from("<II", image, 2) == (GOOD, GOOD | 1 << 7)
    assert struct.unpack_from("<I", image, end - 8)[0] & 0x7F == 0x6F
    ((illegal, _),) = sites.items()
    assert struct.unpack_from("<I", near, illegal - end)[0] == GOOD
    assert struct.unpack("<QQ", near[-16:]) == (0x1234, GOOD)
