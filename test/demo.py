"""The main job, shown: the kernels of `test/kernels` on the host, an emulated X60 and an emulated board, each checked against PyTorch.

One row a kernel and device: its largest error, that error as a share of the bound which its rounding allows, its cost (the median time
on the host and on the board, with the link to it; on the emulated X60, whose time means nothing, the instructions it executes, plain and
weighted by LMUL), and the folder with its IR in every stage and its assembly.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from kernels.case import error_ratio
from kernels.catalog import CASES
from targets import choose
from triton import knobs

from triton_spacemit.backend.devices import counting
from triton_spacemit.dialect.chips import get_chip
from triton_spacemit.passes import codegen

KERNELS = (
    "add softmax layer_norm layer_norm_backward dropout matmul matmul_leaky_relu attention attention_causal matmul_descriptors "
    "matmul_host_descriptors"
).split()
TARGETS = {"host": "host", "qemu": "x60", "remote": "x60"}
ON_A_BOARD = ("add", "softmax")  # of the default: the code is that under QEMU, and the link is the same for all
ROW = "{:<24} {:<9} {:>9} {:>7}  {:<33} {}"


class Recorder:
    """Writes the artefacts of every kernel that Triton compiles or finds in its cache into `folder`."""

    def __init__(self) -> None:
        self.folder = Path()

    def __call__(self, *, metadata: dict[str, Any], metadata_group: dict[str, str], **_: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, path in metadata_group.items():
            (self.folder / name).write_bytes(Path(path).read_bytes())
        chip = get_chip(metadata["arch"])
        llvm_ir = (self.folder / f"{metadata['name']}.llir").read_text()
        (self.folder / f"{metadata['name']}.asm").write_text(codegen.assembly(llvm_ir, chip))


def cost(device: str, launch: Callable[[], object], repeats: int) -> str:
    """What one call of `launch` costs on `device`."""
    if device == "qemu":
        counts = counting.count(launch)
        return f"{counts.instructions} executed, {counts.weighted:.0f} weighted"
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        launch()
        times.append(time.perf_counter() - start)
    return f"{statistics.median(times) * 1e3:.3f} ms"


def largest_error(actual: Any, expected: Any) -> float:
    if isinstance(actual, tuple | list):
        return max(largest_error(*pair) for pair in zip(actual, expected, strict=True))
    return float((actual.double() - expected.double()).abs().max())


def run(name: str, device: str, recorder: Recorder, repeats: int) -> bool:
    """One row; whether the result is right."""
    chip = TARGETS[device]
    where = f"{device} {chip}" if device != chip else device
    choose(device, chip)
    case = CASES[name]
    recorder.folder = Path("build/demo") / name / chip
    inputs = case.inputs()
    try:
        actual, expected = case.run(*inputs), case.reference(*inputs)
        price = cost(device, lambda: case.run(*inputs), repeats)
    except Exception as error:
        # A CompilationError's text starts with the source.
        message = str(getattr(error, "error_message", error)).strip().partition("\n")[0]
        print(ROW.format(name, where, "failed", "", "", f"{type(error).__name__}: {message}"), flush=True)
        return False
    ratio = error_ratio(actual, expected, case.bound(*inputs))
    columns = (f"{largest_error(actual, expected):.2e}", f"{ratio:.2f}", price, str(recorder.folder))
    print(ROW.format(name, where, *columns), flush=True)
    return ratio <= 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=TARGETS, action="append", help="only this device (default: all)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each kernel")
    parser.add_argument("kernel", nargs="*", default=KERNELS, metavar="kernel", help=f"default: {', '.join(KERNELS)}")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.kernel) - set(CASES)):
        parser.error(f"unknown kernel {unknown[0]!r}; known: {', '.join(CASES)}")
    torch.manual_seed(0)
    knobs.compilation.listener = recorder = Recorder()
    print(ROW.format("kernel", "device", "error", "/bound", "cost", "IR of every stage"))
    rows = [
        (name, device)
        for name in arguments.kernel
        for device in arguments.device or TARGETS
        if device != "remote" or arguments.device or arguments.kernel is not KERNELS or name in ON_A_BOARD
    ]
    results = [run(name, device, recorder, arguments.repeats) for name, device in rows]
    print(f"{sum(results)} of {len(results)} are right")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
