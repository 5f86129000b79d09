"""`triton-spacemit gguf`: what it prints of a file, what it packs and measures, and what it refuses."""

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path

import gguf
import pytest
from gguf_files import model as make_model

from triton_spacemit.backend.tools import cli
from triton_spacemit.ops.quantised import store


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kinds = {"": "Q4_0", "attn_v.weight": "F16", "ffn_down.weight": "Q6_K"}
    return make_model(tmp_path_factory.mktemp("gguf") / "small.gguf", kinds, layers=1)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command: its exit code, what it printed, and its errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["triton-spacemit", "gguf", *map(str, words)])
        code = cli.main()
        return code, *capsys.readouterr()

    return run


def test_it_lists_a_file(run, path):
    code, out, _ = run(path)
    assert code == 0
    assert "general.architecture: llama\n" in out
    assert "tokenizer.ggml.tokens: 283 values\n" in out
    tensors = gguf.GGUFReader(path).tensors
    elements, size = sum(int(each.n_elements) for each in tensors), sum(each.n_bytes for each in tensors)
    assert f"12 tensors of {elements:,} elements in {size:,} bytes: every number is in order" in out
    (row,) = [line for line in out.splitlines() if "blk.0.ffn_down.weight" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "blk.0.ffn_down.weight",
        "Q6_K",
        "256 x 512",
        "107,520",
        "q6_k_exact_x16",
        "140,288",
    ]


def test_it_packs_and_compares(run, path, tmp_path):
    code, out, err = run(path, "--pack", "--json", "--cache", tmp_path / "cache")
    assert code == 0
    assert "comparing" in err
    report = json.loads(out)
    assert report["metadata"]["llama.attention.head_count_kv"] == 2
    assert {row["name"]: row["packing"] for row in report["tensors"]}["blk.0.attn_q.weight"] == "q4_0x16"
    (file,) = (tmp_path / "cache").glob("*.packed")
    assert report["packed"]["file"] == str(file)
    assert (report["packed"]["tensors"], report["packed"]["compared"]) == (7, 7)  # all but the values' matrix, and the embeddings
    report = json.loads(run(path, "--pack", "--json", "--cache", tmp_path / "cache")[1])
    assert (report["packed"]["tensors"], report["packed"]["compared"]) == (0, 7)
    # a byte of the mapped weights that is another one
    data = bytearray(file.read_bytes())
    data[32] ^= 1
    file.write_bytes(data)
    code, _, err = run(path, "--pack", "--cache", tmp_path / "cache")
    assert code == 1
    assert f"{file}: the packed weights of 'blk.0.attn_q.weight' are not those of {path}; remove the file" in err


def test_it_refuses(run, path, tmp_path, monkeypatch):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(path.read_bytes()[:-1000])
    code, out, err = run(cut)
    assert (code, out) == (1, "")
    assert err.startswith(f"triton-spacemit gguf: {cut}: tensor 'output.weight', ")
    code, out, err = run(tmp_path / "nothing.gguf")
    assert (code, out) == (1, "")
    assert "No such file or directory" in err
    assert run(path, "--rows", 0)[0] == 2

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.folders, "write", full)
    code, out, err = run(path, "--pack", "--cache", tmp_path / "cache")
    assert (code, out) == (1, "")
    assert "No space left on device" in err


def test_it_is_found_by_its_entry_point():
    (found,) = [entry for entry in entry_points(group="triton_spacemit.commands") if entry.name == "gguf"]
    assert found.value == "triton_spacemit.ops.quantised.command:add_parser"


@pytest.mark.parametrize("chip", ["host", pytest.param("x60", marks=pytest.mark.qemu)])
def test_it_measures(chip, run, path, tmp_path, host):
    code, out, _ = run(path, "--measure", "--json", "--cache", tmp_path, "--rows", 1, 4, "--seconds", 0, "--chip", chip)
    assert code == 0
    products = json.loads(out)["products"]
    assert {(row["type"], *row["shape"], row["rows"]) for row in products} == {
        (kind, *shape, rows)
        for rows in (1, 4)
        for kind, *shape in (("Q4_0", 256, 256), ("Q4_0", 64, 256), ("Q4_0", 512, 256), ("Q4_0", 283, 256), ("Q6_K", 256, 512))
    }
    for row in products:
        if chip == "host":
            size = 1.0625 if row["type"] == "Q6_K" else 0.5625
            assert row["GB a second"] * row["seconds"] * 1e9 >= size * row["shape"][0] * row["shape"][1] * (1 - 1e-9)
        else:
            assert 0.01 < row["instructions a weight"] < 20
