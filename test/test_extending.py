"""docs/extending.md works: its files and changes, made in a copy of the sources, and its commands print what it says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text()
PACKAGES = ("dialect", "passes", "backend")

pytestmark = pytest.mark.qemu  # the new chip's code is run


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the file that a line of its own before it names."""

    language: str
    text: str
    path: str


def blocks(page: str) -> Iterator[Block]:
    path = ""  # a fence ends with as many ticks as it starts with: a docstring with a fence in it stands between longer ones
    for prose, _, language, text in re.findall(r"(.*?)^(````*)(\w+)\n(.*?)^\2$", page, re.DOTALL | re.MULTILINE):
        named = re.findall(r"^`([\w/.]+)`:$", prose, re.MULTILINE)
        path = named[-1] if named else path
        yield Block(language, text, path)


def change(text: str, diff: str) -> str:
    """`text` with the lines of `diff`, whose places are given by their neighbours alone."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"this is there {text.count(old)} times:\n{old}"
    return text.replace(old, new)


def run(copy: Path, console: str) -> None:
    """Every command of the block, and what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(copy / "site"), "TRITON_CACHE_DIR": str(copy / "cache")}
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE):
        result = subprocess.run(command, shell=True, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout) == (0, expected), f"{command}\n{result.stdout}{result.stderr}"


def apply(copy: Path, section: str, with_commands: bool) -> None:
    """Do what a section says."""
    for block in blocks(section):
        path = copy / block.path
        if block.language == "diff":
            path.write_text(change(path.read_text(), block.text))
        elif block.language != "console":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif with_commands:
            run(copy, block.text)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the sources, which Python and lit find instead of the installed ones."""
    for folder in (*PACKAGES, "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    packages = tmp_path / "site/triton_spacemit"
    packages.mkdir(parents=True)
    for package in PACKAGES:
        (packages / package).symlink_to(tmp_path / package)
    settings = (ROOT / "test/lit.cfg.py").read_text()
    (tmp_path / "test").mkdir()
    (tmp_path / "test/lit.cfg.py").write_text(f'{settings}config.environment["PYTHONPATH"] = {str(packages.parent)!r}\n')
    return tmp_path


SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("number", range(len(SECTIONS)), ids=[section.partition("\n")[0] for section in SECTIONS])
def test_the_page_does_what_it_says(copy: Path, number: int) -> None:
    for section in SECTIONS[:number]:
        apply(copy, section, with_commands=False)
    apply(copy, SECTIONS[number], with_commands=True)
