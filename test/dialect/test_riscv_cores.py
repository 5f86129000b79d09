"""What a RISC-V machine tells of itself becomes a chip; the answers are recorded ones."""

import struct
import subprocess
from pathlib import Path

import pytest

from triton_spacemit.backend.devices.qemu import find_qemu
from triton_spacemit.dialect import hosts, riscv_cores
from triton_spacemit.dialect.chips import CHIPS, get_chip
from triton_spacemit.dialect.riscv_cores import Core, chip_of, from_cpuinfo, from_hwprobe
from triton_spacemit.passes import codegen

X60_ISA = (
    "rv64imafdcv_zicbom_zicboz_zicntr_zicond_zicsr_zifencei_zihintpause_zihpm_zfh_zfhmin_zca_zcd_zba_zbb_zbc_zbs_zkt_zve32f_zve32x"
    "_zve64d_zve64f_zve64x_zvfh_zvfhmin_zvkt_sscofpmf_sstc_svinval_svnapot_svpbmt"
)


def cpuinfo(*cores: tuple[str, str]) -> str:
    """/proc/cpuinfo of a K1 board, with an isa and a marchid for each core."""
    return "\n".join(
        f"processor\t: {i}\nhart\t\t: {i}\nmodel name\t: Spacemit(R) X60\nisa\t\t: {isa}\nmmu\t\t: sv39\nuarch\t\t: spacemit,x60\n"
        f"mvendorid\t: 0x710\nmarchid\t\t: {marchid}\nmimpid\t\t: 0x1000000049772200\n"
        for i, (isa, marchid) in enumerate(cores)
    )


# Of qemu-riscv64 with -cpu max and with -cpu rv64; a key that the kernel does not know has become -1.
QEMU_MAX = {1: 0, 3: 1, 4: 0xFFFFFFFFF, 2**64 - 1: 0}
QEMU_RV64 = {1: 0, 3: 1, 4: 0x1200000FB, 2**64 - 1: 0}


def test_cpuinfo_of_a_known_core() -> None:
    extensions, marchid = from_cpuinfo(cpuinfo((X60_ISA, "0x8000000058000001"), (X60_ISA, "0x8000000058000001")), {0, 1})
    assert {"v", "zfh", "zvfh", "zba"} <= extensions
    assert "zvfbfwma" not in extensions
    chip = chip_of(Core(extensions, marchid, 256))
    assert (chip.name, chip.cpu, chip.costs) == ("host", CHIPS["x60"].cpu, CHIPS["x60"].costs)


@pytest.mark.parametrize(("numbers", "ime"), [({0, 3}, 1), ({1, 4}, 0), (set(range(8)), 0)])
def test_matrix_instructions_only_where_all_cores_have_them(numbers: set[int], ime: int) -> None:
    """The K1's first four cores have them, and all eight have one number."""
    chip = chip_of(Core(frozenset({"v"}), 0x8000000058000001, 256, frozenset(numbers)))
    assert (chip.ime, any(tile.form == "ime" for tile in chip.matrix)) == (ime, bool(ime))


def test_cores_that_differ_have_what_all_have() -> None:
    isas = ("rv64imafdcv_zfh_zvfh_zvfbfwma", "rv64imafdcv_zfh_zvfh", "rv64imafdc")
    text = cpuinfo(*zip(isas, ("0x8000000058000002", "0x8000000041000002", "0x1"), strict=True))
    assert from_cpuinfo(text, {0}) == (frozenset("imafdcv") | {"zfh", "zvfh", "zvfbfwma"}, 0x8000000058000002)
    assert from_cpuinfo(text, {0, 1}) == (frozenset("imafdcv") | {"zfh", "zvfh"}, None)
    assert from_cpuinfo(text, {0, 2}) == (frozenset("imafdc"), None)


def test_a_known_core_has_its_length_of_vectors() -> None:
    """A number alone does not make a core the one of the table."""
    known, other = (chip_of(Core(frozenset({"v"}), 0x8000000041000002, vlen)) for vlen in (1024, 512))
    assert known.native_bfloat16
    assert (other.vlen, other.cpu, other.native_bfloat16) == (512, "generic-rv64", False)


def test_hwprobe() -> None:
    found = from_hwprobe(QEMU_MAX)
    assert found is not None
    chip = chip_of(Core(*found, 512))
    assert (chip.vlen, chip.native_float16, chip.native_bfloat16, chip.in_order) == (512, True, False, True)
    assert set("m a f d c v zba zfh zvfh zicond zvl512b".split()) <= {name[1:] for name in chip.features.split(",") if name[0] == "+"}
    assert "+unaligned-scalar-mem" not in chip.features
    plain = from_hwprobe(QEMU_RV64)
    assert plain is not None
    assert "v" not in plain[0]
    assert from_hwprobe({}) is None


def test_hwprobe_of_what_later_kernels_tell() -> None:
    answers = {1: 0x8000000058000002, 3: 1, 4: 1 << 2 | 1 << 54, 9: 3}
    assert from_hwprobe(answers) == (frozenset({"i", "m", "a", "v", "zvfbfwma", "unaligned-scalar-mem"}), 0x8000000058000002)
    found = from_hwprobe(answers | {1: 2**64 - 1, 9: 2})
    assert found == (frozenset({"i", "m", "a", "v", "zvfbfwma"}), None)
    assert "+unaligned-scalar-mem" in chip_of(Core(frozenset({"v", "unaligned-scalar-mem"}), None, 256)).features


@pytest.mark.parametrize("answers", [QEMU_MAX, QEMU_RV64], ids=["vectors", "none"])
def test_the_host_is_the_machine(answers: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(riscv_cores, "probe", lambda: answers)
    monkeypatch.setattr(riscv_cores, "vector_bits", lambda: 1024)
    hosts.host_chip.cache_clear()
    try:
        if answers is QEMU_RV64:
            with pytest.raises(RuntimeError, match="vector extension"):
                get_chip("host")
            return
        chip = get_chip("host")
        assert (chip.name, chip.vlen) == ("host", 1024)
        assert codegen.compile_object("define void @f() {\n  ret void\n}", chip)[:4] == b"\x7fELF"
    finally:
        hosts.host_chip.cache_clear()


@pytest.mark.qemu
@pytest.mark.parametrize("vlen", [128, 256, 1024])
def test_the_length_is_read_from_the_core(vlen: int, tmp_path: Path) -> None:
    """The two instructions in a program that ends with what they give, in lanes of 64 bits."""
    call = struct.pack("<I", 0x014000EF)  # jal ra, 20
    leave = struct.pack("<4I", 0x00355513, 0x05D00893, 0x00000073, 0x00000013)  # srli a0, a0, 3; li a7, 93 (exit); ecall; nop
    code = call + leave + riscv_cores._READ_VLENB
    base, start = 0x10000, 64 + 56
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 243, 1, base + start, 64, 0, 4, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, start + len(code), start + len(code), 4096)
    program = tmp_path / "length"
    program.write_bytes(header + segment + code)
    program.chmod(0o755)
    ended = subprocess.run([find_qemu(), "-cpu", f"max,vlen={vlen}", str(program)], check=False, timeout=60)
    assert ended.returncode == vlen // 64
