"""Runs element-wise IR on this machine: a loop over vectors, through the passes, compiled by LLVM's JIT."""

import ctypes
from collections.abc import Callable, Iterator

import llvmlite.binding as llvm
import numpy as np
import pytest
import torch
from torch_mlir import ir

from triton_spacemit.dialect.chips import get_chip
from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.module import set_chip
from triton_spacemit.passes import codegen
from triton_spacemit.passes.expand_math import expand_math
from triton_spacemit.passes.guard_division import guard_division
from triton_spacemit.passes.legalize_floats import legalize_floats
from triton_spacemit.passes.registry import run_upstream
from triton_spacemit.passes.retype_narrow_floats import retype_narrow_floats
from triton_spacemit.passes.to_llvm import PIPELINE

LANES = 16


def make_source(body: str, inputs: list[str], output: str, lanes: int = LANES) -> str:
    """A function that maps `body` over arrays: it computes `%r` of type T(output) from `%x0`, `%x1`, ...

    T(kind) is a vector or, for 0 lanes, a scalar.
    """

    def type_of(kind: str) -> str:
        return f"vector<{lanes}x{kind}>" if lanes else kind

    for kind in {*inputs, output, "i1", "i8", "i16", "i32", "i64", "f16", "f32", "f64"}:
        body = body.replace(f"T({kind})", type_of(kind))
    loads = "".join(
        f"""
      %p{i} = llvm.getelementptr %in{i}[%j] : (!llvm.ptr, i64) -> !llvm.ptr, {"i8" if kind.startswith("f8") else kind}
      %x{i} = llvm.load %p{i} {{alignment = 1 : i64}} : !llvm.ptr -> {type_of(kind)}"""
        for i, kind in enumerate(inputs)
    )
    arguments = ", ".join(f"%in{i}: !llvm.ptr" for i in range(len(inputs)))
    stored = "i8" if output == "i1" or output.startswith("f8") else output
    widen = f"%s = arith.extui %r : {type_of('i1')} to {type_of('i8')}" if output == "i1" else ""
    return f"""
  func.func @f({arguments}, %out: !llvm.ptr, %n: i64) {{
    %c0 = arith.constant 0 : i64
    %step = arith.constant {lanes or 1} : i64
    scf.for %j = %c0 to %n step %step : i64 {{{loads}
      {body}
      {widen}
      %q = llvm.getelementptr %out[%j] : (!llvm.ptr, i64) -> !llvm.ptr, {stored}
      llvm.store {"%s" if widen else "%r"}, %q {{alignment = 1 : i64}} : {type_of("i8" if output == "i1" else output)}, !llvm.ptr
    }}
    return
  }}"""


def lower(source: str, chip: str = "host") -> str:
    """LLVM IR of a function in the loop state."""
    with make_context(), ir.Location.unknown():
        module = ir.Module.parse(source)
        set_chip(module, get_chip(chip))
        for transform in (expand_math, legalize_floats, retype_narrow_floats, guard_division):
            transform(module)
        module.operation.verify()
        run_upstream(module, PIPELINE, "cannot lower to LLVM")
        return codegen.llvm_ir(module)


class Compiled:
    """A mapped function: arrays in, an array out. Keeps its code alive."""

    def __init__(self, source: str) -> None:
        chip = get_chip("host")
        target = llvm.Target.from_triple(chip.triple).create_target_machine(cpu=chip.cpu, features=chip.features, opt=3, jit=True)
        parsed = llvm.parse_assembly(lower(source))
        parsed.verify()
        builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=3))
        builder.getModulePassManager().run(parsed, builder)
        self.engine = llvm.create_mcjit_compiler(parsed, target)
        self.engine.finalize_object()
        self.address = self.engine.get_function_address("f")

    def __call__(self, inputs: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
        count = len(inputs[0])
        result = np.zeros(count, dtype)
        pointers = [array.ctypes.data for array in inputs] + [result.ctypes.data]
        function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(pointers), ctypes.c_int64)(self.address)
        function(*pointers, count)
        return result


def call_of(name: str, kinds: list[str], output: str) -> str:
    """The body that calls a function of libdevice."""
    operands = ", ".join(f"%x{i}" for i in range(len(kinds)))
    types = ", ".join(f"T({kind})" for kind in kinds)
    attributes = f'{{libname = "", libpath = "", pure = true, symbol = "__xsmt_{name}"}}'
    return f'%r = "tt.extern_elementwise"({operands}) {attributes} : ({types}) -> T({output})'


def ulp_error(result: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance from the exact value (of a wider type) in units of its last place; infinite for a wrong special value."""
    info = np.finfo(result.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(result.dtype)
        size = np.where(np.isfinite(exact) & (exact != 0), np.abs(exact), info.tiny)
        ulp = np.ldexp(np.ones_like(size), np.maximum(np.frexp(size)[1] - 1, info.minexp) - info.nmant)
        error = np.abs(result.astype(exact.dtype) - exact) / ulp
    same = (result == rounded) | (np.isnan(result) & np.isnan(exact))
    edge = np.isinf(result) & (np.abs(exact) >= info.max) | np.isinf(rounded) & (np.abs(result) == info.max)
    error = np.where(np.isfinite(error), error, np.inf)
    return np.where(same, np.where(np.isfinite(rounded) & np.isfinite(exact), error, 0), np.where(edge, 1, error))


@pytest.fixture(scope="session")
def function(run: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """`function(name, *arrays)`: a function of libdevice on arrays of one float type."""
    names = {np.dtype(np.float16): "f16", np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}

    def call(name: str, *arrays: np.ndarray, lanes: int = LANES) -> np.ndarray:
        kind = names[arrays[0].dtype]
        return run(call_of(name, [kind] * len(arrays), kind), [kind] * len(arrays), kind, list(arrays), arrays[0].dtype, lanes)

    return call


@pytest.fixture(scope="session")
def ulps() -> Callable[..., np.ndarray]:
    return ulp_error


@pytest.fixture(scope="session")
def extern() -> Callable[..., str]:
    """`extern(name, kinds, output)`: a body for `run` that calls a function of libdevice."""
    return call_of


@pytest.fixture(scope="session")
def assembly() -> Callable[..., str]:
    """`assembly(name, kind, count, output)`: a function of libdevice compiled for the X60."""

    def compile_(name: str, kinds: list[str], output: str) -> str:
        return codegen.assembly(lower(make_source(call_of(name, kinds, output), kinds, output, 8), "x60"), get_chip("x60"))

    return compile_


@pytest.fixture(scope="session")
def run() -> Callable[..., np.ndarray]:
    """`run(body, kinds, output, arrays, dtype)`: maps IR over arrays."""
    compiled: dict = {}

    def call(body: str, kinds: list[str], output: str, arrays: list[np.ndarray], dtype: np.dtype, lanes: int = LANES) -> np.ndarray:
        source = make_source(body, kinds, output, lanes)
        if source not in compiled:
            compiled[source] = Compiled(source)
        padding = -len(arrays[0]) % LANES
        arrays = [np.ascontiguousarray(np.concatenate([array, array[:1].repeat(padding)])) for array in arrays]
        return compiled[source](arrays, dtype)[: len(arrays[0]) - padding]

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return call


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """PyTorch's functions that are compared with, beside the other process of the tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
