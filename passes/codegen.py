"""From the LLVM dialect to LLVM IR, and from that to an object or assembly for a chip, in process with llvmlite."""

import functools
import re
import struct
import threading
from dataclasses import replace

import llvmlite.binding as llvm
from torch_mlir import ir
from torch_mlir.dialects import llvm as llvm_dialect

from triton_spacemit.dialect.artifact import NOTE_SECTION, PREFIX, Artifact
from triton_spacemit.dialect.chips import Chip, get_chip
from triton_spacemit.passes import matrix_words
from triton_spacemit.passes.codegen_options import CodegenOptions

_lock = threading.Lock()  # LLVM's target machines are not safe to share between threads


def llvm_ir(module: ir.Module) -> str:
    """LLVM IR text of a module that holds nothing but the LLVM dialect."""
    with module.context:
        text = llvm_dialect.translate_module_to_llvmir(module.operation)
    return _POINTER.sub(r"\1", _float_patterns(text))


# The newer LLVM names the pointer's type in RISC-V's loads and stores.
_POINTER = re.compile(r"(@llvm\.riscv\.v(?:[ls]e|[ls]uxei)\.nxv\w+)\.p0(?=\.)")

# torch-mlir's LLVM writes float constants in a newer form than llvmlite's LLVM reads: `+qnan`, `f0x7F7FFFFF`, and decimals that are exact
# only in the constant's own type, which is the last type named before them. They become bit patterns, which both agree on.
_FLOAT = re.compile(
    r'"[^"]*"|\b(half|bfloat|float|double)\b'
    r"|(?<=[ (\[<])(?:([+-])(inf|qnan|s?nan\((0x[0-9A-F]+)\))|f0x([0-9A-F]+)|(-?[0-9]+\.[0-9]+e[+-][0-9]+))(?=[,)\]> \n])"
)
_LAYOUT = {"half": (5, 10), "bfloat": (8, 7), "float": (8, 23), "double": (11, 52)}  # bits of exponent and mantissa
_PACK = {"half": ("<e", "<H"), "float": ("<f", "<I"), "double": ("<d", "<Q")}


# Few lines have such a constant, and they are found sooner than the types that are named in all.
_SIGN = re.compile(r"[ (\[<](?:[+-](?:inf|qnan|s?nan\()|f0x|-?[0-9]+\.[0-9]+e[+-])")


def _float_patterns(text: str) -> str:
    parts, done = [], 0
    for match in _SIGN.finditer(text):
        if match.start() >= done:
            begin, end = text.rfind("\n", 0, match.end()) + 1, text.index("\n", match.end()) + 1
            parts += [text[done:begin], _line_patterns(text[begin:end])]
            done = end
    return "".join(parts) + text[done:]


def _line_patterns(line: str) -> str:
    kind = "double"

    def replace(match: re.Match[str]) -> str:
        nonlocal kind
        if match[1] is not None:
            kind = match[1]
        return match[0] if match[1] is not None or match[0].startswith('"') else _pattern(kind, *match.groups()[1:])

    return _FLOAT.sub(replace, line)


def _pattern(kind: str, sign: str | None, special: str | None, payload: str | None, raw: str | None, decimal: str | None) -> str:
    """A constant of LLVM's type `kind` as older LLVMs write it, in hexadecimal."""
    exponent, mantissa = _LAYOUT[kind]
    if raw is not None:
        pattern = int(raw, 16)
    elif decimal is not None:
        if kind == "bfloat":
            (wide,) = struct.unpack("<I", struct.pack("<f", float(decimal)))
            pattern = (wide + 0x7FFF + (wide >> 16 & 1)) >> 16
        else:
            value, integer = _PACK[kind]
            (pattern,) = struct.unpack(integer, struct.pack(value, float(decimal)))
    else:
        pattern = ((1 << exponent) - 1) << mantissa
        if special != "inf":
            quiet = 0 if special.startswith("snan") else 1 << (mantissa - 1)
            pattern |= quiet | (int(payload, 16) if payload else 0)
        pattern |= (sign == "-") << (exponent + mantissa)
    if kind in ("half", "bfloat"):
        return f"0x{'H' if kind == 'half' else 'R'}{pattern:04X}"
    if kind == "float":  # written as the double of the same value
        head, rest = pattern >> 31 << 63, pattern & 0x7FFFFFFF
        if rest >> 23 == 0xFF:
            pattern = head | 0x7FF << 52 | (rest & 0x7FFFFF) << 29
        else:
            (value,) = struct.unpack("<f", struct.pack("<I", pattern))
            (pattern,) = struct.unpack("<Q", struct.pack("<d", value))
    return f"0x{pattern:016X}"


def compile_object(text: str, chip: Chip | None = None, symbol: str | None = None) -> bytes:
    """A relocatable ELF object for `chip`, or for the one that the kernel names, with a note of what the kernel's attributes say of it.

    symbol: what the kernel is called in it, where not as in `text`.
    Raises ValueError where `text` is not valid LLVM IR, or is for another chip.
    """
    with _lock:
        module = _Module(text, chip)
        if symbol is not None:
            module.rename(symbol)
        module.add_note()
        binary = module.machine().emit_object(module.optimised())
        return matrix_words.in_object(binary) if module.has_matrix_words else binary


def assembly(text: str, chip: Chip | None = None, comments: bool = False) -> str:
    """Readable assembly of the code that `compile_object` gives; with LLVM's `comments` on loops, spills and inlined places."""
    with _lock:
        module = _Module(text, chip)
        machine = module.machine()
        machine.set_asm_verbosity(comments)
        try:
            code = machine.emit_assembly(module.optimised())
            return matrix_words.in_assembly(code) if module.has_matrix_words else code
        finally:
            machine.set_asm_verbosity(False)


def optimised(text: str, chip: Chip | None = None) -> str:
    """LLVM IR text as LLVM's own passes leave it to the code generator."""
    with _lock:
        return str(_Module(text, chip).optimised())


class _Module:
    """LLVM IR that was read, with what the attributes of its kernel say: the kernel's description, its chip, and how to compile it."""

    def __init__(self, text: str, chip: Chip | None) -> None:
        try:
            self.module = llvm.parse_assembly(text)
            self.module.verify()
        except RuntimeError as error:
            raise ValueError(f"invalid LLVM IR: {error}") from None
        functions = [function for function in self.module.functions if not function.is_declaration]
        described = [(function.name, _attributes(function)) for function in functions]
        name, attributes = next(((name, found) for name, found in described if any(key.startswith(PREFIX) for key in found)), ("", {}))
        self.artifact = Artifact.from_attributes(name, attributes) if attributes else None
        self.options = CodegenOptions.from_attributes(attributes)
        if self.artifact is None and chip is None:
            raise ValueError("no kernel in this LLVM IR says which chip it is for")
        if self.artifact is not None and chip is not None and self.artifact.chip != chip.name:
            raise ValueError(f"kernel {name!r} is LLVM IR for chip {self.artifact.chip!r}, and is to be compiled for {chip.name!r}")
        self.compiler = _compiler(chip or get_chip(self.artifact.chip))
        self.has_matrix_words = matrix_words.CARRIER in text

    def machine(self) -> llvm.TargetMachine:
        """What generates the code, in the order that the kernel asks for."""
        llvm.set_option("", f"-enable-misched={int(self.options.reorder)}")  # of the process: there is none of a function
        return self.compiler.machine

    def rename(self, symbol: str) -> None:
        """Call the kernel `symbol`."""
        if self.artifact is None:
            raise ValueError("there is no kernel in this LLVM IR")
        self.module.get_function(self.artifact.name).name = symbol
        self.artifact = replace(self.artifact, name=symbol)

    def add_note(self) -> None:
        """Have the object describe the kernel, where that is known."""
        if self.artifact is None:
            return
        note = self.artifact.note()
        data = "".join(f"\\{byte:02X}" for byte in note)
        self.module.link_in(llvm.parse_assembly(_NOTE.format(size=len(note), data=data, section=NOTE_SECTION)))

    def optimised(self) -> llvm.ModuleRef:
        """The module after LLVM's own passes. Loops of the matrix unit fill the register file: in copies, fewer whole groups are moved."""
        return self.compiler.optimise(self.module, self.options.few_passes, self.has_matrix_words)


# Nothing refers to the note: the list keeps it.
_NOTE = """
@note = private constant [{size} x i8] c"{data}", section "{section}", align 4
@llvm.compiler.used = appending global [1 x ptr] [ptr @note], section "llvm.metadata"
"""


def _attributes(function: llvm.ValueRef) -> dict[str, str]:
    """The attributes of a function; of those that LLVM knows itself, only the names."""
    words = b" ".join(function.attributes).decode().split()
    pairs = (word.partition("=") for word in words)
    return {name.strip('"'): value.strip('"') for name, _, value in pairs}


# What of the function pipeline changes anything in a short kernel without nested loops.
_FEW_PASSES = ("simplify_cfg instruction_combine loop_simplify loop_rotate simplify_cfg new_gvn instruction_combine aggressive_dce").split()


# Accesses of a block of code that LLVM's schedulers compare with each other. Beyond, some keep their order unasked: their number squared is
# the time that code unrolled in Python would take.
_COMPARED = 100


class _Compiler:
    """LLVM's machinery for one chip, made once: what llvmlite's pass managers allocate is not all freed with them."""

    def __init__(self, chip: Chip) -> None:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        llvm.set_option("", f"-dag-maps-huge-region={_COMPARED}")
        # There are lines and no variables: x86's search for where these are takes time and finds none.
        llvm.set_option("", "-experimental-debug-variable-locations=0")
        target = llvm.Target.from_triple(chip.triple)
        abi = {"abiname": chip.abi} if chip.abi else {}
        model = "medium" if chip.abi else "small"
        features = f"{chip.features},+{matrix_words.FEATURE}" if chip.ime else chip.features
        self.machine = target.create_target_machine(cpu=chip.cpu, features=features, opt=3, reloc="pic", codemodel=model, **abi)
        self.triple, self.layout = chip.triple, str(self.machine.target_data)
        self.pipelines: dict[bool, tuple[llvm.PassBuilder, llvm.FunctionPassManager]] = {}  # by whether loops may be copied
        self.few_functions = llvm.create_new_function_pass_manager()
        for name in _FEW_PASSES:
            getattr(self.few_functions, f"add_{name}_pass")()
        self.modules = llvm.create_new_module_pass_manager()
        self.modules.add_always_inliner_pass()
        self.modules.add_global_dead_code_eliminate_pass()

    def pipeline(self, copies: bool) -> tuple[llvm.PassBuilder, llvm.FunctionPassManager]:
        """LLVM's passes on functions, and what they are run with.

        Those on modules are left out: the loops are vectors already, and the one call in a module is inlined first. copies: LLVM's third
        level, which adds copies of loops for either side of a condition in them: code and time for branches that cost next to nothing.
        """
        if copies not in self.pipelines:
            options = llvm.create_pipeline_tuning_options(speed_level=3 if copies else 2)
            options.loop_unrolling = False
            builder = llvm.create_pass_builder(self.machine, options)
            self.pipelines[copies] = builder, builder.getFunctionPassManager()
        return self.pipelines[copies]

    def optimise(self, module: llvm.ModuleRef, few_passes: bool, copies: bool) -> llvm.ModuleRef:
        """Run LLVM's passes on the module; `copies` as in `pipeline`."""
        module.triple, module.data_layout = self.triple, self.layout
        builder, functions = self.pipeline(copies)
        self.modules.run(module, builder)
        for function in module.functions:
            if not function.is_declaration:
                (self.few_functions if few_passes else functions).run(function, builder)
        return module


_compiler = functools.cache(_Compiler)
