"""Triton's file cache with checksums: a damaged entry is a miss, so the kernel is compiled again."""

import hashlib
import json
import os
import uuid
from pathlib import Path

from triton import knobs
from triton.runtime.cache import FileCacheManager


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class CheckedCacheManager(FileCacheManager):
    """Keeps a digest of every file of a group beside the group's list, and checks them when the group is read."""

    def put(self, data: str | bytes, filename: str, binary: bool = True) -> str:
        """As Triton's, which makes and removes a folder for each file: on a busy machine that takes as long as compiling does."""
        path = Path(self.cache_dir) / filename
        temporary = path.with_name(f"tmp.pid_{os.getpid()}_{uuid.uuid4()}")
        temporary.write_bytes(data if isinstance(data, bytes) else str(data).encode())
        os.replace(temporary, path)
        return str(path)

    def put_group(self, filename: str, group: dict[str, str]) -> str:
        self.put(json.dumps({name: _digest(path) for name, path in group.items()}), f"__sha__{filename}", binary=False)
        return super().put_group(filename, group)

    def get_group(self, filename: str) -> dict[str, str] | None:
        group = super().get_group(filename)
        digests = self.get_file(f"__sha__{filename}")
        if group is None or digests is None:
            # Without digests the group was written before this manager was in use.
            return group
        try:
            expected = json.loads(Path(digests).read_text())
        except ValueError:
            return None
        return group if all(expected.get(name) == _digest(path) for name, path in group.items()) else None


def install() -> None:
    """Make this Triton's cache manager, unless the user chose one."""
    if knobs.cache.manager_class is None:
        knobs.cache.manager_class = CheckedCacheManager
