"""Launches with wrong arguments or grids: an error that names kernel and argument, and the next launch works."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from triton import knobs
from triton.compiler.errors import CompilationError

from triton_spacemit.backend.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("host")


@triton.jit
def scale_kernel(x_ptr, out_ptr, n, factor, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, i < n) * factor, i < n)


X = torch.ones(64)
MISTAKES = {
    "numpy": ({"x_ptr": X.numpy()}, r"'x_ptr' of kernel 'scale_kernel' must be a tensor on the CPU, .* got ndarray of float32"),
    "list": ({"x_ptr": [1.0]}, r"'x_ptr' of kernel 'scale_kernel' must be a tensor on the CPU, .* got list"),
    "text": ({"n": "64"}, r"'n' of kernel 'scale_kernel' must be .* a number .* got str"),
    "complex": ({"factor": 2j}, r"'factor' of kernel 'scale_kernel' must be .* a number .* got complex"),
    "complex tensor": ({"x_ptr": X + 0j}, r"'x_ptr' of kernel 'scale_kernel' must be .* got Tensor of torch.complex64"),
    "sparse tensor": ({"x_ptr": X.to_sparse()}, r"'x_ptr' of kernel 'scale_kernel' must be .* got Tensor .*: Cannot access data pointer"),
    "meta tensor": ({"out_ptr": X.to("meta")}, r"'out_ptr' of kernel 'scale_kernel' is a tensor on device 'meta'"),
    "large": ({"n": 1 << 70}, r"'n' of kernel 'scale_kernel' must be .* got int: .*too large"),
    "no hash": ({"BLOCK": [64]}, r"'BLOCK' of kernel 'scale_kernel' must be a value that has a hash, got list"),
}
GRIDS = {"float": (1.5,), "negative": (1, -2), "too large": (1 << 31,), "text": ("1",), "none": (None,), "no tuple": 1, "empty": ()}


def _launch(grid=(1,), kernel=scale_kernel, **changed):
    out = torch.zeros(64)
    arguments = {"x_ptr": X, "out_ptr": out, "n": 64, "factor": 3.0, "BLOCK": 64} | changed
    kernel[grid](**{name: value for name, value in arguments.items() if value is not ...})
    return out


def _works():
    assert torch.equal(_launch(), 3 * X)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_argument_is_named(name):
    changed, message = MISTAKES[name]
    with pytest.raises(ArgumentError, match=message):
        _launch(**changed)
    _works()


def test_a_large_integer_is_an_overflow_too():
    with pytest.raises(OverflowError, match="'n' of kernel 'scale_kernel'"):
        _launch(n=1 << 64)
    _works()


@pytest.mark.parametrize("argument", ["x_ptr", "factor"])
def test_an_argument_that_is_none_is_named(argument):
    with pytest.raises(CompilationError, match=rf"argument '{argument}' of kernel 'scale_kernel' is None"):
        _launch(**{argument: None})
    _works()


@pytest.mark.parametrize("name", ["factor", "BLOCK"])
def test_a_missing_argument_is_named(name):
    with pytest.raises(ArgumentError, match=rf"kernel 'scale_kernel': missing a required argument: '{name}'"):
        _launch(**{name: ...})


def test_too_many_arguments():
    with pytest.raises(ArgumentError, match="kernel 'scale_kernel': too many positional arguments"):
        scale_kernel[(1,)](X, X, 64, 1.0, 64, 7)


@pytest.mark.parametrize("name", GRIDS)
def test_a_wrong_grid_is_refused(name):
    with pytest.raises(ArgumentError, match="the grid of kernel 'scale_kernel' must be"):
        _launch(GRIDS[name])
    _works()


@pytest.mark.parametrize("extent", [np.int64(1), torch.tensor(1), True], ids=["numpy", "tensor", "bool"])
def test_extents_may_be_any_integers(extent):
    assert torch.equal(_launch((extent,)), 3 * X)


def test_an_autotuned_kernel_has_its_arguments_named_too():
    tuned = triton.autotune([triton.Config({"BLOCK": 64})], key=["n"])(scale_kernel)
    with pytest.raises(ArgumentError, match="argument 'n' of kernel 'scale_kernel' must be"):
        _launch(kernel=tuned, n=2j, BLOCK=...)
    assert torch.equal(_launch(kernel=tuned, BLOCK=...), 3 * X)


def test_errors_of_others_stay_as_they_are():
    def hook(*args, **kwargs):
        raise TypeError("of the hook")

    scale_kernel.add_pre_run_hook(hook)
    try:
        with pytest.raises(TypeError, match="^of the hook$"):
            _launch()
    finally:
        scale_kernel.pre_run_hooks.remove(hook)
    _works()


@pytest.mark.parametrize("chain", ["launch_enter_hook", "launch_exit_hook"])
def test_hooks_are_told_of_launches_from_when_they_are_added(chain):
    _works()
    names = []

    def hook(metadata):
        names.append(metadata.get()["name"])

    getattr(knobs.runtime, chain).add(hook)
    try:
        _works()
    finally:
        getattr(knobs.runtime, chain).remove(hook)
    _works()
    assert names == ["scale_kernel"]


def test_options_make_different_kernels():
    out = torch.zeros(64)
    compiled = [scale_kernel[(1,)](X, out, 64, 2.0, BLOCK=64, **options) for options in ({}, {"num_warps": 2}, {"num_warps": 8}, {})]
    assert [kernel.metadata.num_warps for kernel in compiled] == [4, 2, 8, 4]
    assert compiled[0] is compiled[3]
