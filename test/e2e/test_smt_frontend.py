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
    assert re.search(r'pack__\w*\(.*smt.packed_size = "8,32", smt.shape = "32,64"', text)
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
