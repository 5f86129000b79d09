"""Fetching QEMU: which mirror, and on a machine without apt."""

from pathlib import Path

import pytest

from triton_spacemit.backend.tools import fetch_qemu


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
    assert fetch_qemu.mirror_of(sources) == mirror


def test_a_machine_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr("sys.argv", ["triton-spacemit-fetch-qemu", str(tmp_path / "target")])
    assert fetch_qemu.main() == 1
    assert "fetching QEMU needs apt" in capsys.readouterr().err
