"""Tensors that a board keeps on its disk: sent once, and never taken for what they are not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from targets import own_board

from triton_spacemit.backend import board, set_device
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import active_target, knobs

SIZE = 1 << 18


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """That of a board, this machine itself, which is not there yet."""
    with knobs.scope():
        knobs.board = own_board("--cache", str(tmp_path / "blobs"))
        set_device("remote", "host")
        yield tmp_path / "blobs"
        get_device(*active_target()).close()


def sent(source: torch.Tensor) -> int:
    """The bytes that go over the link for a tensor that is kept, in a session of its own; it is what it is."""
    device = get_device(*active_target())
    device.close()
    with device.session() as session:
        before = session.link.sent_bytes
        assert torch.equal(board.tensor(source, keep=True).cpu(), source)
        return session.link.sent_bytes - before


def test_they_are_sent_once(folder: Path) -> None:
    weights = torch.randn(SIZE)
    assert sent(weights) > 4 * SIZE
    assert sent(weights) < 1000
    (blob,) = folder.iterdir()
    assert blob.read_bytes() == weights.numpy().tobytes()
    assert blob.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_others_are_others(folder: Path) -> None:
    weights = torch.randn(SIZE)
    sent(weights)
    weights[7] += 1
    assert sent(weights) > 4 * SIZE
    assert sent(weights.reshape(2, -1).T) > 4 * SIZE  # its rows lie otherwise
    assert sent(weights.reshape(2, -1)) < 1000
    assert sent(torch.empty(0)) < 1000
    assert len([*folder.iterdir()]) == 3


@pytest.mark.parametrize("damage", [b"", b"\0" * 4 * SIZE, b"short"])
def test_what_was_damaged_is_sent_again(folder: Path, damage: bytes) -> None:
    weights = torch.randn(SIZE)
    sent(weights)
    (blob,) = folder.iterdir()
    blob.write_bytes(damage)
    assert sent(weights) > 4 * SIZE
    assert sent(weights) < 1000


def test_a_link_in_its_place_is_not_followed(folder: Path, tmp_path: Path) -> None:
    weights = torch.randn(SIZE)
    sent(weights)
    (blob,) = folder.iterdir()
    other = tmp_path / "other"
    other.write_bytes(weights.numpy().tobytes())
    blob.unlink()
    blob.symlink_to(other)
    assert sent(weights) > 4 * SIZE
    assert not blob.is_symlink()


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    folder.write_text("a file")
    weights = torch.randn(SIZE)
    assert sent(weights) > 4 * SIZE
    assert sent(weights) > 4 * SIZE


def test_a_board_without_a_folder() -> None:
    with knobs.scope():
        knobs.board = own_board()
        set_device("remote", "host")
        with pytest.raises(DeviceError, match="keeps nothing: its agent is run without --cache FOLDER"):
            board.tensor(torch.ones(3), keep=True)
        assert board.tensor(torch.ones(3)).cpu().tolist() == [1.0, 1.0, 1.0]
        get_device(*active_target()).close()
