"""Assembly on demand: `kernel.asm["asm"]`.

Text and object are two runs of LLVM's code generator, and few kernels are ever read: the text is made from the kernel's LLVM IR when it is
asked for. Triton's dictionary of artefacts has such an entry itself, `sass`.
"""

from triton.compiler.compiler import AsmDict

_MARK = "; chip: "


def mark_chip(llvm_ir: str, chip: str) -> str:
    """LLVM IR text that says which chip it is for."""
    return f"{_MARK}{chip}\n{llvm_ir}"


def split_mark(llvm_ir: str) -> tuple[str, str]:
    """Chip and LLVM IR of text that `mark_chip` made."""
    chip, _, text = llvm_ir.removeprefix(_MARK).partition("\n")
    return chip, text


class LazyAsmDict(AsmDict):
    """Artefacts of a kernel; `asm` is made from `llir`."""

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (key == "asm" and self.get("llir", "").startswith(_MARK))

    def __missing__(self, key: str) -> str:
        if key not in self:
            return super().__missing__(key)
        from triton_spacemit.dialect.chips import get_chip
        from triton_spacemit.passes import codegen

        chip, text = split_mark(self["llir"])
        self["asm"] = value = codegen.assembly(text, get_chip(chip))
        return value


def lazy_asm_dict(original: type[AsmDict]) -> type[AsmDict]:
    """What stands for Triton's class; a kernel of another backend has no mark in its LLVM IR."""
    return LazyAsmDict
