"""Assembly on demand: `kernel.asm["asm"]`.

Text and object are two runs of LLVM's code generator, and few kernels are ever read: the text is made from the kernel's LLVM IR when it is
asked for. Triton's dictionary of artefacts has such an entry itself, `sass`.
"""

from triton.compiler.compiler import AsmDict


class LazyAsmDict(AsmDict):
    """Artefacts of a kernel; `asm` is made from `llir`."""

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (key == "asm" and "o" in self and "llir" in self)

    def __missing__(self, key: str) -> str:
        if key not in self:
            return super().__missing__(key)
        from triton_spacemit.passes import codegen

        self["asm"] = value = codegen.assembly(self["llir"])
        return value


def lazy_asm_dict(original: type[AsmDict]) -> type[AsmDict]:
    """What stands for Triton's class; a kernel of another backend has no relocatable object."""
    return LazyAsmDict
