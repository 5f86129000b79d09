"""Triton's file cache with checksums, in a folder that only this user writes to.

A damaged entry is a miss, so that the kernel is compiled again. Where the folder cannot be written, or others may write to it, kernels
are kept in a temporary one (`folders.py`).
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from triton import knobs
from triton.knobs import env_class
from triton.runtime.cache import CacheManager, FileCacheManager

from triton_spacemit.backend import folders


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _is_ours(names: Iterable[str]) -> bool:
    """Whether the files of these names are those of a kernel of this backend."""
    return any(name.endswith(".o") for name in names)


class CheckedCacheManager(FileCacheManager):
    """Keeps a digest of every file of a kernel of ours beside the list of the files, and checks them when the list is read."""

    def __init__(self, key: str, override: bool = False, dump: bool = False) -> None:
        if override or dump:  # the user's own folders
            super().__init__(key, override, dump)
            return
        self.key, self.lock_path = key, None
        root = Path(knobs.cache.dir)
        folder = root / key
        try:
            folders.make(root)
            problem = folders.distrust(root)
            if not problem:
                folders.make(folder)
                problem = folders.distrust(folder)
        except OSError as error:
            problem = f"{folder} cannot be made ({error.strerror})"
        self.cache_dir = str(folder)
        if problem:
            self._leave(problem)

    def _leave(self, problem: str) -> None:
        """Go on in a temporary folder."""
        folder = folders.instead_of(Path(knobs.cache.dir), f"Triton's cache: {problem}", "TRITON_CACHE_DIR") / self.key
        folders.make(folder)
        self.cache_dir = str(folder)

    def put(self, data: str | bytes, filename: str, binary: bool = True) -> str:
        """As Triton's, which makes and removes a folder for each file: on a busy machine that takes as long as compiling does."""
        content = data if isinstance(data, bytes) else str(data).encode()
        try:
            folders.write(Path(self.cache_dir) / filename, content)
        except OSError as error:
            self._leave(f"{self.cache_dir} cannot be written ({error.strerror})")
            folders.write(Path(self.cache_dir) / filename, content)
        return str(Path(self.cache_dir) / filename)

    def put_group(self, filename: str, group: dict[str, str]) -> str:
        if _is_ours(group):
            self.put(json.dumps({name: _digest(path) for name, path in group.items()}), f"__sha__{filename}", binary=False)
        return super().put_group(filename, group)

    def get_group(self, filename: str) -> dict[str, str] | None:
        group = super().get_group(filename)
        if group is None or not _is_ours(group):
            return group
        try:
            expected = json.loads(Path(self._make_path(f"__sha__{filename}")).read_text())
            return group if all(expected.get(name) == _digest(path) for name, path in group.items()) else None
        except (OSError, ValueError, AttributeError):  # no digests, or none that can be read
            return None


class _ManagerClass(env_class[CacheManager]):
    """Triton's setting, with ours as its default."""

    def get(self) -> type[CacheManager]:
        return super().get() or CheckedCacheManager


def manager_class(original: env_class[CacheManager]) -> env_class[CacheManager]:
    """What stands for Triton's setting of the cache manager."""
    setting = _ManagerClass(original.key, original.type)
    setting.name = original.name
    return setting
