"""The one table of chips: every fact about a target that ops, passes and code generation depend on."""

import functools
import platform
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Chip:
    """One compilation target.

    vlen: width in bits of one vector register. vector_registers: how many there are. native_float16, native_bfloat16:
    whether arithmetic on that type is an instruction rather than a conversion to float32. has_vl: whether a vector
    operation takes an active length (RISC-V) instead of a mask. quads, pairs: whether one instruction adds four products of
    bytes (AVX-512 VNNI), or two of bfloat16 (AVX-512 BF16). halves: whether registers are worked on by halves, and
    memory is faster by half a register. cache_bytes: what the last cache holds; 0 if unknown, or if no store goes past it.
    arch_ids: SpacemiT's ids of the core, upper-case hex.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vlen: int
    vector_registers: int
    native_float16: bool
    native_bfloat16: bool
    has_vl: bool
    quads: bool = False
    pairs: bool = False
    halves: bool = False
    cache_bytes: int = 0
    arch_ids: tuple[str, ...] = ()
    abi: str = ""

    def lanes(self, bits: int, registers: int = 1) -> int:
        """Elements of `bits` bits (8, 16, 32 or 64) in a group of `registers` vector registers."""
        return self.vlen * registers // max(bits, 8)


_RISCV = "riscv64-unknown-linux-gnu"
_X60 = "+v,+zvl256b,+zvfh,+zfh,+unaligned-scalar-mem,-relax"
_RVA23 = "+m,+a,+f,+d,+c,+v,+zba,+zbb,+zbs,+zfh,+zfhmin,+zfa,+zicond,+zvfh,+zvfhmin,+zvbb,+zvfbfmin,+zvfbfwma,+unaligned-scalar-mem,-relax"

CHIPS = {
    chip.name: chip
    for chip in (
        Chip("x60", _RISCV, "spacemit-x60", _X60, 256, 32, True, False, True, arch_ids=("0x503C",), abi="lp64d"),
        Chip("a60", _RISCV, "spacemit-x60", _X60, 256, 32, True, False, True, arch_ids=("0xA03C",), abi="lp64d"),
        Chip("x100", _RISCV, "generic-rv64", _RVA23 + ",+zvl256b", 256, 32, True, True, True, arch_ids=("0x5064",), abi="lp64d"),
        Chip("a100", _RISCV, "generic-rv64", _RVA23 + ",+zvl1024b", 1024, 32, True, True, True, arch_ids=("0xA064",), abi="lp64d"),
    )
}


def _last_cache_bytes() -> int:
    """The size of this machine's third level of cache; 0 where the system does not tell."""
    try:
        return int(Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 0


@functools.cache
def host_chip() -> Chip:
    """The machine this process runs on, as LLVM sees it. Raises RuntimeError where it is neither x86-64 nor riscv64."""
    import llvmlite.binding as llvm

    machine = platform.machine()
    if machine == "riscv64":
        return replace(CHIPS["x60"], name="host")
    if machine not in ("x86_64", "AMD64"):
        raise RuntimeError(f"the host device runs on x86-64 and riscv64, not on {machine}")
    features = llvm.get_host_cpu_features()
    wide = features.get("avx512f", False)
    return Chip(
        name="host",
        triple=llvm.get_process_triple(),
        cpu=llvm.get_host_cpu_name(),
        features=features.flatten() + (",-prefer-256-bit" if wide else ""),
        vlen=512 if wide else 256,
        vector_registers=32 if wide else 16,
        native_float16=features.get("avx512fp16", False),
        native_bfloat16=False,
        has_vl=False,
        quads=features.get("avx512vnni", False),
        pairs=features.get("avx512bf16", False),
        halves=llvm.get_host_cpu_name() == "znver4",
        cache_bytes=_last_cache_bytes(),
    )


def get_chip(name: str) -> Chip:
    """The chip called `name` (`host` or a key of `CHIPS`). Raises ValueError naming the known ones."""
    if name == "host":
        return host_chip()
    try:
        return CHIPS[name]
    except KeyError:
        raise ValueError(f"unknown chip {name!r}; known: host, {', '.join(CHIPS)}") from None
