"""PyTorch's Inductor on this backend: `torch.compile(model, backend="spacemit")`.

Installing the package makes the name known (entry point `torch_dynamo_backends`); nothing has to be imported, and nothing in PyTorch is
replaced. Inductor's code generation for Triton on the CPU is called with settings of its own for this one compilation, backward passes that
are compiled later included: which kernels there are and how large their blocks (`choices`, `blocks`), and which products are
this project's (`graphs`, `products`). What the generator cannot do is kept from it (`schedules`). What other backends compile in the same
process comes out as without it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx


def _settings() -> dict[str, Any]:
    """Of `torch._inductor.config`, for a compilation here."""
    from triton_spacemit.integrations.inductor.graphs import LastPass
    from triton_spacemit.integrations.inductor.schedules import TILED, SchedulePass

    schedule = SchedulePass()
    return {
        "cpu_backend": "triton",
        # A dimension of the grid for each of the loops that a C++ compiler would be given: indices without divisions.
        "triton.max_tiles": TILED,
        "triton.prefer_nd_tiling": True,
        "triton.tile_reductions": True,
        # A second pass over a row costs less than the three numbers of Welford's method for each lane.
        "cpp.use_two_step_variance_threshold": 1 << 30,
        "post_grad_custom_post_pass": LastPass(),
        "_pre_fusion_custom_pass": schedule,
        "_post_fusion_custom_pass": schedule,
    }


def _with_choices(inner_compile: Callable[..., Any]) -> Callable[..., Any]:
    """`compile_fx_inner` with our choices, on whatever thread and whenever a graph is compiled."""
    from torch._inductor.virtualized import V

    from triton_spacemit.integrations.inductor.choices import Choices

    @functools.wraps(inner_compile)
    def compile_inner(*args: Any, **kwargs: Any) -> Any:
        with V.set_choices_handler(Choices()):
            return inner_compile(*args, **kwargs)

    return compile_inner


def compile(
    graph: fx.GraphModule, inputs: Sequence[Any], *, mode: str | None = None, options: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """A backend of `torch.compile`. mode, options: as the default backend takes them; an option goes before a setting made here."""
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner

    chosen = dict(torch._inductor.list_mode_options(mode)) if mode else {}
    chosen |= {name.replace("-", "_"): value for name, value in (options or {}).items()}
    return compile_fx(graph, list(inputs), inner_compile=_with_choices(compile_fx_inner), config_patches=_settings() | chosen)
