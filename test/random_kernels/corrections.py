"""Where Triton's interpreter differs from the language, or is too slow for blocks of thousands of elements.

- Arithmetic on bfloat16 works on the bits there. Here it is done in float32 and rounded; values are small integers, so nothing is lost.
- Reductions and scans by a function of the user's take microseconds an element. Here they are combined by halves.
- Sums and products are checked to be exact, and accumulate in float32 at least.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from random_kernels.bfloat16 import from_bfloat16, is_bfloat16, to_bfloat16
from random_kernels.watch import Change, Undefined, exact_sum
from triton.runtime import interpreter


def _binary(original: Callable) -> Callable:
    def binary_op(self, lhs, rhs, op):
        if not is_bfloat16(lhs):
            return original(self, lhs, rhs, op)
        result = op(from_bfloat16(lhs.data), from_bfloat16(rhs.data))
        if result.dtype == bool:
            return interpreter.TensorHandle(result, tl.int1)
        return interpreter.TensorHandle(to_bfloat16(result), tl.bfloat16)

    return binary_op


def _unary(original: Callable) -> Callable:
    def unary_op(self, arg, op):
        if not is_bfloat16(arg):
            return original(self, arg, op)
        return interpreter.TensorHandle(to_bfloat16(op(from_bfloat16(arg.data))), tl.bfloat16)

    return unary_op


def _cast(original: Callable) -> Callable:
    def cast_impl(self, src, dst_type):
        source, target = src.dtype.scalar, dst_type.scalar
        if tl.bfloat16 not in (source, target) or source == target:
            return original(self, src, dst_type)
        data = from_bfloat16(src.data) if source == tl.bfloat16 else src.data
        made = to_bfloat16(data.astype(np.float32)) if target == tl.bfloat16 else data.astype(interpreter._get_np_dtype(target))
        return interpreter.TensorHandle(made, target)

    return cast_impl


def _fp_to_fp(original: Callable) -> Callable:
    def create_fp_to_fp(self, src, dst_type, rounding_mode):
        if src.dtype.scalar.is_fp8() or dst_type.scalar.is_fp8():
            return original(self, src, dst_type, rounding_mode)
        return self.cast_impl(src, dst_type)

    return create_fp_to_fp


def _dot(self, a, b, d, input_precision, max_num_imprecise_acc):
    left, right = (from_bfloat16(x.data) if is_bfloat16(x) else x.data for x in (a, b))
    dtype = d.data.dtype
    if dtype.kind == "f":
        sizes = [np.abs(np.nan_to_num(x.astype(np.float64), nan=0, posinf=0, neginf=0)) for x in (left, right)]
        if np.matmul(*sizes).max() > 2.0 ** (np.finfo(dtype).nmant + 1):
            raise Undefined("a product that is not exact")
        result = np.matmul(left, right, dtype=np.promote_types(dtype, np.float32)).astype(dtype)
    else:
        result = np.matmul(left.astype(dtype), right.astype(dtype))
    return interpreter.TensorHandle(result + d.data, d.dtype.scalar)


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
    data = from_bfloat16(input.handle.data) if input.dtype == tl.bfloat16 else input.handle.data
    exact_sum(data, self.axis)
    result = np.sum(data, axis=self.axis, keepdims=self.keep_dims, dtype=np.float32 if data.dtype == np.float16 else None)
    if input.dtype == tl.bfloat16:
        result = to_bfloat16(result)
    return self.to_tensor(result, input.dtype)


def _min_max(original: Callable) -> Callable:
    def min_max(self, input, val_reduce_op, idx_reduce_op=None):
        value = input[0] if isinstance(input, tuple) else input
        if value.dtype != tl.bfloat16:
            return original(self, input, val_reduce_op, idx_reduce_op)
        wide = self.to_tensor(from_bfloat16(value.handle.data), tl.float32)
        best, index = original(self, wide, val_reduce_op, idx_reduce_op)
        return self.to_tensor(to_bfloat16(best.handle.data), tl.bfloat16), index

    return min_max


def changes() -> list[Change]:
    """Owner, name and what takes its place."""
    builder, reduce, scan = interpreter.InterpreterBuilder, interpreter.ReduceOps, interpreter.ScanOps
    # The sums in 64 bits by which overflow would be found are computed even where nothing looks at them.
    options = interpreter.InterpreterOptions(sanitize_overflow=False)
    return [
        (interpreter.interpreter_builder, "options", options),
        (builder, "binary_op", _binary(builder.binary_op)),
        (builder, "unary_op", _unary(builder.unary_op)),
        (builder, "cast_impl", _cast(builder.cast_impl)),
        (builder, "create_fp_to_fp", _fp_to_fp(builder.create_fp_to_fp)),
        (builder, "create_dot", _dot),
        (reduce, "generic_reduce", _reduce_by_halves),
        (reduce, "sum", _checked_sum),
        (reduce, "min_max", _min_max(reduce.min_max)),
        (scan, "generic_scan", _scan_by_doubling),
    ]
