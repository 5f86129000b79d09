"""What this backend changes in Triton and in PyTorch's Inductor, all of it: what is replaced, by what, why, and why no hook serves.

Triton makes a compiler object when a kernel of ours is to be compiled, and the driver object when ours becomes the active one. These are
the two events at which rows are applied: those of `COMPILE` at either, those of `LAUNCH` at the second. Those of `PACKAGE` follow when a
kernel is loaded in a process with Inductor. A process that does none of this has Triton as it was. What stands in a function's place calls
the original for whatever is not ours, so that kernels of other backends in the same process come out and are launched as without us.

A row is applied where the function that Triton has takes the parameters that the row was written for. Where it does not, a warning names
it, and what the row is for is missing: that is all where the row is a comfort; some kernels are refused where it is needed.

`triton-spacemit patches` prints the table, and whether the installed Triton is as each row expects.

Besides: `sys.meta_path` gets a finder for names that nobody else serves (`triton.language.extra.smt`) and one that waits for Triton's
interpreter, and TRITON_SPACEMIT_DEVICE sets TRITON_DEFAULT_BACKEND, by which Triton chooses among several active backends.
"""

import importlib
import importlib.util
import inspect
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import Any

COMPILE, LAUNCH, INTERPRET, PACKAGE = "compile", "launch", "interpret", "package"
NEEDED, COMFORT = "needed", "comfort"


@dataclass(frozen=True)
class Patch:
    """One attribute that is replaced.

    owner: "module" or "module:attribute". parameters: of the function that is replaced, comma-separated; None for what is no function.
    replacement: "module:function" of ours; it takes the original and returns what stands in its place.
    """

    when: str
    owner: str
    name: str
    parameters: str | None
    replacement: str
    weight: str
    why: str

    def __str__(self) -> str:
        return f"{self.owner.replace(':', '.')}.{self.name}"


_OURS = "triton_spacemit.backend"
_CORE = "triton.language.core"
_INDUCTOR = "torch._inductor.runtime.triton_heuristics"
_BLOCK_POINTER_FUNCTIONS = {
    "make_block_ptr": "base, shape, strides, offsets, block_shape, order, _semantic",
    "advance": "base, offsets, _semantic",
    "load": "pointer, mask, other, cache_modifier, eviction_policy, volatile, _semantic",
    "store": "pointer, value, mask, cache_modifier, eviction_policy, _semantic",
}

PATCHES = (
    Patch(
        COMPILE,
        f"{_CORE}:pointer_type",
        "to_ir",
        "self, builder",
        f"{_OURS}.language.pointers:pointer_to_ir",
        NEEDED,
        "A pointer to pointers is one to integers in the IR, which has no type for it: libtriton ends the process. The types of a kernel's "
        "arguments are made by Triton itself, before anything of the backend is asked.",
    ),
    Patch(
        COMPILE,
        "triton.compiler.code_generator:CodeGenerator",
        "visit_For",
        "self, node",
        f"{_OURS}.language.parallel:visit_for",
        NEEDED,
        "`for i in smt.parallel(...)`: the visitor compares the iterator with `tl.range` itself, so that no class of ours passes for one.",
    ),
    *(
        Patch(
            COMPILE,
            f"{_CORE}:{name}",
            "__module__",
            None,
            f"{_OURS}.language:rename",
            COMFORT,
            f"`tl.{name}` is found through the backend's module map; after `from triton.language import {name}` the map is asked for the "
            "function's own module, which all of Triton's language shares. With a name of its own the map can give ours.",
        )
        for name in _BLOCK_POINTER_FUNCTIONS
    ),
    Patch(
        COMPILE,
        "triton.compiler.compiler",
        "AsmDict",
        None,
        f"{_OURS}.assembly:lazy_asm_dict",
        COMFORT,
        "`kernel.asm['asm']` is made when it is asked for: a stage of its own would run LLVM's code generator twice for every kernel.",
    ),
    Patch(
        COMPILE,
        "triton.compiler.compiler",
        "parse",
        "full_name, ext, context",
        f"{_OURS}.overrides:parse",
        COMFORT,
        "TRITON_KERNEL_OVERRIDE and `ir_override` for the stages `xsmt` and `o`: Triton reads files of its own backends' stages only.",
    ),
    Patch(
        COMPILE,
        "triton.knobs:cache_knobs",
        "manager_class",
        None,
        f"{_OURS}.cache:manager_class",
        COMFORT,
        "A damaged file in the cache is compiled again instead of run. This is the default of Triton's own setting, and what the user sets "
        "goes before it; setting it for the user would be undone at the end of a `with knobs.cache.scope()`.",
    ),
    Patch(
        LAUNCH,
        "triton.runtime.jit:KernelInterface",
        "__getitem__",
        "self, grid",
        f"{_OURS}.launch_path:getitem",
        COMFORT,
        "A wrong argument or grid is reported by the names of kernel and argument. Hooks before a launch belong to one kernel and run "
        "before its arguments are looked at.",
    ),
    Patch(
        LAUNCH,
        "triton.runtime.jit:JITFunction",
        "_do_compile",
        "self, key, signature, device, constexprs, options, attrs, warmup",
        f"{_OURS}.launch_path:do_compile",
        COMFORT,
        "Half a microsecond of every launch: no record of it is made for hooks where there are none. What a launch asks the driver and the "
        "compiler for does not lead to the kernel that makes the record.",
    ),
    Patch(
        LAUNCH,
        "triton.runtime.jit",
        "compute_cache_key",
        "kernel_key_cache, specialization, options",
        f"{_OURS}.launch_path:compute_cache_key",
        COMFORT,
        "Half a microsecond of every launch: the text of the options is made once, not each time. The key is made before anybody is asked.",
    ),
    Patch(
        LAUNCH,
        "triton.knobs:compilation_knobs",
        "fpsan_homomorphic_casts",
        None,
        f"{_OURS}.launch_path:read_once",
        COMFORT,
        "A third of a microsecond of every launch: it is read from the environment once, as Triton itself does with the setting beside it. "
        "Only instrumented GPU code depends on it, and setting it as an attribute of `triton.knobs.compilation` still works.",
    ),
    Patch(
        LAUNCH,
        "triton.testing",
        "do_bench",
        "fn, warmup, rep, grad_to_none, quantiles, return_mode",
        f"{_OURS}.benchmarks:do_bench",
        COMFORT,
        "The time of an emulated chip is an estimate, which one call gives: as many calls as fill 100 ms of it take minutes under QEMU. "
        "Triton asks a driver for events, of which it then reads the wall's time.",
    ),
    Patch(
        INTERPRET,
        "triton.runtime.interpreter",
        "_patch_lang",
        "fn",
        f"{_OURS}.language.interpreted:patch_lang",
        COMFORT,
        "Block pointers where TRITON_INTERPRET runs kernels as Python: nothing is compiled then, and nobody is asked for a module map.",
    ),
    Patch(
        PACKAGE,
        f"{_INDUCTOR}:CachingAutotuner",
        "save_cpu_kernel",
        "self, launcher",
        f"{_OURS}.inductor:save_cpu_kernel",
        NEEDED,
        "AOTInductor asks a kernel for its shared libraries, but only here is it known how it will launch it: on another grid than in this "
        "process, if Inductor generated the kernel or autotune chose among grids. That is refused.",
    ),
)

#: What is no public interface of Triton's and is called as it is: name, and parameters where it is a Python function.
USED = (
    (f"{_CORE}:_unwrap_if_constexpr", "o"),
    ("triton.backends.driver:decompose_descriptor", "arg"),
    ("triton.backends.driver:expand_signature", "signature, tensordesc_meta, descriptor_type"),
    ("triton.runtime.interpreter:interpreter_semantic", None),
    ("triton._C.libtriton:native_specialize_impl", None),
    ("triton._C.libtriton:getenv", None),
)
#: What libtriton exports besides its Python module; `passes/ttir_text.py` says what for.
SYMBOLS = ("LLVMParseCommandLineOptions", "_ZN4llvm2cl25ResetAllOptionOccurrencesEv", "_ZN4mlir27registerAsmPrinterCLOptionsEv")

_TITLES = {"triton": "Triton", "torch": "PyTorch"}
_lock = threading.RLock()
_applied: dict[Patch, Any] = {}  # row -> what Triton had there
_refused: dict[Patch, str] = {}
_done: set[str] = set()


def resolve(path: str) -> Any:
    """The module or the attribute of one that "module:attribute" names. Raises ImportError or AttributeError."""
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    return getattr(found, name) if name else found


def _read(owner: Any, name: str) -> Any:
    """The attribute as it is stored: a descriptor itself, not its value."""
    return vars(owner)[name] if name in vars(owner) else getattr(owner, name)


def mismatch(patch: Patch) -> str | None:
    """How the installed Triton differs from what the row was written for; None where it does not."""
    return _differs(patch.owner, patch.name, patch.parameters)


def unmet() -> list[str]:
    """How the installed Triton differs from what the backend calls without replacing it."""
    from ctypes import CDLL

    from triton._C import libtriton

    library = CDLL(libtriton.__file__)
    split = [(used.partition(":"), parameters) for used, parameters in USED]
    differences = [_differs(owner, name, parameters) for (owner, _, name), parameters in split]
    missing = [f"libtriton exports no {symbol}" for symbol in SYMBOLS if not hasattr(library, symbol)]
    return [difference for difference in differences if difference] + missing


def _differs(owner: str, name: str, parameters: str | None) -> str | None:
    package, what = owner.partition(".")[0], f"{owner.replace(':', '.')}.{name}"
    if importlib.util.find_spec(package) is None:
        return None  # PyTorch is optional
    installed = f"{_TITLES[package]} {importlib.import_module(package).__version__}"
    try:
        original = _read(resolve(owner), name)
    except (ImportError, AttributeError):
        return f"{installed} has no {what}"
    if parameters is None:
        return None
    found = ", ".join(inspect.signature(original).parameters) if callable(original) else "nothing: it is no function"
    return None if found == parameters else f"{installed}: {what} takes ({found}), not ({parameters})"


def apply(*parts: str) -> None:
    """Apply the rows of `parts` that are not applied yet."""
    if _done.issuperset(parts):
        return
    with _lock:
        for patch in PATCHES:
            if patch.when in parts and patch not in _applied and patch not in _refused:
                _apply(patch)
        _done.update(parts)


def apply_to_inductor() -> None:
    """Apply the rows of `PACKAGE` where PyTorch's Inductor is loaded, which is asked again for every kernel that is."""
    if _INDUCTOR in sys.modules:
        apply(PACKAGE)


def _apply(patch: Patch) -> None:
    problem = mismatch(patch)
    if problem is not None:
        _refused[patch] = problem
        warnings.warn(f"left out in this backend ({patch.weight}): {problem}. {patch.why}", RuntimeWarning, stacklevel=4)
        return
    owner = resolve(patch.owner)
    original = _read(owner, patch.name)
    setattr(owner, patch.name, resolve(patch.replacement)(original))
    _applied[patch] = original


def revert() -> None:
    """Put everything back as Triton had it. Rows are applied again when a compiler or the driver is made next."""
    with _lock:
        for patch, original in reversed(_applied.items()):
            setattr(resolve(patch.owner), patch.name, original)
        _applied.clear()
        _refused.clear()
        _done.clear()


def applied() -> tuple[Patch, ...]:
    """The rows that are applied in this process."""
    return tuple(_applied)
