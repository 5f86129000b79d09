"""A failing program as a script that runs by itself: compiled in one process, interpreted in another."""

import pprint

from random_kernels.check import Result
from random_kernels.memory import Memory, torch_type
from random_kernels.program import Program

TEMPLATE = '''"""{kind}, seed {seed} of the random kernels{where}. Exits 1 where memory differs from what Triton's interpreter leaves."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import triton
import triton.language as tl

{source}

def run():
    """The program's memory after it has run."""
    nan, inf = float("nan"), float("inf")
{memory}
    kernel[{grid}]({arguments})
    return [{storages}]


if os.environ.get("TRITON_INTERPRET") == "1":
    torch.save(run(), sys.argv[1])
    sys.exit()
{device}
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.executable, __file__, folder + "/want"], env=os.environ | {{"TRITON_INTERPRET": "1"}}, check=True)
    want = torch.load(folder + "/want")
bad = 0
for number, (a, b) in enumerate(zip(run(), want)):
    same = torch.isclose(a.double(), b.double(), rtol=1e-4, atol=1e-6, equal_nan=True) if a.is_floating_point() else a == b
    at = (~same).nonzero().flatten()[:8].tolist()
    bad += int((~same).sum())
    if at:
        print(f"storage {{number}}: {{int((~same).sum())}} differ, at {{at}}: got {{a[at].tolist()}}, want {{b[at].tolist()}}")
print(bad, "differ")
sys.exit(bad > 0)
'''


def _memory(program: Program) -> str:
    """Statements that make the storages and the pointers into them."""
    lines, memory = [], Memory(program)
    for number, storage in enumerate(program.storages):
        data = memory.contents(number)
        if data.numel() <= 160:
            text = f"torch.tensor({pprint.pformat(data.tolist(), compact=True, width=130)}, dtype=torch.{storage.dtype})"
        elif storage.fill == "count" and storage.dtype != "bfloat16":
            text = f"(torch.arange({data.numel()}) % 100).to(torch.{storage.dtype})"
        else:
            text = f"torch.from_numpy({_drawn(program, number)})"
            if storage.dtype == "bfloat16":
                text = f"{text}.to(torch.bfloat16)"
        lines.append(f"m{number} = {text}")
    for pointer, tensor in zip(program.pointers, memory.arguments(), strict=False):
        start = memory.slack[pointer.storage] + pointer.offset
        size = tensor.element_size() * tensor.numel()
        lines.append(f"{pointer.name} = m{pointer.storage}.view(torch.uint8)[{start}:{start + size}].view({torch_type(pointer.dtype)})")
    return "\n".join("    " + line.replace("\n", "\n    ") for line in lines)


def _drawn(program: Program, number: int) -> str:
    """As `memory.fill` draws it."""
    memory = Memory(program)
    storage, count = program.storages[number], memory.contents(number).numel()
    wide = "float32" if storage.dtype == "bfloat16" else storage.dtype
    draw = f"np.random.default_rng({storage.seed})"
    if storage.fill == "full":
        return f"{draw}.integers(np.iinfo('{wide}').min, np.iinfo('{wide}').max, {count}, dtype='{wide}', endpoint=True)"
    if storage.fill == "bits":
        return f"{draw}.integers(0, 2, {count}).astype('{wide}')"
    if storage.fill == "index":
        return f"{draw}.integers(0, 1 << 30, {count}).astype('{wide}')"
    if storage.fill == "special":
        return f"np.array({memory.contents(number).tolist()}, dtype='{wide}')"
    low = 0 if wide.startswith("uint") else -4
    return f"{draw}.integers({low}, 5, {count}).astype('{wide}')"


def script(program: Program, result: Result, chip: str) -> str:
    names = [p.name for p in program.pointers] + [repr(s.value).replace("inf", "float('inf')") for s in program.scalars]
    names += [f"{name}={value}" for name, value in program.atoms.items()]
    select = f'from triton_spacemit.backend import set_device\nset_device("qemu", chip="{chip}")\n' if chip != "host" else ""
    return TEMPLATE.format(
        kind=result.kind,
        seed=result.seed,
        where=f" on {chip}",
        source=program.source(),
        memory=_memory(program),
        grid=program.grid,
        arguments=", ".join(names),
        storages=", ".join(f"m{number}" for number in range(len(program.storages))),
        device=select,
    ) + "".join(f"# {line}\n" for line in result.detail.splitlines()[:12])
