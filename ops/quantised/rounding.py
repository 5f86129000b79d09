"""Weights to GGML's blocks, by the rounding of its reference, `quantize_row_*_ref` in ggml-quants.c: the same bytes.

The K-quants are not among them: GGML searches for their scales.
"""

import torch

from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.formats import Format, Parts, get_format


def quantise(weights: torch.Tensor, format_name: str) -> torch.Tensor:
    """Raw blocks, uint8 (.., bytes of a row), of floating-point weights (.., K), which are rounded to float32 first.

    As with GGML, scales and minima are infinite where float16 has no such number. Raises FormatError for formats that GGML has no plain
    rounding for, rows that are no whole blocks, and weights that are not finite.
    """
    form = get_format(format_name)
    if format_name not in ROUNDED:
        raise FormatError(f"weights cannot be rounded to {format_name}; they can be to {', '.join(ROUNDED)}")
    if not isinstance(weights, torch.Tensor):
        raise FormatError(f"rows of floating-point weights are wanted, not a {type(weights).__name__}")
    if not weights.is_floating_point() or not weights.dim() or not weights.is_cpu:
        raise FormatError(f"rows of floating-point weights are wanted, not {tuple(weights.shape)} of {weights.dtype} on {weights.device}")
    form.bytes_of(weights.shape[-1])
    blocks = weights.detach().float().unflatten(-1, (-1, form.weights))
    if not blocks.isfinite().all():
        raise FormatError(f"weights that are infinite or no numbers cannot be rounded to {format_name}")
    return form.write(_rounded(form, blocks)).flatten(-2)


def _rounded(form: Format, blocks: torch.Tensor) -> Parts:
    if form.name == "Q8_0":
        scale = blocks.abs().amax(-1) / 127
        return Parts(_away_from_zero(blocks * _inverse(scale)).to(torch.int8), scale.half())
    if form.least:
        largest = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True)).squeeze(-1)
        scale = largest / form.least
        integers = (blocks * _inverse(scale) + (0.5 - form.least)).to(torch.int32).clamp(max=form.most - form.least) + form.least
        return Parts(integers.to(torch.int8), scale.half())
    minimum = blocks.amin(-1)
    scale = (blocks.amax(-1) - minimum) / form.most
    integers = ((blocks - minimum.unsqueeze(-1)) * _inverse(scale) + 0.5).to(torch.int32).clamp(max=form.most)
    return Parts(integers.to(torch.int8), scale.half(), minimum.half())


#: Formats that weights can be rounded to.
ROUNDED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


def _inverse(scale: torch.Tensor) -> torch.Tensor:
    """1 / scale of each block; 0 for 0, and for the few scales so small that their inverse is infinite: in float16 they are 0."""
    inverse = 1 / scale
    return torch.where(inverse.isfinite(), inverse, 0).unsqueeze(-1)


def _away_from_zero(values: torch.Tensor) -> torch.Tensor:
    """C's roundf: halves go away from zero."""
    size = values.abs()
    whole = size.floor()
    return torch.copysign(whole + (2 * (size - whole)).floor(), values)
