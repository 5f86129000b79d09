"""What Inductor asks while it generates kernels, answered for a CPU: blocks, which reductions run in one block, which are split."""

from typing import Any

import torch
from torch._inductor import config
from torch._inductor.choices import InductorChoices
from torch._inductor.codegen.simd_kernel_features import SIMDKernelFeatures
from torch._inductor.codegen.triton import FixedTritonConfig, TritonKernel
from torch._inductor.dependencies import MemoryDep
from torch._inductor.runtime.hints import ReductionHint
from torch._inductor.virtualized import V

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.integrations.inductor import blocks

_UNKNOWN = 4096  # the extent of a dimension of which Inductor has no example
_NAMES = {"z", "y", "x", "r0_", "r1_"}


def is_inner(features: SIMDKernelFeatures) -> bool:
    """Whether what a kernel reduces are neighbours in memory."""
    return features.get_reduction_hint() == ReductionHint.INNER


def crosses(features: SIMDKernelFeatures) -> bool:
    """Whether some access's neighbours are not those of the kernel's last dimension."""
    sizes = V.graph.sizevars
    for node in features.scheduler_nodes():
        for access in node.read_writes.reads | node.read_writes.writes:
            if not isinstance(access, MemoryDep) or not access.var_names:
                continue
            strides = sizes.stride_vars(access.index, access.var_names)
            if 1 in strides[:-1] and strides[-1] not in (0, 1):
                return True
    return False


class Choices(InductorChoices):
    """A handler of Inductor's for one compilation."""

    @staticmethod
    def should_use_cooperative_reduction(device: torch.device, numel: Any, reduction_numel: Any) -> bool:
        """Programs that wait for each other: never."""
        return False

    @staticmethod
    def should_use_persistent_reduction(features: SIMDKernelFeatures, cooperative_reduction: bool) -> bool:
        most = blocks.LONGEST if is_inner(features) else blocks.ROWS
        return config.triton.persistent_reductions and V.graph.sizevars.statically_known_leq(features.reduction_numel, most)

    @staticmethod
    def reduction_split_factor(device: torch.device, reduction_numel_hint: int, numel_hint: int, inner_reduction: bool) -> int:
        """Parts that a reduction with few results is computed in: two for each thread, if all have something to do."""
        threads = knobs.num_threads
        if threads == 1 or numel_hint >= 2 * threads or reduction_numel_hint < blocks.LONGEST:
            return 1
        return 2 * threads

    def triton_kernel_kwargs(
        self, kernel_cls: type[TritonKernel], features: SIMDKernelFeatures, groups: list[Any], kernel_kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Fix the blocks, but of kernels whose blocks Inductor must know itself: split scans, and several kernels to choose from."""
        extents = self._extents(groups)
        if kernel_cls is not TritonKernel or extents is None or config.triton.multi_kernel or kernel_kwargs.get("mix_order_reduction"):
            return kernel_kwargs
        if features.is_reduction():
            persistent = kernel_kwargs.get("override_persistent_reduction")
            if persistent is None:
                persistent = self.should_use_persistent_reduction(features, False)
            chosen = blocks.reduction(extents, is_inner(features), persistent)
        else:
            del extents["r0_"]
            chosen = blocks.pointwise(extents, crosses(features), knobs.num_threads)
        fixed = {f"{name.upper()}BLOCK": size for name, size in chosen.items()} | {"num_warps": 1, "num_stages": 1}
        return kernel_kwargs | {"fixed_config": FixedTritonConfig(fixed)}

    @staticmethod
    def _extents(groups: list[Any]) -> dict[str, int] | None:
        """Of the kernel's dimensions, as far as they are known; None for a kernel of another kind."""
        if not groups or not isinstance(groups[0], dict) or not {"x", "r0_"} <= groups[0].keys() <= _NAMES:
            return None
        hint = V.graph.sizevars.optimization_hint
        return {name: max(int(hint(extent, fallback=_UNKNOWN)), 1) for name, extent in groups[0].items()}
