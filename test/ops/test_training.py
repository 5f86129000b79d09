"""A transformer and a ResNet learn with the operators of this library as with PyTorch's, and no other operator computes anything."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kernels.case import epsilon
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from triton import knobs as triton_knobs

from triton_spacemit import ops

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from resnet import ResNet, pictures
from transformer import Config, Transformer, loss_of, texts

STEPS = 20

#: What PyTorch's own operators do in a step: names for the same memory, new tensors, plain copies, and one number for Python.
NOTHING_TO_COMPUTE = {
    *("_unsafe_view", "alias", "as_strided", "detach", "expand", "select", "slice", "split", "squeeze", "t", "transpose", "unbind"),
    *("unsqueeze", "view", "permute"),
    *("_record_function_enter_new", "_record_function_exit"),
    *(
        "arange",
        "empty",
        "empty_like",
        "fill_",
        "full",
        "new_empty_strided",
        "new_zeros",
        "ones_like",
        "scalar_tensor",
        "zero_",
        "zeros_like",
    ),
    *("_local_scalar_dense", "_to_copy", "clone", "copy_", "lift_fresh"),
}


class Calls(TorchDispatchMode):
    """Counts calls of `aten`'s operators: those that launched kernels, and those that launched none although there was something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.here: Counter[str] = Counter()
        self.pytorch: Counter[str] = Counter()
        self._launches = 0

    def __enter__(self) -> "Calls":
        triton_knobs.runtime.launch_enter_hook.add(self._count)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        triton_knobs.runtime.launch_enter_hook.remove(self._count)

    def _count(self, metadata: object) -> None:
        self._launches += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self._launches
        result = func(*args, **(kwargs or {}))
        (self.here if self._launches > before else self.pytorch)[func.overloadpacket.__name__] += 1
        return result

    def __str__(self) -> str:
        return "\n".join(
            f"{title}: {', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}"
            for title, counts in (("kernels of this library", self.here), ("PyTorch's own", self.pytorch))
        )


Start = tuple[nn.Module, torch.optim.Optimizer]
Loss = Callable[..., torch.Tensor]


def train(start: Start, loss_of: Loss, batches: list[Any]) -> torch.Tensor:
    model, optimizer = start
    losses = []
    for batch in batches:
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses, dtype=torch.float64)


def check(make: Callable[[torch.dtype], Start], loss_of: Loss, batches: list[Any], dtype: torch.dtype) -> Calls:
    """Both libraries start from the same numbers. float64 tells how far rounding leads PyTorch astray; ours may be as far twice, as both
    round the same values to the same types, but in another order; and a loss is itself rounded, as are the means it is made of.
    """
    exact = train(make(torch.float64), loss_of, batches)
    theirs = train(make(dtype), loss_of, batches)
    before, start = ops.left_to_pytorch(), make(dtype)
    with ops.enabled(), Calls() as calls:
        losses = train(start, loss_of, batches)
    print(calls, f"losses {losses}", f"PyTorch's {theirs}", sep="\n")
    assert ops.left_to_pytorch() == before
    # Rounding also decides ReLUs and maxima that are nearly even, and what follows stays in the weights: every step may add to it. Narrow
    # types are so far from float64 that this is nothing beside it.
    steps = STEPS if dtype is torch.float32 else 1
    bound = 2 * (theirs - exact).abs().max() + 4 * steps * epsilon(dtype) * exact.max()
    assert (losses - exact).abs().max() <= bound, f"{losses - exact}, PyTorch: {theirs - exact}"
    assert losses[-1] < 0.8 * losses[0] or len(batches) < STEPS
    assert set(calls.pytorch) - NOTHING_TO_COMPUTE == set(), str(calls)
    return calls


def _transformer(config: Config, dtype: torch.dtype, start: torch.dtype) -> Start:
    torch.manual_seed(0)
    model = Transformer(config).to(start).to(dtype)
    return model, torch.optim.AdamW(model.parameters(), lr=3e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_transformer(host, dtype):
    config = Config()
    batches = [texts(config, 16, step % 4) for step in range(STEPS)]
    calls = check(lambda wanted: _transformer(config, wanted, dtype), loss_of, batches, dtype)
    expected = {"_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention_for_cpu_backward", "mm", "embedding"}
    assert expected <= set(calls.here)


def _resnet(dtype: torch.dtype) -> Start:
    torch.manual_seed(0)
    model = ResNet().to(dtype)
    return model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def _loss_of_pictures(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    images, labels = batch
    return nn.functional.cross_entropy(model(images.to(next(model.parameters()).dtype)), labels)


def test_resnet(host):
    calls = check(_resnet, _loss_of_pictures, [pictures(16, step % 4) for step in range(STEPS)], torch.float32)
    assert {"convolution", "convolution_backward", "native_batch_norm", "native_batch_norm_backward"} <= set(calls.here)


@pytest.mark.qemu
def test_transformer_on_an_emulated_x60(x60):
    config = Config(tokens=13, dim=16, layers=1, heads=2, key_heads=1, hidden=24, length=7)
    batches = [texts(config, 2, step) for step in range(2)]
    check(lambda dtype: _transformer(config, dtype, torch.float32), loss_of, batches, torch.float32)
