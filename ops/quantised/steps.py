"""What a model of the llama family does between its products: turning heads by their place, and gating."""

import torch
import triton
import triton.language as tl

from triton_spacemit.ops.elementwise.activations import gelu_tanh, silu
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.sizes import power_of_two

_BLOCK = 1024


@triton.jit(do_not_specialize=["x_head", "x_token", "out_head", "out_token"])
def _turn(
    x, cosines, sines, out, x_head, x_token, out_head, out_token,
    HEAD: tl.constexpr, HALF: tl.constexpr, APART: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A head of a token a program. Element `d` is turned with the one `APART` behind it where that is not 1, else 2d with 2d + 1."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    d = tl.arange(0, BLOCK)
    first = d if APART > 1 else 2 * d
    x += token * x_token + head * x_head
    out += token * out_token + head * out_head
    cosine = tl.load(cosines + token * HALF + d, d < HALF)
    sine = tl.load(sines + token * HALF + d, d < HALF)
    one = tl.load(x + first, d < HALF)
    other = tl.load(x + first + APART, d < HALF)
    tl.store(out + first, one * cosine - other * sine, d < HALF)
    tl.store(out + first + APART, one * sine + other * cosine, d < HALF)
    for start in range(2 * HALF, HEAD, BLOCK):
        rest = start + d
        tl.store(out + rest, tl.load(x + rest, rest < HEAD), rest < HEAD)


@triton.jit(do_not_specialize=["count"])
def _gate(x, out, count, GELU: tl.constexpr, BLOCK: tl.constexpr):
    """Program: a part of a row of `out`, (part, row). A row of `x` is twice as long."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.program_id(1).to(tl.int64)
    x += row * 2 * count
    gate = tl.load(x + i, i < count)
    if GELU:
        passed = gelu_tanh(gate)
    else:
        passed = silu(gate)
    tl.store(out + row * count + i, passed * tl.load(x + count + i, i < count), i < count)


_TURN, _GATE = Kernel(_turn), Kernel(_gate)


def turn(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor, adjacent: bool, out: torch.Tensor) -> None:
    """Rotary embedding (Su et al., "RoFormer", 2021) of each token's heads into `out`, which may be `x`.

    x, out: float32 (tokens, heads, head), the elements of a head side by side. cosines, sines: float32 (tokens, pairs), contiguous. The
    first 2 * pairs elements of a head are turned: 2d with 2d + 1 where they are adjacent, else d with d + pairs; the rest stay.
    """
    tokens, heads, head = x.shape
    half = cosines.shape[1]
    strides = x.stride(1), x.stride(0), out.stride(1), out.stride(0)
    _TURN((tokens, heads), x, cosines, sines, out, *strides, HEAD=head, HALF=half, APART=1 if adjacent else half, BLOCK=power_of_two(half))


def gate(x: torch.Tensor, gelu: bool = False) -> torch.Tensor:
    """`silu(x[:, :n]) * x[:, n:]` (Shazeer, "GLU Variants Improve Transformer", 2020) of contiguous float32 (rows, 2 * n); `gelu`: GELU by
    its approximation with tanh in the place of SiLU.
    """
    rows, count = x.shape[0], x.shape[1] // 2
    out = x.new_empty(rows, count)
    _GATE((-(-count // _BLOCK), rows), x, out, count, GELU=gelu, BLOCK=_BLOCK)
    return out
