"""What machine code consists of: kinds of instructions, their weights, the vector registers that they name, spills."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from triton_spacemit.backend.devices.counting import weight
from triton_spacemit.backend.tools.inspector.machine_code import Instruction
from triton_spacemit.dialect.chips import Chip

KINDS = ("vector float", "vector integer", "vector memory", "vector setup", "scalar float", "scalar integer", "scalar memory", "branch")

_RISCV_MEMORY = re.compile(r"[ls][bhwd]u?$|f[ls][hwd]$|amo|lr\.|sc\.")
_RISCV_VECTOR_MEMORY = re.compile(r"v[ls](?:e\d+|se\d+|[uo]x\w*ei|m\.v|\d+r|\w*seg)")
_RISCV_BRANCH = re.compile(r"b[a-z]+z?$|j|ret$|call$|tail$")
_X86_BRANCH = re.compile(r"j|call|ret")
_X86_MOVE = re.compile(r"v?p?mov|v?p?gather|v?p?scatter|v?maskmov|v?broadcast|v?pbroadcast|v?p?expand|v?p?compress")


def kind(instruction: Instruction, chip: Chip) -> str:
    """One of KINDS."""
    name, operands = instruction.mnemonic, instruction.operands
    if not chip.is_riscv:
        return _x86_kind(name, operands)
    if name.startswith(("v", "smt.v")):
        if name.startswith("vset"):
            return "vector setup"
        if _RISCV_VECTOR_MEMORY.match(name):
            return "vector memory"
        return "vector float" if name.startswith(("vf", "vmf")) else "vector integer"
    if _RISCV_MEMORY.match(name):
        return "scalar memory"
    if name.startswith("f") and not name.startswith("fence"):
        return "scalar float"
    bit_manipulation = name.startswith(("bset", "bclr", "binv", "bext", "brev"))
    return "branch" if _RISCV_BRANCH.match(name) and not bit_manipulation else "scalar integer"


def _x86_kind(name: str, operands: str) -> str:
    is_vector = re.search(r"%[xyz]mm", operands) is not None
    is_memory = "(" in operands and not name.startswith("lea")
    if _X86_BRANCH.match(name):
        return "branch"
    if name == "vzeroupper":
        return "vector setup"
    if is_vector:
        scalar = name.endswith(("ss", "sd"))
        if is_memory and _X86_MOVE.match(name):
            return "scalar memory" if scalar and "broadcast" not in name else "vector memory"
        if scalar and not name.startswith(("vbroadcast", "vpbroadcast")):
            return "scalar float"
        return "vector float" if name.endswith(("ps", "pd", "ph", "bf16")) else "vector integer"
    return "scalar memory" if is_memory and name.startswith("mov") else "scalar integer"


@dataclass(frozen=True)
class Mix:
    """What a piece of code consists of. spills: stores to, and reloads from, the stack that the register allocator added."""

    instructions: int
    weighted: float
    by_kind: dict[str, float]
    by_mnemonic: dict[str, float]
    vector_registers: int
    spills: int
    reloads: int


def mix(instructions: Iterable[Instruction], chip: Chip) -> Mix:
    """Counts of code as it stands, each instruction once; weighted by the vector registers that it works on."""
    number, spills, reloads = 0, 0, 0
    by_kind, by_mnemonic = Counter[str](), Counter[str]()
    registers: set[int] = set()
    for instruction in instructions:
        cost = weight(instruction.mnemonic, instruction.lmul, instruction.sew) if chip.is_riscv else 1.0
        number += 1
        by_kind[kind(instruction, chip)] += cost  # type: ignore[assignment]
        by_mnemonic[instruction.mnemonic] += cost  # type: ignore[assignment]
        spills += "Spill" in instruction.comment
        reloads += "Reload" in instruction.comment
        registers.update(_vector_registers(instruction, chip))
    return Mix(number, sum(by_kind.values()), dict(by_kind), dict(by_mnemonic.most_common()), len(registers), spills, reloads)


def _vector_registers(instruction: Instruction, chip: Chip) -> Iterator[int]:
    """The numbers of the registers that it names or, on RISC-V, that its operands' groups hold."""
    if not chip.is_riscv:
        yield from map(int, re.findall(r"%[xyz]mm(\d+)", instruction.operands))
        return
    operands = [operand.strip() for operand in instruction.operands.split(",")]
    for position, operand in enumerate(operands):
        if match := re.fullmatch(r"v(\d+)", operand):
            first = int(match[1])
            yield from range(first, min(first + _group(instruction, position), chip.vector_registers))
        elif operand == "v0.t":
            yield 0


def _group(instruction: Instruction, position: int) -> int:
    """Registers in the group of one operand."""
    name, lmul = instruction.mnemonic, instruction.lmul
    if match := re.match(r"v(?:[ls]|mv)(\d)r", name):
        return int(match[1])
    if match := re.match(r"smt\.vmadot(\d?)", name):
        return 2 if position == 0 or position == 1 and match[1] else 1
    if re.match(r"vm[a-z]+\.(mm?|v)$", name) or (position == 0 and re.match(r"vmf?s?(eq|ne|lt|le|gt|ge|sbf|sif|sof)", name)):
        return 1  # a mask
    if "red" in name and position != 1 or re.match(r"vf?mv\.\w\.[sxf]$", name) and not name.startswith(("vmv.v", "vfmv.v")):
        return 1  # one element
    if (match := re.match(r"v[ls]s?e(\d+)", name)) and instruction.sew:
        lmul *= int(match[1]) / instruction.sew
    is_wide = name.startswith(("vw", "vfw")) and (position == 0 or position == 1 and ".w" in name)
    is_narrow = name.startswith(("vn", "vfn")) and position == 1 and ".w" in name
    return max(int(lmul * (2 if is_wide or is_narrow else 1)), 1)
