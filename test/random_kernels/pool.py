"""Workers in processes of their own, so that a crash of the compiler or of a kernel is a result like others."""

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from random_kernels.check import Result
from random_kernels.program import Program

#: Seconds for one program; one that takes longer hangs.
PATIENCE = 120
#: A worker is replaced after so many programs, since each kernel that is compiled stays loaded.
PROGRAMS_PER_WORKER = 400


class Worker:
    """A process that checks programs for one chip: "host", or one that QEMU emulates."""

    def __init__(self, chip: str, without: Sequence[str] = ()) -> None:
        self.arguments = ["host" if chip == "host" else "qemu", chip, *without]
        self.process: subprocess.Popen[str] | None = None
        self.done = 0

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "random_kernels.worker", *self.arguments]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONFAULTHANDLER": "1", "OMP_NUM_THREADS": "1"}
        self.done = 0
        return subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def check(self, request: int | Program) -> Result:
        seed = request if isinstance(request, int) else request.seed
        if self.done >= PROGRAMS_PER_WORKER:
            self.close()
        process = self.process = self.process or self.start()
        self.done += 1
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(json.dumps(request if isinstance(request, int) else request.to_json()), file=process.stdin, flush=True)
            if not select.select([process.stdout], [], [], PATIENCE)[0]:
                process.kill()
                self._end()
                return Result(seed, "hang", f"no result after {PATIENCE} s")
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return Result(**json.loads(answer))
        return Result(seed, "crash", self._end())

    def _end(self) -> str:
        """Why the process ended, and the last that it said."""
        process, self.process = self.process, None
        assert process
        said = process.communicate()[1]
        code = process.returncode
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return f"{name}: {said.strip()[-1500:]}"

    def close(self) -> None:
        if self.process:
            self.process.communicate("")
            self.process = None


def check_all(seeds: Iterable[int], chip: str, jobs: int, without: Sequence[str] = ()) -> Iterator[Result]:
    """Results as they come, from `jobs` workers. May be closed early."""
    left, results, source, lock = threading.Event(), queue.Queue[Result | None](), iter(seeds), threading.Lock()

    def work() -> None:
        worker = Worker(chip, without)
        try:
            while not left.is_set():
                with lock:
                    seed = next(source, None)
                if seed is None:
                    break
                results.put(worker.check(seed))
        finally:
            worker.close()
            results.put(None)

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    running = jobs
    try:
        while running:
            result = results.get()
            if result is None:
                running -= 1
            else:
                yield result
    finally:
        left.set()
        for thread in threads:
            thread.join()
