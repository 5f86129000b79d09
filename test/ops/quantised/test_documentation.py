"""docs/quantised.md says what the tables of formats and packings have, and what rounding costs."""

import re
from pathlib import Path

import pytest
import torch

from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.formats import FORMATS
from triton_spacemit.ops.quantised.packings import PACKINGS
from triton_spacemit.ops.quantised.rounding import ROUNDED

PAGE = (Path(__file__).parents[3] / "docs" / "quantised.md").read_text()
ROWS = {
    cells[0]: cells for cells in ([cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| Q"))
}


def test_every_format_is_on_the_page():
    assert list(ROWS) == list(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_those_of_the_tables(name):
    form, packing = FORMATS[name], next(iter(PACKINGS[name].values()))
    assert packing.exact
    scales = f"{form.group}, minima" if packing.minima else str(form.group)
    bits, packed = form.size * 8 / form.weights, packing.size * 8 / (16 * packing.steps)
    assert ROWS[name][:6] == [name, str(form.weights), scales, f"{bits:.6g}", f"`{packing.name}`", f"{packed:.6g}"]
    assert (ROWS[name][6] == "") == (name not in ROUNDED)


@pytest.mark.parametrize("name", ROUNDED)
def test_errors_are_those_of_rounding(name, host):
    generator = torch.Generator().manual_seed(0)
    weights, x = torch.randn(64, 2048, generator=generator), torch.randn(8, 2048, generator=generator)
    packed = quantised.pack(quantised.quantise(weights, name), name, (64, 2048))
    exact = packed.dequantise(torch.float64)
    assert f"{relative(exact, weights.double()) * 100:.2g}"[:3] == ROWS[name][6].removesuffix(" %")[:3]
    (stated,) = re.findall(r"does: ([\d.]+) % of the result", PAGE)
    assert relative(quantised.linear(x, packed).double(), x.double() @ exact.T) * 100 == pytest.approx(float(stated), rel=0.1)


def relative(value: torch.Tensor, reference: torch.Tensor) -> float:
    return float(((value - reference).square().mean() / reference.square().mean()).sqrt())
