"""Imports go one way: between the packages, between the folders of each, and never in a circle. Imports inside functions count too."""

import ast
import fnmatch
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dialect", "passes", "backend", "ops", "integrations")  # each imports only itself and those before it
#: Where a package's modules are, if not in a folder of its name.
FOLDERS = {"integrations": Path("ops", "integrations")}

#: Modules of each package as patterns, in rows: a module imports those of its own row and of rows before it. `*` is what no other matches.
ROWS = {
    "passes": (
        ("math*", "intrinsics", "folding"),
        ("*",),  # the passes, and what several of them share
        ("loops*",),
        ("pipeline", "textual", "reference", "opt*"),  # these run them
    ),
    "backend": (
        ("errors", "folders", "devices"),  # `devices/__init__.py` is the protocol of all devices
        ("knobs",),
        ("options",),
        ("elf", "native", "processors", "protocol", "wire", "estimate.protocol", "repeats"),
        ("relocations",),
        ("line_table",),
        ("loader",),
        tuple(f"estimate.{name}" for name in ("compressed", "instructions", "blocks", "tracing")),
        ("estimate", "estimate.session", "devices.*"),
        ("language*", "frontend*", "assembly", "cache", "overrides", "launch_path", "packing", "launcher", "benchmarks", "board"),
        ("patches",),
        ("compiler", "driver", "inductor"),
        ("",),  # `backend/__init__.py`, which has `set_device`
        ("tools*",),
    ),
    "integrations": (
        ("", "*.vendor", "*.device", "*.generator", "*.cuda_names", "*.operators", "*.tuning", "*.heuristics"),
        ("*",),
    ),
    "ops": (
        ("dtypes", "sizes", "registry", "launching", "operands", "elementwise.table"),
        ("*",),  # kernels, wrappers and choices of blocks
        ("library", "reference"),
        ("",),
    ),
}

#: Heavy packages, and the modules of `dialect` and `passes` that may import them.
ALLOWED = {"triton": (), "torch": (), "llvmlite": ("triton_spacemit.dialect.hosts", "triton_spacemit.passes.codegen")}

#: Imported by a function of the first module, not with it: the host's chip is looked up when it is asked for.
WHEN_ASKED = {("triton_spacemit.dialect.chips", "triton_spacemit.dialect.hosts")}


def modules() -> dict[str, ast.Module]:
    """Every module by its full name."""
    found = {}
    for package in PACKAGES:
        folder = ROOT / FOLDERS.get(package, package)
        others = [ROOT / other for other in FOLDERS.values() if ROOT / other != folder]
        for path in folder.rglob("*.py"):
            if not any(path.is_relative_to(other) for other in others):
                parts = path.relative_to(folder).with_suffix("").parts
                name = ".".join(("triton_spacemit", package, *parts)).removesuffix(".__init__")
                found[name] = ast.parse(path.read_text())
    return found


MODULES = modules()


def walk(node: ast.AST, with_types: bool) -> Iterator[ast.AST]:
    """Every node below `node`; without `if TYPE_CHECKING`, which never runs, unless asked for."""
    for child in ast.iter_child_nodes(node):
        if with_types or not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            yield child
            yield from walk(child, with_types)


def imports(name: str, with_types: bool = True) -> set[str]:
    """The modules that the module `name` imports."""
    found = set()
    for node in walk(MODULES[name], with_types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: imports are absolute"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= members & MODULES.keys() or {str(node.module)}
    # Kernels import these by Triton's names, and so do they among themselves.
    ours = re.compile(r"triton\.language\.extra\.(?=smt|cpu)")
    return {ours.sub("triton_spacemit.backend.language.", imported) for imported in found}


def row(name: str) -> int | None:
    """The row of a module in its package, if the package has rows and the module a place in one."""
    _, package, *rest = name.split(".")
    found = [
        (pattern == "*", i)
        for i, patterns in enumerate(ROWS.get(package, ()))
        for pattern in patterns
        if fnmatch.fnmatchcase(".".join(rest), pattern)
    ]
    return min(found)[1] if found else None


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name):
    package, own = PACKAGES.index(name.split(".")[1]), row(name)
    for imported in imports(name):
        if imported.startswith("triton_spacemit."):
            other = PACKAGES.index(imported.split(".")[1])
            assert other <= package, imported
            if other == package and own is not None:
                assert row(imported) <= own, imported


def test_every_module_of_the_backend_has_a_row():
    assert [name for name in MODULES if name.startswith("triton_spacemit.backend") and row(name) is None] == []


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[1] in ("dialect", "passes")])
def test_dialect_and_passes_import_nothing_heavy(name):
    heavy = {imported.split(".")[0] for imported in imports(name)} & ALLOWED.keys()
    assert [root for root in heavy if name not in ALLOWED[root]] == []


def test_no_circles():
    graph = {name: {each for each in imports(name, with_types=False) if each in MODULES} for name in MODULES}
    for name, imported in WHEN_ASKED:
        graph[name].remove(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))
