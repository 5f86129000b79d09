"""Finding QEMU."""

from pathlib import Path

import pytest

from triton_spacemit.backend.devices import find_qemu
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs


def program(path: Path, version: str) -> Path:
    path.write_text(f"#!/bin/sh\necho 'qemu-riscv64 version {version} (Some build)'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty PATH and nothing fetched."""
    monkeypatch.setenv("PATH", f"{tmp_path}/path:/bin:/usr/bin")
    monkeypatch.setattr(find_qemu, "fetched_path", lambda: tmp_path / "fetched")
    (tmp_path / "path").mkdir()
    with knobs.scope():
        knobs.qemu = None
        yield tmp_path


def test_without_qemu_the_message_says_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{machine}/path")
    with pytest.raises(DeviceError, match=r"no qemu-riscv64 was found.*8\.1 or newer.*triton-spacemit-fetch-qemu"):
        find_qemu.find_qemu()


def test_an_old_qemu_is_refused_with_its_version(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        find_qemu.shutil, "which", lambda name: str(program(machine / "path/qemu-riscv64", "7.2.9")) if name == "qemu-riscv64" else None
    )
    with pytest.raises(DeviceError, match=r"path/qemu-riscv64 is version 7\.2\.9\. Running RISC-V code needs"):
        find_qemu.find_qemu()


def test_the_first_recent_one_is_used(machine: Path) -> None:
    program(machine / "path/qemu-riscv64", "7.2.0")
    static = program(machine / "path/qemu-riscv64-static", "8.1.0")
    assert find_qemu.find_qemu() == str(static)
    fetched = program(machine / "fetched", "10.0.13")
    assert find_qemu.find_qemu() == str(fetched)
    chosen = program(machine / "chosen", "9.0")
    knobs.qemu = str(chosen)
    assert find_qemu.find_qemu() == str(chosen)


def test_a_chosen_one_that_does_not_run_is_refused(machine: Path) -> None:
    knobs.qemu = str(machine / "nowhere")
    with pytest.raises(DeviceError, match="nowhere does not run"):
        find_qemu.find_qemu()
