"""Processes as servers and trainers make them: forked after kernels have run, workers of loaders, compilers in the background, the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREAMBLE = """
import os, signal, sys, threading, time
import torch, triton, triton.language as tl
from triton_spacemit.backend.knobs import knobs

@triton.jit
def add_one(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, i < n) + 1, i < n)

def works(size=1000, block=64):
    x, out = torch.arange(size, dtype=torch.float32), torch.zeros(size)
    add_one[(triton.cdiv(size, block),)](x, out, size, BLOCK=block)
    return torch.equal(out, x + 1)
"""

CASES = {
    # A server that has compiled and launched forks its workers, which launch, compile, fault and fork on.
    "preforking": """
knobs.threads = 2
assert works()
def work(number):
    assert works() and works(block=32 << number)
    if number == 0:
        child = os.fork()
        if not child:
            os._exit(0 if works(block=512) else 1)
        assert os.waitpid(child, 0)[1] == 0
for turn in range(2):
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            try:
                work(number)
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert works()
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
assert works(block=128)
print("done")
""",
    # Forked while other threads compile and launch.
    "forked in the middle": """
stop = threading.Event()
def run():
    turn = 0
    while not stop.is_set():
        turn += 1
        assert works(block=16 << turn % 6)
threads = [threading.Thread(target=run) for _ in range(2)]
assert works()
for thread in threads:
    thread.start()
for _ in range(10):
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(0 if works(size=777) else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
print("done")
""",
    "workers of a loader": """
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 12
    def __getitem__(self, i):
        x, out = torch.full((100,), float(i)), torch.zeros(100)
        add_one[(2,)](x, out, 100, BLOCK=64)
        return out
if __name__ == "__main__":
    works()
    for workers in (0, 2):
        rows = torch.cat(list(torch.utils.data.DataLoader(Data(), batch_size=4, num_workers=workers)))
        assert torch.equal(rows[:, 0], torch.arange(1.0, 13.0))
    print("done")
""",
    "compiled in the background": """
from concurrent.futures import ThreadPoolExecutor
x, out = torch.arange(100.0), torch.zeros(100)
with ThreadPoolExecutor(4) as executor, triton.AsyncCompileMode(executor):
    for block in (16, 32, 64, 128):
        add_one.warmup(x, out, 100, BLOCK=block, grid=(1,))
for block in (16, 32, 64, 128):
    assert works(100, block)
print("done")
""",
    # Daemon threads still compile and launch, and finalizers launch, while the interpreter ends. Threads have their tensors before:
    # PyTorch's functions let go of Python's lock, and a daemon thread that asks for it again at the end ends the process from within C++.
    "the end": """
def run(x, out):
    turn = 0
    while True:
        turn += 1
        block = 16 << turn % 7
        add_one[(triton.cdiv(1000, block),)](x, out, 1000, BLOCK=block)
class Late:
    def __del__(self, works=works):
        works()
late = Late()
late.self = late
for _ in range(3):
    threading.Thread(target=run, args=(torch.zeros(1000), torch.zeros(1000)), daemon=True).start()
assert works()
time.sleep(1)
print("done", flush=True)
""",
    # Kernels' code is unloaded by finalizers, in the middle of other launches.
    "kernels are dropped": """
import gc
stop = threading.Event()
def collect():
    while not stop.is_set():
        gc.collect()
        time.sleep(0.05)
thread = threading.Thread(target=collect)
thread.start()
for turn in range(8):
    add_one.device_caches.clear()
    assert works(block=16 << turn % 4)
stop.set()
thread.join()
print("done")
""",
}


@pytest.mark.parametrize("case", CASES)
def test_processes(tmp_path: Path, case: str) -> None:
    check(tmp_path, case, "host")


@pytest.mark.qemu
@pytest.mark.parametrize("case", [pytest.param(case, marks=[] if case == "preforking" else pytest.mark.slow) for case in CASES])
def test_processes_with_guests(tmp_path: Path, case: str) -> None:
    check(tmp_path, case, "qemu")


def check(tmp_path: Path, case: str, device: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(PREAMBLE + CASES[case])
    environment = os.environ | {"TRITON_SPACEMIT_DEVICE": device, "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-X", "faulthandler", script], env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stdout + done.stderr
