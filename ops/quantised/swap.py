"""Linear layers of a model of PyTorch's become quantised ones.

```python
swap(model, "Q4_0")     # every torch.nn.Linear whose rows are whole blocks
```
"""

from collections.abc import Callable

import torch

from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.formats import get_format
from triton_spacemit.ops.quantised.linear import linear
from triton_spacemit.ops.quantised.packed import Packed, pack
from triton_spacemit.ops.quantised.rounding import quantise

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")  # where torch.nn.Module keeps them


class QuantisedLinear(torch.nn.Module):
    """`torch.nn.Linear` with packed weights: `x W^T + bias`, of float32, float16 or bfloat16, in the dtype of x.

    The weights are the buffer `weight`, so that a state dict has them as they are packed. They and `bias`, a buffer too, are not trained.
    """

    weight: Packed

    def __init__(self, weight: Packed, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    @classmethod
    def of(cls, layer: torch.nn.Linear, format_name: str) -> "QuantisedLinear":
        """The layer with its weights rounded to a format. Raises FormatError where they cannot be."""
        weight, form = layer.weight.detach(), get_format(format_name)
        raw = quantise(weight, format_name)
        parts = form.read(raw.unflatten(-1, (-1, form.size)))
        if not all(part.isfinite().all() for part in (parts.scale, parts.minimum) if part is not None):
            raise FormatError(f"weights as large as {float(weight.abs().max()):.3g} are beyond {format_name}, whose scales are float16")
        packed = pack(raw, format_name, tuple(weight.shape))
        return cls(packed, None if layer.bias is None else layer.bias.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        rows, steps = self.weight.shape
        return f"in_features={steps}, out_features={rows}, bias={self.bias is not None}, weight={self.weight.format}"


def swap(module: torch.nn.Module, format_name: str, wanted: Callable[[str, torch.nn.Linear], bool] | None = None) -> torch.nn.Module:
    """Put quantised layers in place of the linear layers of a module, in it; a layer that is used twice stays one.

    wanted: says of each layer, by its name in the module, whether it is to be swapped; without it, all are. Returns the module, or its
    replacement where it is such a layer itself. Raises FormatError, before anything has changed, where a wanted layer's rows are no whole
    blocks, its weights cannot be rounded, or it has hooks, which would be lost.
    """
    get_format(format_name)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"the layers of a module are swapped, not of {module!r:.80}")
    layers = {name: layer for name, layer in module.named_modules(remove_duplicate=False) if type(layer) is torch.nn.Linear}
    chosen = {name: layer for name, layer in layers.items() if wanted is None or wanted(name, layer)}
    made: dict[int, QuantisedLinear] = {}
    for name, layer in chosen.items():
        try:
            if id(layer) not in made:
                if any(getattr(layer, hooks) for hooks in _HOOKS):
                    raise FormatError("it has hooks, which would be lost")
                made[id(layer)] = QuantisedLinear.of(layer, format_name).train(layer.training)
        except FormatError as error:
            raise FormatError(f"the layer {name!r} cannot be swapped: {error}") from None
    for name, layer in chosen.items():
        if not name:
            return made[id(layer)]
        parent, _, last = name.rpartition(".")
        setattr(module.get_submodule(parent), last, made[id(layer)])
    for each in module.modules():
        _without_fast_path(each)
    return module


def _without_fast_path(module: torch.nn.Module) -> None:
    """PyTorch's transformer layers have a second way to compute, for inference, which takes their layers' weights as ordinary tensors."""
    if isinstance(module, torch.nn.TransformerEncoderLayer) and QuantisedLinear in map(type, (module.linear1, module.linear2)):
        module.activation_relu_or_gelu = 0
    if isinstance(module, torch.nn.TransformerEncoder) and any(isinstance(each, QuantisedLinear) for each in module.modules()):
        module.use_nested_tensor = False
