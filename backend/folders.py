"""Folders that nobody else writes to: what this backend keeps in them is code that it runs.

A folder is trusted where this user or root owns it and no other user may write to it. What is made is for this user alone, whatever the
umask. Where the usual folder cannot be written or is not trusted, the process has a temporary one, and one warning says so.
"""

import atexit
import grp
import os
import pwd
import shutil
import stat
import tempfile
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path


def make(folder: Path) -> None:
    """Make the folder, and those around it that are missing, for this user alone. Raises OSError."""
    for each in reversed([folder, *folder.parents]):
        if not each.is_dir():
            each.mkdir(mode=stat.S_IRWXU, exist_ok=True)


def distrust(path: Path) -> str | None:
    """Why what lies at `path` may be another user's; None where it cannot be. Raises OSError where there is nothing."""
    status = path.stat()
    if status.st_uid not in (os.getuid(), 0):
        return f"{path} belongs to another user, number {status.st_uid}"
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and not _is_this_users_own(status.st_gid)):
        return f"{path} may be written by other users"
    return None


def _is_this_users_own(group: int) -> bool:
    """Whether nobody else is in the group: many systems give each user such a group, and let it write."""
    try:
        name, members = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(group).gr_mem
    except KeyError:
        return False
    return group == os.getgid() and grp.getgrgid(group).gr_name == name and set(members) <= {name}


def problem(folder: Path) -> str | None:
    """Why the folder, which is made if need be, cannot be used; None where it can."""
    try:
        make(folder)
        tempfile.TemporaryFile(dir=folder).close()
        return distrust(folder)
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror})"


_temporary: dict[Path, Path] = {}
_lock = threading.Lock()


def instead_of(folder: Path, why: str, setting: str) -> Path:
    """A temporary folder of this process in the place of `folder`. The first time a warning says why, and which `setting` to change."""
    with _lock:
        if folder not in _temporary:
            path = Path(tempfile.mkdtemp(prefix="triton-spacemit-"))
            atexit.register(_remove, path, os.getpid())
            warnings.warn(f"{why}: {path} is used until this process ends; {setting} chooses another folder", RuntimeWarning, stacklevel=3)
            _temporary[folder] = path
        return _temporary[folder]


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not a fork of the process that made it
        shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, data: bytes | Iterable[bytes | memoryview], durable: bool = False) -> None:
    """Put `data`, or pieces of it, in a file for this user alone; whoever reads it finds all of it or none. durable: also after a crash of
    the system.
    """
    temporary = path.with_name(f"tmp.pid_{os.getpid()}_{os.urandom(8).hex()}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, stat.S_IRUSR | stat.S_IWUSR)
        with open(file, "wb") as stream:
            stream.writelines([data] if isinstance(data, bytes) else data)
            if durable:
                stream.flush()
                os.fsync(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
