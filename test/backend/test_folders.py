"""Where kernels and the runtime are kept: for this user alone, never cut short, and elsewhere where the usual folder cannot be used."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from triton import knobs

from triton_spacemit.backend import folders, native
from triton_spacemit.backend.cache import CheckedCacheManager
from triton_spacemit.backend.errors import DeviceError

CODE = """
import sys, warnings, torch, triton, triton.language as tl
sys.path.insert(0, {folder!r})
from kernels.softmax import softmax
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as seen:
    for dtype in (torch.float32, torch.float16):
        x = torch.randn(8, 100, dtype=dtype)
        assert torch.allclose(softmax(x), torch.softmax(x, -1), atol=1e-2)
print(*[str(warning.message) for warning in seen if warning.category is RuntimeWarning], sep="\\n")
"""


@pytest.fixture
def open_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(folders, "_temporary", {})
    with knobs.cache.scope():
        knobs.cache.dir = str(tmp_path / "cache")
        yield tmp_path / "cache"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file be another user's."""
    if os.getuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)


def run(**environment: str) -> str:
    code = CODE.format(folder=str(Path(__file__).parents[1]))
    result = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.usefixtures("open_umask")
def test_what_is_made_is_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folders.make(folder)
    folders.make(folder)
    folders.write(folder / "file", b"1")
    folders.write(folder / "file", b"2", durable=True)
    assert [mode(path) for path in (folder.parent, folder, folder / "file")] == [0o700, 0o700, 0o600]
    assert (folder / "file").read_bytes() == b"2"
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_what_others_own_or_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folders.distrust(tmp_path) is None
    tmp_path.chmod(0o755)
    assert folders.distrust(tmp_path) is None
    tmp_path.chmod(0o757)
    assert folders.distrust(tmp_path) == f"{tmp_path} may be written by other users"
    tmp_path.chmod(0o770)
    monkeypatch.setattr(folders, "_is_this_users_own", lambda group: True)
    assert folders.distrust(tmp_path) is None
    monkeypatch.setattr(folders, "_is_this_users_own", lambda group: False)
    assert folders.distrust(tmp_path) == f"{tmp_path} may be written by other users"
    tmp_path.chmod(0o700)
    give_away(tmp_path, monkeypatch)
    assert "belongs to another user" in folders.distrust(tmp_path)


@pytest.mark.usefixtures("open_umask")
def test_the_cache_is_for_this_user_alone(cache: Path) -> None:
    manager = CheckedCacheManager("key")
    group = {"k.o": manager.put(b"object", "k.o"), "k.json": manager.put("{}", "k.json")}
    manager.put_group("k.json", group)
    assert mode(cache) == mode(cache / "key") == 0o700
    assert {mode(path) for path in (cache / "key").iterdir()} == {0o600}
    assert CheckedCacheManager("key").get_group("k.json") == group


@pytest.mark.parametrize("damage", ["no digests", "no list", "a letter", "another letter"])
def test_a_kernel_without_its_digests_is_not_used(cache: Path, damage: str) -> None:
    manager = CheckedCacheManager("key")
    manager.put_group("k.json", {"k.o": manager.put(b"object", "k.o")})
    digests = cache / "key" / "__sha__k.json"
    if damage == "no digests":
        digests.unlink()
    elif damage == "no list":
        digests.write_text("[]")
    elif damage == "a letter":
        digests.write_text("{")
    else:
        (cache / "key" / "k.o").write_bytes(b"Object")
    assert CheckedCacheManager("key").get_group("k.json") is None


@pytest.mark.parametrize("trouble", ["a file", "open to all", "another user's"])
def test_a_cache_that_cannot_be_used_is_left_alone(cache: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    if trouble == "a file":
        cache.write_text("")
    else:
        cache.mkdir()
        cache.chmod(0o777)
    if trouble == "another user's":
        cache.chmod(0o755)
        give_away(cache, monkeypatch)
    with pytest.warns(RuntimeWarning, match="TRITON_CACHE_DIR chooses another folder") as warned:
        paths = [Path(CheckedCacheManager(key).put(b"object", "k.o")) for key in ("one", "two")]
    assert len(warned) == 1
    assert trouble == "a file" or list(cache.iterdir()) == []
    assert len({path.parents[1] for path in paths}) == 1
    assert [mode(path.parents[1]) for path in paths] == [0o700, 0o700]
    assert [path.read_bytes() for path in paths] == [b"object", b"object"]


def test_a_full_disk_is_left(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = CheckedCacheManager("key")
    write = folders.write

    def full(path: Path, data: bytes, durable: bool = False) -> None:
        if cache in path.parents:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data, durable)

    monkeypatch.setattr(folders, "write", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        group = {"k.o": manager.put(b"object", "k.o")}
    manager.put_group("k.json", group)
    assert manager.get_group("k.json") == group


def test_kernels_run_where_neither_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = run(TRITON_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert said.count("\n") == 0
    assert said.startswith(f"Triton's cache: {tmp_path}/file/cache")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The builds of the runtime, which write a word; below `tmp_path`."""
    builds: list[Path] = []

    def build(sources: list[str], flags: tuple[str, ...], output: Path) -> None:
        builds.append(output)
        output.write_bytes(b"program")

    monkeypatch.setattr(native, "build", build)
    monkeypatch.setattr(native, "_usual_dir", lambda: tmp_path / "spacemit")
    monkeypatch.setattr(folders, "_temporary", {})
    native._problem.cache_clear()
    yield builds
    native._problem.cache_clear()


@pytest.mark.usefixtures("open_umask")
def test_a_damaged_runtime_is_built_again(built: list[Path]) -> None:
    path = native._build("guest", ("guest.c",), ())
    assert native._build("guest", ("guest.c",), ()) == path
    assert len(built) == 1
    assert mode(path) == 0o700
    for damage in (lambda: path.write_bytes(b"prog"), native._digest_of(path).unlink, lambda: path.chmod(0o777)):
        damage()
        builds = len(built)
        assert native._build("guest", ("guest.c",), ()) == path
        assert (len(built), path.read_bytes()) == (builds + 1, b"program")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.sha256", "lock"]


def test_a_runtime_is_built_elsewhere_where_it_must_be(built: list[Path], tmp_path: Path) -> None:
    (tmp_path / "spacemit").write_text("")
    with pytest.warns(RuntimeWarning, match="TRITON_HOME chooses another folder"):
        path = native._build("guest", ("guest.c",), ())
    assert native._build("guest", ("guest.c",), ()) == path
    assert len(built) == 1


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(DeviceError, match="cannot be written"), native.locked(tmp_path):
        os.abort()  # must not be reached
    assert (tmp_path / "victim").read_text() == "kept"
