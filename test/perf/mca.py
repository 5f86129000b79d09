"""Cycles of a loop on the X60 as llvm-mca's model of it sees them: an in-order core on which a load that is used at once stalls."""

import re

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.tools import mca

_MULTIPLICATION = re.compile(r"\s+(smt\.vmadot|v(f?w?n?m(acc|add|sac|sub)|f?w?mul|f?nms|w?macc))")
_LABEL = re.compile(r"(\.L\w+):")
_VTYPE = re.compile(r"\s+vset.*\be(\d+), (mf?\d)\b")


def inner_loop(assembly: str) -> list[str]:
    """The loop without branches in it that multiplies most, each instruction after the vector type that it works on (llvm-mca's hint)."""
    best: list[str] = []
    most = 0
    loop: list[str] = []
    label, vtype = "", ("32", "m1")
    for line in assembly.splitlines():
        if match := _LABEL.match(line):
            label, loop = match[1], _hints(vtype)
            continue
        if not re.match(r"\s+[a-z]", line) or re.match(r"\s+\.", line):
            continue
        if match := _VTYPE.match(line):
            vtype = match[1], match[2]
            loop += _hints(vtype)
        loop.append(line)
        if re.match(r"\s+(b\w+|j\w*)\s", line):
            products = sum(bool(_MULTIPLICATION.match(line)) for line in loop)
            if re.search(rf"{re.escape(label)}$", line) and label and products > most:
                best, most = list(loop), products
            label = ""
    if not best:
        raise DeviceError("the kernel has no loop that multiplies vectors")
    return best


def _hints(vtype: tuple[str, str]) -> list[str]:
    sew, lmul = vtype
    return mca.hints(int(sew), 1 / int(lmul[2:]) if lmul.startswith("mf") else float(lmul[1:]))


def multiplications(loop: list[str]) -> list[str]:
    """The vector multiplications of a loop, with their hints."""
    return [line for line in loop if line.startswith("#") or _MULTIPLICATION.match(line)]


def cycles(loop: list[str]) -> float:
    """Cycles of one iteration of many."""
    return mca.cycles([loop])[0]
