"""How near estimates of cycles come to silicon: XNNPACK's micro-kernels, whose times on K1 its authors have published, built and estimated.

    python third_party/xnnpack/silicon.py CHECKOUT [--json]

The times are those of pull requests of google/XNNPACK, of one X60 core at 1.6 GHz, where a benchmark calls a kernel over and over with the
same data. CHECKOUT is a folder with that repository; nothing of it is kept.
"""

import argparse
import json
import statistics
import struct
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices import Signature, get_device
from triton_spacemit.backend.estimate import Estimate, estimate
from triton_spacemit.backend.native import zig
from triton_spacemit.dialect.artifact import Artifact

NEAR = 0.3  # of the published time
_FLAGS = (
    "-target riscv64-linux-musl -mcpu=spacemit_x60 -O3 -DNDEBUG -fPIC -mno-relax -fno-sanitize=all -fno-stack-protector -fno-math-errno "
    "-DXNN_ENABLE_RISCV_VECTOR=1 -DXNN_ENABLE_RISCV_FP16_VECTOR=1"
).split()


@dataclass(frozen=True)
class Published:
    """form: how it is called (wrapper.c). folder, name: of the micro-kernel. size: elements. nanoseconds: on K1. pull: where."""

    form: str
    folder: str
    name: str
    dtype: str
    size: int
    nanoseconds: int
    pull: int

    @property
    def function(self) -> str:
        """XNNPACK's name of it."""
        return f"xnn_{self.folder.replace('-', '_')}{'_minmax' if self.form == 'BINARY' else ''}_ukernel__{self.name.replace('-', '_')}"

    @property
    def source(self) -> str:
        """Its file in a checkout."""
        middle = "-minmax" if self.form == "BINARY" else ""
        return f"src/{self.folder}/gen/{self.folder}{middle}-{self.name}.c"


def _f16(folder: str, name: str, size: int, times: Sequence[int], pull: int) -> list[Published]:
    return [
        Published("UNARY", folder, f"rvvfp16arith-{name}-u{lmul}v", "float16", size, time, pull)
        for lmul, time in zip((1, 2, 4, 8), times, strict=True)
    ]


PUBLISHED = [
    *_f16("f16-vcos", "rational-3-2-div", 65280, (343942, 216904, 170838, 154025), 9989),
    *_f16("f16-vsin", "rational-3-2-div", 65280, (336332, 213640, 169747, 151581), 9989),
    *_f16("f16-vlog", "rational-3-3-div", 7680, (32903, 21353, 18020, 17460), 10242),
    *_f16("f16-vlog", "rational-3-3-div", 65280, (280146, 181330, 161069, 149373), 10242),
    Published("UNARY", "f32-velu", "rvv-rr2-p6-u4v", "float32", 3840, 12885, 9954),
    Published("UNARY", "f32-velu", "rvv-rr2-p6-u4v", "float32", 32640, 167903, 9954),
    Published("UNARY", "f32-vgelu", "rvv-rational-12-10-div-u4v", "float32", 3840, 22137, 9954),
    Published("UNARY", "f32-vgelu", "rvv-rational-12-10-div-u4v", "float32", 32640, 225792, 9954),
    Published("UNARY", "f32-vapproxgelu", "rvv-rational-12-10-div-u4v", "float32", 3840, 22182, 9954),
    Published("UNARY", "f32-vapproxgelu", "rvv-rational-12-10-div-u4v", "float32", 32640, 222769, 9954),
    Published("UNARY", "f32-vcos", "rvv-rational-5-4-div-u8v", "float32", 3840, 22647, 9926),
    Published("UNARY", "f32-vcos", "rvv-rational-5-4-div-u8v", "float32", 32640, 192981, 9926),
    Published("BINARY", "qs8-vadd", "rvv-u2v", "int8", 10560, 13591, 7904),
    Published("BINARY", "qs8-vadd", "rvv-u2v", "int8", 87360, 113030, 7904),
]


def _build(checkout: Path, row: Published, folder: Path) -> bytes:
    output = folder / f"{row.function}.o"
    defines = [f"-D{row.form}", f'-DSOURCE="{row.source}"', f"-DUKERNEL={row.function}"]
    includes = [f"-I{checkout}", f"-I{checkout / 'include'}", f"-I{folder}"]
    (folder / "pthreadpool.h").write_text("typedef struct pthreadpool *pthreadpool_t;\n")  # named in a header, used by no micro-kernel
    zig("cc", *_FLAGS, *defines, *includes, "-c", str(Path(__file__).parent.resolve() / "wrapper.c"), "-o", str(output), work=folder)
    return output.read_bytes()


def estimate_of(checkout: Path, row: Published) -> Estimate:
    """What a call of a published kernel takes when the caches hold what the call before has left."""
    with tempfile.TemporaryDirectory() as folder:
        binary = _build(checkout, row, Path(folder))
    device = get_device("qemu", "x60")
    kernel = device.load(Artifact("ukernel", "x60", binary=binary))
    dtype = getattr(torch, row.dtype)
    torch.manual_seed(0)
    x = torch.randint(-100, 100, (row.size,), dtype=dtype) if dtype == torch.int8 else torch.empty(row.size, dtype=dtype).uniform_(-5, 5)
    if "log" in row.folder:
        x = x.abs() + 0.1
    y, out, parameters = x.clone(), torch.empty_like(x), torch.ones(64)  # factors of 1, or shifts that mean as little
    tensors = [x, *([y] if row.form == "BINARY" else []), out, parameters]
    if dtype == torch.int8:
        tensors[-1] = torch.tensor([0, 1 << 10, 1 << 10, 10, 0, -128, 127, 0], dtype=torch.int32)
    slots = struct.pack(f"<{1 + len(tensors)}Q", x.numel() * x.element_size(), *(tensor.data_ptr() for tensor in tensors))
    signature = Signature(("i64",) + ("*fp32",) * len(tensors), tuple(range(1, 1 + len(tensors))))
    return estimate(lambda: device.launch(kernel, (1, 1, 1), slots, tensors, signature), warm=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a folder with google/XNNPACK")
    parser.add_argument("--rows", default="", help="only those whose names have this")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    set_device("qemu", "x60")
    rows = [row for row in PUBLISHED if arguments.rows in row.function]
    console = Console(stderr=True)
    progress = track(rows, "estimating", console=console, disable=not console.is_terminal)
    made = [(row, estimate_of(arguments.checkout.resolve(), row)) for row in progress]
    ratios = [found.milliseconds * 1e6 / row.nanoseconds for row, found in made]
    near = sum(1 / (1 + NEAR) <= ratio <= 1 + NEAR for ratio in ratios)
    if arguments.json:
        json.dump([{**asdict(row), **asdict(found)} for row, found in made], sys.stdout, indent=2)
        return 0
    table = Table("kernel", "elements", "K1 us (published)", "estimated us", "ratio", "pull request")
    for (row, found), ratio in zip(made, ratios, strict=True):
        name = row.function.removeprefix("xnn_")
        times = f"{row.nanoseconds / 1e3:.1f}", f"{found.milliseconds * 1e3:.1f}"
        table.add_row(name, str(row.size), *times, f"{ratio:.2f}", f"#{row.pull}")
    Console(width=150).print(table)
    print(f"{near} of {len(made)} within {NEAR:.0%}; median ratio {statistics.median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
