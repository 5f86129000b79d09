"""A transformer trained by several processes, with the operators of this library, in four ways, each of which is to give the losses and the
parameters of one process:

    torchrun --nproc-per-node 2 examples/distributed.py [--ways tensor data fsdp zero] [--steps 3]

tensor: every process has a part of the heads and of the MLP's columns. data: every process has a part of the batch, gradients are averaged.
fsdp: the same, and a part of the parameters. zero: the same as data, and a part of the optimizer's state. docs/distributed.md starts it on
several machines.
"""

import argparse
import sys
import warnings
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel
from transformer import Config, Transformer, loss_of, texts
from triton import knobs

from triton_spacemit import ops

# Nobody writes into the scores, which are a view.
warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)

BATCH = 8
SETTINGS = {"lr": 0.1, "momentum": 0.9}
#: Of losses and parameters, relative to one process: sums over parts are rounded otherwise, and every step starts from the last one.
BOUND = 1e-4

Optimizer = torch.optim.Optimizer
Way = Callable[[nn.Module, DeviceMesh], tuple[nn.Module, Optimizer]]


def tensor(model: nn.Module, mesh: DeviceMesh) -> tuple[nn.Module, Optimizer]:
    for block in model.blocks:
        plan = {f"attention.{name}": ColwiseParallel() for name in ("query", "key", "value")}
        plan |= {
            "attention.out": RowwiseParallel(),
            "mlp.gate": ColwiseParallel(),
            "mlp.up": ColwiseParallel(),
            "mlp.down": RowwiseParallel(),
        }
        parallelize_module(block, mesh, plan)
    return model, torch.optim.SGD(model.parameters(), **SETTINGS)


def data(model: nn.Module, mesh: DeviceMesh) -> tuple[nn.Module, Optimizer]:
    wrapped = DistributedDataParallel(model)
    return wrapped, torch.optim.SGD(wrapped.parameters(), **SETTINGS)


def fsdp(model: nn.Module, mesh: DeviceMesh) -> tuple[nn.Module, Optimizer]:
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model, torch.optim.SGD(model.parameters(), **SETTINGS)


def zero(model: nn.Module, mesh: DeviceMesh) -> tuple[nn.Module, Optimizer]:
    wrapped = DistributedDataParallel(model)
    return wrapped, ZeroRedundancyOptimizer(wrapped.parameters(), torch.optim.SGD, **SETTINGS)


WAYS: dict[str, Way] = {"tensor": tensor, "data": data, "fsdp": fsdp, "zero": zero}


def train(model: nn.Module, optimizer: Optimizer, config: Config, steps: int, part: slice = slice(None)) -> list[torch.Tensor]:
    """The losses of `part` of every batch."""
    losses = []
    for step in range(steps):
        loss = loss_of(model, texts(config, BATCH, step)[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses


def make(config: Config) -> Transformer:
    torch.manual_seed(0)
    return Transformer(config)


def whole(parameter: torch.Tensor) -> torch.Tensor:
    return (parameter.full_tensor() if isinstance(parameter, DTensor) else parameter).detach()


def compare(name: str, steps: int, config: Config) -> bool:
    """Trains in one way, and in one process with PyTorch's own operators; prints the losses, their largest difference, and how many kernels
    of this library were launched. True where the two agree.
    """
    rank, processes = dist.get_rank(), dist.get_world_size()
    mesh = init_device_mesh("cpu", (processes,))
    model, optimizer = WAYS[name](make(config), mesh)
    part = slice(None) if name == "tensor" else slice(rank * BATCH // processes, (rank + 1) * BATCH // processes)
    launched: list[object] = []
    knobs.runtime.launch_enter_hook.add(launched.append)
    with ops.enabled():
        losses = torch.stack(train(model, optimizer, config, steps, part))
    knobs.runtime.launch_enter_hook.remove(launched.append)
    if name != "tensor":
        dist.all_reduce(losses)
        losses /= processes
    alone = make(config)
    expected = torch.stack(train(alone, torch.optim.SGD(alone.parameters(), **SETTINGS), config, steps))
    pairs = [
        (losses, expected),
        *((whole(ours), theirs.detach()) for ours, theirs in zip(model.parameters(), alone.parameters(), strict=True)),
    ]
    difference = max(((ours - theirs).abs().max() / theirs.abs().max()).item() for ours, theirs in pairs)
    if rank == 0:
        numbers = " ".join(f"{loss:.4f}" for loss in losses)
        print(f"{name}, {processes} processes: losses {numbers}, {difference:.1e} from one, {len(launched)} kernels here", flush=True)
    return bool(launched) and difference <= BOUND


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":\n")[0])
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    dist.init_process_group("gloo")
    try:
        agree = [compare(name, arguments.steps, Config()) for name in arguments.ways]
    finally:
        dist.destroy_process_group()
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
