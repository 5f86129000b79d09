"""What is packaged: every package folder, the runtime's sources, and nothing else."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_with_modules_is_listed():
    folders = {path.parent.relative_to(ROOT) for top in ("backend", "dialect", "passes", "ops") for path in (ROOT / top).rglob("*.py")}
    names = {"triton_spacemit." + ".".join(folder.parts) for folder in folders}
    assert sorted(names) == sorted(SETTINGS["tool"]["setuptools"]["packages"])


def test_versions_are_pinned():
    requirements = SETTINGS["project"]["optional-dependencies"]["dev"]
    assert [requirement for requirement in requirements if "==" not in requirement] == []
