"""GGML's kernels beside ours: what of the adapter needs no checkout, and with one (`--ggml CHECKOUT`) the comparison itself."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from quantised_weights import random_weights
from targets import cache, cache_folder

from triton_spacemit.backend import set_device
from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.activations import quantise

__all__ = ["cache", "cache_folder"]

FOLDER = Path(__file__).parents[3] / "third_party" / "ggml"


@pytest.fixture(scope="module")
def compiled() -> Any:
    spec = importlib.util.spec_from_file_location("ggml_compiled", FOLDER / "compiled.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_matrix_instructions_become_words(compiled) -> None:
    """Those of our table, with spaces as they come; other lines stay as they are."""
    rewritten = compiled.rewritten
    assert rewritten('"vmadot       v16, v14, v0    \\n\\t"') == '".word 0xe207382b    \\n\\t"'
    assert rewritten('"vmadotsu v18,v3, v2, i8 \\n"') == '".word 0xe221a92b \\n"'
    assert rewritten('"vmadot v16, v31, v2, i4"') == '".word 0xc22fb82b"'
    for line in ('"vle8.v v4, (s1) \\n\\t" \\', "// the four vmadot of a block"):
        assert rewritten(line) == line


@pytest.mark.parametrize("line", ["vmadot.hp v24, v2, v8, v1, 4, i8", "vmadot3 v16, v2, v12"])
def test_instructions_that_are_not_known(compiled, line) -> None:
    with pytest.raises(compiled.CheckoutError, match=f"does not know the instruction '{line}'"):
        compiled.rewritten(f'"{line}"')


def test_no_checkout(tmp_path) -> None:
    result = subprocess.run([sys.executable, FOLDER / "run.py", "--ggml", tmp_path], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "has no src/ggml-cpu/spacemit/" in result.stderr


@pytest.mark.qemu
@pytest.mark.parametrize("name", ["Q4_1", "Q4_K"])
def test_zero_points(name: str) -> None:
    """Products with GGML's packing of formats with minima, on the cores that GGML's kernels are for and nowhere else."""
    packed = random_weights(name, 40, 256, "q4_1x16")
    x = torch.randn(5, 256, generator=torch.Generator().manual_seed(1))
    set_device("qemu", "x60")
    weights, rows = packed.dequantise(torch.float64), quantise(x).dequantise()
    bound = (rows.abs() @ weights.abs().T) * 16 * 2**-24
    assert ((quantised.linear(x, packed) - rows @ weights.T).abs() <= bound).all()
    with pytest.raises(ValueError, match="q4_1x16 is there to compare with GGML"):
        quantised.linear(torch.zeros(2, 64), random_weights("Q4_1", 16, 64, "q4_1x16"))
    set_device("host")
    with pytest.raises(ValueError, match="q4_1x16 is there to compare with GGML"):
        quantised.linear(x, packed)


@pytest.mark.slow
@pytest.mark.qemu
def test_beside_ours(request) -> None:
    """The same bytes wherever ours promises them; with exact minima a smaller error, and always fewer instructions."""
    checkout = request.config.getoption("--ggml")
    if checkout is None:
        pytest.skip("GGML's kernels are not here: `make slow GGML=CHECKOUT` takes a working copy of its repository, or of llama.cpp's")
    command = [sys.executable, FOLDER / "run.py", "--ggml", checkout, "--rows", "1", "4", "7", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert len(rows) == 9
    for row in rows:
        assert all(row[same] for same in ("same_packing", "same_activations", "same_bits")), row
        assert row["own"] < row["ggml"] * 0.7, row
        exact_at_ggml = row["format"] == "Q4_0"
        assert row["own_error"] == row["ggml_error"] if exact_at_ggml else row["own_error"] < row["ggml_error"] / 5, row
        assert row["own_error"] < 0.01, row
