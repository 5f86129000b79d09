"""Tables of tuned configurations: for each chip, the configuration of every class of shapes that `triton-spacemit tune` has measured.

A chip's table ships with the package (`data/CHIP.json`); what this user tunes goes to a file of the same form in the cache folder and
comes first. A file that cannot be read or is no such table is left alone, with a warning.
"""

import functools
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from triton_spacemit.backend import folders
from triton_spacemit.backend.native import cache_dir
from triton_spacemit.ops.sizes import power_of_two

Config = dict[str, Any]
Table = dict[str, dict[str, Config]]  # operator -> class of shapes -> configuration

SHIPPED = Path(__file__).parent / "data"
_LARGEST = 4096


def size_class(size: int) -> int:
    """The power of two that stands for a size: the least one that is not below it, 4096 for all above that."""
    return min(power_of_two(size), _LARGEST)


def shape_class(dtype: str, sizes: Mapping[str, int], threads: int, words: str = "") -> str:
    """The name of a class of shapes: `float32 nt m512 n64 k32, 2 threads`."""
    named = " ".join(f"{name}{size_class(size)}" for name, size in sizes.items())
    return f"{dtype} {words + ' ' if words else ''}{named}, {threads} thread{'s' if threads > 1 else ''}"


class TunedConfigLoader:
    """The tuned configurations of one chip."""

    def __init__(self, chip: str, shipped: Path | None = None, own: Path | None = None) -> None:
        """shipped, own: the two files, where they are not the usual ones."""
        self.chip = chip
        self.shipped = shipped or SHIPPED / f"{chip}.json"
        self.own = own or cache_dir() / "tuning" / f"{chip}.json"
        self._added: Table = {}
        self._tables = [self._added, self._read(self.own), self._read(self.shipped)]

    def _read(self, path: Path) -> Table:
        try:
            distrust = folders.distrust(path) if path == self.own else None
            table = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            distrust, table = str(error), {}
        if distrust is None and not _is_table(table):
            distrust = "it is no table of configurations"
        if distrust is not None:
            warnings.warn(f"tuned configurations in {path} are not used: {distrust}", RuntimeWarning, stacklevel=4)
            return {}
        return table

    def find(self, operator: str, shapes: str) -> Config | None:
        """The configuration of an operator for a class of shapes, if it has been tuned."""
        for table in self._tables:
            config = table.get(operator, {}).get(shapes)
            if config is not None:
                return config
        return None

    def add(self, operator: str, shapes: str, config: Mapping[str, Any]) -> None:
        """Take a configuration from now on; `save` keeps it."""
        self._added.setdefault(operator, {})[shapes] = dict(config)

    @contextmanager
    def trial(self, operator: str, shapes: str, config: Mapping[str, Any]) -> Iterator[None]:
        """Take a configuration inside the `with` block."""
        configs = self._added.setdefault(operator, {})
        before = configs.get(shapes)
        configs[shapes] = dict(config)
        try:
            yield
        finally:
            if before is None:
                del configs[shapes]
            else:
                configs[shapes] = before

    def save(self, path: Path | None = None) -> Path:
        """Write what was added, with what the file had, to this user's file or to `path`, and say which it was. Raises OSError."""
        path = path or self.own
        table = self._read(path)
        for operator, configs in self._added.items():
            table.setdefault(operator, {}).update(configs)
        ordered = {operator: dict(sorted(configs.items())) for operator, configs in sorted(table.items()) if configs}
        folders.make(path.parent)
        lines = [f' "{operator}": {{\n' + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in configs.items()) + "\n }"
                 for operator, configs in ordered.items()]  # fmt: skip
        folders.write(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        return path


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(configs, dict) and all(isinstance(config, dict) for config in configs.values()) for configs in value.values()
    )


@functools.cache
def loader(chip: str) -> TunedConfigLoader:
    """The tables of a chip, read once in a process."""
    return TunedConfigLoader(chip)
