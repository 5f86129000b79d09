"""The smt language down to TTIR: what each builtin becomes, and what is refused, at the line of the user's kernel."""

import re
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt
from triton._C.libtriton import ir
from triton.compiler import ASTSource
from triton.compiler.errors import CompilationError

from triton_spacemit.backend.compiler import SpacemitBackend
from triton_spacemit.backend.frontend.ttir import optimize


def ttir(kernel: Any, signature: dict[str, str], **constants: Any) -> str:
    """The kernel's TTIR after Triton's passes."""
    backend = SpacemitBackend(triton.backends.compiler.GPUTarget("cpu", "x60", 32))
    options = backend.parse_options({})
    signature = {name: signature.get(name, "constexpr") for name in kernel.arg_names}
    context = ir.context()
    ir.load_dialects(context)
    module = ASTSource(kernel, signature, constants).make_ir(
        backend.target, options, backend.get_codegen_implementation(options), backend.get_module_map(), context
    )
    return optimize(module).str_nodebug()


def calls(text: str) -> list[str]:
    return re.findall(r"tt\.call @__smt\.(\w+?)__", text)


@triton.jit
def product_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, SUB: tl.constexpr):
    a_block = tl.make_block_ptr(a_ptr, (M, K), (K, 1), (0, 0), (BM, BK), (1, 0))
    b_block = tl.make_block_ptr(b_ptr, (K, N), (N, 1), (0, 0), (BK, BN), (1, 0))
    b = smt.view(smt.descriptor_load(b_block, (0, 0)), (0, 0), (BK, BN), (8, 32))
    for s in smt.parallel(0, BM // SUB):
        for _ in range(2):
            smt.compile_hint(b, "mr", 8)
        a = smt.view(smt.descriptor_load(a_block, (s * SUB, 0)), (0, 0), (SUB, BK), (16, 8))
        c = smt.view(smt.dot(a, b), (0, 0), (SUB, BN), (1, 1))
        c_block = tl.make_block_ptr(c_ptr, (M, N), (N, 1), (s * SUB, 0), (SUB, BN), (1, 0))
        tl.store(c_block, c, boundary_check=(0, 1))


def test_product():
    pointers = {name: "*fp16" for name in ("a_ptr", "b_ptr", "c_ptr")} | dict.fromkeys("MNK", "i32")
    text = ttir(product_kernel, pointers, BM=128, BN=64, BK=32, SUB=64)
    assert calls(text) == ["pack", "annotation", "pack", "mmt4d", "unpack"]
    assert re.search(r"mmt4d\w*\(.*smt.transposed = false.*tensor<4x4x16x8xf16>, tensor<4x2x8x32xf16>\) -> tensor<4x2x16x32xf16>", text)
    assert re.search(r"@__smt.pack__\w*\(.*-> tensor<4x2x8x32xf16>", text)
    assert text.count("smt.parallel = true") == 1
    assert text.count("smt.bind_sub_block = true") == 1
    outer, inner = (line for line in text.splitlines() if "scf.for" in line)
    assert text.index(outer) < text.index(inner)
    closing = [line for line in text.splitlines() if line.strip().startswith("} {smt")]
    assert len(closing) == 1
    assert closing[0].index("}") < inner.index("scf")


@triton.jit
def barrier_kernel(n, expect):
    bar = smt.mbarrier(expect_count=expect)
    bars = smt.mbarrier_copies(copies=4)
    buffers = smt.alloc_copies((8, 16), tl.float16, copies=3)
    for i in smt.parallel(n, bind_sub_block=False):
        tl.store(buffers[i], tl.load(buffers[1]) + smt.get_num_of_thread().to(tl.float16))
        smt.barrier_arrive(bars[i])
        smt.barrier_wait(bar, flag=1)
    smt.barrier_set_expect(smt.global_mbarrier(3), n)


def test_barriers_and_buffers():
    text = ttir(barrier_kernel, {"n": "i32", "expect": "i32"})
    expected = ["mbarrier", "mbarrier", "alloc", "get_num_of_thread", "barrier_at", "barrier_arrive", "barrier_wait"]
    assert calls(text) == [*expected, "global_mbarrier", "barrier_set_expect"]
    assert "smt.copies = 4" in text
    assert 'smt.size = 384 : i32, smt.storage = "l2"' in text
    assert "smt.bind_sub_block = false" in text
    assert "arith.muli" in text  # the runtime index of a buffer


@triton.jit
def view_kernel(x_ptr, out_ptr, MODE: tl.constexpr):
    x = tl.make_block_ptr(x_ptr, (32, 64), (64, 1), (0, 0), (32, 64), (1, 0))
    packed = smt.view(tl.load(x), (0, 0), (32, 64), (4, 8))
    if MODE == "same":
        block = smt.view(packed, (0, 0), (32, 64))
    elif MODE == "repack":
        block = smt.view(packed, (0, 0), (32, 64), (8, 16))
    elif MODE == "subview":
        block = smt.view(packed, (8, 16), (16, 32))
    elif MODE == "unpack":
        block = smt.view(packed, (3, 5), (16, 32), (1, 1))
    elif MODE == "window":
        block = smt.view(smt.view(x.load(), (0, 0), (32, 64), (1, 1)), (3, 5), (16, 32), (1, 1))
    elif MODE == "pointer":
        block = tl.load(smt.view(x, (0, 0), (16, 32), (4, 8)), boundary_check=(2, 3), padding_option="zero")
    tl.store(out_ptr + tl.arange(0, 1), tl.sum(block.reshape(block.numel), 0))


@pytest.mark.parametrize(
    ("mode", "names", "type_"),
    [
        ("same", ["pack"], "tensor<8x8x4x8xf32>"),
        ("repack", ["pack", "repack"], "tensor<4x4x8x16xf32>"),
        ("subview", ["pack", "subview"], "tensor<4x4x4x8xf32>"),
        ("unpack", ["pack", "unpack"], "tensor<16x32xf32>"),
        ("window", ["pack", "subview"], "tensor<16x32xf32>"),
        ("pointer", ["pack", "pack"], "tensor<16x32x!tt.ptr<f32>>"),
    ],
)
def test_views(mode, names, type_):
    text = ttir(view_kernel, {"x_ptr": "*fp32", "out_ptr": "*fp32"}, MODE=mode)
    assert calls(text) == names
    assert type_ in text


@triton.jit
def misuse_kernel(x_ptr, MODE: tl.constexpr):
    a = tl.zeros((4, 4, 8, 8), tl.float32)
    flat = tl.zeros((32, 32), tl.float32)
    total = tl.zeros((4,), tl.float32)
    if MODE == "product":
        smt.dot(a, tl.zeros((2, 2, 4, 4), tl.float32))
    elif MODE == "types":
        smt.dot(a, a.to(tl.float16))
    elif MODE == "out":
        smt.dot(a, a, tl.zeros((4, 4, 8, 8), tl.int32))
    elif MODE == "tile":
        smt.view(flat, (0, 0), (32, 32))
    elif MODE == "offset":
        smt.view(a, (3, 0), (8, 32))
    elif MODE == "rank":
        smt.view(total, (0, 0), (4, 4), (2, 2))
    elif MODE == "storage":
        smt.alloc((4, 4), tl.float32, storage="l9")
    elif MODE == "barrier":
        smt.barrier_arrive(flat)
    elif MODE == "hint":
        smt.compile_hint(flat, "speed", 11)
    elif MODE == "descriptor":
        smt.descriptor_load(flat, (0, 0))
    elif MODE == "carried":
        for _ in smt.parallel(0, 4):
            total += 1
        tl.store(x_ptr + tl.arange(0, 4), total)
    elif MODE == "unpacked":
        smt.dot(flat, a)
    elif MODE == "kind":
        smt.dot(a.to(tl.int16), a.to(tl.int16))
    elif MODE == "wider":
        smt.dot(a.to(tl.float16), a.to(tl.bfloat16))
    elif MODE == "integers":
        smt.dot(a.to(tl.int8), a)
    elif MODE == "start":
        smt.dot(a, a, 0.0)
    elif MODE == "uneven":
        smt.view(flat, (0, 0), (32, 32), (3, 8))
    elif MODE == "shape":
        smt.view(flat, (0, 0), (32, 32, 1), (4, 8))
    elif MODE == "extent":
        smt.view(flat, (0, 0), (32, 0), (4, 8))
    elif MODE == "runtime":
        smt.view(flat, (0, 0), (32, tl.program_id(0)), (4, 8))
    elif MODE == "offsets":
        smt.view(flat, (0, 0, 0), (32, 32), (4, 8))
    elif MODE == "fraction":
        smt.view(flat, (0, 0.5), (32, 32), (4, 8))
    elif MODE == "many":
        smt.view(flat, (0, total.to(tl.int32)), (32, 32), (4, 8))
    elif MODE == "scalar":
        smt.view(1.0, (0, 0), (32, 32), (4, 8))
    elif MODE == "destination":
        smt.view(flat, (0, 0), (32, 32), (4, 8), smt.alloc((32, 32)))
    elif MODE == "target":
        smt.view(flat, (0, 0), (32, 32), (4, 8), flat)
    elif MODE == "pointer":
        smt.view(smt.alloc((32, 32)), (0, 0), (32, 32), (4, 8), smt.alloc((8, 4, 4, 8)))
    elif MODE == "depth":
        smt.view(smt.alloc((4, 32, 32)), (0, 0), (32, 32), (4, 8))
    elif MODE == "moves":
        smt.descriptor_load(smt.alloc((32, 32)), (0,))
    elif MODE == "element":
        smt.alloc((4, 4), "f32")
    elif MODE == "size":
        smt.alloc((4, -4))
    elif MODE == "copies":
        smt.alloc_copies((4, 4), tl.float32, copies=0)
    elif MODE == "copy":
        tl.store(smt.alloc_copies((4, 4), tl.float32, copies=2)[2], 0.0)
    elif MODE == "buffers":
        tl.store(smt.alloc_copies((4, 4), tl.float32, copies=2), 0.0)
    elif MODE == "mask":
        tl.load(smt.view(smt.alloc((32, 32)), (0, 0), (32, 32), (4, 8)), mask=a > 0)
    elif MODE == "block":
        tl.store(smt.view(smt.alloc((32, 32)), (0, 0), (32, 32), (4, 8)), a)
    elif MODE == "dimension":
        tiles = smt.view(smt.alloc((32, 32)), (0, 0), (32, 32), (4, 8))
        tl.load(tiles, boundary_check=(4,))
    elif MODE == "barriers":
        smt.barrier_wait(smt.mbarrier_copies(copies=4), flag=1)
    elif MODE == "which":
        smt.barrier_wait(smt.mbarrier_copies(copies=4)[4], flag=1)
    elif MODE == "none":
        smt.mbarrier_copies(copies=0)
    elif MODE == "flag":
        smt.barrier_wait(smt.mbarrier(), flag=total)
    elif MODE == "expect":
        smt.mbarrier(expect_count=1.5)
    elif MODE == "global":
        smt.global_mbarrier(64)
    elif MODE == "hinted":
        smt.compile_hint(3, "mr", 8)
    elif MODE == "value":
        smt.compile_hint(flat, "mr", 0.5)
    elif MODE == "bounds":
        for i in smt.parallel(0, 1.5):
            tl.store(x_ptr + i, 0.0)


@pytest.mark.parametrize(
    ("mode", "message", "line"),
    [
        ("product", "do not fit", "smt.dot(a, tl.zeros((2, 2, 4, 4), tl.float32))"),
        ("types", "the same element type", "smt.dot(a, a.to(tl.float16))"),
        ("out", "out must be", "smt.dot(a, a, tl.zeros((4, 4, 8, 8), tl.int32))"),
        ("tile", "needs a packed_size", "smt.view(flat, (0, 0), (32, 32))"),
        ("offset", "multiple of the tile", "smt.view(a, (3, 0), (8, 32))"),
        ("rank", "takes a 2-D or packed 4-D block", "smt.view(total, (0, 0), (4, 4), (2, 2))"),
        ("storage", "unknown storage 'l9'", 'smt.alloc((4, 4), tl.float32, storage="l9")'),
        ("barrier", "expected a barrier", "smt.barrier_arrive(flat)"),
        ("hint", "unknown hint 'speed'", 'smt.compile_hint(flat, "speed", 11)'),
        ("descriptor", "a block pointer or a tensor descriptor", "smt.descriptor_load(flat, (0, 0))"),
        ("carried", "'total' cannot be carried", "for _ in smt.parallel(0, 4):"),
        ("unpacked", "a_packed must be a packed 4-D block", "smt.dot(flat, a)"),
        ("kind", "multiplies fp16, bf16, fp32, int8 and uint8, not int16", "smt.dot(a.to(tl.int16), a.to(tl.int16))"),
        ("wider", "got fp16 and bf16", "smt.dot(a.to(tl.float16), a.to(tl.bfloat16))"),
        ("integers", "got int8 and fp32", "smt.dot(a.to(tl.int8), a)"),
        ("start", "out must be", "smt.dot(a, a, 0.0)"),
        ("uneven", "must be a power of 2", "smt.view(flat, (0, 0), (32, 32), (3, 8))"),
        ("shape", "shape must have 2 values, got [32, 32, 1]", "smt.view(flat, (0, 0), (32, 32, 1), (4, 8))"),
        ("extent", "shape must be positive, got [32, 0]", "smt.view(flat, (0, 0), (32, 0), (4, 8))"),
        ("runtime", "shape must be a compile-time integer", "smt.view(flat, (0, 0), (32, tl.program_id(0)), (4, 8))"),
        ("offsets", "offsets must have 2 values, got 3", "smt.view(flat, (0, 0, 0), (32, 32), (4, 8))"),
        ("fraction", "an offset of view must be an integer, got fp32", "smt.view(flat, (0, 0.5), (32, 32), (4, 8))"),
        ("many", "an offset of view must be an integer, got", "smt.view(flat, (0, total.to(tl.int32)), (32, 32), (4, 8))"),
        ("scalar", "takes a 2-D or packed 4-D block", "smt.view(1.0, (0, 0), (32, 32), (4, 8))"),
        ("destination", "a block of the shape [8, 4, 4, 8]", "smt.view(flat, (0, 0), (32, 32), (4, 8), smt.alloc((32, 32)))"),
        ("target", "destination must point to a block", "smt.view(flat, (0, 0), (32, 32), (4, 8), flat)"),
        ("pointer", "a view of a pointer is a pointer", "smt.view(smt.alloc((32, 32)), (0, 0), (32, 32), (4, 8), smt.alloc((8, 4, 4, 8)))"),
        ("depth", "a pointer to a 2-D or packed 4-D block", "smt.view(smt.alloc((4, 32, 32)), (0, 0), (32, 32), (4, 8))"),
        ("moves", "expected 2 offsets", "smt.descriptor_load(smt.alloc((32, 32)), (0,))"),
        ("element", "expected an element type, got 'f32'", 'smt.alloc((4, 4), "f32")'),
        ("size", "shape must be positive, got [4, -4]", "smt.alloc((4, -4))"),
        ("copies", "copies must be positive", "smt.alloc_copies((4, 4), tl.float32, copies=0)"),
        ("copy", "there are 2 buffers; 2 is none of them", "tl.store(smt.alloc_copies((4, 4), tl.float32, copies=2)[2], 0.0)"),
        ("buffers", "take one of them by its index", "tl.store(smt.alloc_copies((4, 4), tl.float32, copies=2), 0.0)"),
        ("mask", "mask and other cannot be given", "tl.load(smt.view(smt.alloc((32, 32)), (0, 0), (32, 32), (4, 8)), mask=a > 0)"),
        ("block", "Cannot broadcast", "tl.store(smt.view(smt.alloc((32, 32)), (0, 0), (32, 32), (4, 8)), a)"),
        ("dimension", "boundary_check must name dimensions", "tl.load(tiles, boundary_check=(4,))"),
        ("barriers", "expected a barrier, got barriers<4>", "smt.barrier_wait(smt.mbarrier_copies(copies=4), flag=1)"),
        ("which", "there are 4 barriers; 4 is none of them", "smt.barrier_wait(smt.mbarrier_copies(copies=4)[4], flag=1)"),
        ("none", "copies must be at least 1", "smt.mbarrier_copies(copies=0)"),
        ("flag", "flag must be an integer", "smt.barrier_wait(smt.mbarrier(), flag=total)"),
        ("expect", "expect_count must be an integer", "smt.mbarrier(expect_count=1.5)"),
        ("global", "0 to 63", "smt.global_mbarrier(64)"),
        ("hinted", "a hint is on a tensor", 'smt.compile_hint(3, "mr", 8)'),
        ("value", "the hint's value must be a compile-time integer", 'smt.compile_hint(flat, "mr", 0.5)'),
        ("bounds", "must all be ints", "for i in smt.parallel(0, 1.5):"),
    ],
)
def test_misuse_is_refused_at_its_line(mode, message, line):
    with pytest.raises(CompilationError) as caught:
        ttir(misuse_kernel, {"x_ptr": "*fp32"}, MODE=mode)
    excerpt, _, explanation = str(caught.value).partition("^\n")
    assert message in explanation
    assert excerpt.rstrip().endswith(line)


@triton.jit
def pointer_view_kernel(x_ptr, packed_ptr, out_ptr, M, N, ROWS: tl.constexpr, COLUMNS: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    """Packs from memory to memory, then reads a part of the packed block in its plain form."""
    x = tl.make_block_ptr(x_ptr, (M, N), (N, 1), (0, 0), (ROWS, COLUMNS), (1, 0))
    packed = tl.make_block_ptr(
        packed_ptr,
        (ROWS // P, COLUMNS // Q, P, Q),
        (COLUMNS * P, P * Q, Q, 1),
        (0, 0, 0, 0),
        (ROWS // P, COLUMNS // Q, P, Q),
        (3, 2, 1, 0),
    )
    tiles = smt.view(x, (3, 5), (ROWS, COLUMNS), (P, Q))
    tl.store(packed, tl.load(tiles, boundary_check=(0, 1, 2, 3), padding_option="zero"))
    plain = smt.view(packed, (1, 2), (ROWS // 2, COLUMNS // 2), (1, 1))
    out = tl.make_block_ptr(out_ptr, (ROWS // 2, COLUMNS // 2), (COLUMNS // 2, 1), (0, 0), (ROWS // 2, COLUMNS // 2), (1, 0))
    tl.store(out, tl.load(plain))


def test_views_of_pointers(target):
    m, n, rows, columns, p, q = 21, 40, 32, 64, 4, 8
    x, packed, out = torch.randn(m, n), torch.zeros(rows // p, columns // q, p, q), torch.zeros(rows // 2, columns // 2)
    pointer_view_kernel[(1,)](x, packed, out, m, n, ROWS=rows, COLUMNS=columns, P=p, Q=q)
    padded = torch.zeros(rows, columns)
    padded[: m - 3, : n - 5] = x[3:, 5:]
    assert torch.equal(packed, padded.reshape(rows // p, p, columns // q, q).permute(0, 2, 1, 3))
    assert torch.equal(out, padded[1 : 1 + rows // 2, 2 : 2 + columns // 2])
