"""Products of matrices and vectors: every path, type and layout; factors; memory that is shared; sizes beyond 32 bits."""

import itertools
import warnings

import pytest
import torch
from opinfos import Outcome

from triton_spacemit import ops
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.products import matrices
from triton_spacemit.ops.products.blocks import choose, heuristic
from triton_spacemit.ops.products.kernels import matrix_product

PATHS = ("EVEN_K", "SPLIT_K", "SPLIT_M", "SPLIT_N")
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)


@pytest.fixture(autouse=True)
def on_the_host(host):
    pass


def random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(torch.iinfo(dtype).min, torch.iinfo(dtype).max, shape, generator=generator, dtype=dtype)


def laid_out(tensor: torch.Tensor, how: str) -> torch.Tensor:
    """The same values: rows contiguous, columns contiguous, neither."""
    if how == "n":
        return tensor.contiguous()
    if how == "t":
        return tensor.mT.contiguous().mT
    wide = torch.zeros(*tensor.shape[:-1], tensor.shape[-1] * 3, dtype=tensor.dtype)
    wide[..., ::3] = tensor
    return wide[..., ::3]


def bound(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of the error of `a @ b`: each of k roundings of sums in float32 or float64, and that of the result to its type."""
    size = a.double().abs() @ b.double().abs()
    sums = torch.finfo(torch.float64 if a.dtype == torch.float64 else torch.float32).eps
    return size * (sums * (a.shape[-1] + 1)) + (a.double() @ b.double()).abs() * torch.finfo(a.dtype).eps + 1e-30


def check(result: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    if a.dtype.is_floating_point:
        assert ((result.double() - a.double() @ b.double()).abs() <= bound(a, b)).all()
    else:
        assert torch.equal(result, (a.long() @ b.long()).to(result.dtype))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("lies", ["nn", "tt", "ss"])
def test_every_path_is_right_at_any_size_and_layout(path, threads, lies):
    kernel = Kernel(matrix_product)
    knobs.threads = threads
    for m, n, k in ((70, 45, 33), (64, 64, 32)):
        a, b = laid_out(random(m, k), lies[0]), laid_out(random(k, n, seed=1), lies[1])
        start = random(n, seed=2).expand(m, n)
        out = torch.full((m, n), float("nan"))
        scales = torch.tensor([0.5, -2.0])
        blocks = {"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 16 if path == "SPLIT_K" else 64, "PART_M": 16, "PART_N": 8}
        micro = dict.fromkeys(("MICRO_M", "MICRO_N", "MICRO_K"), 0)
        arguments = (a, b, out, start, scales, m, n, k, 0, *a.stride(), 0, *b.stride(), 0, *out.stride(), 0, *start.stride())
        kernel((-(-m // 32), -(-n // 32)), *arguments, ALPHA=True, BETA=True, SUM=matrices.SUMS[a.dtype], PATH=path, **blocks, **micro)
        expected = 0.5 * (a.double() @ b.double()) - 2.0 * start.double()
        assert ((out.double() - expected).abs() <= bound(a, b) + 1e-6 * start.abs()).all()


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_every_type_and_layout(dtype):
    with ops.enabled("mm", "bmm"):
        for (m, n, k), lies in (((17, 20, 9), "nn"), ((1, 70, 40), "nt"), ((33, 1, 600), "tn"), ((20, 3, 600), "st"), ((3, 4, 0), "nn")):
            a, b = laid_out(random(m, k, dtype=dtype), lies[0]), laid_out(random(k, n, dtype=dtype, seed=1), lies[1])
            check(torch.mm(a, b), a, b)
            batch_a, batch_b = a.expand(2, m, k), torch.stack([b, b.flip(0)])
            check(torch.bmm(batch_a, batch_b), batch_a, batch_b)
    assert "mm" not in ops.left_to_pytorch()


@pytest.mark.parametrize("shape", [(40, 56, 24), (1, 8, 3), (5, 1, 7), (3, 4, 0), (0, 4, 3), (300, 200, 100)])
def test_int_mm_adds_up_in_int32(shape):
    m, n, k = shape
    a, b = random(m, k, dtype=torch.int8), random(k, n, dtype=torch.int8, seed=1)
    expected = (a.int() @ b.int()) if k else torch.zeros(m, n, dtype=torch.int32)
    with ops.enabled("_int_mm"):
        assert torch.equal(torch._int_mm(a, b), expected)
        assert torch.equal(torch._int_mm(a, laid_out(b, "t")), expected)
        out = torch.full((m, n), 7, dtype=torch.int32)
        assert torch._int_mm(a, b, out=out) is out
        assert torch.equal(out, expected)


@pytest.mark.parametrize(
    "arguments",
    [(random(3, 4), random(4, 3)), (random(3, 4, dtype=torch.int8), random(3, 4, dtype=torch.int8)), (random(3, dtype=torch.int8),) * 2],
)
def test_int_mm_refuses_what_pytorch_refuses(arguments):
    eager = Outcome.of(torch._int_mm, *arguments).error
    with ops.enabled("_int_mm"):
        ours = Outcome.of(torch._int_mm, *arguments).error
    assert type(ours) is type(eager) is not type(None)
    assert str(ours) == str(eager)


def test_factors_of_zero_leave_out_what_they_multiply():
    nan = torch.full((3, 3), float("nan"))
    ones = torch.ones(3, 3)
    with ops.enabled("addmm", "addmv", "baddbmm"):
        assert torch.equal(torch.addmm(nan, ones, ones, beta=0), 3 * ones)
        assert torch.equal(torch.addmm(ones, nan, nan, alpha=0), ones)
        assert torch.equal(torch.addmv(ones[0], nan, nan[0], alpha=0), ones[0])
        assert torch.equal(torch.baddbmm(nan[None], ones[None], ones[None], beta=0), 3 * ones[None])
        assert torch.addmm(nan, ones, ones).isnan().all()
        assert torch.addmm(ones, nan, ones).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=str)
def test_factors_are_not_rounded_to_float32(dtype):
    a, b, start = (random(5, 5, dtype=torch.float64, seed=i).mul(10).to(dtype) for i in range(3))
    alpha, beta = (1 / 3, 1e-9) if dtype == torch.float64 else (1 << 40, (1 << 31) + 1)
    expected = torch.addmm(start, a, b, alpha=alpha, beta=beta)
    with ops.enabled("addmm"):
        torch.testing.assert_close(torch.addmm(start, a, b, alpha=alpha, beta=beta), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("factors", [{"alpha": 2.7, "beta": -1.5}, {"alpha": 1 << 40}, {"beta": 0.5}], ids=str)
def test_factors_of_integers_are_cut_off_or_refused_as_by_pytorch(factors):
    a, start = random(3, 3, dtype=torch.int32), random(3, 3, dtype=torch.int32, seed=1)
    eager = Outcome.of(torch.addmm, start, a, a, **factors)
    with ops.enabled("addmm"):
        ours = Outcome.of(torch.addmm, start, a, a, **factors)
    assert str(ours.error) == str(eager.error)
    assert ours.error or torch.equal(ours.result, eager.result)


def test_results_go_into_memory_that_operands_lie_in():
    for make in (lambda: random(40, 40), lambda: random(40, 40).t()):
        a, b, start = make(), random(40, 40, seed=1), random(40, 40, seed=2)
        expected = start.double() + a.double() @ b.double()
        with ops.enabled("addmm", "mm"):
            for target in (a.clone(), start.clone()):
                left = target if torch.equal(target, a) else a
                torch.addmm(start if left is target else target, left, b, out=target)
                assert ((target.double() - expected).abs() <= bound(a, b) + 1e-5).all()
            square = a.clone()
            torch.mm(square, square, out=square)
            check(square, a, a)
            in_place = start.clone()
            assert in_place.addmm_(a, b) is in_place
            assert ((in_place.double() - expected).abs() <= bound(a, b) + 1e-5).all()
            overlapping = a.clone()
            overlapping.addmm_(overlapping.t(), b)
            assert ((overlapping.double() - (a.double() + a.t().double() @ b.double())).abs() <= bound(a.t(), b) + 1e-5).all()


def test_vectors_of_more_than_2_to_the_31_elements():
    far = torch.tensor([0.5]).as_strided((1,), (0,)).expand((1 << 31) + 1024)
    with ops.enabled("dot"):
        assert torch.dot(far, far).item() == pytest.approx(float(1 << 29), rel=1e-3)


def test_rows_more_than_2_to_the_31_elements_apart():
    distance = (1 << 31) + 8
    memory = torch.empty(2 * distance + 40, dtype=torch.int8)  # of which only what is written here takes memory
    a = memory.as_strided((3, 40), (distance, 1)).copy_(random(3, 40, dtype=torch.int8))
    b = random(40, 5, dtype=torch.int8, seed=1)
    with ops.enabled("mm", "_int_mm", "mv"):
        assert torch.equal(torch._int_mm(a, b), a.int() @ b.int())
        assert torch.equal(torch._int_mm(b.t(), a.t()), (a.int() @ b.int()).t())
        assert torch.equal(torch.mv(a, b[:, 0]), (a.int() @ b[:, 0].int()).to(torch.int8))


def test_each_path_is_chosen():
    """By the heuristic, for shapes of the benchmark."""
    chosen = {
        "EVEN_K": heuristic(1, 512, 512, 512, True, 2),
        "SPLIT_K": heuristic(1, 512, 512, 1024, True, 2),
        "SPLIT_M": heuristic(1, 4096, 512, 512, False, 2),
        "SPLIT_N": heuristic(1, 4096, 128, 512, False, 2),
    }
    assert {path: config["PATH"] for path, config in chosen.items()} == {path: path for path in PATHS}


def test_small_results_of_long_products_are_for_all_threads():
    """Blocks below 64 cost more loads: not where products are short, nor where every thread has a block anyway."""

    def programs(m: int, n: int, k: int, threads: int, batch: int = 1) -> int:
        config = heuristic(batch, m, n, k, True, threads)
        return batch * -(-m // config["BLOCK_M"]) * -(-n // config["BLOCK_N"])

    assert [programs(64, 64, 4096, threads) for threads in (1, 2, 4, 8)] == [1, 2, 4, 4]
    assert programs(64, 64, 256, 2) == 1
    assert programs(64, 64, 4096, 4, batch=8) == 8


def test_there_are_as_many_programs_as_threads():
    for threads, (m, n, k) in itertools.product((1, 2, 8), ((64, 64, 4096), (2048, 64, 64), (128, 1024, 1024))):
        config = heuristic(1, m, n, k, True, threads)
        assert -(-m // config["BLOCK_M"]) * -(-n // config["BLOCK_N"]) >= min(threads, m * n // 64**2)


def test_choices_on_a_chip_have_its_micro_tiles():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constants, down, across = choose("mm", "x60", "float16", 1, 100, 70, 64, "nn", 8)
    assert (constants["MICRO_M"], constants["MICRO_N"], constants["MICRO_K"]) == (16, 32, 8)
    assert down * constants["BLOCK_M"] >= 100
    assert across * constants["BLOCK_N"] >= 70


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("count", [(1 << 19) - 1, (1 << 20) + 3])
def test_a_dot_product_that_several_programs_share(host, dtype, count):
    torch.manual_seed(0)
    a, b = (torch.randint(-4, 5, (2 * count,)).to(dtype)[::2] for _ in range(2))
    expected = torch.dot(a.double(), b.double()) if dtype.is_floating_point else torch.dot(a, b)
    for threads in (1, 2, 3):
        knobs.threads = threads
        with ops.enabled("dot"):
            result = torch.dot(a, b)
        # Whole numbers whose sums float32 has exactly.
        assert torch.equal(result, expected.to(dtype))
