"""Checks while a program is interpreted: `Undefined` is raised where what it computes is left to the implementation.

That is so where two lanes of one store write different values to one address, where an access leaves the memory, where a result would
depend on the order of a sum, and where an index, a divisor or a conversion is out of range.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from random_kernels.bfloat16 import from_bfloat16, is_bfloat16
from triton.runtime import interpreter


class Undefined(Exception):
    """The program has no meaning of its own: what it computes is left to the implementation."""


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
        sorted_addresses, bits = (
            addresses[order],
            values[order].view(f"uint{8 * values.itemsize}") if values.dtype != bool else values[order],
        )
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


def _checked_cast(original: Callable) -> Callable:
    def fp_to_int(self, src, dst_type):
        limits, data = np.iinfo(interpreter._get_np_dtype(dst_type)), src.data
        data = from_bfloat16(data) if is_bfloat16(src) else data
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


def exact_sum(terms: np.ndarray, axis: int | None) -> None:
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


def _checked_cumsum(original: Callable) -> Callable:
    def cumsum(self, input):
        exact_sum(input.handle.data, self.axis)
        return original(self, input)

    return cumsum


Change = tuple[Any, str, Any]


def changes() -> list[Change]:
    """Owner, name and what takes its place."""
    builder, scan = interpreter.InterpreterBuilder, interpreter.ScanOps
    watched: list[tuple[Any, str, Callable]] = [
        (builder, "create_masked_load", _watched_load),
        (builder, "create_masked_store", _watched_store),
        (builder, "create_atomic_rmw", _watched_atomic),
        (builder, "create_gather", _checked_gather),
        (builder, "create_histogram", _checked_histogram),
        *((builder, name, _checked_cast) for name in ("create_fp_to_si", "create_fp_to_ui")),
        *((builder, name, _checked_division) for name in ("create_sdiv", "create_udiv", "create_srem", "create_urem")),
        (scan, "cumsum", _checked_cumsum),
    ]
    return [(owner, name, wrap(getattr(owner, name))) for owner, name, wrap in watched]
