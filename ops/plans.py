"""Plans: a call of an operator that is like one before makes its results and launches its kernels, and does nothing else.

From the third like call on, a function in C (`backend/runtime/calls.c`) answers: it makes the key of a call, finds the plan, and launches.
The second like call is recorded here. The one before it compiles kernels, and many calls never come again.

A plan is legal where the key tells everything that the implementation has read:

- of each tensor dtype, shape, strides, how its address lies to multiples of 16, and which others it shares memory with, and how;
- all other arguments exactly, 0.0 and -0.0 apart;
- the default dtype, where no tensor has a floating-point one: new tensors of an implementation are of a dtype that it names;
- all settings, and how many processors there are where the implementation has asked for the number of threads.

Elements of tensors, random numbers, kernels of PyTorch's: what else a call may read or do, it does through PyTorch. So the recording
watches every operator that PyTorch is asked for, and there is no plan where one is not a view or a new tensor, without values or of
zeros. Of what kernels write a call may read flags (`launching.raised`): where one is raised, the implementation answers after all. Each
pointer of a launch has to lead into one tensor that is known: an argument, a new one, or a constant of this process
(`launching.constant`). What a new tensor that is not a result holds lies in memory that each thread keeps. A call that warns
(`launching.warn`) has no plan, for those like it are to warn, too.

Where a hook is told of launches there are no plans, nor on devices other than `host`, nor without what `missing` asks for.
"""

import itertools
import os
import struct
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from triton_spacemit.backend.knobs import asked, knobs
from triton_spacemit.backend.repeats import Description
from triton_spacemit.ops.calls import library
from triton_spacemit.ops.launching import Checked, Launched, Warned, is_constant, noted
from triton_spacemit.ops.operands import span

_LINE = 64  # bytes
# As in calls.c
_MOST_SLOTS, _MOST_NEW = 128, 8
_NEW, _ARGUMENT, _TEMPORARY, _NONE = range(4)
_MOST_ROOM = 1 << 26  # bytes of temporary tensors of a plan

_MAKES = {
    getattr(torch.ops.aten, name)
    for name in ("empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "empty_permuted")
}  # fmt: skip
_MAKES_ZEROS = {getattr(torch.ops.aten, name) for name in ("zeros", "zeros_like", "new_zeros")}
_OF_DTYPES = {getattr(torch.ops.aten, name) for name in ("promote_types", "result_type", "can_cast")}


class _Watch(TorchDispatchMode):
    """What PyTorch is asked for.

    made: new tensors, which are kept so that each has an address of its own. zeros: those that begin so. other: what makes
    neither a new one nor a view.

    What PyTorch calls a view may be a copy: that is a tensor which no launch of a plan may have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: list[torch.Tensor] = []
        self.zeros: list[torch.Tensor] = []
        self.other: Any = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in _MAKES and not func._schema.is_mutable:
            self.made.append(result)
        elif func.overloadpacket in _MAKES_ZEROS and not func._schema.is_mutable:
            self.made.append(result)
            self.zeros.append(result)
        elif func.overloadpacket not in _OF_DTYPES and not func.is_view:
            self.other = func
        return result


class _Storages:
    """Which tensor a pointer leads into."""

    def __init__(self, arguments: Sequence[torch.Tensor], made: Sequence[torch.Tensor], results: Sequence[Any]) -> None:
        self.arguments = arguments
        self.temporaries: dict[int, int] = {}  # storage to place in the thread's memory
        self.room = 0
        self.made = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in made}
        self.new = {result.untyped_storage().data_ptr(): place for place, result in enumerate(results)}

    def find(self, pointer: torch.Tensor) -> tuple[int, int, int] | None:
        """Kind, number and offset in bytes of a patch; None where the tensor is none of them."""
        address, storage = pointer.data_ptr(), pointer.untyped_storage().data_ptr()
        if storage in self.new:
            return _NEW, self.new[storage], address - storage
        if storage in self.made:
            place = self.temporaries.get(storage)
            if place is None:
                place = self.temporaries[storage] = self.room
                self.room += -(-self.made[storage] // _LINE) * _LINE
            return _TEMPORARY, 0, place + address - storage
        for number, argument in enumerate(self.arguments):
            start = argument.data_ptr()
            if pointer is argument or start <= address < start + _extent(argument):
                return _ARGUMENT, number, address - start
        return None


def _extent(tensor: torch.Tensor) -> int:
    """Bytes from the first element to the end of the last."""
    return span(tensor.shape, tensor.stride()) * tensor.itemsize


def _tensors(arguments: Any) -> list[torch.Tensor]:
    """Those among arguments and in lists of them, in the order that calls.c has them in."""
    found: list[torch.Tensor] = []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            found.append(argument)
        elif isinstance(argument, list | tuple):
            found += _tensors(argument)
    return found


def _words(words: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(words)}q", *words)


def _result_words(results: Sequence[Any], arguments: Sequence[torch.Tensor], made: Sequence[torch.Tensor]) -> Any:
    """Two words for each result, and the results that are new; None where one is something else."""
    words: list[int] = []
    new: list[torch.Tensor] = []
    storages = {tensor.untyped_storage().data_ptr() for tensor in made}
    for result in results:
        if result is None:
            words += (_NONE, 0)
            continue
        if not isinstance(result, torch.Tensor):
            return None
        given = [number for number, argument in enumerate(arguments) if argument is result]
        if given:
            words += (_ARGUMENT, given[0])
            continue
        storage = result.untyped_storage()
        # Of a storage of its own, and all of it, as it will be made anew.
        if storage.data_ptr() not in storages or result.storage_offset() or storage.nbytes() != _extent(result):
            return None
        if result.numel() and any(storage.data_ptr() == other.untyped_storage().data_ptr() for other in new):
            return None
        words += (_NEW, len(new))
        new.append(result)
    return words, new


def _launch_words(launched: Launched, check: int, storages: _Storages, kept: list[Any]) -> tuple[bytes, Description] | None:
    """The words of a launch. check: where a flag lies that is looked at behind it, or -1. None where it is not for a plan."""
    described = launched.described()
    if described is None or len(described.slots) > 8 * _MOST_SLOTS:
        return None
    patches: list[int] = []
    for slot, pointer in zip(described.places, described.pointers, strict=True):
        if pointer is None or is_constant(pointer):
            kept.append(pointer)
            continue
        patch = storages.find(pointer) if isinstance(pointer, torch.Tensor) else None
        if patch is None:
            return None
        patches += (slot, *patch)
    is_grid = launched.grid != (1, 1, 1) or described.concurrent
    kept.append(launched.kernel)
    head = (described.program, is_grid, *launched.grid, check, len(described.slots) // 8, len(patches) // 4)
    return _words(head) + described.slots + _words(patches), described


def _plan(result: Any, arguments: Sequence[torch.Tensor], watch: _Watch, launches: Sequence[Any], counts: bool) -> Any:
    """Words and objects of a plan, as calls.c takes them; None where there can be none. counts: whether the number of threads does."""
    results = result if isinstance(result, tuple) else (result,)
    found = _result_words(results, arguments, watch.made)
    if watch.other is not None or found is None or len(found[1]) > _MOST_NEW:
        return None
    own, new = found
    storages = _Storages(arguments, watch.made, new)
    body, raising, shared = b"", [], False
    kept: list[Any] = []
    for launched, behind in itertools.pairwise([*launches, None]):
        if isinstance(launched, Warned):
            return None
        if isinstance(launched, Checked):
            # One flag for a launch, and nothing given that is written to before it is looked at.
            if isinstance(behind, Checked) or any(each is argument for each in results for argument in arguments):
                return None
            continue
        assert launched is not None
        check = -1
        if isinstance(behind, Checked):
            kind, _, check = storages.find(behind.flag) or (_NONE, 0, 0)
            if kind != _TEMPORARY:
                return None
        words = _launch_words(launched, check, storages, kept)
        if words is None:
            return None
        body += words[0]
        shared |= launched.grid != (1, 1, 1) or words[1].concurrent
        raising.append(words[1].fail)
    clears: list[int] = []
    for tensor in watch.zeros:
        place = storages.find(tensor)
        assert place is not None  # as it is one of those that were made
        clears += (*place, tensor.untyped_storage().nbytes())
    if storages.room > _MOST_ROOM:
        return None
    processors = len(os.sched_getaffinity(0)) if (counts or shared) and not knobs.threads else 0
    threads = knobs.num_threads if shared else 1
    head = (storages.room, processors, threads, len(new), len(results), isinstance(result, tuple), len(watch.zeros), len(raising))
    makes = tuple((tuple(tensor.shape), tensor.stride(), tensor.dtype) for tensor in new)
    return _words((*head, *own, *clears)) + body, (makes, tuple(raising), kept)


def _recorder(implementation: Callable[..., Any], left: Callable[..., Any]) -> Callable[..., Any]:
    """`implementation`, with the words and the objects of a plan behind its result."""

    def record(*args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        before = asked.times
        with _Watch() as watch, noted() as launches:
            result = implementation(*args, **kwargs)
        if result is NotImplemented:
            return left(*args, **kwargs), None, None
        plan = _plan(result, _tensors((*args, *kwargs.values())), watch, launches, asked.times != before)
        return (result, *(plan or (None, None)))

    return record


def missing() -> str:
    """What this process lacks for calls to have plans, which then cost what the first ones do; empty where they have them."""
    found = library()
    return found if isinstance(found, str) else ""


def planned(implementation: Callable[..., Any], left: Callable[..., Any]) -> Callable[..., Any]:
    """`implementation`, of which like calls have a plan, with `left` for the calls that it leaves with NotImplemented."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = implementation(*args, **kwargs)
        return left(*args, **kwargs) if result is NotImplemented else result

    found = library()
    return call if isinstance(found, str) else found.new_overload(call, _recorder(implementation, left))
