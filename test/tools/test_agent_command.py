"""The command `triton-spacemit agent`."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from targets import emulated_board, own_board

from triton_spacemit.backend.tools import cli


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, the output and the errors of the command."""
    monkeypatch.setattr(sys, "argv", ["triton-spacemit", "agent", *arguments])
    code = cli.main()
    return code, *capsys.readouterr()


def test_info_of_this_machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(monkeypatch, capsys, "info", own_board(), "--json")
    said = json.loads(output)
    assert (code, said["chip"], said["machine"], said["sandbox"]) == (0, "host", "x86_64", True)
    assert said["arena"]["bytes"] + said["code"]["bytes"] <= said["available_bytes"]
    code, output, _ = run(monkeypatch, capsys, "info", own_board())
    assert code == 0
    for row in ("chip     host", "sandbox  seccomp", "counters ", "memory   ", "caches   "):
        assert row in output


@pytest.mark.qemu
@pytest.mark.parametrize(("chip", "vlen"), [("x60", 256), ("a100", 1024)])
def test_info_of_an_emulated_board(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chip: str, vlen: int) -> None:
    code, output, _ = run(monkeypatch, capsys, "info", emulated_board(chip), "--json")
    said = json.loads(output)
    assert (code, said["chip"], {core["vlen"] for core in said["cores"]}) == (0, chip, {vlen})
    assert not any(core["ime"] for core in said["cores"])  # QEMU has no matrix instructions


def test_boards_and_files_that_are_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, said in (
        (("info", "exec:false"), "its agent ended with status 1"),
        (("install", "unix:/nowhere"), "the agent is copied over ssh"),
        (("key-line", str(tmp_path / "none")), "No such file"),
        (("key-line", str(Path(__file__))), "is no public key"),
    ):
        code, output, errors = run(monkeypatch, capsys, *arguments)
        assert (code, output, errors.count("\n")) == (1, "", 1)
        assert errors.startswith("triton-spacemit agent: ")
        assert said in errors


def test_a_line_for_a_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The shell of the board finds the agent by it, also where its home has a space."""
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAAC3Nza me@here\n")
    _, output, _ = run(monkeypatch, capsys, "key-line", str(tmp_path / "key.pub"), "--require-sandbox")
    options, key = output.strip().split('" ssh-ed25519 ')
    assert key == "AAAAC3Nza me@here"
    assert options.startswith('restrict,command="')
    command = options.removeprefix('restrict,command="').replace('\\"', '"')
    words = shlex.split(command)
    assert words[0] == "exec"
    assert words[1].startswith("${XDG_CACHE_HOME:-$HOME/.cache}/triton-spacemit/agent-")
    assert words[2:] == ["--stdio", "--require-sandbox"]
