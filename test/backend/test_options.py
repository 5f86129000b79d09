"""Compile options: what is accepted, what is refused, what the cache key depends on."""

import dataclasses

import pytest
from triton import knobs
from triton.backends.compiler import GPUTarget

from triton_spacemit.backend import set_device
from triton_spacemit.backend.compiler import SpacemitBackend
from triton_spacemit.backend.errors import OptionError

X60 = GPUTarget("cpu", "x60", 32)


def parse(**options):
    return SpacemitBackend(X60).parse_options(options)


def test_what_triton_and_torch_compile_pass_is_accepted():
    options = parse(
        num_warps=32,
        num_stages=7,
        debug=True,
        sanitize_overflow=False,
        instrumentation_mode="",
        fpsan_homomorphic_casts=False,
        maxnreg=None,
    )
    assert (options.num_warps, options.num_stages, options.debug, options.sanitize_overflow) == (32, 7, True, False)
    assert not options.sanitize
    assert parse(**dataclasses.asdict(options)) == options


def test_debugging_checks_all_that_can_be_checked():
    options = parse(debug=True)
    assert (options.sanitize, options.sanitize_overflow) == (True, True)
    assert parse(debug=True, sanitize_overflow=False, sanitize=True).sanitize


def test_no_options_are_the_defaults():
    options = parse()
    assert options.arch == "x60"
    assert set(options.supported_fp8_dtypes) == {"fp8e5", "fp8e4nv", "fp8e4b8", "fp8e5b16", "fp8e4b15"}
    assert set(options.allowed_dot_input_precisions) == {"ieee", "tf32", "tf32x3", "bf16x3", "bf16x6"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"num_warps": 3}, "num_warps must be a power of 2, got 3"),
        ({"num_warps": 0}, "num_warps must be a power of 2, got 0"),
        ({"num_stages": -1}, "num_stages must not be negative"),
        ({"num_ctas": 2}, "num_ctas=2 is not supported by the cpu backend; only 1 is"),
        ({"instrumentation_mode": "fpsan"}, "instrumentation_mode='fpsan' is not supported"),
    ],
)
def test_what_is_not_supported_is_refused(option, message):
    with pytest.raises(OptionError, match=message):
        parse(**option)


def test_an_empty_arch_is_the_active_chip():
    set_device("null", chip="a100")
    assert SpacemitBackend(GPUTarget("cpu", "", 32)).parse_options({}).arch == "a100"


def test_the_hash_depends_on_options_chip_and_libraries(tmp_path):
    library = tmp_path / "library.bc"
    library.write_bytes(b"one")
    hashes = [parse().hash(), parse(num_warps=8).hash(), parse(arch="a100").hash(), parse(extern_libs={"m": str(library)}).hash()]
    library.write_bytes(b"two")
    hashes.append(parse(extern_libs={"m": str(library)}).hash())
    assert len(set(hashes)) == 5
    assert parse().hash() == hashes[0]


def test_fusion_follows_tritons_knobs(monkeypatch):
    assert parse().enable_fp_fusion
    assert not parse(enable_fp_fusion=False).enable_fp_fusion
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "0")
    assert not parse().enable_fp_fusion
    assert parse(enable_fp_fusion=True).enable_fp_fusion
    monkeypatch.setattr(knobs.language, "force_disable_fp_fusion", True, raising=False)  # Triton 3.8 has none
    assert not parse(enable_fp_fusion=True).enable_fp_fusion
