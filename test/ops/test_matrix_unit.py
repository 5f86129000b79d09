"""Operators do without the matrix unit where the setting `allow_ime` is off: their kernels execute none of its instructions."""

from collections.abc import Callable

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit import ops
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import active_chip, active_index, knobs
from triton_spacemit.ops import quantised

pytestmark = [pytest.mark.qemu, pytest.mark.usefixtures("x60")]


def _int_mm() -> Callable[[], torch.Tensor]:
    a, b = (torch.randint(-128, 128, (32, 32), dtype=torch.int8, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    return lambda: torch._int_mm(a, b)


def _linear(rows: int) -> Callable[[], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    packed = quantised.pack(quantised.quantise(torch.randn(16, 256, generator=generator), "Q8_0"), "Q8_0", (16, 256))
    x = torch.randn(rows, 256, generator=generator)
    return lambda: quantised.linear(x, packed)


def _multiplications(operator: Callable[[], torch.Tensor]) -> tuple[int, torch.Tensor]:
    """Matrix instructions that an operator executes, and its result."""
    results = []
    counts = count(lambda: results.append(operator()))
    return sum(number for name, number in counts.by_mnemonic.items() if "vmadot" in name), results[0]


@pytest.mark.parametrize("made", [_int_mm, lambda: _linear(1), lambda: _linear(8)], ids=["_int_mm", "linear, one row", "linear"])
def test_operators_do_without(made: Callable[[], Callable[[], torch.Tensor]]) -> None:
    operator = made()
    with ops.enabled("_int_mm"):
        used, expected = _multiplications(operator)
        with knobs.scope():
            knobs.allow_ime = False
            unused, result = _multiplications(operator)
        again, _ = _multiplications(operator)
    assert used > 0
    assert unused == 0
    assert again == used
    if expected.dtype is torch.int32:
        assert torch.equal(result, expected)
    else:  # the same sums of integers for each block of 32, added up in float32 in another order
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@triton.jit
def product_kernel(x_ptr, out_ptr):
    i = tl.arange(0, 16)
    places = i[:, None] * 16 + i[None, :]
    x = tl.load(x_ptr + places)
    tl.store(out_ptr + places, tl.dot(x, x, out_dtype=tl.int32))


@pytest.mark.parametrize(("allowed", "option"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_kernel_uses_it_where_setting_and_option_allow_it(allowed: bool, option: bool) -> None:
    x, out = torch.ones(16, 16, dtype=torch.int8), torch.empty(16, 16, dtype=torch.int32)
    knobs.allow_ime = allowed
    kernel = product_kernel[(1,)](x, out, allow_ime=option)
    assert ("vmadot" in kernel.asm["asm"]) == (allowed and option)
    assert (out == 16).all()


def test_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_unit = active_index()
    assert active_chip().ime
    monkeypatch.setenv("TRITON_SPACEMIT_ALLOW_IME", "0")
    assert not active_chip().ime
    assert active_index() != with_unit
    monkeypatch.setenv("TRITON_SPACEMIT_ALLOW_IME", "no")
    with pytest.raises(RuntimeError, match="TRITON_SPACEMIT_ALLOW_IME=no: expected 0 or 1"):
        active_index()


def test_chips_without_one_are_one_target() -> None:
    knobs.device, knobs.chip = "host", "host"
    target = active_index()
    knobs.allow_ime = False
    assert active_index() == target
