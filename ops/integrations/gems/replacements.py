"""All that the integration changes in PyTorch and in FlagGems: each row says what is replaced, by what, and why.

Rows of PyTorch are applied when the integration is imported; those of a module of FlagGems as soon as that module has been executed, so
that who imports from it finds what stands there. `revert` puts everything back; modules of FlagGems that took a replaced function by
`from ... import` keep it.

Besides, while the integration is active `sys.meta_path` has a finder for FlagGems' modules: it applies the rows, reads "cuda" as the CPU
(`cuda_names`), and serves the vendor's modules under the names by which FlagGems imports them.
"""

import importlib
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from triton_spacemit.integrations.gems import cuda_names, operators
from triton_spacemit.integrations.gems.vendor import NAME

_OURS = "triton_spacemit.integrations.gems"
#: Stands for the original where there was none.
ABSENT = object()
#: FlagGems' names of the vendor's modules, and ours.
_VENDOR = {f"_{NAME}": f"{_OURS}.vendor", f"_{NAME}.heuristics_config_utils": f"{_OURS}.heuristics"}


@dataclass(frozen=True)
class Row:
    """One attribute that is replaced.

    module: where it is. name: dotted, below the module. replacement: "module.name" of ours, which stands in its place; with "()" at its end
    a function of ours that takes the original and returns what does. A module that a release of FlagGems does not have is never imported.
    """

    module: str
    name: str
    replacement: str
    why: str


ROWS = (
    *(
        Row("torch.cpu", name, f"{_OURS}.device.{replacement}", "FlagGems' operators ask the device's module, as they would torch.cuda.")
        for name, replacement in (
            ("get_device_properties", "get_device_properties"),
            ("get_device_capability", "get_device_capability"),
            ("get_device_name", "get_device_name"),
            ("mem_get_info", "mem_get_info"),
            ("is_bf16_supported", "is_bf16_supported"),
            ("device", "DeviceGuard"),
            ("_DeviceGuard", "DeviceGuard"),
        )
    ),
    Row("torch.cpu", "current_device", f"{_OURS}.device.current_device", "It numbers FlagGems' tables of kernels; PyTorch's is a string."),
    Row("torch.cpu", "synchronize", f"{_OURS}.device.synchronize", "Called with devices that PyTorch's does not take."),
    Row("torch.cpu", "default_generators", f"{_OURS}.generator.generators", "Random operators take their seed and offset from it."),
    Row("torch.cpu", "manual_seed", f"{_OURS}.generator.manual_seed", "Seeds that generator, as torch.cuda's does."),
    Row("torch.cpu", "manual_seed_all", f"{_OURS}.generator.manual_seed", "As above."),
    Row(
        "torch.cuda",
        "manual_seed_all",
        f"{_OURS}.replacements.also_seed()",
        "torch.manual_seed seeds the generators of devices through it, and through nothing that is made for others.",
    ),
    Row(
        "flag_gems.runtime.common",
        "vendors.get_all_vendors",
        f"{_OURS}.replacements.with_ours()",
        "The list of vendors is an enumeration, which cannot be extended.",
    ),
    *(
        Row(
            module,
            "DeviceDetector._get_vendor_from_env",
            f"{_OURS}.replacements.our_name",
            "Importing the integration chooses the vendor.",
        )
        for module in ("flag_gems.runtime.backend.device_finder", "flag_gems.runtime.backend.device")  # main branch; 5.0.2
    ),
    Row(
        "flag_gems.runtime.backend.backend_utils",
        "get_tune_config",
        f"{_OURS}.replacements.our_tuning()",
        "It reads a file in FlagGems' own folder.",
    ),
    Row(
        "flag_gems.utils.codegen_config_utils",
        "get_codegen_config",
        f"{_OURS}.replacements.our_tiles()",
        "Tiles of generated element-wise kernels are in a table by vendor, whose default is NVIDIA's.",
    ),
    Row(
        "flag_gems.utils.codegen_config_utils",
        "get_heuristics_for_num_warps",
        f"{_OURS}.replacements.one_warp",
        "Warps mean nothing here, but each number of them is another compilation.",
    ),
    *(
        Row(module, f"{name}.register_impl", f"{_OURS}.operators.register_impl()", "This project's operators where they are faster.")
        for module, name in (
            ("flag_gems.runtime.op_registrar", "GeneralOpRegistrar"),  # main branch
            ("flag_gems.runtime.register", "Register"),  # 5.0.2
        )
    ),
    Row(
        "flag_gems.utils.random_utils",
        "philox_backend_seed_offset",
        f"{_OURS}.generator.enough_numbers()",
        "Operators advance the offset by less than they use, so that draws overlap; and a generator of PyTorch's has another state.",
    ),
    Row(
        "flag_gems.ops.mm",
        "streamk_scenario",
        f"{_OURS}.operators.never",
        "Programs of that product wait for later ones, which Triton does not promise to run at the same time and a CPU does not.",
    ),
    Row("flag_gems.ops.where", "where_self_out", f"{_OURS}.operators.where_self_out()", "It refuses operands that are all on the CPU."),
    *(
        Row("flag_gems.ops.grid_sample", kernel, f"{_OURS}.operators.CountedByBlocks()", "Its programs are counted by other blocks.")
        for kernel in operators.TILED_SAMPLING
    ),
)

_applied: list[tuple[Row, Any]] = []  # with the originals


def _resolve(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _apply(row: Row) -> None:
    *path, name = row.name.split(".")
    owner: Any = sys.modules[row.module]
    for part in path:
        owner = getattr(owner, part)
    original = vars(owner).get(name, ABSENT)
    if original is ABSENT and row.module.startswith("flag_gems"):
        warnings.warn(f"this release of FlagGems has no {row.module}.{row.name}: {row.why}", RuntimeWarning, stacklevel=2)
        return
    replaced = row.replacement.removesuffix("()")
    replacement = _resolve(replaced)
    setattr(owner, name, replacement(original) if row.replacement != replaced else replacement)
    _applied.append((row, (owner, name, original)))


def _rows_of(module: str) -> Sequence[Row]:
    return [row for row in ROWS if row.module == module]


def apply() -> None:
    """Apply the rows of PyTorch, and those of FlagGems as its modules are imported. Does nothing where that has been done."""
    if finder in sys.meta_path:
        return
    for module in dict.fromkeys(row.module for row in ROWS):
        if not module.startswith("flag_gems"):
            importlib.import_module(module)
            for row in _rows_of(module):
                _apply(row)
    sys.meta_path.insert(0, finder)


def revert() -> None:
    """Put everything back as it was before `apply`."""
    if finder in sys.meta_path:
        sys.meta_path.remove(finder)
    for _, (owner, name, original) in reversed(_applied):
        if original is ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, original)
    _applied.clear()
    for name in _VENDOR:
        sys.modules.pop(name, None)


def applied() -> tuple[Row, ...]:
    """The rows that are applied in this process."""
    return tuple(row for row, _ in _applied)


class _Loader(SourceFileLoader):
    """Executes a module of FlagGems, then applies its rows."""

    def get_code(self, fullname: str) -> CodeType | None:
        source = self.get_data(self.path)
        if not cuda_names.concerns(source):
            return super().get_code(fullname)  # from its cache, if there is one
        return compile(cuda_names.translate(source, self.path), self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for row in _rows_of(module.__name__):
            _apply(row)


class _VendorLoader:
    """Gives a module of ours for FlagGems' name of it."""

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(_VENDOR[spec.name])
        spec.loader_state = module.__spec__
        return module

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        # The import system has just replaced the spec with the alias's.
        module.__spec__ = module.__spec__.loader_state  # type: ignore[union-attr]


class _Finder:
    """FlagGems' modules as others find them, with our loader; and the vendor's."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in _VENDOR:
            return ModuleSpec(name, _VendorLoader(), is_package=name == f"_{NAME}")  # type: ignore[arg-type]
        if name.partition(".")[0] != "flag_gems":
            return None
        for other in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = other.find_spec(name, path, target) if hasattr(other, "find_spec") else None
            if spec is not None:
                if type(spec.loader) is SourceFileLoader:
                    spec.loader = _Loader(spec.loader.name, spec.loader.path)
                return spec
        return None


finder = _Finder()


# What stands in the place of functions of FlagGems and PyTorch.


def also_seed(original: Any) -> Any:
    from triton_spacemit.integrations.gems import generator

    def manual_seed_all(seed: int) -> None:
        generator.manual_seed(seed)
        original(seed)

    return manual_seed_all


def with_ours(original: Any) -> Any:
    """The vendors by name; ours has its name for a value, which is none of the enumeration's."""
    return classmethod(lambda vendors: original.__func__(vendors) | {NAME: NAME})


def our_name(detector: Any) -> str:
    return NAME


def our_tuning(original: Any) -> Any:
    from triton_spacemit.integrations.gems.tuning import tables

    def get_tune_config(vendor_name: str | None = None, *arguments: Any, **keywords: Any) -> Any:
        return tables() if vendor_name == NAME else original(vendor_name, *arguments, **keywords)

    return get_tune_config


def our_tiles(original: Any) -> Any:
    from triton_spacemit.integrations.gems.tuning import ELEMENTWISE

    def get_codegen_config() -> Any:
        return sys.modules[original.__module__].CodeGenConfig(**ELEMENTWISE)

    return get_codegen_config


def one_warp(tile_size: int) -> int:
    return 1
