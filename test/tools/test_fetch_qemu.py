"""Fetching QEMU: which mirror, what apt is told, and on a machine without apt."""

import os
from pathlib import Path

import pytest

from triton_spacemit.backend.tools import debian, fetch_qemu


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("sources", "mirror"),
    [
        ("deb http://one.example/debian bookworm main", "http://one.example/debian"),
        (
            "# deb http://no.example/debian x\ndeb [signed-by=/a arch=amd64] https://two.example/debian/ trixie main",
            "https://two.example/debian/",
        ),
        ("Types: deb\nURIs: http://three.example/debian\nSuites: bookworm", "http://three.example/debian"),
        ("deb http://security.example/debian-security bookworm main\ndeb-src http://x.example/debian bookworm main", None),
    ],
)
def test_the_mirror_comes_from_apts_sources(sources: str, mirror: str | None) -> None:
    assert debian.mirror_of(sources) == mirror


def test_a_machine_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr("sys.argv", ["triton-spacemit-fetch-qemu", str(tmp_path / "target")])
    assert fetch_qemu.main() == 1
    assert "QEMU could not be fetched: this needs apt" in capsys.readouterr().err


def test_nothing_unsigned_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the machine's own settings say; and what was verified is said."""
    tools, log = tmp_path / "tools", tmp_path / "log"
    tools.mkdir()
    put(tools, "apt-get", f'echo "$@" >> {log}; case "$*" in *download*) touch qemu-user_1.deb;; esac')
    put(tools, "apt-cache", "echo ' qemu-user | 1:10.0 | mirror'; echo ' qemu-user | 1:9.2 | mirror'")
    qemu = "mkdir -p root/usr/bin; printf '#!/bin/sh\\necho qemu-riscv64 version 10.0' > root/usr/bin/qemu-riscv64; chmod +x root/usr/bin/*"
    put(tools, "dpkg", f'case "$1" in -x) {qemu};; *) [ "$2" = 1:10.0 ];; esac')
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setattr(debian, "mirror_of", lambda sources: "http://mirror.example/debian")
    monkeypatch.setattr("sys.argv", ["triton-spacemit-fetch-qemu", str(tmp_path / "qemu")])
    assert fetch_qemu.main() == 0
    commands = log.read_text().splitlines()
    assert [command.split()[-2:] for command in commands] == [[commands[0].split()[-2], "update"], ["download", "qemu-user=1:10.0"]]
    for command in commands:
        for setting in debian._UNSIGNED:
            assert f"-o{setting}=false" in command.split()
    said = capsys.readouterr().out
    assert "qemu-riscv64 version 10.0" in said
    assert "qemu-user 1:10.0, whose signature by a key of /usr/share/keyrings/debian-archive-keyring.gpg" in said
