"""Compile options: one frozen dataclass, hashed into the cache key."""

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from triton import knobs

from triton_spacemit.backend.errors import OptionError
from triton_spacemit.backend.knobs import knobs as spacemit_knobs
from triton_spacemit.dialect.chips import get_chip


@dataclass(frozen=True)
class Options:
    """What `kernel[grid](..., option=value)` takes. Those that only steer a GPU's occupancy are accepted and change nothing.

    allow_ime: whether products may use the chip's matrix instructions, where it has them and the setting of this name allows it.
    sanitize_overflow: whether Triton's frontend writes a check behind each addition, subtraction and product of integers. It drops the
    assertion where `debug` is off, but not what the assertion would look at, so by default it is on just where `debug` is.
    """

    arch: str
    allow_ime: bool = True
    num_warps: int = 4
    num_ctas: int = 1
    num_stages: int = 3
    warp_size: int = 32
    maxnreg: int | None = None
    waves_per_eu: int = 0
    matrix_instr_nonkdim: int = 0
    kpack: int = 1
    schedule_hint: str = "none"
    debug: bool = False
    sanitize: bool = False
    sanitize_overflow: bool = False
    enable_fp_fusion: bool = True
    extern_libs: tuple[tuple[str, str], ...] = ()
    ir_override: str | None = None
    launch_cooperative_grid: bool = False
    supported_fp8_dtypes: tuple[str, ...] = ("fp8e4b15", "fp8e4b8", "fp8e4nv", "fp8e5", "fp8e5b16")
    deprecated_fp8_dot_operand_dtypes: tuple[str, ...] = ()
    default_dot_input_precision: str = "ieee"
    allowed_dot_input_precisions: tuple[str, ...] = ("ieee", "tf32", "tf32x3", "bf16x3", "bf16x6")
    max_num_imprecise_acc_default: int = 0
    instrumentation_mode: str = ""
    fpsan_homomorphic_casts: bool = False
    backend_name: str = "cpu"

    def __post_init__(self) -> None:
        if self.num_warps < 1 or self.num_warps & (self.num_warps - 1):
            raise OptionError(f"num_warps must be a power of 2, got {self.num_warps}")
        if self.num_stages < 0:
            raise OptionError(f"num_stages must not be negative, got {self.num_stages}")
        for name, only in (("num_ctas", 1), ("instrumentation_mode", "")):
            if getattr(self, name) != only:
                raise OptionError(f"{name}={getattr(self, name)!r} is not supported by the cpu backend; only {only!r} is")

    def hash(self) -> str:
        """Everything that the object code depends on besides the source: the options, the chip's features, external libraries."""
        libraries = [(name, hashlib.sha256(Path(path).read_bytes()).hexdigest()) for name, path in self.extern_libs]
        return hashlib.sha256(repr((asdict(self), get_chip(self.arch), libraries)).encode()).hexdigest()


_NAMES = frozenset(field.name for field in fields(Options))


def make_options(requested: dict[str, Any], chip: str) -> Options:
    """Options for `chip` from what Triton passes on; names that are no options are the caller's to refuse."""
    values = {name: value for name, value in requested.items() if name in _NAMES and value is not None}
    values.setdefault("arch", chip)
    debug = bool(values.get("debug"))
    values.setdefault("sanitize_overflow", debug)
    # A kernel that is debugged checks its accesses too. One that asks for assertions and expressly for no other checks gets no others,
    # as all of Inductor's do.
    values.setdefault("sanitize", (debug and values["sanitize_overflow"]) or spacemit_knobs.sanitize)
    values["allow_ime"] = bool(values.get("allow_ime", True) and spacemit_knobs.allow_ime)
    values["extern_libs"] = tuple(sorted(dict(values.get("extern_libs", ())).items()))
    for name in ("supported_fp8_dtypes", "deprecated_fp8_dot_operand_dtypes", "allowed_dot_input_precisions"):
        if name in values:
            values[name] = tuple(values[name])
    fusion = values.get("enable_fp_fusion", knobs.language.default_fp_fusion)
    values["enable_fp_fusion"] = fusion and not getattr(knobs.language, "force_disable_fp_fusion", False)
    return Options(**values)
