"""What a program means: it is run by Triton's interpreter, with its memory watched.

A program is refused as undefined where two lanes of one store write different values to one address, where an access leaves the memory, or where a
result would depend on the order of a sum. Where the interpreter differs from the language, it is corrected here:

- arithmetic on bfloat16 works on the bits: it is done in float32 and rounded (values here are small integers, so nothing is lost);
- reductions and scans with a function of the user's take microseconds an element: they are combined by halves, as associative functions may be.

Triton decides at import whether its own functions (`tl.sum`) are compiled or interpreted. Here both happen in one process: while a program is
interpreted, calling a compiled function runs the interpreter's version of it.
"""

import ast
import contextlib
import linecache
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import triton
import triton.language as tl
from random_kernels.memory import Memory
from random_kernels.program import Program
from triton.language import core  # noqa: F401 (see `_probe`)
from triton.runtime import interpreter
from triton.runtime.jit import JITFunction

HEADER = "import triton\nimport triton.language as tl\n\n\n"


class Undefined(Exception):
    """The program has no meaning of its own: what it computes is left to the implementation."""


def load_kernel(program: Program) -> JITFunction:
    """The kernel as Triton's compiler takes it. Its source is where `inspect` looks for it."""
    text = HEADER + program.source()
    name = f"<random kernel {program.seed} {hash(text) & 0xFFFFFFFFFFFF:x}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"__name__": "random_kernel", "__file__": name}
    exec(compile(text, name, "exec"), scope)
    return scope["kernel"]


class Watch:
    """Checks each access while a program is interpreted."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def access(self, addresses: np.ndarray, size: int) -> None:
        if addresses.size == 0:
            return
        low, high = int(addresses.min()), int(addresses.max()) + size
        if any(start <= low and high <= end for start, end in self.ranges):
            return
        inside = np.zeros(addresses.shape, bool)
        for start, end in self.ranges:
            inside |= (addresses >= start) & (addresses <= end - size)
        if not inside.all():
            raise Undefined("an access outside of the memory")

    def store(self, addresses: np.ndarray, values: np.ndarray) -> None:
        order = np.argsort(addresses, kind="stable")
        sorted_addresses, bits = addresses[order], values[order].view(f"uint{8 * values.itemsize}") if values.dtype != bool else values[order]
        same = sorted_addresses[1:] == sorted_addresses[:-1]
        if (same & (bits[1:] != bits[:-1])).any():
            raise Undefined("two lanes of a store write different values to one address")


WATCH = Watch()


def _flat(mask: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    mask, *arrays = np.broadcast_arrays(mask, *arrays)
    active = mask.astype(bool).ravel()
    return [array.ravel()[active] for array in arrays]


def _watched_load(original: Callable) -> Callable:
    def create_masked_load(self, ptrs, mask, other, cache_policy, is_volatile):
        (addresses,) = _flat(mask.data, ptrs.data)
        WATCH.access(addresses, interpreter._get_np_dtype(ptrs.get_element_ty()).itemsize)
        return original(self, ptrs, mask, other, cache_policy, is_volatile)

    return create_masked_load


def _watched_store(original: Callable) -> Callable:
    def create_masked_store(self, ptrs, value, mask, cache_policy):
        addresses, values = _flat(mask.data, ptrs.data, value.data)
        WATCH.access(addresses, value.data.itemsize)
        WATCH.store(addresses, values)
        return original(self, ptrs, value, mask, cache_policy)

    return create_masked_store


def _watched_atomic(original: Callable) -> Callable:
    def create_atomic_rmw(self, rmwOp, ptr, val, mask, sem, scope):
        (addresses,) = _flat(mask.data, ptr.data)
        WATCH.access(addresses, val.data.itemsize)
        return original(self, rmwOp, ptr, val, mask, sem, scope)

    return create_atomic_rmw


def _is_bfloat16(handle: Any) -> bool:
    return handle.dtype.scalar == tl.bfloat16


def _from_bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _to_bfloat16(numbers: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(numbers), np.uint16(0x7FC0), rounded)


def _binary(original: Callable) -> Callable:
    def binary_op(self, lhs, rhs, op):
        if not _is_bfloat16(lhs):
            return original(self, lhs, rhs, op)
        result = op(_from_bfloat16(lhs.data), _from_bfloat16(rhs.data))
        if result.dtype == bool:
            return interpreter.TensorHandle(result, tl.int1)
        return interpreter.TensorHandle(_to_bfloat16(result), tl.bfloat16)

    return binary_op


def _unary(original: Callable) -> Callable:
    def unary_op(self, arg, op):
        if not _is_bfloat16(arg):
            return original(self, arg, op)
        return interpreter.TensorHandle(_to_bfloat16(op(_from_bfloat16(arg.data))), tl.bfloat16)

    return unary_op


def _cast(original: Callable) -> Callable:
    def cast_impl(self, src, dst_type):
        source, target = src.dtype.scalar, dst_type.scalar
        if tl.bfloat16 not in (source, target) or source == target:
            return original(self, src, dst_type)
        data = _from_bfloat16(src.data) if source == tl.bfloat16 else src.data
        made = _to_bfloat16(data.astype(np.float32)) if target == tl.bfloat16 else data.astype(interpreter._get_np_dtype(target))
        return interpreter.TensorHandle(made, target)

    return cast_impl


def _checked_cast(original: Callable) -> Callable:
    def fp_to_int(self, src, dst_type):
        limits, data = np.iinfo(interpreter._get_np_dtype(dst_type)), src.data
        data = _from_bfloat16(data) if _is_bfloat16(src) else data
        if not (np.isfinite(data) & (data >= float(limits.min)) & (data <= float(limits.max))).all():
            raise Undefined("a float that the integer type does not hold")
        return original(self, src, dst_type)

    return fp_to_int


def _checked_division(original: Callable) -> Callable:
    def divide(self, lhs, rhs):
        if rhs.data.dtype.kind in "iu" and (rhs.data == 0).any():
            raise Undefined("a division by zero")
        return original(self, lhs, rhs)

    return divide


def _checked_gather(original: Callable) -> Callable:
    def create_gather(self, src, indices, axis):
        if indices.data.size and not 0 <= indices.data.min() <= indices.data.max() < src.data.shape[axis]:
            raise Undefined("an index of a gather that is not in the block")
        return original(self, src, indices, axis)

    return create_gather


def _checked_histogram(original: Callable) -> Callable:
    def create_histogram(self, data, bins, mask):
        if data.data.min() < 0 or data.data.max() >= bins:
            raise Undefined("a number that is in no bin of a histogram")
        return original(self, data, bins, mask)

    return create_histogram


def _fp_to_fp(self, src, dst_type, rounding_mode):
    return self.cast_impl(src, dst_type)


def _exact(terms: np.ndarray, axis: int | None) -> None:
    """A sum whose terms are integers and add up to less than the type counts is the same in every order.

    So is one of positive terms, within the bound of an approximate result.
    """
    if terms.dtype.kind != "f" or terms.size == 0:
        return
    finite = np.where(np.isfinite(terms), terms, 0).astype(np.float64)
    if (finite >= 0).all():
        return
    if (finite != np.round(finite)).any() or np.abs(finite).sum(axis=axis).max() > 2.0 ** (np.finfo(terms.dtype).nmant + 1):
        raise Undefined("a sum that is not exact")


def _dot(original: Callable) -> Callable:
    def create_dot(self, a, b, d, input_precision, max_num_imprecise_acc):
        left, right = (_from_bfloat16(x.data) if _is_bfloat16(x) else x.data for x in (a, b))
        if d.data.dtype.kind == "f":
            with np.errstate(all="ignore"):
                size = np.matmul(np.abs(np.nan_to_num(left, posinf=0, neginf=0)).astype(np.float64), np.abs(np.nan_to_num(right, posinf=0, neginf=0)))
            if size.max() > 2.0 ** (np.finfo(d.data.dtype).nmant + 1):
                raise Undefined("a product that is not exact")
            wide = np.float32 if d.data.dtype == np.float16 else d.data.dtype
            result = np.matmul(left, right, dtype=wide).astype(d.data.dtype) + d.data
        else:
            result = np.matmul(left.astype(d.data.dtype), right.astype(d.data.dtype)) + d.data
        return interpreter.TensorHandle(result, d.dtype.scalar)

    return create_dot


def _values(handles: list[np.ndarray], likes: list[Any], self: Any) -> list[Any]:
    return [self.to_tensor(np.ascontiguousarray(data), like.dtype) for data, like in zip(handles, likes, strict=True)]


def _combine(self: Any, left: list[np.ndarray], right: list[np.ndarray], likes: list[Any]) -> list[np.ndarray]:
    result = self.combine_fn.fn(*_values(left, likes, self), *_values(right, likes, self))
    result = result if isinstance(result, tuple) else (result,)
    return [np.broadcast_to(r.handle.data.astype(x.dtype), x.shape) for r, x in zip(result, left, strict=True)]


def _reduce_by_halves(self, input):
    whole = self.axis is None
    likes, axis = list(input), 0 if whole else self.axis
    data = [np.moveaxis(x.handle.data.reshape(-1) if whole else x.handle.data, axis, 0) for x in likes]
    while len(data[0]) > 1:
        half = len(data[0]) // 2
        data = _combine(self, [x[:half] for x in data], [x[half:] for x in data], likes)
    result = [x[0] for x in data]
    if self.keep_dims:
        rank = len(likes[0].handle.data.shape)
        result = [x.reshape((1,) * rank) if whole else np.expand_dims(x, axis) for x in result]
    return [self.to_tensor(x if x.shape else x.item(), like.dtype) for x, like in zip(result, likes, strict=True)]


def _scan_by_doubling(self, input):
    likes = list(input)
    data = [np.moveaxis(x.handle.data, self.axis, 0).copy() for x in likes]
    step = 1
    while step < len(data[0]):
        combined = _combine(self, [np.roll(x, step, 0) for x in data], data, likes)
        for x, new in zip(data, combined, strict=True):
            x[step:] = new[step:]
        step *= 2
    return [self.to_tensor(np.ascontiguousarray(np.moveaxis(x, 0, self.axis)), like.dtype) for x, like in zip(data, likes, strict=True)]


def _checked_sum(self, input):
    data = _from_bfloat16(input.handle.data) if input.dtype == tl.bfloat16 else input.handle.data
    _exact(data, self.axis)
    result = np.sum(data, axis=self.axis, keepdims=self.keep_dims, dtype=np.float32 if data.dtype == np.float16 else None)
    if input.dtype == tl.bfloat16:
        result = _to_bfloat16(result)
    return self.to_tensor(result, input.dtype)


def _checked_cumsum(original: Callable) -> Callable:
    def cumsum(self, input):
        _exact(input.handle.data, self.axis)
        return original(self, input)

    return cumsum


@contextlib.contextmanager
def _replaced(changes: list[tuple[Any, str, Any]]) -> Iterator[None]:
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    for owner, name, new in changes:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


_rewritten: dict[Any, Callable] = {}


def _interpreted(function: JITFunction, *args: Any, **kwargs: Any) -> Any:
    if function.fn not in _rewritten:
        _rewritten[function.fn] = interpreter.FunctionRewriter(function.fn).rewrite_ast()
    return _rewritten[function.fn](*args, **kwargs)


@contextlib.contextmanager
def interpreting() -> Iterator[None]:
    """In this scope calls of compiled functions are interpreted, and nothing can be compiled."""
    builder, reduce, scan = interpreter.InterpreterBuilder, interpreter.ReduceOps, interpreter.ScanOps
    changes = [
        (JITFunction, "__call__", _interpreted),
        (builder, "create_masked_load", _watched_load(builder.create_masked_load)),
        (builder, "create_masked_store", _watched_store(builder.create_masked_store)),
        (builder, "create_atomic_rmw", _watched_atomic(builder.create_atomic_rmw)),
        (builder, "binary_op", _binary(builder.binary_op)),
        (builder, "unary_op", _unary(builder.unary_op)),
        (builder, "cast_impl", _cast(builder.cast_impl)),
        (builder, "create_fp_to_fp", _fp_to_fp),
        *((builder, name, _checked_cast(getattr(builder, name))) for name in ("create_fp_to_si", "create_fp_to_ui")),
        *((builder, name, _checked_division(getattr(builder, name))) for name in ("create_sdiv", "create_udiv", "create_srem", "create_urem")),
        (builder, "create_gather", _checked_gather(builder.create_gather)),
        (builder, "create_histogram", _checked_histogram(builder.create_histogram)),
        (builder, "create_dot", _dot(builder.create_dot)),
        (reduce, "generic_reduce", _reduce_by_halves),
        (reduce, "sum", _checked_sum),
        (scan, "generic_scan", _scan_by_doubling),
        (scan, "cumsum", _checked_cumsum(scan.cumsum)),
    ]
    with _replaced(changes), triton.knobs.runtime.scope(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        triton.knobs.runtime.interpret = True
        scope = interpreter._patch_lang(_probe)
        try:
            yield
        finally:
            scope.restore()


def _probe() -> None:
    """Its globals show `tl` and `core`, whose functions the interpreter replaces."""


def _argument(value: Any, dtype: str | None) -> Any:
    if dtype == "float32":
        return tl.tensor(interpreter.TensorHandle(np.array([value], np.float32), tl.float32), tl.float32)
    return interpreter._implicit_cvt(value)


def _rewrite(program: Program, kernel: JITFunction) -> Callable:
    """What the interpreter's FunctionRewriter makes of the kernel, without looking for its source."""
    tree = ast.parse(HEADER + program.source())
    function = tree.body[-1]
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    module = ast.Module([ast.fix_missing_locations(interpreter.ASTTransformer().visit(function))], [])
    scope = vars(interpreter) | kernel.fn.__globals__
    exec(compile(module, kernel.fn.__code__.co_filename, "exec"), scope)
    return scope["kernel"]


def run(program: Program, kernel: JITFunction, memory: Memory) -> None:
    """Interpret every program of the grid, within `interpreting()`."""
    function = _rewrite(program, kernel)
    types = [None] * len(program.pointers) + [scalar.dtype for scalar in program.scalars]
    arguments = [_argument(value, dtype) for value, dtype in zip(memory.arguments(), types, strict=True)]
    WATCH.ranges = memory.ranges()
    interpreter.interpreter_builder.set_grid_dim(*program.grid)
    for place in np.ndindex(*program.grid):
        interpreter.interpreter_builder.set_grid_idx(*(int(i) for i in place))
        function(*arguments, **program.atoms)
