"""The chip of the machine that this process runs on."""

import functools
import platform
from pathlib import Path

from triton_spacemit.dialect import riscv_cores
from triton_spacemit.dialect.chips import Chip, Costs, MatrixTile

# By LLVM's name of the feature: sums of four products of bytes, the left ones unsigned, and of two of bfloat16.
_X86_TILES = {
    "avx512vnni": MatrixTile("unsigned-grouped-vectors", 1, 16, 4, "i8", "i8", "i32", "llvm.x86.avx512.vpdpbusd.512"),
    "avx512bf16": MatrixTile("grouped-vectors", 1, 16, 2, "bf16", "bf16", "f32", "llvm.x86.avx512bf16.dpbf16ps.512"),
}


@functools.cache
def host_chip() -> Chip:
    """The machine this process runs on. Raises RuntimeError where it is neither x86-64, nor riscv64 with vectors."""
    machine = platform.machine()
    if machine == "riscv64":
        return riscv_cores.chip_of(riscv_cores.this_core())
    if machine in ("x86_64", "AMD64"):
        return _x86_chip()
    raise RuntimeError(f"the host device runs on x86-64 and riscv64, not on {machine}")


def _x86_chip() -> Chip:
    """An x86-64 machine as LLVM sees it."""
    import llvmlite.binding as llvm

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
        scaled_addresses=True,
        streaming_stores=True,
        matrix=tuple(tile for feature, tile in _X86_TILES.items() if features.get(feature, False)),
        slow_division=True,
        slow_subnormals=True,
        division_traps=True,
        asks_ahead=True,
        half_registers=llvm.get_host_cpu_name() == "znver4",
        cache_way_bytes=4096,
        last_cache_bytes=_last_cache_bytes() // 2,  # other cores' programs live there, too
        costs=Costs(tile_group=2, tile_unroll=4, tile_unroll_long=4, strip_rows=32),
    )


def _last_cache_bytes() -> int:
    """The size of this machine's third level of cache; 0 where the system does not tell."""
    try:
        return int(Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text().strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 0
