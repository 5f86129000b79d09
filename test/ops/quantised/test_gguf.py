"""GGUF files: what GGML's own reader finds in them, and what is refused, by name."""

import os
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf_files import with_everything

from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.formats import FORMATS
from triton_spacemit.ops.quantised.gguf import GgufFile


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_everything(tmp_path_factory.mktemp("gguf") / "model.gguf")


def test_it_holds_what_ggmls_reader_finds(path):
    file, reader = GgufFile(path), gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in file.metadata.items()} == fields
    assert {type(file.metadata[name]) for name in ("a.yes", "a.no")} == {bool}
    assert list(file.entries) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        entry = file.entries[tensor.name]
        assert (entry.type, entry.start, entry.size) == (tensor.tensor_type.name, tensor.data_offset, tensor.n_bytes)
        assert entry.shape == tuple(reversed(tensor.shape.tolist()))
        assert file.raw(tensor.name).numpy().tobytes() == tensor.data.tobytes()
        if entry.type in ("F32", "F16", "F64", "I32"):
            np.testing.assert_array_equal(file.tensor(tensor.name).numpy(), tensor.data)
    brain = gguf.dequantize(reader.tensors[2].data, gguf.GGMLQuantizationType.BF16)
    np.testing.assert_array_equal(file.tensor("brain").float().numpy(), brain)


def test_what_is_not_there(path):
    file = GgufFile(path)
    with pytest.raises(KeyError, match="there is no tensor 'nothing'"):
        file.raw("nothing")
    with pytest.raises(FormatError, match=r"model.gguf: tensor 'of.Q4_0' is of blocks of Q4_0, not of elements"):
        file.tensor("of.Q4_0")
    with pytest.raises(FileNotFoundError):
        GgufFile(path.with_name("nothing.gguf"))


def test_a_place_that_is_no_multiple_of_an_element(tmp_path):
    values = np.arange(5, dtype=np.float64)
    file = GgufFile(
        made(
            tmp_path,
            keys=[key("general.alignment", 4, struct.pack("<I", 1))],
            tensors=[tensor("x", (5,), 28, 3)],
            data=b"abc" + values.tobytes(),
        )
    )
    np.testing.assert_array_equal(file.tensor("x").numpy(), values)


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...], kind: int, place: int, count: int | None = None) -> bytes:
    """shape: as files have it, the length of a row first."""
    number = len(shape) if count is None else count
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", number, *shape, kind, place)


def made(tmp_path: Path, keys=(), tensors=(), data=b"", version=3, counts=None, magic=b"GGUF", alignment=None) -> Path:
    counts = counts or (len(tensors), len(keys))
    head = magic + struct.pack("<IQQ", version, *counts) + b"".join(keys) + b"".join(tensors)
    if alignment is None:
        alignment = 1 if any(b"general.alignment" in each for each in keys) else 32
    path = tmp_path / "made.gguf"
    path.write_bytes(head + (bytes(-len(head) % alignment) + data if tensors else b""))
    return path


Q4_0, F32 = 2, 0
HUGE = (1 << 64) - 1
REFUSED = {
    "other magic": ({"magic": b"PK34"}, r"it is no GGUF file: it begins with b'PK34'"),
    "version 1": ({"version": 1}, "GGUF version 1 is not supported; 2 and 3 are"),
    "version 9": ({"version": 9}, "GGUF version 9 is not supported"),
    "big-endian": ({"version": 3 << 24}, "big-endian machines"),
    "tensors that are not there": (
        {"counts": (HUGE, 0)},
        f"descriptions of {HUGE} tensors at byte 24 takes {33 * HUGE} bytes, and the file has 0",
    ),
    "values that are not there": ({"counts": (0, HUGE)}, f"metadata of {HUGE} values at byte 24"),
    "a name that is not there": ({"keys": [struct.pack("<Q", HUGE) + b"abcdefghijkl"]}, "the name of metadata value 0 at byte 32 takes"),
    "no name": ({"keys": [key("", 4, bytes(4))]}, "the name of metadata value 0 at byte 24 has 0 bytes"),
    "a name that is no text": ({"keys": [key(b"\xff\xfe", 4, bytes(4))]}, r"at byte 24 is no UTF-8: b'\\xff\\xfe'"),
    "a name twice": ({"keys": [key("a", 4, bytes(4))] * 2}, "metadata has 'a' twice"),
    "an unknown type of value": ({"keys": [key("a", 13, bytes(4))]}, "'a' is of an unknown type, 13"),
    "a truth value of 2": ({"keys": [key("a", 7, b"\2")]}, "'a' has a truth value of 2"),
    "truth values of 9": ({"keys": [key("a", 9, struct.pack("<IQ", 7, 3) + b"\0\1\x09")]}, "'a' has a truth value of 9"),
    "an array of arrays": ({"keys": [key("a", 9, struct.pack("<IQ", 9, 1) + bytes(12))]}, "'a' is an array of arrays"),
    "numbers that are not there": ({"keys": [key("a", 9, struct.pack("<IQ", 10, HUGE))]}, f"'a' of {HUGE} numbers"),
    "strings that are not there": ({"keys": [key("a", 9, struct.pack("<IQ", 8, HUGE))]}, f"'a' of {HUGE} strings"),
    "a string that is not there": ({"keys": [key("a", 9, struct.pack("<IQQ", 8, 1, 99))]}, "string 0 of 'a' at byte"),
    "an alignment of 24": ({"keys": [key("general.alignment", 4, struct.pack("<I", 24))]}, "general.alignment is 24, not a power of two"),
    "an alignment of 0": ({"keys": [key("general.alignment", 4, bytes(4))]}, "general.alignment is 0"),
    "an alignment that is text": ({"keys": [key("general.alignment", 8, text("32"))]}, "general.alignment is '32'"),
    "no dimensions": ({"tensors": [tensor("x", (), F32, 0) + bytes(8)]}, "tensor 'x' has 0 dimensions; it may have 1 to 4"),
    "many dimensions": ({"tensors": [tensor("x", (1,), F32, 0, count=1 << 31)]}, "tensor 'x' has 2147483648 dimensions"),
    "an unknown type": ({"tensors": [tensor("x", (1,), 4, 0)], "data": bytes(4)}, "tensor 'x' is of an unknown type, 4"),
    "a tensor without elements": ({"tensors": [tensor("x", (4, 0), F32, 0)]}, r"tensor 'x' has the shape \(0, 4\), which is 0 elements"),
    "a shape beyond 64 bits": ({"tensors": [tensor("x", (1 << 40, 1 << 40), F32, 0)]}, f"which is {1 << 80} elements"),
    "rows that are no whole blocks": (
        {"tensors": [tensor("x", (33, 2), Q4_0, 0)]},
        "tensor 'x' of Q4_0 has rows of 33 elements, not whole blocks of 32",
    ),
    "a place of its own": (
        {"tensors": [tensor("x", (1,), F32, 4)], "data": bytes(8)},
        "tensor 'x' begins at 4, which is no multiple of 32",
    ),
    "beyond the end": (
        {"tensors": [tensor("x", (8,), F32, 0)], "data": bytes(31)},
        "tensor 'x', 32 bytes from byte 64 on, goes beyond the file's end at 95",
    ),
    "far beyond the end": ({"tensors": [tensor("x", (8,), F32, HUGE - 31)], "data": bytes(32)}, "goes beyond the file's end"),
    "one inside the other": (
        {"tensors": [tensor("x", (8,), F32, 0), tensor("y", (16,), F32, 0)], "data": bytes(64)},
        "tensor 'y' begins at byte 96, inside of 'x', which ends at 128",
    ),
    "two of one name": (
        {"tensors": [tensor("x", (8,), F32, 0), tensor("x", (8,), F32, 32)], "data": bytes(64)},
        "there are two tensors 'x'",
    ),
    "a long name": (
        {"tensors": [tensor("x" * 65, (8,), F32, 0)], "data": bytes(32)},
        "the name of tensor 0 at byte 24 has 65 bytes; it may have 1 to 64",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, tmp_path):
    parts, message = REFUSED[case]
    path = made(tmp_path, **parts)
    with pytest.raises(FormatError, match=f"^{path}: .*{message}"):
        GgufFile(path)


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(FormatError, match="empty.gguf: the file is empty"):
        GgufFile(tmp_path / "empty.gguf")


def test_what_is_no_file(tmp_path):
    """A pipe that nobody writes to is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(FormatError, match=f"{path}: it is no regular file"):
            GgufFile(path)
    with pytest.raises(IsADirectoryError):
        GgufFile(tmp_path)


def test_every_beginning_of_a_file_is_refused(path, tmp_path):
    whole, cut = path.read_bytes(), tmp_path / "cut.gguf"
    file = GgufFile(path)
    end = max(entry.start + entry.size for entry in file.entries.values())
    for size in (*range(1, file.header_size, 7), *range(file.header_size, end, 501), end - 1):
        cut.write_bytes(whole[:size])
        with pytest.raises(FormatError, match="cut.gguf: "):
            GgufFile(cut)


def test_weights_are_packed_or_ordinary(path):
    weights = quantised.load(path, cache=False)
    assert len(weights) == len(list(weights)) == 17
    for kind in FORMATS:
        assert repr(weights[f"of.{kind}"]).startswith(f"<weights (5, 512) of {kind}, packed as ")
        raw = weights.file.raw(f"of.{kind}")
        assert torch.equal(weights[f"of.{kind}"].unpack().flatten(), raw)
        with np.errstate(all="ignore"):
            rows = gguf.dequantize(raw.view(5, -1).numpy(), gguf.GGMLQuantizationType[kind])
        index = torch.tensor([[4, 0], [2, 2]])
        np.testing.assert_array_equal(weights.rows(f"of.{kind}", index).numpy(), rows[index.numpy()])
    assert repr(weights["experts"]) == "<weights (3, 18, 64) of Q4_0, packed as q4_0x16>"
    assert weights["half"].dtype is torch.float16
    assert torch.equal(weights.rows("half", torch.tensor([2])), weights["half"][2:].float())
    with pytest.raises(FormatError, match=r"tensor 'other' \(4, 256\) of IQ2_XXS cannot be packed; matrices of Q4_0"):
        weights["other"]
    with pytest.raises(FormatError, match="tensor 'other' is of IQ2_XXS, which is not supported"):
        weights.rows("other", torch.tensor([0]))
    with pytest.raises(IndexError, match="'of.Q4_0' has rows 0 to 4, not 0 to 5"):
        weights.rows("of.Q4_0", torch.tensor([0, 5]))
    with pytest.raises(KeyError, match="model.gguf: there is no tensor 'nothing'"):
        weights["nothing"]
    with pytest.raises(FormatError, match=r"tensor 'experts' \(3, 18, 64\) is no matrix"):
        weights.rows("experts", torch.tensor([0]))
    with pytest.raises(FormatError, match=r"tensor 'norm' \(96,\) is no matrix"):
        weights.rows("norm", torch.tensor([0]))
    for index, what in ((torch.ones(5, dtype=torch.bool), "torch.bool"), (torch.tensor([0.5]), "torch.float32"), ([0], "list")):
        with pytest.raises(TypeError, match=f"rows of 'of.Q4_0' are chosen by a tensor of integers on the CPU, not by {what}"):
            weights.rows("of.Q4_0", index)
    some = torch.tensor([1, 1, 0])
    assert torch.equal(weights.rows("of.Q8_0", some.to(torch.uint8)), weights.rows("of.Q8_0", some))
    with pytest.raises(TypeError, match="packings are given by format"):
        quantised.load(path, packings=["q4_1x16"])
