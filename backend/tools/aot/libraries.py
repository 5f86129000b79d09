"""The libraries of a bundle for one chip, static and shared, built by zig: its kernels, and the runtime that all bundles share."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from triton_spacemit.backend.native import SOURCES, zig
from triton_spacemit.dialect.chips import Chip

RUNTIME = "triton_spacemit"
# Each becomes one object; a program that is linked statically and does not ask for the guard has nothing of it.
_PLAIN = ("bundle.c", "unguarded.c", "host.c", "pool.c", "team.c", "services.c", "bfloat16.c", "memory.c")
_GUARD = ("bundle_guard.c", "guard.c", "watch.c", "signal_stack.c")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-fPIC", "-g0")


def target(chip: Chip) -> tuple[str, ...]:
    """Flags for zig's compiler: the system that the libraries are for, with the oldest C library they run with."""
    if chip.is_riscv:
        return "-target", "riscv64-linux-gnu.2.35", "-mcpu=baseline_rv64"
    return "-target", "x86_64-linux-gnu.2.17", "-mcpu=baseline"


def build_runtime(folder: Path, chip: Chip) -> None:
    """`libtriton_spacemit.a` and `.so` in `folder`. In both, no name of the runtime's begins with anything but `ts_` or `__`."""
    groups = [[str(SOURCES / name) for name in group] for group in (_PLAIN, _GUARD)]
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        for sources in groups:
            zig("cc", *target(chip), *_FLAGS, "-c", *sources, work=work)
        renamed = sorted(name for path in work.glob("*.o") for name in _defined(path) if not name.startswith(("ts_", "__")))
        prefixed = [f"-D{name}=ts_{name}" for name in renamed]
        for sources in groups:
            zig("cc", *target(chip), *_FLAGS, "-fvisibility=hidden", *prefixed, "-c", *sources, work=work)
        _archive_and_link(work, folder, RUNTIME, chip, ("-lpthread", "-lm"))


def build_bundle(folder: Path, name: str, chip: Chip, source: str, headers: Path, kernels: Sequence[bytes]) -> None:
    """`libNAME.a` and `.so` in `folder`, beside the runtime: the C text `source` and the objects of kernels."""
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        for number, kernel in enumerate(kernels):
            (work / f"kernel{number}.o").write_bytes(kernel)
        (work / f"{name}.c").write_text(source)
        zig("cc", *target(chip), *_FLAGS, f"-I{headers}", "-c", f"{name}.c", work=work)
        _archive_and_link(work, folder, name, chip, (f"-L{folder}", f"-l{RUNTIME}", "-lm", "-Wl,-rpath,$ORIGIN"))


def _defined(path: Path) -> list[str]:
    """Global symbols that an object defines."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        symbols = [(symbol.name, symbol.entry) for symbol in table.iter_symbols()]
        return [name for name, entry in symbols if entry.st_info.bind == "STB_GLOBAL" and entry.st_shndx != "SHN_UNDEF"]


def _archive_and_link(work: Path, folder: Path, name: str, chip: Chip, libraries: Sequence[str]) -> None:
    objects = sorted(path.name for path in work.glob("*.o"))
    folder.mkdir(parents=True, exist_ok=True)
    shared = folder / f"lib{name}.so"
    zig("ar", "rcsD", str(folder / f"lib{name}.a"), *objects, work=work)
    # Without -O2, zig links its runtimes for debugging, five times the size.
    options = f"-Wl,-soname,{shared.name},--hash-style=gnu"
    zig("cc", *target(chip), "-O2", "-shared", "-s", *objects, *libraries, options, "-o", str(shared), work=work)
