"""Mutants of files are refused by name, or read: nothing else happens, and none takes memory by its word alone."""

import contextlib
import random
import resource
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gguf_files import model as make_model
from gguf_files import with_everything

from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.gguf import GgufFile
from triton_spacemit.ops.quantised.model import Model

HUGE = (1 << 64) - 1


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_everything(tmp_path_factory.mktemp("gguf") / "model.gguf")


def mutants(data: bytes, header: int, count: int, seed: int) -> Iterator[bytes]:
    """Files that differ from `data` in a few places, most of them in front of the tensors."""
    generator = random.Random(seed)
    numbers = [0, 1, 2, 3, 7, 9, 31, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, HUGE]
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(generator.choice((1, 1, 1, 2, 5))):
            place = generator.randrange(header + 16)
            match generator.randrange(8):
                case 0:
                    mutant[place] ^= 1 << generator.randrange(8)
                case 1:
                    mutant[place] = generator.randrange(256)
                case 2:
                    mutant[place : place + 8] = struct.pack("<Q", generator.choice(numbers))
                case 3:
                    mutant[place : place + 4] = struct.pack("<I", generator.choice(numbers) & 0xFFFFFFFF)
                case 4:
                    del mutant[generator.randrange(len(mutant)) :]
                case 5:
                    del mutant[place : place + generator.randrange(1, 40)]
                case 6:
                    start = generator.randrange(header)
                    mutant[place:place] = mutant[start : start + generator.randrange(1, 200)]
                case 7:
                    start = generator.randrange(header)
                    piece = mutant[start : start + generator.randrange(1, 60)]
                    mutant[place : place + len(piece)] = piece
            if len(mutant) < header + 16:
                mutant += bytes(header + 16 - len(mutant))
        yield bytes(mutant)


def read_all(path: Path) -> None:
    """Packs what can be packed; the rest is read, or refused."""
    weights = quantised.load(path, cache=False)
    for name in weights:
        try:
            assert weights[name].shape == weights.file.entries[name].shape
        except FormatError as error:
            assert str(error).startswith(f"{path}: tensor")  # noqa: PT017


def read_model(path: Path) -> None:
    """Makes a model, and turns a text into its tokens."""
    tokenizer = Model(quantised.load(path, cache=False)).tokenizer
    with contextlib.suppress(ValueError):  # a vocabulary without bytes
        tokenizer.decode(tokenizer.encode("the text", special=True))


def check_mutants(path: Path, folder: Path, read_one: Callable[[Path], None], count: int, seed: int) -> tuple[int, int]:
    """Reads each mutant: how many were refused, and how many read. Fails for anything else, and for memory."""
    whole, header = path.read_bytes(), GgufFile(path).header_size
    refused = read = 0
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, mutant in enumerate(mutants(whole, header, count, seed)):
        mutated = folder / "mutant.gguf"
        mutated.unlink(missing_ok=True)
        mutated.write_bytes(mutant)
        tracemalloc.start()
        try:
            read_one(mutated)
            read += 1
        except FormatError as error:
            assert str(error).startswith(f"{mutated}: ")  # noqa: PT017
            assert len(str(error)) < 2000  # noqa: PT017
            refused += 1
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 100_000 + 20 * len(mutant), f"mutant {number} of seed {seed} took {peak} bytes"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < resident + (100 << 10), "PyTorch took more than 100 MB"
    return refused, read


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("gguf") / "model.gguf", {"": "Q4_0"}, layers=1)


def test_mutants_are_refused_or_read(path, tmp_path):
    refused, read = check_mutants(path, tmp_path, read_all, 400, seed=0)
    assert min(refused, read) > 20


def test_mutants_of_a_model_are_refused_or_read(model, tmp_path):
    refused, read = check_mutants(model, tmp_path, read_model, 200, seed=0)
    assert min(refused, read) > 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_thousand_mutants(path, tmp_path, seed):
    check_mutants(path, tmp_path, read_all, 1000, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_thousand_mutants_of_a_model(model, tmp_path, seed):
    check_mutants(model, tmp_path, read_model, 1000, seed)
