"""Rows of boards and bundles: what a link costs, to an emulated X60 by a pipe or behind OpenSSH's server without a port, and a call from C.

Emulation makes the kernels slow, not the links: the kernel adds one number. Times are wall times, the least of many.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import ssh_server
import torch
import triton
import triton.language as tl
from perf.result import Result, Row
from targets import emulated_board

from triton_spacemit.backend import board, set_device
from triton_spacemit.backend.devices import get_device, ssh
from triton_spacemit.backend.devices.find_qemu import find_qemu
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import active_target, knobs
from triton_spacemit.backend.native import zig

_MEGABYTE = 1 << 20


@triton.jit
def one_kernel(x, out):
    tl.store(out, tl.load(x) + 1.0)


@contextmanager
def _by_pipe() -> Iterator[None]:
    knobs.board = emulated_board("x60")
    set_device("remote", "x60")
    yield
    get_device(*active_target()).close()


@contextmanager
def _by_ssh() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        server = ssh_server.make(Path(folder))
        environment = {"PATH": server.path, "XDG_RUNTIME_DIR": f"{folder}/none"}
        with patch.dict(os.environ, environment), patch.object(ssh, "agent_program", lambda machine: server.agent):
            knobs.board = "ssh://k1"
            set_device("remote", "x60")
            yield
            get_device(*active_target()).close()


_LINKS = {"pipe": _by_pipe, "sshd": _by_ssh}


def _least(call: Callable[[], object], seconds: float, turns: int = 5) -> float:
    """The least time of one call, in seconds, after one that does not count."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < turns or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _wrong(value: float, expected: float) -> float:
    return 0.0 if value == expected else 2.0


def _resident_launch(link: str, share: float) -> Result:
    """A launch of tensors that are there, with one thread: what it takes beyond the kernel's own code."""
    with _LINKS[link]():
        x, out = board.tensor(torch.ones(1)), board.empty(1)
        microseconds = _least(lambda: one_kernel[(1,)](x, out), share) * 1e6
        return Result(microseconds, error=_wrong(out.cpu().item(), 2.0))


def _throughput(link: str, share: float) -> Result:
    """Milliseconds for 64 MiB there, and as many back."""
    with _LINKS[link]():
        source = torch.randn(16 * _MEGABYTE)
        there = board.empty(16 * _MEGABYTE)
        up = _least(lambda: (there.copy_(source), _settle()), share, turns=3) * 1e3
        down = _least(there.cpu, share, turns=3) * 1e3
        same = torch.equal(there.cpu(), source)
        return Result(max(up, down), error=0.0 if same else 2.0, config=f"up {64e3 / up:.0f}, down {64e3 / down:.0f} MiB/s")


def _settle() -> None:
    """Wait until what was written has arrived."""
    board.empty(1).cpu()


def _unchanged(share: float) -> Result:
    """A launch with 64 MiB that are as they were."""
    with _by_pipe():
        x, out = torch.ones(16 * _MEGABYTE), torch.zeros(1)
        device = get_device(*active_target())
        one_kernel[(1,)](x, out)
        with device.session() as session:
            link = session.link
        before = link.sent_bytes
        one_kernel[(1,)](x, out)
        sent = link.sent_bytes - before
        return Result(_least(lambda: one_kernel[(1,)](x, out), share) * 1e3, error=_wrong(out.item(), 2.0), config=f"{sent} bytes sent")


def _connect(link: str, share: float) -> Result:
    """From nothing to a session, the agent being there."""
    with _LINKS[link]():
        device = get_device(*active_target())

        def connect() -> None:
            device.close()
            device.info()

        return Result(_least(connect, share) * 1e3)


def _install(share: float) -> Result:
    with _by_ssh():
        return Result(_least(lambda: ssh.install("k1"), share, turns=3) * 1e3)


@triton.jit
def faulting_kernel(out):
    tl.store(out + (1 << 40), 1.0)


def _restart(share: float) -> Result:
    """A launch after one that faulted, which ended the worker."""
    with _by_pipe():
        x, out = board.tensor(torch.ones(1)), board.empty(1)
        one_kernel[(1,)](x, out)
        times = []
        for _ in range(10):
            try:
                faulting_kernel[(1,)](out)
            except DeviceError:
                start = time.perf_counter()
                one_kernel[(1,)](x, out)
                times.append(time.perf_counter() - start)
        return Result(min(times) * 1e3, error=_wrong(out.cpu().item(), 2.0) if len(times) == 10 else 2.0)


#: Nanoseconds of a call, the least of many thousands: of one program; of eight on two threads; of one by `_programs`.
_CALLS = """
#include "calls.h"
#include <stdio.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

#define LEAST(name, call)                      \\
  for (int turn = 0; turn < 2000; turn++) {    \\
    double start = now();                      \\
    for (int i = 0; i < 100; i++) call;        \\
    double each = (now() - start) / 100;       \\
    if (!turn || each < name) name = each;     \\
  }

int main(void) {
  static float x[512], out[512];
  ts_launch two = {2, {0, 0, 0}, ""};
  double one, eight, part;
  LEAST(one, add(NULL, x, x, out, 64))
  LEAST(eight, add(&two, x, x, out, 512))
  LEAST(part, add_programs(NULL, 0, 1, x, x, out, 64))
  printf("%g %g %g\\n", one, eight, part);
}
"""
_ADD = """
import triton
import triton.language as tl


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)
"""


def _bundle(work: Path, chip: str) -> Path:
    """The libraries of the bundle `calls`, which has `add`."""
    (work / "add.py").write_text(_ADD)
    signature = ("--signature", "*fp32, *fp32, *fp32, i32, 64", "--grid", "cdiv(n, 64)", "--chip", chip)
    command = [sys.executable, "-m", "triton_spacemit.backend.tools.cli", "aot", f"{work}/add.py:add", *signature]
    subprocess.run([*command, "-o", f"{work}/calls"], check=True, capture_output=True)
    return work / "calls" / "lib" / chip


@functools.cache
def _calls() -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "calls.c").write_text(_CALLS)
        libraries = _bundle(work, "host")
        flags = ("-O2", f"-I{work}/calls/include", f"-L{libraries}", "-lcalls", "-ltriton_spacemit", f"-Wl,-rpath,{libraries}")
        zig("cc", "calls.c", *flags, "-o", str(work / "run"), work=work)
        one, eight, part = map(float, subprocess.run([str(work / "run")], check=True, capture_output=True, text=True).stdout.split())
        return one, eight, part


def _call(number: int, share: float) -> Result:
    return Result(_calls()[number])


_DEMO = """
#include "calls.h"
#include <stdio.h>

int main(void) {
  static float x[512] = {1}, out[512];
  return add(NULL, x, x, out, 512) || printf("%g\\n", (double)out[0]) < 0;
}
"""


def _demo(share: float) -> Result:
    """The size of a static riscv64 program with one kernel, the runtime and a C library."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "demo.c").write_text(_DEMO)
        libraries = _bundle(work, "x60")
        flags = ("-target", "riscv64-linux-musl", "-mcpu=baseline_rv64+v", "-static", "-s", "-O2", f"-I{work}/calls/include")
        zig("cc", "demo.c", *flags, str(libraries / "libcalls.a"), str(libraries / "libtriton_spacemit.a"), "-o", "demo", work=work)
        said = subprocess.run([find_qemu(), "-cpu", "max,vlen=256", work / "demo"], capture_output=True, text=True, check=True).stdout
        return Result((work / "demo").stat().st_size / 1024, error=_wrong(float(said), 2.0))


ROWS = [
    Row("resident launch by a pipe", "us", functools.partial(_resident_launch, "pipe"), reach=80),
    Row("resident launch by sshd", "us", functools.partial(_resident_launch, "sshd"), reach=150),
    Row("64 MiB by a pipe", "ms", functools.partial(_throughput, "pipe"), slow=True),
    Row("64 MiB by sshd", "ms", functools.partial(_throughput, "sshd"), reach=256, slow=True),
    Row("launch with 64 MiB unchanged", "ms", _unchanged, reach=10),
    Row("connect by sshd", "ms", functools.partial(_connect, "sshd"), reach=500),
    Row("install by sshd", "ms", _install, reach=1000),
    Row("worker restart", "ms", _restart, reach=20),
    Row("call from C, one program", "ns", functools.partial(_call, 0), reach=150),
    Row("call from C, 8 programs, 2 threads", "ns", functools.partial(_call, 1), reach=900),
    Row("call from C, _programs", "ns", functools.partial(_call, 2), reach=30),
    Row("static riscv64 program", "KiB", _demo, reach=80),
]
