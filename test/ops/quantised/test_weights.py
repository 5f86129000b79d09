"""Packed weights in files: written once, mapped after that, written again where they are not what the GGUF file has."""

import json
import os
import random
import threading
from pathlib import Path

import gguf_files as models
import numpy as np
import pytest
import torch
from gguf_files import raw_blocks, write

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised import store
from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.packed import Packed


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model.gguf", 0)


def make_model(path: Path, seed: int) -> Path:
    tensors = {
        "token_embd.weight": (raw_blocks("Q8_0", 40, 64, seed), "Q8_0"),
        "a": (raw_blocks("Q4_0", 20, 64, seed), "Q4_0"),
        "b": (raw_blocks("Q4_1", 33, 64, seed), "Q4_1"),
        "norm": (np.ones(64, np.float32), "F32"),
        "output.weight": (raw_blocks("Q6_K", 40, 256, seed), "Q6_K"),
    }
    return write(path, {"x": 1}, tensors)


class Packing:
    """Loads a model and notes what was packed."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.model, self.folder = model, folder
        self.names: list[str] = []

    def __call__(self, **options: object) -> quantised.Weights:
        self.names = []
        return quantised.load(self.model, cache=self.folder, progress=self.names.append, **options)

    @property
    def file(self) -> Path:
        (file,) = self.folder.glob("*.packed")
        return file


ALL = ["a", "b", "output.weight"]  # the embeddings are only looked up


@pytest.fixture
def packing(model, tmp_path) -> Packing:
    return Packing(model, tmp_path / "cache")


def same(one: quantised.Weights, other: quantised.Weights) -> bool:
    return all(repr(one[name]) == repr(other[name]) and torch.equal(one[name], other[name]) for name in ALL)


def test_they_are_packed_once(packing, model):
    first = packing()
    assert packing.names == ALL
    assert packing.file.stat().st_mode & 0o777 == 0o600
    assert packing.folder.stat().st_mode & 0o777 == 0o700
    again = packing()
    assert packing.names == []
    assert same(first, again)
    assert same(again, quantised.load(model, cache=False))
    assert all(again[name].bytes.data_ptr() % 64 == 0 for name in ALL)
    again["a"].bytes.zero_()  # stays in this process
    assert same(first, packing())


def test_embeddings_are_packed_when_they_are_asked_for(packing, model):
    weights = packing()
    embeddings = weights["token_embd.weight"]
    assert torch.equal(embeddings.unpack().flatten(), weights.file.raw("token_embd.weight"))
    assert weights["token_embd.weight"] is embeddings
    assert packing.names == ALL


def test_what_is_multiplied_by_the_same_rows_is_side_by_side(tmp_path):
    path = models.model(tmp_path / "model.gguf", {"": "Q4_0"})
    weights = quantised.load(path, cache=tmp_path / "cache")
    for layer in range(2):
        for names in (("attn_q", "attn_k", "attn_v"), ("ffn_gate", "ffn_up")):
            parts = [weights.packed[f"blk.{layer}.{name}.weight"] for name in names]
            assert Packed.joined(parts).bytes.data_ptr() == parts[0].bytes.data_ptr()


def test_another_packing_is_another_file(packing):
    packing()
    rounded = packing(packings={"Q4_1": "q4_1x16"})
    assert packing.names == ALL
    assert rounded["b"].packing.name == "q4_1x16"
    assert len(list(packing.folder.glob("*.packed"))) == 2
    with pytest.raises(FormatError, match="Q4_0 has no packing 'q4_1x16'"):
        packing(packings={"Q4_0": "q4_1x16"})
    with pytest.raises(FormatError, match="no such format of weights: 'Q9'"):
        packing(packings={"Q9": "q4_1x16"})


def test_a_changed_model_is_packed_again(packing, model):
    first = packing()
    os.utime(model, ns=(0, 1))
    assert same(first, packing())
    assert packing.names == ALL
    make_model(model.with_name("new.gguf"), 1).rename(model)
    assert not same(first, packing())
    assert packing.names == ALL
    assert same(packing(), quantised.load(model, cache=False))
    assert packing.names == []


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def change_description(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"shape": [20, 64]', b'"shape": [10, 64]'))


def let_others_write(file: Path) -> None:
    file.chmod(0o666)


@pytest.mark.parametrize("damage", [cut, empty, change_description, let_others_write, Path.unlink])
def test_a_damaged_file_is_written_again(damage, packing, model):
    packing()
    damage(packing.file)
    assert same(packing(), quantised.load(model, cache=False))
    assert packing.names == ALL
    packing()
    assert packing.names == []


def test_a_folder_that_others_may_write_to_is_not_read(packing):
    packing()
    packing.folder.chmod(0o777)
    packing()
    assert packing.names == ALL


def test_digests_are_compared_on_demand(packing, model):
    packing()
    data = bytearray(packing.file.read_bytes())
    data[100] ^= 1
    packing.file.write_bytes(data)
    assert not same(packing(), quantised.load(model, cache=False))
    assert packing.names == []
    assert same(packing(verify=True), quantised.load(model, cache=False))
    assert packing.names == ALL


def test_of_many_that_load_at_once_one_packs(packing):
    names: list[str] = []
    threads = [
        threading.Thread(target=quantised.load, args=(packing.model, packing.folder), kwargs={"progress": names.append}) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ALL


def test_what_cannot_be_written_is_said(packing, tmp_path):
    packing.folder.write_text("no folder")
    with pytest.raises(DeviceError, match=f"the folder {packing.folder} cannot be written"):
        packing()


def test_a_full_disk_leaves_nothing(packing, monkeypatch):
    def full(name: str) -> None:
        if name == "b":
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        quantised.load(packing.model, cache=packing.folder, progress=full)
    assert [path.name for path in packing.folder.iterdir()] == ["lock"]


def test_files_of_packed_weights_are_refused_by_name(packing, tmp_path):
    packing()
    whole = packing.file.read_bytes()
    path = tmp_path / "x.packed"
    description = json.loads(whole[-56 - int.from_bytes(whole[-56:-48], "little") : -56])
    assert [row["name"] for row in description["tensors"]] == ALL
    for data, message in (
        (b"", "the file is empty"),
        (b"short", "no packed weights"),
        (whole[:-1], "no packed weights, or cut short"),
        (whole[:-56] + (1 << 63).to_bytes(8, "little") + whole[-48:], "the description of the packed weights is damaged"),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=f"^{path}: {message}"):
            store.read(path)
    weights = quantised.load(packing.model, cache=False)["a"]
    for change, message in (
        ({"start": 1 << 40}, "'a' is not within the file"),
        ({"start": -64}, "'a' is not within the file"),
        ({"start": 1}, "'a' is not within the file"),
        ({"shape": [1 << 30, 64]}, "'a' is not within the file"),
        ({"shape": [20]}, r"packed weights are \(N, K\)"),
        ({"shape": ["20", 64]}, r"packed weights are \(N, K\)"),
        ({"packing": "q8_0x16"}, "Q4_0 has no packing 'q8_0x16'"),
        ({"format": "Q9"}, "no such format of weights: 'Q9'"),
    ):
        store.write(path, [("a", weights)], {})
        written = json.dumps

        def changed(value: dict, change: dict = change, written=written) -> str:
            value["tensors"][0].update(change)
            return written(value)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(store.json, "dumps", changed)
            store.write(path, [("a", weights)], {})
        with pytest.raises(FormatError, match=f"^{path}: {message}"):
            store.read(path)


def test_mutants_of_a_packed_file_are_refused_or_read(packing, tmp_path):
    packing()
    whole, path, generator = packing.file.read_bytes(), tmp_path / "mutant.packed", random.Random(0)
    end = len(whole) - 56 - int.from_bytes(whole[-56:-48], "little")
    read = 0
    for _ in range(300):
        mutant = bytearray(whole)
        place = generator.choice((generator.randrange(len(whole)), generator.randrange(end, len(whole))))
        match generator.randrange(3):
            case 0:
                mutant[place] ^= 1 << generator.randrange(8)
            case 1:
                del mutant[place:]
            case 2:
                del mutant[place : place + generator.randrange(1, 100)]
        path.unlink(missing_ok=True)
        path.write_bytes(mutant)
        try:
            _, tensors = store.read(path)
        except FormatError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
        else:
            assert len(mutant) == len(whole)  # a byte of a tensor is another one, which `verify` finds
            assert list(tensors) == ALL
            with pytest.raises(FormatError, match="are not those that were written"):
                store.read(path, verify=True)
            read += 1
    assert read > 5
