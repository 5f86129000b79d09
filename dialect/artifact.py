"""A compiled kernel with all that running it takes.

What is known of a kernel besides its code goes one way: passes leave it in attributes of the module, `to-llvm` in attributes of the LLVM
function (`"xsmt-chip"="x60"`), so that LLVM IR text from a cache or a file has it too, and code generation in a note of the ELF object,
which devices, bundles and boards read. `readelf -n` shows it.
"""

import json
import struct
from dataclasses import dataclass, field

from triton_spacemit.dialect.abi import VERSION

NOTE_SECTION = ".note.triton_spacemit"
PREFIX = "xsmt-"  # of LLVM's attributes that are ours
_OWNER, _NOTE_TYPE = b"triton_spacemit\0", 1


class ArtifactError(ValueError):
    """What should describe a kernel does not."""


@dataclass(frozen=True)
class Artifact:
    """One kernel, compiled for one chip.

    name: of the function. binary: the relocatable ELF object that defines it. chip: a name in `dialect/chips.py`. slots: the types of its
    arguments, one slot each (`*f32` a pointer to float32, `i32`, `bf16`). scratch_bytes: memory that each running program needs.
    concurrent: whether one program uses several threads, and wants to know how many there are. abi: the version of the kernel ABI. stored:
    the numbers of the arguments through which it may write to memory; None where that may be through any, or through addresses in memory.
    """

    name: str
    chip: str
    slots: tuple[str, ...] = ()
    scratch_bytes: int = 0
    concurrent: bool = False
    abi: int = VERSION
    binary: bytes = field(default=b"", repr=False)
    stored: tuple[int, ...] | None = None

    def stores_through(self, slot: int) -> bool:
        """Whether the kernel may write to memory through the pointer in this slot."""
        return self.stored is None or slot in self.stored

    def attributes(self) -> dict[str, str]:
        """Attributes for the kernel's LLVM function; neither names nor values have spaces or quotes."""
        return {
            f"{PREFIX}abi": str(self.abi),
            f"{PREFIX}chip": self.chip,
            f"{PREFIX}slots": ",".join(self.slots),
            f"{PREFIX}scratch-bytes": str(self.scratch_bytes),
            f"{PREFIX}concurrent": str(int(self.concurrent)),
            **({} if self.stored is None else {f"{PREFIX}stored": ",".join(map(str, self.stored))}),
        }

    @classmethod
    def from_attributes(cls, name: str, attributes: dict[str, str]) -> "Artifact":
        """What the attributes of the function `name` say. Raises ArtifactError where one is missing or is no number."""

        try:
            slots, scratch_bytes, concurrent, abi = (attributes[PREFIX + key] for key in ("slots", "scratch-bytes", "concurrent", "abi"))
            chip = attributes[f"{PREFIX}chip"]
            stored = attributes.get(f"{PREFIX}stored")
            numbers = None if stored is None else tuple(int(number) for number in stored.split(",") if number)
            types = tuple(slots.split(",")) if slots else ()
            return cls(name, chip, types, int(scratch_bytes), concurrent == "1", int(abi), stored=numbers)
        except KeyError as error:
            raise ArtifactError(f"function {name!r} has no attribute {error}") from None
        except ValueError as error:
            raise ArtifactError(f"an attribute of function {name!r} is no number: {error}") from None

    def note(self) -> bytes:
        """An ELF note that says all but the code."""
        kept = {name: value for name, value in vars(self).items() if name != "binary"}
        text = json.dumps(kept, sort_keys=True).encode()
        text += b" " * (-len(text) % 4)
        return struct.pack("<III", len(_OWNER), len(text), _NOTE_TYPE) + _OWNER + text

    @classmethod
    def from_note(cls, note: bytes, binary: bytes) -> "Artifact":
        """The artifact whose object `binary` has this note. Raises ArtifactError where the note is damaged."""
        try:
            owner_bytes, text_bytes, kind = struct.unpack_from("<III", note)
            text = note[12 + len(_OWNER) :][:text_bytes]
            if (note[12:][:owner_bytes], kind, len(text)) != (_OWNER, _NOTE_TYPE, text_bytes):
                raise ArtifactError("it is of another kind or cut off")
            known = json.loads(text)
            # Versions to come may say more.
            described = {key: known[key] for key in cls.__dataclass_fields__ if key not in ("binary", "stored")}
            stored = known.get("stored")  # which older ones do not say
            numbers = None if stored is None else tuple(int(number) for number in stored)
            artifact = cls(**described | {"slots": tuple(known["slots"]), "stored": numbers, "binary": binary})
            wanted = {"name": str, "chip": str, "scratch_bytes": int, "concurrent": bool, "abi": int}
            for name, type_ in wanted.items():
                if type(known[name]) is not type_:
                    raise ArtifactError(f"its {name} is {known[name]!r}")
        except (struct.error, ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"the note {NOTE_SECTION} is damaged: {error}") from None
        return artifact
