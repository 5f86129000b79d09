"""What is packaged: every package folder, the runtime's sources, and nothing else."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def package(folder: Path) -> str:
    """The name that a folder's modules are installed under."""
    places = SETTINGS["tool"]["setuptools"]["package-dir"]
    name = max((name for name, place in places.items() if folder.is_relative_to(place)), key=lambda name: len(places[name]))
    return ".".join((name, *folder.relative_to(places[name]).parts))


def test_every_folder_with_modules_is_listed():
    folders = {path.parent.relative_to(ROOT) for top in ("backend", "dialect", "passes", "ops") for path in (ROOT / top).rglob("*.py")}
    assert sorted(map(package, folders)) == sorted(SETTINGS["tool"]["setuptools"]["packages"])


def test_versions_are_pinned():
    requirements = SETTINGS["project"]["optional-dependencies"]["dev"]
    assert [requirement for requirement in requirements if "==" not in requirement] == []
