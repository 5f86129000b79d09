"""The way from libtriton to torch-mlir: control flow, calls, locations."""

from pathlib import Path

import pytest
import triton
import triton.language as tl
from torch_mlir import ir as mlir
from triton._C.libtriton import ir
from triton.compiler.compiler import ASTSource
from triton.compiler.errors import CompilationError

from triton_spacemit.backend.frontend.bridge import generic_text, inline_calls, to_torch_mlir
from triton_spacemit.backend.frontend.diagnostics import compilation_errors, user_place
from triton_spacemit.backend.frontend.ttir import optimize
from triton_spacemit.backend.options import make_options
from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.errors import LoweringError


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


def test_calls_that_tritons_inliner_leaves_are_inlined():
    module = ttir(calls_in_loop, {"x": "*fp32", "out": "*fp32", "n": "i32"})
    assert "tt.call" in generic_text(module)
    bridged = to_torch_mlir(module)
    bridged.operation.verify()
    names = [op.name for op in operations(bridged)]
    assert names.count("func.func") == 1
    assert names.count("tt.load") == 2
    assert not [name for name in names if name.startswith(("cf.", "func.call", "tt.call"))]


def test_an_early_return_becomes_structured():
    bridged = to_torch_mlir(ttir(early_return, {"x": "*fp32", "n": "i32"}))
    names = [op.name for op in operations(bridged)]
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


def test_generic_text_leaves_other_printing_alone():
    module = ttir(early_return, {"x": "*fp32", "n": "i32"})
    before = module.str()
    assert generic_text(module) == generic_text(module) != before
    assert module.str() == before


def test_recursion_is_refused():
    text = """
    func.func public @k() { func.call @f() : () -> () return }
    func.func private @f() { func.call @f() : () -> () return }
    """
    with pytest.raises(LoweringError, match="recursive function 'f'"):
        inline_calls(mlir.Module.parse(text, make_context()))


def test_a_declaration_stays_a_call():
    text = """
    func.func public @k() { func.call @effect() : () -> () return }
    func.func private @effect()
    """
    module = mlir.Module.parse(text, make_context())
    inline_calls(module)
    assert [op.name for op in operations(module)].count("func.call") == 1


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


def test_errors_of_mlir_become_compilation_errors():
    with pytest.raises(CompilationError, match="requires the same type for all operands and results"), compilation_errors("k"):
        mlir.Module.parse('func.func @f(%a: i32, %b: i64) { %c = "arith.addi"(%a, %b) : (i32, i64) -> i32 return }', make_context())
