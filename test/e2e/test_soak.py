"""Long runs: launches and kernels that leave nothing behind, damaged caches, nonsense in the settings, and processes that are killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from kernels.handwritten import INCREMENT, launch
from triton import knobs as triton_knobs

from triton_spacemit.backend.devices import Device, get_device
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import active_target, knobs
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

FOLDER = Path(__file__).parents[1]
KERNEL = """
import torch, triton, triton.language as tl

@triton.jit
def add(x_ptr, out_ptr, n, NUMBER: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, i < n) + NUMBER, i < n)

def works(number, block=64, size=200):
    x, out = torch.arange(size, dtype=torch.float32), torch.zeros(size)
    add[(triton.cdiv(size, block),)](x, out, size, NUMBER=number, BLOCK=block)
    assert torch.equal(out, x + number)
"""


def sizes() -> tuple[int, int, int, int]:
    """Bytes of memory, descriptors, mappings and threads of this process."""
    memory = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    lines = Path("/proc/self/maps").read_text().count("\n")
    return memory, len(os.listdir("/proc/self/fd")), lines, len(os.listdir("/proc/self/task"))


def check_growth(before: tuple[int, ...], after: tuple[int, ...], megabytes: int) -> None:
    assert after[0] - before[0] < megabytes << 20, (before, after)
    assert all(new - old < 8 for old, new in zip(before[1:], after[1:], strict=True)), (before, after)


def few_and_many(few: int, many: int) -> Any:
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.slow)])


@pytest.fixture
def device(target: str) -> Device:
    return get_device(*active_target())


@pytest.mark.parametrize("count", [3000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_launches_leave_nothing_behind(device: Device, count: int) -> None:
    """In a quarter of each size: with several threads, of other tensors each time, and with a fault now and then on the host."""
    kernel = device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip)))
    knobs.threads = 2
    out = torch.zeros(16, dtype=torch.int32)

    def run(times: int) -> None:
        for i in range(times):
            launch(device, kernel, out, grid=(1 + 15 * (i % 8 == 0), 1, 1))
            if i % 50 == 0:
                other = torch.zeros(16, dtype=torch.int32)
                launch(device, kernel, other, grid=(16, 1, 1))
                assert (other == 1).all()
            if i % 1000 == 0 and device.name == "host":
                with pytest.raises(DeviceError):
                    launch(device, kernel, None, grid=(16, 1, 1))

    run(count // 4)
    before = sizes()
    out.zero_()
    run(count)
    check_growth(before, sizes(), 8)
    assert out[0] == count


def run_script(folder: Path, code: str, **variables: str) -> subprocess.Popen[str]:
    """Start Python with the kernel above."""
    script = folder / f"script{abs(hash(code))}.py"
    script.write_text(f"{KERNEL}{code}")
    environment = os.environ | {"TRITON_CACHE_DIR": str(folder / "cache"), "TRITON_SPACEMIT_DEVICE": "host"} | variables
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", script], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process: subprocess.Popen[str], seconds: float = 3000) -> str:
    text, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, text
    return text


@few_and_many(25, 1000)
def test_kernels_are_compiled_and_dropped(tmp_path: Path, count: int) -> None:
    """In a process of its own, whose memory is just theirs."""
    code = f"""
import gc, pathlib
def memory():
    gc.collect()
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096
for number in range({count} + 20):
    if number == 20:
        before = memory()
    works(number + 0.5)
    add.device_caches.clear()
print((memory() - before) >> 20)
"""
    assert int(finish(run_script(tmp_path, code)).split()[-1]) < 100


@few_and_many(12, 1000)
def test_damaged_caches_are_compiled_again(tmp_path: Path, count: int) -> None:
    """Bytes that are changed, cut off or added in any file of Triton's cache, or a file that is gone: results stay right."""
    namespace: dict[str, Any] = {}
    script = tmp_path / "kernel.py"
    script.write_text(KERNEL)
    exec(compile(KERNEL, str(script), "exec"), namespace)
    source = random.Random(count)
    with triton_knobs.cache.scope(), knobs.scope():
        triton_knobs.cache.dir = str(tmp_path / "cache")
        knobs.device = "host"
        for number in range(count):
            namespace["works"](1.5)
            files = sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())
            path = source.choice(files)
            content = bytearray(path.read_bytes())
            match source.randrange(4):
                case 0 if content:
                    for _ in range(source.randint(1, 9)):
                        content[source.randrange(len(content))] = source.randrange(256)
                case 1:
                    del content[source.randrange(len(content) + 1) :]
                case 2:
                    content += bytes(source.randrange(256) for _ in range(source.randint(1, 99)))
            if number % 4 == 3:
                path.unlink()
            else:
                path.write_bytes(content)
            namespace["add"].device_caches.clear()
            namespace["works"](1.5)
            namespace["add"].device_caches.clear()


WORDS = ["", " ", "0", "1", "-1", "host", "qemu", "x60", "nan", "inf", "1e400", "10" * 40, "true", "../x", "é", "%s%n", "A" * 5000]


@few_and_many(60, 3000)
def test_nonsense_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Each is taken, or an error that names the setting, the device or the chip."""
    namespace: dict[str, Any] = {}
    script = tmp_path / "kernel.py"
    script.write_text(KERNEL)
    exec(compile(KERNEL, str(script), "exec"), namespace)
    names = [knob.key for knob in knobs.knob_descriptors.values() if knob.key.startswith("TRITON_SPACEMIT_")]
    source = random.Random(count)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    for _ in range(count):
        chosen = {name: source.choice(WORDS) for name in source.sample(names, source.randint(1, 2))}
        with monkeypatch.context() as patch:
            for name, value in chosen.items():
                patch.setenv(name, value)
            said = ""
            try:
                namespace["works"](2.5)
            except (RuntimeError, ValueError, DeviceError) as error:
                said = str(error)
            assert not said or any(word in said for word in ("TRITON_SPACEMIT_", "device", "chip", "qemu", "CPU")), (chosen, said)
    namespace["works"](2.5)


@few_and_many(4, 200)
def test_processes_are_killed(tmp_path: Path, count: int) -> None:
    """Each at a random time, while it compiles, fills caches, starts guests and launches; the next process has all that it needs."""
    code = """
import os, sys
for number in range(1000):
    works(number % 40 + 0.5)
    works(0.25)
"""
    source = random.Random(count)
    for turn in range(count):
        device = ("host", "qemu")[turn % 2]
        process = run_script(tmp_path, code, TRITON_SPACEMIT_DEVICE=device)
        time.sleep(source.uniform(0.5, 6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        if turn % 10 == 3:
            finish(run_script(tmp_path, "works(0.25)\nworks(1.5)\n", TRITON_SPACEMIT_DEVICE=device))
    left = [path for path in (tmp_path / "cache").rglob("*") if ".tmp" in path.name]
    assert len(left) <= count  # of what was being written: at most one file each
