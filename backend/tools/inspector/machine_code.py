"""Assembly as LLVM prints it with comments: its lines and their places, its blocks and loops, and the instructions in each.

LLVM says in comments which loop a block belongs to, what spills, and from where a line was inlined; nothing of this is guessed here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from triton_spacemit.backend.devices.counting import lmul_of
from triton_spacemit.backend.tools.inspector.locations import Chain, DebugInfo, Text, unescaped
from triton_spacemit.dialect import ime
from triton_spacemit.dialect.chips import Chip

_FILE = re.compile(r'\s+\.file\s+(\d+) "((?:[^"\\]|\\.)*)"(?: "((?:[^"\\]|\\.)*)")?')
_LOC = re.compile(r"\s+\.loc\s+(\d+) (\d+) (\d+)[^#]*(?:#\s*(.*))?")
_INLINED = re.compile(r"([^\[\]@]+):(\d+):(\d+)")
_LABEL = re.compile(r"([\w.$]+):")
_HEADER = re.compile(r"=>\s*This (?:Inner )?Loop Header: Depth=(\d+)")
_PARENT = re.compile(r"Parent Loop (\w+) Depth=(\d+)")
_INSIDE = re.compile(r"in Loop: Header=(\w+) Depth=(\d+)")
_DATA = re.compile(r"\s+\.(byte|half|short|word|long|quad|zero|ascii|asciz|p2align|dword|2byte|4byte|8byte|space)\b")
# Words in code, as assembly has instructions that LLVM has no name for.
_WORD = re.compile(r"\s+\.(?:word|long|4byte|insn(?:\s+4,)?)\s+(0x[0-9a-fA-F]+|\d+)\s*(?:#.*)?$")
_INSTRUCTION = re.compile(r"\s+([a-z][\w.]*)\s*([^#]*?)\s*(?:#\s*(.*))?$")


@dataclass
class Instruction:
    """One line of machine code. lmul: the registers that a vector operand takes on RISC-V; sew: its elements' bits."""

    mnemonic: str
    operands: str
    comment: str
    line: int
    lmul: float = 1.0
    sew: int = 0


@dataclass
class Block:
    """Instructions from one label to the next. loop: the header of the innermost loop around it."""

    label: str
    loop: str = ""
    instructions: list[Instruction] = field(default_factory=list)


@dataclass
class Loop:
    """header: the label that it begins at. parent: the header of the loop around it."""

    header: str
    depth: int
    parent: str = ""


@dataclass
class Function:
    """A function's blocks in order and its loops by header."""

    name: str
    blocks: list[Block] = field(default_factory=list)
    loops: dict[str, Loop] = field(default_factory=dict)

    def instructions(self, loop: str | None = None) -> list[Instruction]:
        """Those of all blocks, or of the blocks in the loop with this header, with the loops in it."""
        return [i for block in self.blocks if loop is None or self._is_in(block.loop, loop) for i in block.instructions]

    def nest(self, parent: str = "") -> Iterator[Loop]:
        """The loops, each before those in it; loops side by side as they stand in the code."""
        for loop in self.loops.values():
            if loop.parent == parent:
                yield loop
                yield from self.nest(loop.header)

    def is_innermost(self, loop: str) -> bool:
        return not any(other.parent == loop for other in self.loops.values())

    def _is_in(self, loop: str, outer: str) -> bool:
        while loop:
            if loop == outer:
                return True
            loop = self.loops[loop].parent if loop in self.loops else ""
        return False


def read_assembly(text: str, debug: DebugInfo, chip: Chip) -> tuple[Text, list[Function]]:
    """What there is to show of commented assembly, and its functions. `debug` is that of the LLVM IR it was made from."""
    reader = _Reader(debug)
    for line in text.splitlines():
        reader.read(line)
    if chip.is_riscv:
        for function in reader.functions:
            _give_types(function)
    return reader.text, reader.functions


class _Reader:
    def __init__(self, debug: DebugInfo) -> None:
        # LLVM's comments name files without their folders.
        self.known = {tuple((file.rpartition("/")[2], line, column) for file, line, column in place): place for place in debug.places()}
        self.files: dict[str, str] = {}
        self.text, self.functions = Text(), list[Function]()
        self.place: Chain = ()
        self.block: Block | None = None
        self.function: Function | None = None
        self.is_code, self.is_debug = True, False
        self.pending: list[str] = []  # labels of data that may turn out to be debug information

    def read(self, line: str) -> None:
        if match := _FILE.match(line):
            self.files[match[1]] = "/".join(unescaped(part, "[0-7]{3}", 8) for part in match.groups()[1:] if part)
        elif match := re.match(r"\s+\.(section|text)\b\s*\"?([\w.]*)", line):
            self.is_debug = match[2].startswith((".debug", ".note", ".eh_frame", ".llvm"))
            self.is_code = match[1] == "text" or match[2].startswith(".text")
        elif self.is_debug:
            return
        elif match := _LOC.match(line):
            self.place = self._place(match)
        elif match := re.match(r"# %bb\.(\d+):", line):
            self._begin("")
            self._comment(line)
        elif match := _LABEL.match(line):
            self._label(match[1], line)
        elif line.lstrip().startswith("#"):
            self._comment(line)
        elif self.is_code and (match := _WORD.match(line)):
            self._word(int(match[1], 0))
        elif not self.is_code and _DATA.match(line) and not line.lstrip().startswith(".p2align"):
            self.text.add("    " + " ".join(line.partition("#")[0].split()))
        elif (match := _INSTRUCTION.match(line)) and self.is_code and not match[1].startswith("."):
            self._instruction(match[1], " ".join(match[2].split()), match[3] or "")

    def _place(self, match: re.Match[str]) -> Chain:
        file, number, column, comment = match.groups()
        if number == "0":
            return ()
        chain = tuple((name.strip(), int(n), int(c)) for name, n, c in _INLINED.findall(comment or ""))
        return self.known.get(chain) or ((self.files.get(file, "?"), int(number), int(column)),)

    def _label(self, label: str, line: str) -> None:
        if label.startswith((".Ltmp", ".Lfunc", ".Lline", ".Ldebug", ".Lpcrel_hi")):
            if label.startswith(".Lpcrel_hi"):
                self.text.add(label + ":", self.place)
            return
        if self.is_code and not label.startswith((".L", "$")):
            self.function = Function(label)
            self.functions.append(self.function)
            self.place = ()
        self.text.add(label + ":")
        if self.is_code:
            self._begin(label)
            self._comment(line)

    def _begin(self, label: str) -> None:
        if self.function is not None:
            self.block = Block(label)
            self.function.blocks.append(self.block)

    def _comment(self, line: str) -> None:
        if self.block is None or self.function is None:
            return
        loops = self.function.loops
        if match := _PARENT.search(line):
            self.block.loop = ".L" + match[1]  # the last one is the innermost
        elif match := _HEADER.search(line):
            loops[self.block.label] = Loop(self.block.label, int(match[1]), self.block.loop)
            self.block.loop = self.block.label
        elif match := _INSIDE.search(line):
            self.block.loop = ".L" + match[1]

    def _word(self, word: int) -> None:
        decoded = ime.decode(word)
        mnemonic, _, operands = str(decoded or f".word {word:#010x}").partition(" ")
        self._instruction(mnemonic, operands, f"{word:#010x}" if decoded else "")

    def _instruction(self, mnemonic: str, operands: str, comment: str) -> None:
        shown = f"    {mnemonic:<12} {operands}".rstrip() + (f"    # {comment}" if comment else "")
        if self.block is not None:
            self.block.instructions.append(Instruction(mnemonic, operands, comment, len(self.text.lines)))
        self.text.add(shown, self.place)


def _give_types(function: Function) -> None:
    """Tell every instruction the vector type that it runs with: what the last `vset` on a way to it has set."""
    blocks = {block.label: i for i, block in enumerate(function.blocks) if block.label}
    known: dict[int, tuple[float, int]] = {0: (1.0, 0)}
    waiting = [0] if function.blocks else []
    while waiting:
        number = waiting.pop()
        state = known[number]
        block = function.blocks[number]
        successors = set()
        for instruction in block.instructions:
            if (lmul := lmul_of(instruction.mnemonic, instruction.operands)) is not None:
                width = re.search(r"\be(\d+)\b", instruction.operands)
                state = lmul, int(width[1]) if width else state[1]
            instruction.lmul, instruction.sew = state
            target = instruction.operands.rpartition(",")[2].strip()
            if target in blocks:
                successors.add(blocks[target])
        if not (block.instructions and block.instructions[-1].mnemonic in ("j", "ret", "jr", "tail")):
            successors.add(number + 1)
        for successor in successors:
            if successor < len(function.blocks) and successor not in known:
                known[successor] = state
                waiting.append(successor)
