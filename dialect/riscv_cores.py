"""The RISC-V core that this process runs on: what Linux and the core itself tell of it.

Linux answers by the system call `riscv_hwprobe` (from 6.4 on, of which SpacemiT's own kernels are older) or in /proc/cpuinfo. Neither
tells the length of a vector register: that is read from the core, by two instructions.
"""

import ctypes
import mmap
import os
from dataclasses import dataclass, replace
from pathlib import Path

from triton_spacemit.dialect.chips import BFLOAT16_FACTORS, CHIPS, FLOAT16_FACTORS, RISCV, Chip


@dataclass(frozen=True)
class Core:
    """extensions: their names, lower-case; several cores that differ have only what all have. marchid: None where they differ. numbers: of
    the cores that this process may run on.
    """

    extensions: frozenset[str]
    marchid: int | None
    vlen: int
    numbers: frozenset[int] = frozenset()


# Extensions that code is generated for, and LLVM's names of them where there are any.
_NAMED = "m a f d c v zba zbb zbs zfh zfhmin zfa zicond zvfh zvfhmin zvbb zvfbfmin zvfbfwma".split()

_HWPROBE = 258  # the number of the system call
_MARCHID, _BASE, _EXTENSIONS, _MISALIGNED = 1, 3, 4, 9  # keys
_DIFFERENT = 2**64 - 1  # the value where cores differ
_FAST = 3  # of _MISALIGNED
# Bits of the value of _EXTENSIONS; F and D share one.
_BITS = {
    "f": 0, "d": 0, "c": 1, "v": 2, "zba": 3, "zbb": 4, "zbs": 5, "zvbb": 17, "zfh": 27, "zfhmin": 28, "zvfh": 30, "zvfhmin": 31,
    "zfa": 32, "zicond": 35, "zvfbfmin": 53, "zvfbfwma": 54,
}  # fmt: skip
_UNALIGNED = "unaligned-scalar-mem"  # LLVM's name of fast accesses to any address

# csrr a0, vlenb; ret
_READ_VLENB = bytes.fromhex("732520c267800000")


def this_core() -> Core:
    """Raises RuntimeError where it has no vectors."""
    found = from_hwprobe(probe()) or from_cpuinfo(Path("/proc/cpuinfo").read_text(), os.sched_getaffinity(0))
    extensions, marchid = found
    if "v" not in extensions:
        raise RuntimeError("the host device needs RISC-V's vector extension, which this machine does not have")
    return Core(extensions, marchid, vector_bits(), frozenset(os.sched_getaffinity(0)))


def chip_of(core: Core) -> Chip:
    """SpacemiT's core of that number as the table has it, else one that has what Linux tells of it.

    Without matrix instructions where some of the cores that this process may run on have none: `taskset` chooses.
    """
    known = [chip for chip in CHIPS.values() if chip.marchid == core.marchid and chip.vlen == core.vlen]
    if known:
        some_lack_it = known[0].ime_cores and not core.numbers <= set(known[0].ime_cores)
        return replace(known[0].without_ime() if some_lack_it else known[0], name="host")
    names = [*(name for name in _NAMED if name in core.extensions), f"zvl{core.vlen}b"]
    if _UNALIGNED in core.extensions:
        names.append(_UNALIGNED)
    has_float16, has_bfloat16 = {"zfh", "zvfh"} <= core.extensions, "zvfbfwma" in core.extensions
    factors = (FLOAT16_FACTORS if has_float16 else ()) + (BFLOAT16_FACTORS if has_bfloat16 else ())
    return replace(
        RISCV,
        name="host",
        features=",".join(["+" + name for name in names] + ["-relax"]),
        vlen=core.vlen,
        marchid=core.marchid,
        native_float16=has_float16,
        native_bfloat16=has_bfloat16,
        matrix=RISCV.matrix + factors,
    )


def probe() -> dict[int, int]:
    """The answers of `riscv_hwprobe` of all cores that this process may run on; none where the kernel does not know the call."""
    keys = (_MARCHID, _BASE, _EXTENSIONS, _MISALIGNED)
    pairs = (ctypes.c_uint64 * (2 * len(keys)))()
    pairs[::2] = list(keys)
    cores = os.sched_getaffinity(0)
    mask = sum(1 << core for core in cores).to_bytes((max(cores) // 64 + 1) * 8, "little")
    libc = ctypes.CDLL(None)
    libc.syscall.restype = ctypes.c_long
    failed = libc.syscall(_HWPROBE, pairs, ctypes.c_size_t(len(keys)), ctypes.c_size_t(len(mask)), mask, ctypes.c_uint(0))
    return {} if failed else dict(zip(pairs[::2], pairs[1::2], strict=True))


def from_hwprobe(answers: dict[int, int]) -> tuple[frozenset[str], int | None] | None:
    """Extensions and marchid; None where there is no answer. A key that the kernel does not know comes back as -1."""
    if _EXTENSIONS not in answers:
        return None
    names = {name for name, bit in _BITS.items() if answers[_EXTENSIONS] >> bit & 1}
    if answers.get(_BASE, 0) & 1:
        names |= {"i", "m", "a"}
    if answers.get(_MISALIGNED) == _FAST:
        names.add(_UNALIGNED)
    marchid = answers.get(_MARCHID, _DIFFERENT)
    return frozenset(names), None if marchid == _DIFFERENT else marchid


def from_cpuinfo(text: str, cores: set[int]) -> tuple[frozenset[str], int | None]:
    """What the cores of these numbers have in common."""
    extensions: list[frozenset[str]] = []
    numbers = set()
    for part in text.split("\n\n"):
        lines = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in part.splitlines())}
        if lines.get("processor", "").isdigit() and int(lines["processor"]) in cores:
            extensions.append(_names(lines.get("isa", "")))
            numbers.add(lines.get("marchid", ""))
    marchid = numbers.pop() if len(numbers) == 1 else ""
    return frozenset.intersection(*extensions) if extensions else frozenset(), int(marchid, 16) if marchid else None


def _names(isa: str) -> frozenset[str]:
    """The extensions of `rv64imafdcv_zfh_zvfh`."""
    single, *rest = isa.removeprefix("rv64").split("_")
    return frozenset([*single, *rest])


def vector_bits() -> int:
    """The length of a vector register of the core that runs this."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    code.write(_READ_VLENB)
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "the memory that reads the vectors' length cannot be made executable")
    return 8 * ctypes.CFUNCTYPE(ctypes.c_uint64)(address)()
