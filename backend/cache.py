"""Triton's file cache with checksums: a damaged entry is a miss, so the kernel is compiled again."""

import hashlib
import json
import os
import uuid
from pathlib import Path

from triton.knobs import env_class
from triton.runtime.cache import CacheManager, FileCacheManager


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class CheckedCacheManager(FileCacheManager):
    """Keeps a digest of every file of a kernel of ours beside the list of the files, and checks them when the list is read."""

    def put(self, data: str | bytes, filename: str, binary: bool = True) -> str:
        """As Triton's, which makes and removes a folder for each file: on a busy machine that takes as long as compiling does."""
        path = Path(self.cache_dir) / filename
        temporary = path.with_name(f"tmp.pid_{os.getpid()}_{uuid.uuid4()}")
        temporary.write_bytes(data if isinstance(data, bytes) else str(data).encode())
        os.replace(temporary, path)
        return str(path)

    def put_group(self, filename: str, group: dict[str, str]) -> str:
        if any(name.endswith(".o") for name in group):  # else of another backend's kernel
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


class _ManagerClass(env_class[CacheManager]):
    """Triton's setting, with ours as its default."""

    def get(self) -> type[CacheManager]:
        return super().get() or CheckedCacheManager


def manager_class(original: env_class[CacheManager]) -> env_class[CacheManager]:
    """What stands for Triton's setting of the cache manager."""
    setting = _ManagerClass(original.key, original.type)
    setting.name = original.name
    return setting
