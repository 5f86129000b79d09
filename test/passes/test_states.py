"""Each state between stages allows by list: what it does not name is refused, op, type or attribute."""

import pytest
from torch_mlir import ir

from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.passes import pipeline
from triton_spacemit.passes.states import STATES, check

DOT = "(tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>"


def parse(body: str, attributes: str = "xsmt.scratch_bytes = 0 : i64") -> ir.Module:
    scratch = f"attributes {{{attributes}}}" if attributes else ""
    return ir.Module.parse(f"module {scratch} {{ func.func @f(%p: !llvm.ptr, %i: i32, %x: f32) {{ {body} return }} }}")


def scratch(stage: str) -> str:
    return "xsmt.scratch_bytes = 0 : i64" if stage in ("loops", "elementwise", "llvm") else ""


# By stage: statements that it allows, and such as it refuses, with what the message names.
ALLOWED = {
    "structure": [
        "%y = arith.addi %i, %i : i32 %z = math.exp %x : f32",
        '%t = "tt.splat"(%x) : (f32) -> tensor<8xf8E5M2>',
        "%v = llvm.load %p : !llvm.ptr -> f32 %n = llvm.ptrtoint %p : !llvm.ptr to i64",
        f'%t = "tt.splat"(%x) : (f32) -> tensor<8x8xf32> %d = "tt.dot"(%t, %t, %t) {{inputPrecision = 2 : i32}} : {DOT}',
        '%s = "xsmt.get_num_of_thread"() : () -> i32',
    ],
    "smt": [f'%t = "tt.splat"(%x) : (f32) -> tensor<8x8xf32> %d = "tt.dot"(%t, %t, %t) {{xsmt.mr = 4 : i64}} : {DOT}'],
    "loops": [
        "%v = llvm.load %p : !llvm.ptr -> vector<8xbf16> %w = arith.addf %v, %v : vector<8xbf16>",
        "%v = vector.broadcast %x : f32 to vector<[4]xf32>",
        '%v = vector.broadcast %x : f32 to vector<8xf32> %w = "tt.precise_sqrt"(%v) : (vector<8xf32>) -> vector<8xf32>',
        "%z = math.exp %x : f32",
    ],
    "elementwise": [
        "%z = math.fma %x, %x, %x : f32 %v = llvm.load %p : !llvm.ptr -> vector<8xf16>",
        "%v = llvm.load %p : !llvm.ptr -> vector<8xi32> %w = llvm.bitcast %v : vector<8xi32> to vector<16xbf16>",
    ],
}
REFUSED = [
    ("structure", '%y = "other.op"(%x) : (f32) -> f32', "'other.op'"),
    ("structure", "func.call @f(%p, %i, %x) : (!llvm.ptr, i32, f32) -> ()", "'func.call'"),
    ("structure", '%v = "tt.load"(%p) : (!llvm.ptr) -> f32', "'tt.load'"),
    ("structure", "%v = vector.broadcast %x : f32 to vector<8xf32>", "'vector.broadcast'"),
    ("structure", '%v = llvm.call_intrinsic "llvm.exp.f32"(%x) : (f32) -> f32', "'llvm.call_intrinsic'"),
    ("structure", '%t = "tt.splat"(%x) : (f32) -> tensor<8x!tt.ptr<f32>>', "'tt.splat' has the type tensor<8x!tt.ptr<f32>>, which"),
    ("structure", '%t = "tt.splat"(%x) : (f32) -> tensor<?xf32>', "'tt.splat' has the type tensor<?xf32>, which"),
    ("structure", "%y = arith.extui %i : i32 to i128", "'arith.extui' has the type i128, which"),
    ("structure", f'%t = "tt.splat"(%x) : (f32) -> tensor<8x8xf32> %d = "tt.dot"(%t, %t, %t) {{xsmt.mr = 4 : i64}} : {DOT}', "xsmt.mr"),
    (
        "smt",
        '%t = "tt.splat"(%x) : (f32) -> tensor<1x1x8x8xf32> '
        '%r = "xsmt.mmt4d"(%t, %t) {transposed = false} : (tensor<1x1x8x8xf32>, tensor<1x1x8x8xf32>) -> tensor<1x1x8x8xf32>',
        "'xsmt.mmt4d'",
    ),
    ("smt", '%t = "tt.splat"(%p) : (!llvm.ptr) -> tensor<8x!llvm.ptr>', "'tt.splat' has the type tensor<8x!llvm.ptr>, which"),
    (
        "smt",
        f'%t = "tt.splat"(%x) : (f32) -> tensor<8x8xf32> %d = "tt.dot"(%t, %t, %t) {{xsmt.size = 4 : i64}} : {DOT}',
        "'tt.dot' has the attribute xsmt.size, which",
    ),
    ("loops", '%y = "other.op"(%x) : (f32) -> f32', "'other.op'"),
    ("loops", '%n = "tt.get_program_id"() {axis = 0 : i32} : () -> i32', "'tt.get_program_id'"),
    ("loops", '%s = "xsmt.get_num_of_thread"() : () -> i32', "'xsmt.get_num_of_thread'"),
    ("loops", "%t = arith.constant dense<0.0> : tensor<8xf32>", "'arith.constant' has the type tensor<8xf32>, which"),
    ("loops", "%t = arith.constant dense<0.0> : vector<2x8xf32>", "'arith.constant' has the type vector<2x8xf32>, which"),
    ("loops", "%t = arith.constant dense<0.0> : vector<12xf32>", "'arith.constant' has the type vector<12xf32>, which"),
    ("elementwise", "%z = math.exp %x : f32", "'math.exp'"),
    ("elementwise", "%z = math.round %x : f32", "'math.round'"),
    ("elementwise", "%z = math.isnan %x : f32", "'math.isnan'"),
    ("elementwise", '%w = "tt.precise_sqrt"(%x) : (f32) -> f32', "'tt.precise_sqrt'"),
    ("elementwise", "%v = llvm.load %p : !llvm.ptr -> bf16", "'llvm.load' has the type bf16, which"),
    ("elementwise", "%v = llvm.load %p : !llvm.ptr -> vector<8xbf16>", "'llvm.load' has the type vector<8xbf16>, which"),
    ("elementwise", "%v = arith.constant 1.0 : f8E5M2", "'arith.constant' has the type f8E5M2, which"),
    ("llvm", "%y = arith.addi %i, %i : i32", "'func.func'"),
]


@pytest.mark.parametrize("stage", ALLOWED)
def test_allows(stage: str) -> None:
    with make_context():
        for body in ALLOWED[stage]:
            check(parse(body, scratch(stage)), stage)


@pytest.mark.parametrize(("stage", "body", "named"), REFUSED)
def test_refuses(stage: str, body: str, named: str) -> None:
    with make_context(), pytest.raises(LoweringError) as error:
        check(parse(body, scratch(stage)), stage)
    assert named in error.value.message
    assert error.value.message.endswith(f"may not be left after stage {stage}")


def test_refuses_arguments_of_blocks() -> None:
    text = "module attributes {xsmt.scratch_bytes = 0 : i64} { func.func @f(%x: tensor<8xf32>) { return } }"
    with make_context(), pytest.raises(LoweringError, match=r"'func.func' has the type tensor<8xf32>, which"):
        check(ir.Module.parse(text), "loops")


def test_the_llvm_state_takes_its_own_dialect_alone() -> None:
    with make_context():
        check(ir.Module.parse("llvm.func @f(%x: i32) { llvm.return }"), "llvm")
        with pytest.raises(LoweringError, match=r"'builtin.unrealized_conversion_cast' may not be left after stage llvm"):
            check(ir.Module.parse("llvm.func @f(%x: i32) { %y = builtin.unrealized_conversion_cast %x : i32 to f32 llvm.return }"), "llvm")


def test_attributes_of_the_module() -> None:
    with make_context():
        check(parse("", 'xsmt.chip = "x60"'), "structure")
        with pytest.raises(LoweringError, match=r"'builtin.module' has the attribute xsmt.scratch_bytes, which may not be left after"):
            check(parse(""), "smt")
        with pytest.raises(LoweringError, match=r"the module must have the attribute xsmt.scratch_bytes after stage loops"):
            check(parse("", ""), "loops")


def test_every_stage_ends_in_a_state() -> None:
    assert list(STATES) == list(pipeline.STAGES)
