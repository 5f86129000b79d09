"""Rows of compilation: its processor time beside Triton's own NVIDIA backend, and the bytes of code that come out."""

import functools
import resource
import tempfile
from dataclasses import dataclass, field

import triton
import triton.language as tl
from kernels import attention, elementwise, matmul
from perf import kernels
from perf.result import Result, Row
from triton import knobs as triton_knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from triton_spacemit.backend import set_device
from triton_spacemit.backend.elf import EXECUTE, ElfObject
from triton_spacemit.backend.tools import bench


@dataclass(frozen=True)
class Compiled:
    """A kernel with the types of its arguments, its constants, and what Triton finds out about a call: all pointers and integers but
    those `unknown` are multiples of 16. given: milliseconds of the NVIDIA backend where it cannot be measured. reach: at most so many."""

    kernel: triton.JITFunction
    types: dict[str, str]
    constants: dict[str, object]
    unknown: frozenset[str] = field(default_factory=frozenset)
    given: float | None = None
    reach: float | None = None

    def source(self) -> ASTSource:
        names = self.kernel.arg_names
        signature = {name: self.types.get(name, "constexpr") for name in names}
        multiples = [i for i, name in enumerate(names) if name not in self.unknown and self.types.get(name, "fp32") != "fp32"]
        attributes = {(i,): [["tt.divisibility", 16]] for i in multiples}
        return ASTSource(self.kernel, signature, {(names.index(name),): value for name, value in self.constants.items()}, attributes)


def _product(element: str, ones: tuple[str, ...], reach: float | None) -> Compiled:
    """A matrix product whose strides `ones` are 1, which Triton makes constants; of the others nothing is known of A's along k."""
    strides = [f"stride_{name}" for name in ("am", "ak", "bk", "bn", "cm", "cn")]
    types = dict.fromkeys(("a_ptr", "b_ptr", "c_ptr"), f"*{element}")
    types |= {name: "i32" for name in ("M", "N", "K", *strides) if name not in ones}
    blocks = {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32, "GROUP": 4, "ACCUMULATOR": tl.float32, "EPILOGUE": None}
    given = {"fp32": 250.0, "fp16": 390.0}[element]
    return Compiled(matmul.matmul_kernel, types, blocks | dict.fromkeys(ones, 1), frozenset({"stride_ak"} - set(ones)), given, reach)


def _attention() -> Compiled:
    constants = {"CAUSAL": False, "DIM": 64, "BLOCK_M": 64, "BLOCK_N": 64}
    names = [name for name in attention.attention_kernel.arg_names if name not in constants]
    types = {name: "*fp32" if name.endswith("_ptr") else "fp32" if name == "scale" else "i32" for name in names}
    return Compiled(attention.attention_kernel, types, constants)


_ONES = ("stride_ak", "stride_bn", "stride_cn")
_POINTERS = {name: "*fp32" for name in ("x_ptr", "y_ptr", "out_ptr")}
_ROWS = {"x_ptr": "*fp32", "out_ptr": "*fp32", "stride": "i32", "columns": "i32"}
KERNELS = {
    "add": Compiled(elementwise.add_kernel, _POINTERS | {"n": "i32"}, {"BLOCK": 1024}, given=61),
    "softmax": Compiled(kernels.softmax_row_kernel, _ROWS, {"BLOCK": 1024}, given=65, reach=35),
    "matmul f32": _product("fp32", (), 130),
    "matmul f16": _product("fp16", (), 150),
    "matmul f32, contiguous": _product("fp32", _ONES, 130),
    "matmul f16, contiguous": _product("fp16", _ONES, 150),
    "attention": _attention(),
}


def _processor_seconds() -> float:
    """Of this process and those that it has waited for: other backends start assemblers."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def compile_once(name: str, target: GPUTarget) -> tuple[CompiledKernel, float, dict[str, float]]:
    """A compilation with an empty cache: the kernel, milliseconds of processor time, and those of its stages on the wall."""
    source = KERNELS[name].source()
    with tempfile.TemporaryDirectory() as folder, triton_knobs.cache.scope(), triton_knobs.compilation.scope():
        triton_knobs.cache.dir = folder
        triton_knobs.compilation.listener = compiled = bench.CompileTimes()
        start = _processor_seconds()
        kernel = triton.compile(source, target)
        return kernel, (_processor_seconds() - start) * 1e3, next(iter(compiled.kernels.values()))


def _time(name: str, chip: str, _: float) -> Result:
    set_device("null", chip)
    ours, theirs = GPUTarget("cpu", chip, 32), GPUTarget("cuda", 90, 32)
    turns = [(compile_once(name, ours), compile_once(name, theirs)) for _ in range(6)][1:]  # the first warms the process
    _, milliseconds, stages = min((turn[0] for turn in turns), key=lambda turn: turn[1])
    return Result(milliseconds, min(turn[1][1] for turn in turns), detail=stages)


def code_bytes(name: str, chip: str) -> int:
    """The size of the object's executable sections."""
    binary = compile_once(name, GPUTarget("cpu", chip, 32))[0].asm["o"]
    return sum(section.size for section in ElfObject(binary, name).sections if section.flags & EXECUTE)


def _code(name: str, chip: str, _: float) -> Result:
    set_device("null", chip)
    return Result(code_bytes(name, chip))


ROWS = [
    Row(f"compile {name} for {chip}", "ms", functools.partial(_time, name, chip), "NVIDIA backend", each.given, each.reach, 1.0)
    for chip in ("x60", "host")
    for name, each in KERNELS.items()
]
ROWS += [Row(f"code of {name} for {chip}", "B", functools.partial(_code, name, chip)) for chip in ("x60", "host") for name in KERNELS]
