"""Every shared kernel against its reference, on every device; element types, block sizes and shapes where a kernel takes them."""

from dataclasses import replace

import pytest
import torch
import triton
import triton.language as tl
from kernels import attention, catalog, control_flow, elementwise, matmul, overlap, softmax
from kernels.case import Case, error_ratio, random

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64)
BLOCKS = (1, 2, 16, 128, 1024, 8192, 65536)


def check(case: Case, *inputs: object) -> None:
    ratio = error_ratio(case.run(*inputs), case.reference(*inputs), case.bound(*inputs))
    assert ratio <= 1, f"{case.name}: the error is {ratio:.3g} times its bound"


@pytest.mark.parametrize("name", catalog.CASES)
def test_default_inputs(target, name):
    case = catalog.CASES[name]
    check(case, *case.inputs())


@pytest.mark.parametrize("dtype", [*FLOATS, torch.float64, *INTEGERS, torch.uint8, torch.bool], ids=str)
def test_add_types(target, dtype):
    check(elementwise.ADD, *elementwise.ADD.inputs(dtype=dtype))


@pytest.mark.parametrize("block", BLOCKS)
def test_add_blocks(target, block):
    """A block that the tensor fills, one that it does not, and several of them."""
    for size in (block, max(block - 1, 1), min(3 * block + 1, 100_003)):
        inputs = elementwise.ADD.inputs(size=size)
        check(replace(elementwise.ADD, run=lambda x, y: elementwise.add(x, y, block)), *inputs)


def test_add_leaves_the_rest_alone(target):
    """Nothing outside the mask is written."""
    out = torch.full((4096,), 7.0)
    x = torch.ones(4096)
    elementwise.add_kernel[(4,)](x, x, out, 3001, BLOCK=1024)
    assert out.tolist() == [2.0] * 3001 + [7.0] * 1095


@pytest.mark.parametrize("dtype", FLOATS[1:], ids=str)
@pytest.mark.parametrize("name", ["gelu_tanh", "gelu_erf", "silu", "softmax", "layer_norm", "layer_norm_backward", "dropout"])
def test_half_precision(target, name, dtype):
    case = catalog.CASES[name]
    check(case, *case.inputs(dtype=dtype))


@pytest.mark.parametrize("columns", [1, 2, 3, 17, 128, 1000, 1024, 12_345, 65_536])
def test_softmax_columns(target, columns):
    check(softmax.SOFTMAX, *softmax.SOFTMAX.inputs(size=(3, columns)))


def test_softmax_extremes(target):
    """Rows of equal values, of one huge value, with infinities, and with a NaN."""
    x = torch.zeros(5, 100)
    x[1, 3] = 1e30
    x[2, :50] = -float("inf")
    x[3] = torch.linspace(-80, 80, 100)
    x[4, 7] = float("nan")
    check(softmax.SOFTMAX, x)


@triton.jit
def divide(x, y):
    return x // y


@triton.jit
def remainder(x, y):
    return x % y


@triton.jit
def maximum(x, y):
    return tl.maximum(x, y)


@triton.jit
def product(x, y):
    return x * y


@triton.jit
def bits(x, y):
    return (x & y) | (x ^ (y >> 1)) | ((x << 2) & ~y)


@triton.jit
def less(x, y):
    return (x < y) | (x == y + 1)


ARITHMETIC = {
    "divide": (divide, lambda x, y: torch.div(x, y, rounding_mode="trunc")),
    "remainder": (remainder, torch.fmod),
    "maximum": (maximum, torch.maximum),
    "product": (product, lambda x, y: x * y),
    "bits": (bits, lambda x, y: (x & y) | (x ^ (y >> 1)) | ((x << 2) & ~y)),
}


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_integers(target, name, dtype):
    """All pairs of 8 bits (the quotient of the smallest number and -1 is undefined, as in C)."""
    op, reference = ARITHMETIC[name]
    if dtype == torch.int8:
        x, y = (t.reshape(-1).to(dtype) for t in torch.meshgrid(torch.arange(-128, 128), torch.arange(-128, 128), indexing="ij"))
    else:
        x, y = random(3000, dtype=dtype), random(3000, dtype=dtype, seed=1)
    y = torch.where((y == 0) | ((y == -1) & (x == torch.iinfo(dtype).min)), 3, y).to(dtype)
    assert torch.equal(elementwise.binary(x, y, op), reference(x, y))


def test_comparison_stores_bool(target):
    x, y = random(1000, dtype=torch.int32), random(1000, dtype=torch.int32, seed=1)
    y[::3] = x[::3]
    assert torch.equal(elementwise.binary(x, y, less, dtype=torch.bool), (x < y) | (x == y + 1))


@triton.jit
def identity(x):
    return x


@pytest.mark.parametrize("to", [*FLOATS, *INTEGERS, torch.bool], ids=str)
@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, torch.bool], ids=str)
def test_conversions(target, source, to):
    """Every pair of types; floats to integers only where the value fits."""
    x = random(2000, dtype=source)
    if source.is_floating_point and not to.is_floating_point and to != torch.bool:
        x = x * 30
    assert torch.equal(elementwise.unary(x, identity, dtype=to), x.to(to))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int8], ids=str)
@pytest.mark.parametrize("size", [(64, 64, 32), (1, 1, 1), (65, 33, 31), (16, 200, 7), (130, 129, 128)], ids=str)
def test_matmul_sizes(target, size, dtype):
    check(matmul.MATMUL, *matmul.inputs(dtype, size))


@pytest.mark.parametrize("dtype", FLOATS[1:], ids=str)
def test_matmul_float32_result(target, dtype):
    """Products of half precision keep float32's accuracy where the result is float32."""
    case = Case("matmul", lambda a, b: matmul.matmul(a, b, dtype=torch.float32), matmul.reference, matmul.inputs, matmul.bound)
    a, b = matmul.inputs(dtype)
    check(replace(case, bound=lambda a, b: matmul.bound(a, b, torch.float32)), a, b)


@pytest.mark.parametrize("layout", ["nt", "tn", "tt", "sliced"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8], ids=str)
def test_matmul_layouts(target, layout, dtype):
    a, b = matmul.inputs(dtype)
    if layout == "sliced":
        a, b = a[::2, 1:], b[1:, ::3]
    else:
        a = a.T.contiguous().T if layout[0] == "t" else a
        b = b.T.contiguous().T if layout[1] == "t" else b
    check(matmul.MATMUL, a, b)


@pytest.mark.parametrize("blocks", [(16, 16, 16), (32, 128, 64), (128, 32, 16), (1, 64, 64)], ids=str)
def test_matmul_blocks(target, blocks):
    check(replace(matmul.MATMUL, run=lambda a, b: matmul.matmul(a, b, blocks=blocks)), *matmul.inputs(size=(100, 90, 70)))


@pytest.mark.parametrize("host_made", [False, True], ids=["device", "host"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_matmul_descriptors(target, host_made, dtype):
    case = matmul.MATMUL_HOST_DESCRIPTORS if host_made else matmul.MATMUL_DESCRIPTORS
    check(case, *matmul.aligned_inputs(dtype))


@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
@pytest.mark.parametrize("size", [(2, 2, 64, 16), (1, 1, 33, 64), (1, 2, 70, 128)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_attention(target, dtype, size, causal):
    check(attention.ATTENTION, *attention.inputs(dtype, size), causal)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_branches(target, mode):
    x, y, _ = control_flow.BRANCHES.inputs(dtype=torch.float32)
    check(control_flow.BRANCHES, x.round(decimals=2), y, mode)


@pytest.mark.parametrize(("start", "end", "step"), [(0, 0, 1), (5, 3, 1), (0, 1, 7), (0, 20, 20), (3, 40, 6)])
def test_for_bounds(target, start, end, step):
    check(control_flow.FOR, random(200, dtype=torch.int64), start, end, step)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["shift_1", "shift_-3", "shift_constant_1", "shift_views_-1", "reverse", "transpose"])
def test_overlap_types(target, name, dtype):
    case = catalog.CASES[name]
    check(case, *case.inputs(dtype=dtype))


@pytest.mark.parametrize("size", [2, 3, 16, 17, 4096, 20_000, 65_537])
@pytest.mark.parametrize("distance", [1, -1])
def test_overlap_sizes(target, size, distance):
    check(Case("shift", overlap.shift, overlap.shift_reference, tuple, lambda *_: 0.0), random(size), distance)


@pytest.mark.parametrize("block", [2, 8, 32, 64, 256])
def test_whole_blocks_that_overlap(target, block):
    """Of a vector and of several; a block that is one vector is loaded before anything is stored."""
    case = Case("exchange", overlap.exchange, overlap.exchange_reference, tuple, lambda *_: 0.0)
    for distance in (1, block // 2, block):
        check(case, random(2 * block), distance, block)


@triton.jit
def fill_kernel(out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, 1.0, i < n)


@pytest.mark.parametrize(("n", "filled"), [(-(2**63), 0), (2**63 - 1, 256), (100, 100)])
def test_bounds_of_64_bits(target: str, n: int, filled: int) -> None:
    out = torch.zeros(256)
    fill_kernel[(4,)](out, n, BLOCK=64)
    assert out.tolist() == [1.0] * filled + [0.0] * (256 - filled)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 1), (1, 1, 5), (5, 7, 3)], ids=str)
def test_products_read_nothing_beside_their_operands(target: str, size: tuple[int, int, int]) -> None:
    """A and B lie among NaNs; extents of 1 are constants of the kernel."""
    m, n, k = size
    room = torch.full((2, 64, 64), float("nan"))
    a, b = room[0, :m, :k], room[1, :k, :n]
    a.copy_(random(m, k))
    b.copy_(random(k, n, seed=1))
    assert torch.allclose(matmul.matmul(a, b), a @ b, rtol=1e-5, atol=1e-6)
