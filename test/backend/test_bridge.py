"""The way from libtriton to torch-mlir: control flow, calls, locations."""

from pathlib import Path

import pytest
import triton
import triton._C.libtriton as libtriton
import triton.language as tl
from torch_mlir import ir as mlir
from triton._C.libtriton import ir
from triton.compiler.compiler import ASTSource
from triton.compiler.errors import CompilationError

from triton_spacemit.backend.frontend.bridge import to_torch_mlir
from triton_spacemit.backend.frontend.diagnostics import compilation_errors, user_place
from triton_spacemit.backend.frontend.ttir import optimize
from triton_spacemit.backend.options import make_options
from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.passes import registry
from triton_spacemit.passes.ttir_text import print_generic


@triton.jit(noinline=True)
def load_or_one(pointer, n):
    if n > 3:
        return tl.load(pointer)
    return 1.0


@triton.jit(noinline=True)
def twice(pointer, n):
    return load_or_one(pointer, n) + load_or_one(pointer + 1, n)


@triton.jit
def calls_in_loop(x, out, n):
    total = 0.0
    for i in range(n):
        total += twice(x + i, i)
    tl.store(out, total)


@triton.jit
def early_return(x, n):
    if tl.program_id(0) >= n:
        return
    tl.device_print("tt.func", n)
    tl.store(x, 1.0)


@triton.jit
def row_sum(x, out, BLOCK: tl.constexpr):
    tl.store(out, tl.sum(tl.load(x + tl.arange(0, BLOCK))))


def ttir(kernel, signature, constants=None):
    context = ir.context()
    ir.load_dialects(context)
    source = ASTSource(kernel, signature, constants)
    module = source.make_ir(None, make_options({}, "x60"), {}, {}, context)
    return optimize(module)


def operations(module):
    found = []

    def collect(op):
        found.append(op)
        return mlir.WalkResult.ADVANCE

    module.operation.walk(collect)
    return found


def structured(kernel, signature):
    """The names of the kernel's ops after the bridge and the passes that make control flow structured."""
    module = to_torch_mlir(ttir(kernel, signature))
    for argument in ("lift-cf-to-scf", "inline-calls"):
        registry.lookup(argument)(module)
    module.operation.verify()
    return [op.name for op in operations(module)]


def test_calls_that_tritons_inliner_leaves_are_inlined():
    names = structured(calls_in_loop, {"x": "*fp32", "out": "*fp32", "n": "i32"})
    assert names.count("func.func") == 1
    assert names.count("tt.load") == 2
    assert not [name for name in names if name.startswith(("cf.", "func.call", "tt.call"))]


def test_an_early_return_becomes_structured():
    names = structured(early_return, {"x": "*fp32", "n": "i32"})
    assert "scf.if" in names
    assert not [name for name in names if name.startswith("cf.")]


def test_an_attribute_that_reads_like_an_op_is_left_alone():
    bridged = to_torch_mlir(ttir(early_return, {"x": "*fp32", "n": "i32"}))
    (print_,) = [op for op in operations(bridged) if op.name == "tt.print"]
    assert print_.attributes["prefix"].value == " tt.func: "


def test_locations_are_kept_through_tritons_library():
    bridged = to_torch_mlir(ttir(row_sum, {"x": "*fp32", "out": "*fp32", "BLOCK": "constexpr"}, {(2,): 16}))
    (reduce,) = [op for op in operations(bridged) if op.name == "tt.reduce"]
    file, line, _ = user_place(reduce.location)
    assert (file, line) == (__file__, row_sum.starting_line_number + 2)


def test_printing_is_as_before_afterwards():
    module = ttir(early_return, {"x": "*fp32", "n": "i32"})
    before = module.str()
    for _ in range(2):
        assert '"tt.func"(' in print_generic(module, libtriton.__file__)
        assert module.str() == before


def error_at(location: str) -> str:
    module = mlir.Module.parse(f"module {{}} {location}", make_context())
    with pytest.raises(CompilationError) as caught, compilation_errors("kernel"):
        raise LoweringError("no such thing", module.operation.location)
    return str(caught.value)


def test_errors_show_the_users_line():
    line = row_sum.starting_line_number + 2
    message = error_at(f'loc("x"("{__file__}":{line}:5))')
    assert f"at {line}:4:" in message
    assert "tl.store(out, tl.sum(tl.load(x + tl.arange(0, BLOCK))))\n    ^\nno such thing (kernel 'kernel')" in message
    assert message.endswith(f"in {__file__}:{line}")


def test_errors_inside_tritons_library_show_the_caller():
    library = Path(triton.__file__).parent / "language" / "standard.py"
    message = error_at(f'loc(callsite("{library}":10:1 at "{__file__}":3:1))')
    assert message.endswith(f"in {__file__}:3")


def test_errors_without_a_location_or_source_still_say_what_is_wrong():
    assert error_at("loc(unknown)").endswith("no such thing (kernel 'kernel')")
    assert error_at('loc("gone.py":3:1)').endswith("in gone.py:3")


def test_errors_of_mlir_become_compilation_errors_at_their_line():
    with pytest.raises(CompilationError, match="requires the same type for all operands and results") as caught, compilation_errors("k"):
        mlir.Module.parse(
            'func.func @f(%a: i32, %b: i64) { %c = "arith.addi"(%a, %b) : (i32, i64) -> i32 loc("gone.py":7:1) return }', make_context()
        )
    assert str(caught.value).endswith("in gone.py:7")
