"""From a row of the table and PyTorch's schema of an overload to the function that PyTorch calls.

`getattr(overloads, "add.out")` makes the function. What it does at a call: the arguments in the schema's order, the kernel of their
dtypes, the layout, the result, the launch. It answers NotImplemented, before anything is written, where a dtype is not in the row, where
shapes do not fit, where a result cannot be cast to the given tensor's dtype or would overwrite what is still to be read: PyTorch then says
what is wrong.
"""

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import triton.language as tl
from triton.runtime.jit import JITFunction

from triton_spacemit.ops.elementwise import choices, layout
from triton_spacemit.ops.elementwise.kernels import Compiled
from triton_spacemit.ops.elementwise.table import ROWS, Row
from triton_spacemit.ops.elementwise.types import TRITON, common_dtype, computed_in

_NUMBERS = ("number", "Optional[number]", "float", "Optional[float]")
#: What rounds to a number of the dtype.
_LARGEST = {tl.float16: 65519.99, tl.bfloat16: 3.3961e38, tl.float32: 3.4028235677973366e38, tl.float64: math.inf}
_NONE = ((0, 0, 0), (0, 0, 0))
_MODULES = ("activations", "gradients", "arithmetic", "distances", "functions", "predicates")


#: What an argument is: an operand, a condition (which counts for no dtype), a number, or a word that chooses the function.
_TENSOR, _CONDITION, _NUMBER, _MODE = "tensor", "condition", "number", "mode"


def _role(argument: Any) -> str:
    if "Tensor" in str(argument.type):
        return _CONDITION if argument.name in ("condition", "mask") else _TENSOR
    return _NUMBER if str(argument.type) in _NUMBERS or argument.name == "decimals" else _MODE


@functools.cache
def _functions() -> dict[str, Any]:
    """The functions of all operators by name."""
    modules = [importlib.import_module(f"triton_spacemit.ops.elementwise.{module}") for module in _MODULES]
    return {name: value for module in modules for name, value in vars(module).items() if isinstance(value, JITFunction)}


class Overload:
    """The function of one overload. `kernels`: by dtypes, kinds of numbers and the chosen function."""

    def __init__(self, row: Row, overload: str) -> None:
        self.row = row
        name, _, variant = overload.partition(".")
        schema = torch._C._get_schema(f"aten::{name}", variant)
        written = [argument for argument in schema.arguments if argument.alias_info is not None and argument.alias_info.is_write]
        self.in_place = bool(written) and not written[0].kwarg_only
        self.out = "" if self.in_place or not written else written[0].name
        arguments = [argument for argument in schema.arguments if argument.name != self.out]
        self.names = tuple(argument.name for argument in arguments)
        self.defaults = tuple(argument.default_value for argument in arguments)
        self.count = len(arguments)
        self.roles = tuple(_role(argument) for argument in arguments)
        self.modes = tuple(place for place, role in enumerate(self.roles) if role is _MODE)
        #: Where a number counts for the dtype: in a tensor's place, and beside a tensor by its name.
        self.promoting = tuple(
            place
            for place, role in enumerate(self.roles)
            if role is _TENSOR or role is _NUMBER and self.names[place] in ("self", "other", "exponent", "min", "max")
        )
        self.dtypes = frozenset(getattr(torch, name) for name in row.dtypes)
        self.like = frozenset(getattr(torch, name) for name in row.like)
        self.copied = frozenset(getattr(torch, name) for name in row.copied)
        self.choose: Callable[..., Any] | None = getattr(choices, row.choose) if row.choose else None
        self.kernels: dict[Any, tuple[Compiled, torch.dtype, tuple[bool, ...]] | None] = {}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        out = arguments[0] if self.in_place else named.pop(self.out) if self.out else None
        if len(arguments) < self.count:
            missing = zip(self.names[len(arguments) :], self.defaults[len(arguments) :], strict=True)
            arguments += tuple([named.get(name, default) for name, default in missing])
        name, operands = self.row.function, arguments
        if self.choose is not None:
            chosen = self.choose(name, arguments)
            if chosen is NotImplemented:
                return NotImplemented
            name, operands = chosen
        for place in self.modes:
            name = f"{name}_{arguments[place]}".lower()
        return self._compute(name, arguments, operands, out)

    def _compute(self, name: str, arguments: Sequence[Any], operands: Sequence[Any], out: torch.Tensor | None) -> Any:
        """The function `name` of operands, which are the arguments without those (None) that only count for the dtype."""
        tensors, numbers, stand_ins = [], [], self.row.stand_in
        kinds: list[Any] = [name]
        places: list[Any] = []
        if out is not None:
            kinds.append(out.dtype)
            places += (out.shape, out.stride(), True)
        first, alike = None, True
        for operand, role in zip(operands, self.roles, strict=True):
            if isinstance(operand, torch.Tensor):
                tensors.append(operand)
                places += (operand.shape, operand.stride())
                dtype = operand.dtype
                kinds.append(dtype)
                if role is _TENSOR:
                    if first is None:
                        first = dtype
                    alike = alike and dtype is first
            elif operand is not None and role is not _MODE:
                numbers.append(operand)
                kinds.append(type(operand))
                stand_ins = stand_ins or role is _TENSOR or self.row.result == "bool"
        if stand_ins:
            places.append(True)
        if not alike or first is None or not first.is_floating_point:
            kinds.append(self._common(arguments))
        kind = tuple(kinds)
        try:
            found = self.kernels[kind]
        except KeyError:
            found = self.kernels[kind] = self._prepare(name, self._common(arguments), out, operands)
        if found is None:
            return NotImplemented
        kernel, result, judged = found
        if numbers:
            reals, whole = _split(kernel, numbers, judged)
            if reals is None:
                return NotImplemented
        else:
            reals, whole = _NONE
        if out is None and tensors and tensors[0].dtype in self.like:
            out = torch.empty_like(tensors[0], dtype=result)
            places += (out.shape, out.stride(), True, "new")
        elif out is None and self.row.contiguous and (shape := layout.broadcast([tensor.shape for tensor in tensors])) is not None:
            out = torch.empty(shape, dtype=result)
            places += (out.shape, out.stride(), True, "new")
        place = layout.find(out, tensors, stand_ins, tuple(places))
        if place is None:
            if out is None or any(tensor is out for tensor in tensors):
                return NotImplemented
            return self._resized(kernel, out, tensors, stand_ins, reals, whole)
        if out is None:
            out = torch.empty_strided(place.shape, place.strides, dtype=result)
        elif place.overlaps_itself or _overlaps(out, tensors, place.dense):
            return NotImplemented
        kernel.launch(place, out, tensors, reals, whole)
        return out

    def _common(self, arguments: Sequence[Any]) -> torch.dtype:
        """The dtype that operands are converted to."""
        tensors = [each for each, role in zip(arguments, self.roles, strict=True) if role is _TENSOR and isinstance(each, torch.Tensor)]
        if self.row.result == "self":
            return tensors[0].dtype
        promoting = [arguments[place] for place in self.promoting]
        common = common_dtype(tensors, [each for each in promoting if isinstance(each, int | float | complex)])
        return torch.get_default_dtype() if self.row.result == "float" and not (common.is_floating_point or common.is_complex) else common

    def _resized(self, kernel: Compiled, out: torch.Tensor, tensors: list[torch.Tensor], stand_ins: bool, reals: Any, whole: Any) -> Any:
        """The result in a tensor of another shape, which becomes what PyTorch makes of it."""
        new = layout.find(None, tensors, stand_ins)
        if new is None:
            return NotImplemented
        torch._prims_common.wrappers._maybe_resize_out(out, torch.Size(new.shape))
        if not tensors or tensors[0].dtype not in self.copied:
            out.as_strided_(new.shape, new.strides)
        place = layout.find(out, tensors, stand_ins)
        if place is None or _overlaps(out, tensors, place.dense):
            return NotImplemented
        kernel.launch(place, out, tensors, reals, whole)
        return out

    def _prepare(
        self, name: str, common: torch.dtype, out: torch.Tensor | None, operands: Sequence[Any]
    ) -> tuple[Compiled, torch.dtype, tuple[bool, ...]] | None:
        """The kernel, the dtype of a new result, and which numbers must fit the dtype; None where PyTorch is to answer."""
        row, function = self.row, _functions().get(name)
        given = [(operand, self.roles[place]) for place, operand in enumerate(operands) if operand is not None]
        own = [operand.dtype for operand, role in given if role is _TENSOR and isinstance(operand, torch.Tensor)]
        conditions = [operand for operand, role in given if role is _CONDITION]
        if function is None or any(dtype not in self.dtypes for dtype in own) or any(each.dtype is not torch.bool for each in conditions):
            return None
        if row.same and len(set(own)) > 1:
            return None
        result = torch.bool if row.result == "bool" else common
        if common not in self.dtypes or out is not None and not self._takes(out, result):
            return None
        raw = tuple(role is _CONDITION for operand, role in given if isinstance(operand, torch.Tensor))
        slots = self._slots(operands, common)
        if slots is None:
            return None
        own_math = TRITON[common] if row.stepwise else computed_in(common)
        numbers = [place for place, operand in enumerate(operands) if operand is not None and not isinstance(operand, torch.Tensor)]
        # What stands in a tensor's place, is compared or comes first is converted as tensors are.
        judged = tuple(self.roles[place] is _NUMBER and row.result != "bool" and place > 0 for place in numbers if place not in self.modes)
        return Compiled(function, slots, raw, TRITON[common], own_math), result, judged

    def _takes(self, out: torch.Tensor, result: torch.dtype) -> bool:
        """Whether the given tensor may have a result of this dtype."""
        if self.row.exact_out and not self.in_place:
            return out.dtype is result
        return out.dtype in TRITON and torch.can_cast(result, out.dtype)

    def _slots(self, operands: Sequence[Any], common: torch.dtype) -> tuple[str, ...] | None:
        """Where the kernel finds each operand; None for a number that cannot be one of this dtype."""
        slots: list[str] = []
        tensors, reals, whole = iter("abc"), iter("xyz"), iter("ijk")
        for place, operand in enumerate(operands):
            if operand is None or self.roles[place] is _MODE:
                continue
            if isinstance(operand, torch.Tensor):
                slots.append(next(tensors))
                continue
            if isinstance(operand, complex) or isinstance(operand, float) and not common.is_floating_point:
                return None
            slot = next(reals) if common.is_floating_point else next(whole)
            slots.append(slot.upper() if place in self.promoting else slot)
        return tuple(slots)


def _split(kernel: Compiled, numbers: Sequence[Any], judged: Sequence[bool]) -> Any:
    """Numbers for the kernel's slots: three floating-point ones, three whole ones.

    (None, None) where one of those that are judged does not fit the dtype; the others, which stand for tensors, are converted as these are.
    """
    missing = (0,) * (3 - len(numbers))
    floating = kernel.math.is_floating()
    if floating:
        high = _LARGEST[kernel.common]
        low = -high
    else:
        low, high = choices.bounds(kernel.math)
        low = min(low, -high)  # below zero, numbers wrap around
    for number, is_judged in zip(numbers, judged, strict=True):
        if is_judged and not low <= number <= high and number == number and abs(number) != math.inf:
            return None, None
    return ((*map(float, numbers), *missing), (0, 0, 0)) if floating else ((0, 0, 0), (*map(int, numbers), *missing))


def _overlaps(out: torch.Tensor, tensors: Sequence[torch.Tensor], dense: Sequence[bool]) -> bool:
    """Whether a dense operand shares some memory with the dense result, but not all of it in the same order."""
    if not out.numel():
        return False
    start, end, strides = 0, 0, ()
    for tensor, is_dense in zip(tensors, dense[1:], strict=True):
        if tensor is out or not is_dense or not dense[0]:
            continue
        if not start:
            start, strides = out.data_ptr(), out.stride()
            end = start + out.numel() * out.itemsize
        own = tensor.data_ptr()
        own_end = own + tensor.numel() * tensor.itemsize
        if own == start and own_end == end:
            if tensor.stride() != strides:
                return True
        elif own < end and start < own_end:
            return True
    return False


_ROWS = {overload: row for row in ROWS for overload in row.overloads}


def __getattr__(name: str) -> Any:
    row = _ROWS.get(name)
    if row is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return Overload(row, name)
