"""What a board says of itself, checked: its cores, its memory, and which chips' code it runs.

A core of SpacemiT's is known by its marchid. Where no core has one that is known, as under QEMU, the length of the vectors decides, and the
agent emulates matrix instructions.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton_spacemit.backend import wire
from triton_spacemit.backend.errors import LinkError
from triton_spacemit.dialect import abi
from triton_spacemit.dialect.chips import CHIPS, Chip

_LARGEST_AREA = 1 << 36


@dataclass(frozen=True)
class Core:
    """One core. number: Linux's. usable: whether workers may run there. ai: whether they get there by way of /proc/set_ai_thread only.

    vendor, arch, implementation: its registers mvendorid, marchid and mimpid. extensions: the bits of riscv_hwprobe's key 4. vlen: of its
    vector registers. ime: whether it carries matrix instructions out. kilohertz: at most; 0 where the system does not say.
    """

    number: int
    usable: bool
    ai: bool
    vendor: int
    arch: int
    implementation: int
    extensions: int
    vlen: int
    ime: bool
    kilohertz: int


@dataclass(frozen=True)
class BoardInfo:
    """A board. arena, code: start and size of its addresses for tensors and for kernels. externals: functions that kernels may call.

    no_sandbox, no_counters: why not; empty where there are. said: all that it says, for whoever shows it.
    """

    machine: str
    processor: str
    cores: tuple[Core, ...]
    arena: tuple[int, int]
    code: tuple[int, int]
    externals: dict[str, int]
    no_sandbox: str
    no_counters: str
    has_cache: bool
    said: dict[str, Any]

    @property
    def emulated(self) -> bool:
        """Whether no core is known to be one of SpacemiT's."""
        known = {chip.marchid for chip in CHIPS.values()}
        return not any(core.arch in known for core in self.cores)

    def cores_for(self, chip: Chip) -> list[Core]:
        """The cores that run the chip's code; none where the board has no such core."""
        usable = [core for core in self.cores if core.usable]
        if not chip.is_riscv:
            return usable if self.machine == chip.triple.partition("-")[0] and self.processor == _own_processor() else []
        if self.machine != "riscv64":
            return []
        if self.emulated:
            return [core for core in usable if core.vlen == chip.vlen]
        cores = [core for core in usable if core.arch == chip.marchid and core.vlen == chip.vlen]
        return [core for core in cores if core.ime] if chip.ime and chip.ime_cores else cores

    def chip(self) -> str | None:
        """The name of the chip whose code it runs best: that of most cores, the first in the table of chips among equals."""
        from triton_spacemit.dialect.chips import get_chip

        found = [(len(self.cores_for(get_chip(name))), -i, name) for i, name in enumerate((*CHIPS, "host"))]
        best = max(found)
        return best[2] if best[0] else None

    def described(self) -> str:
        """Its cores in a few words, for messages."""
        kinds: dict[str, int] = {}
        for core in self.cores:
            name = next((chip.name for chip in CHIPS.values() if chip.marchid == core.arch), f"marchid {core.arch:#x}")
            text = f"{name}, VLEN {core.vlen}" if core.vlen else f"{self.machine} without vectors that are known"
            kinds[text] = kinds.get(text, 0) + 1
        return "; ".join(f"{count} cores ({text})" for text, count in kinds.items()) or "no cores"


def _own_processor() -> str:
    """This machine's, as the agent says it."""
    try:
        rows = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    row = next((row for row in rows if row.startswith("model name")), "")
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in row.partition(":")[2].strip())


def parse(name: str, text: bytes) -> BoardInfo:
    """What the board `name` says. Raises LinkError where that makes no sense, or is of another version."""
    try:
        said = json.loads(text)
        if said["protocol"] != wire.VERSION or said["abi"] != abi.VERSION:
            ours = f"versions {wire.VERSION} of the protocol and {abi.VERSION} of the kernel ABI"
            raise LinkError(f"the agent of board {name!r} has versions {said['protocol']} and {said['abi']}; this process has {ours}")
        cores = tuple(_core(core) for core in said["cores"])
        externals = {str(key): _number(value) for key, value in said["externals"].items()}
        area = {key: (_number(said[key]["start"]), _number(said[key]["bytes"])) for key in ("arena", "code")}
        for key, start in (("arena", wire.ARENA_START), ("code", wire.CODE_START)):
            if area[key][0] != start or area[key][1] > _LARGEST_AREA:
                raise ValueError(f"its {key} is {area[key]}")
        no_sandbox = "" if said["sandbox"] is True else str(said["no_sandbox"])
        no_counters = "" if said["counters"] is True else str(said["no_counters"])
        machine, processor = str(said["machine"]), str(said["processor"])
        return BoardInfo(
            machine, processor, cores, area["arena"], area["code"], externals, no_sandbox, no_counters, bool(said["cache"]), said
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LinkError(f"what the agent of board {name!r} says of itself makes no sense: {type(error).__name__}: {error}") from None


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise ValueError(f"{value!r} is no number of 64 bits")
    return value


def _core(said: dict[str, Any]) -> Core:
    numbers = {key: _number(said[key]) for key in ("vendor", "arch", "implementation", "extensions", "vlen", "kilohertz")}
    number = _number(said["core"])
    if number >= 64 * wire.CORE_WORDS:
        raise ValueError(f"core {number} is more than there can be")
    usable, ai, ime = (said[key] is True for key in ("usable", "ai", "ime"))
    return Core(number=number, usable=usable, ai=ai, ime=ime, **numbers)
