"""The last pass over a graph before Inductor makes kernels of it, which is also what its caches know this backend by."""

from typing import Any

from torch import fx
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.integrations.inductor import blocks, choices, products


class LastPass(CustomGraphPass):
    """Replaces products where ours are faster."""

    def __init__(self) -> None:
        self.products = products.are_faster()

    def __call__(self, graph: fx.Graph) -> None:
        if self.products:
            products.replace_products(graph)

    def uuid(self) -> Any:
        """What generated code depends on besides Inductor's own settings, for the keys of its caches."""
        sources = get_hash_for_files(tuple(module.__file__ for module in (blocks, choices, products)))
        return (sources, self.products, knobs.num_threads)
