"""Exact dynamic instruction counts of kernels, and the same weighted by what a vector instruction costs.

Wall time under QEMU means nothing, so speed on a RISC-V chip is measured in instructions. QEMU, told to translate one instruction
at a time, logs each one that it executes in the kernels' address range; a launch is counted in a guest of its own, on one thread.
"""

import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from triton_spacemit.backend.devices import Clock, get_device
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import active_target
from triton_spacemit.dialect import ime

_EXECUTED = re.compile(rb"Trace [^\[]*\[[0-9a-f]+/([0-9a-f]+)/")
_TRANSLATED = re.compile(rb"0x([0-9a-f]+):\s+([0-9a-f]+)\s+(\S+)\s*([^\n]*)")
_LMUL = re.compile(r"\bm(f?)([1248])\b")
_SEW = re.compile(r"\be(8|16|32|64)\b")
_PLAIN_ACCESS = re.compile(r"v([ls])(s(?=e)|ux|ox)?(e(?:i)?\d+(?:ff)?\.v)")
_WHOLE_REGISTERS = re.compile(r"v(?:[ls]|mv)(\d)re?\d*")
_ELEMENTS = re.compile(r"v[ls]s?(?:seg[2-8])?e(\d+)(?:ff)?\.v")  # not those by an index, whose name has the index's width
_SEGMENTS = re.compile(r"v[ls](?:s|ux|ox)?seg([2-8])")
_TWICE_AS_WIDE = re.compile(r"v(?:f?w|f?ncvt|nclip|nsr[la])")  # widening and narrowing instructions; not vfnmadd, vnmsac and their like


@dataclass
class Counts:
    """What the launches of a block executed in their kernels; functions of the runtime that kernels call are not in it.

    weighted: every vector instruction counts as the registers it works on (LMUL, at least 1; of loads and stores for elements of their own
    width; twice for widening and narrowing ones; once a field for loads and stores of segments).
    """

    instructions: int = 0
    weighted: float = 0.0
    by_mnemonic: Counter[str] = field(default_factory=Counter)
    weighted_by_mnemonic: dict[str, float] = field(default_factory=dict)


def weight(mnemonic: str, lmul: float, sew: int = 0) -> float:
    """What one instruction counts where the vector length multiplier is `lmul`, for elements of `sew` bits (0: of its own width)."""
    if sew and (elements := _ELEMENTS.fullmatch(mnemonic)):
        lmul *= int(elements[1]) / sew
    if not mnemonic.startswith("v") or mnemonic.startswith("vset"):
        return 1.0
    if whole := _WHOLE_REGISTERS.match(mnemonic):
        return float(whole[1])
    if segments := _SEGMENTS.match(mnemonic):
        return max(lmul, 1.0) * int(segments[1])
    return max(lmul, 1.0) * (2.0 if _TWICE_AS_WIDE.match(mnemonic) else 1.0)


def with_segments(mnemonic: str, word: int) -> str:
    """The name of a load or store of segments, which QEMU calls by that of a plain one: `vle32.v` of four fields is `vlseg4e32.v`.

    Source: the encoding of vector loads and stores in the RISC-V "V" extension; bits 31 to 29 are the number of fields less one.
    """
    fields, mode, unit = (word >> 29) + 1, word >> 26 & 3, word >> 20 & 31
    whole_registers = mode == 0 and unit == 8
    if fields == 1 or whole_registers or not (plain := _PLAIN_ACCESS.fullmatch(mnemonic)):
        return mnemonic
    direction, kind, rest = plain.groups("")
    return f"v{direction}{kind}seg{fields}{rest}"


class ExecutionLog:
    """Reads QEMU's log (`-d in_asm,exec`) while it is written to the descriptor `write`."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._translated: dict[bytes, tuple[str, tuple[float, int] | None]] = {}  # address -> mnemonic, and the LMUL and SEW that it sets
        self._executed: Counter[tuple[bytes, tuple[float, int]]] = Counter()
        self._type = (1.0, 0)
        read, self.write = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(read,), daemon=True)
        self._thread.start()

    def _read(self, file: int) -> None:
        with os.fdopen(file, "rb", buffering=1 << 20) as lines:
            for line in lines:
                if executed := _EXECUTED.match(line):
                    place = executed[1].lstrip(b"0")
                    self._type = self._translated[place][1] or self._type
                    self._executed[place, self._type] += 1
                elif translated := _TRANSLATED.match(line):
                    place, word, name, operands = translated.groups()
                    matrix = ime.decode(int(word, 16))  # which QEMU has no name for
                    mnemonic = matrix.instruction.mnemonic if matrix else with_segments(name.decode(), int(word, 16))
                    self._translated[place.lstrip(b"0")] = mnemonic, type_of(mnemonic, operands.decode())

    def close(self) -> Counts:
        """The counts, when every process that writes has ended."""
        if self.write >= 0:
            os.close(self.write)
            self.write = -1
        self._thread.join()
        counts = Counts()
        for (place, (lmul, sew)), times in self._executed.items():
            mnemonic = self._translated[place][0]
            cost = weight(mnemonic, lmul, sew) * times
            counts.instructions += times
            counts.weighted += cost
            counts.by_mnemonic[mnemonic] += times
            counts.weighted_by_mnemonic[mnemonic] = counts.weighted_by_mnemonic.get(mnemonic, 0.0) + cost
        return counts


def lmul_of(mnemonic: str, operands: str) -> float | None:
    """The LMUL that a vset instruction sets; None for others."""
    found = _LMUL.search(operands) if mnemonic.startswith("vset") else None
    if found is None:
        return None
    return 1.0 / int(found[2]) if found[1] else float(found[2])


def type_of(mnemonic: str, operands: str) -> tuple[float, int] | None:
    """The LMUL and the bits of elements (0: unknown) that a vset instruction sets; None for others."""
    lmul, sew = lmul_of(mnemonic, operands), _SEW.search(operands)
    return None if lmul is None else (lmul, int(sew[1]) if sew else 0)


class CountsInstructions(Protocol):
    """A device with `Clock.INSTRUCTIONS`."""

    def count(self, launches: Callable[[], object]) -> Counts:
        """Call `launches`, which launches kernels on this device, and count what they execute."""


def count(launches: Callable[[], object]) -> Counts:
    """What launches on the active device execute. Raises DeviceError where it counts no instructions."""
    device = get_device(*active_target())
    if device.clock is not Clock.INSTRUCTIONS:
        raise DeviceError(f"instructions are counted on the qemu device; the active one is {device.name!r}")
    return cast(CountsInstructions, device).count(launches)
