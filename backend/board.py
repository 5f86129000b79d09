"""Tensors that stay on a board, for the device `remote`: arguments of its launches that are not sent, and results that are not fetched.

They are no tensors of PyTorch's: they have an address, a dtype and a shape, which is what a launch needs, and `cpu()`. What they hold is
gone when the session with the board ends.

```python
x, out = board.tensor(x), board.empty(1000)
add[(4,)](x, x, out, 1000, BLOCK=256)
out.cpu()
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.errors import DeviceError, LinkError
from triton_spacemit.backend.knobs import active_target

if TYPE_CHECKING:
    import torch

    from triton_spacemit.backend.devices.remote import RemoteDevice
    from triton_spacemit.backend.devices.session import Session


@dataclass(frozen=True)
class _Memory:
    """The device of these tensors, as `torch.device` names one."""

    type: str = "board"
    index: int = 0

    def __str__(self) -> str:
        return self.type


@dataclass(frozen=True)
class _Storage:
    address: int
    size: int

    def data_ptr(self) -> int:
        return self.address

    def nbytes(self) -> int:
        return self.size


class BoardTensor:
    """A dense tensor on a board, rows behind each other. Made by `tensor` and `empty`; its memory is given back with it."""

    device = _Memory()
    is_cpu = False

    def __init__(self, device: "RemoteDevice", session: "Session", address: int, shape: tuple[int, ...], dtype: "torch.dtype") -> None:
        self._device, self.session, self._address = device, session, address
        self.shape, self.dtype = shape, dtype

    def __del__(self) -> None:
        # May come from the garbage collector in the middle of a launch: the board is told before the next one.
        self.session.dropped.append(self._address)

    def __repr__(self) -> str:
        return f"BoardTensor({list(self.shape)}, {self.dtype}, on {self.session.name!r})"

    def data_ptr(self) -> int:
        """The address on the board. Raises LinkError where the session with the board has ended."""
        if not self.session.link.is_open:
            raise LinkError(f"the session with board {self.session.name!r} has ended, and with it this tensor")
        return self._address

    def dim(self) -> int:
        """The number of extents."""
        return len(self.shape)

    @property
    def ndim(self) -> int:
        """The number of extents."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one extent."""
        return self.shape if dim is None else self.shape[dim]

    def stride(self, dim: int | None = None) -> Any:
        """The distance of neighbours in elements, along each extent or one."""
        strides, step = [], 1
        for extent in reversed(self.shape):
            strides.append(step)
            step *= max(extent, 1)
        strides.reverse()
        return tuple(strides) if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        """Always."""
        return True

    def element_size(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    def numel(self) -> int:
        """How many elements there are."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    def untyped_storage(self) -> _Storage:
        """Where its memory on the board begins, and its bytes."""
        return _Storage(self.data_ptr(), self.numel() * self.element_size())

    def cpu(self) -> "torch.Tensor":
        """A copy in this process. Raises LinkError where the session with the board has ended."""
        import torch

        result = torch.empty(self.shape, dtype=self.dtype)
        if result.numel():
            self._device.fetch(self.session, self.data_ptr(), _bytes_of(result))
        return result

    def copy_(self, source: "torch.Tensor") -> "BoardTensor":
        """Have it be what a tensor of this process is, which has the same shape and dtype. Raises LinkError, and DeviceError."""
        if tuple(source.shape) != self.shape or source.dtype != self.dtype:
            raise DeviceError(f"a tensor {list(source.shape)} of {source.dtype} cannot be copied to {self!r}")
        if self.numel():
            self._device.put(self.session, self.data_ptr(), _bytes_of(source.detach().contiguous()))
        return self


def _bytes_of(tensor: "torch.Tensor") -> memoryview:
    """The memory of a dense tensor of this process, which has elements."""
    import torch

    return memoryview(tensor.view(-1).view(torch.uint8).numpy()).cast("B")


def empty(*shape: int | Sequence[int], dtype: "torch.dtype | None" = None) -> BoardTensor:
    """A tensor of zeros on the board of the settings. Raises LinkError; DeviceError where it has no room, or `remote` is not the device."""
    import torch

    extents = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else cast(tuple[int, ...], shape)
    dtype = dtype or torch.get_default_dtype()
    name, chip = active_target()
    if name != "remote":
        raise DeviceError(f"tensors on a board need the device 'remote'; the active one is {name!r}")
    device = cast("RemoteDevice", get_device(name, chip))
    size = dtype.itemsize
    for extent in extents:
        size *= extent
    session, address = device.allocate(size)
    return BoardTensor(device, session, address, tuple(extents), dtype)


def tensor(source: "torch.Tensor", keep: bool = False) -> BoardTensor:
    """A copy of a tensor of this process on the board of the settings. Raises as `empty`.

    keep: the board keeps what is in it on its disk, under a digest, and next time has it from there: for weights. Raises DeviceError where
    its agent has no folder for that (`--cache`).
    """
    made = empty(source.shape, dtype=source.dtype)
    if not keep or not made.numel():
        return made.copy_(source)
    made._device.put_kept(made.session, made.data_ptr(), _bytes_of(source.detach().contiguous()))
    return made
