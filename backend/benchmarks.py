"""What `triton.autotune` and `triton.testing.do_bench` measure with on a device whose time means nothing.

Under QEMU it is an estimate of the chip's time (`estimate/`), with caches that begin empty, as Triton empties them before it takes times;
where nothing is known of the chip's time, executed instructions weighted by LMUL stand for it. A board tells its own time.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from triton_spacemit.backend.devices import Clock, device_class, get_device
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import active_target

if TYPE_CHECKING:
    from triton_spacemit.backend.devices.remote import RemoteDevice

#: Of launches that are timed on a board.
_FIRST_REPEATS, _MOST_REPEATS, _FLUSH_BYTES = 3, 10_000, 4 << 20


def is_emulated() -> bool:
    """Whether the active device's time is not that of the chip."""
    return device_class(active_target()[0]).clock is Clock.INSTRUCTIONS


def is_on_board() -> bool:
    """Whether the active device tells what time its launches take."""
    return device_class(active_target()[0]).clock is Clock.BOARD


def cost(kernel_call: Callable[[], Any]) -> float:
    """Estimated milliseconds of a call; of weighted instructions, as if each took a nanosecond, where the chip's time is not known.

    Raises DeviceError where it launches no kernel.
    """
    from triton_spacemit.backend.devices.counting import count
    from triton_spacemit.backend.estimate import can_estimate, estimate

    kernel_call()  # compiles
    if can_estimate():
        made = estimate(kernel_call)
        found, instructions = made.milliseconds, made.instructions
    else:
        counts = count(kernel_call)
        found, instructions = counts.weighted * 1e-6, counts.instructions
    if not instructions:
        raise DeviceError("what is to be measured launches no kernel, and nothing else has a time on an emulated chip")
    return found


def benchmark(kernel_call: Callable[[], Any], quantiles: Sequence[float] | None = None, **_: Any) -> float | list[float]:
    """Stands for `do_bench` in `triton.autotune`: the cost, once for each quantile."""
    found = cost(kernel_call)
    return found if quantiles is None else [found] * len(quantiles)


def do_bench(original: Any) -> Any:
    """`triton.testing.do_bench` that gives the cost on a device which is emulated, since more calls of it would tell nothing more."""

    @functools.wraps(original)
    def measured(
        fn: Callable[[], Any],
        warmup: int = 25,
        rep: int = 100,
        grad_to_none: Any = None,
        quantiles: Sequence[float] | None = None,
        return_mode: str = "mean",
    ) -> Any:
        import triton

        if triton.runtime.driver.active.get_current_target().backend != "cpu" or not is_emulated():
            return original(fn, warmup, rep, grad_to_none, quantiles, return_mode)
        for tensor in grad_to_none or ():
            tensor.grad = None
        found = benchmark(fn, quantiles)
        return [found] if quantiles is None and return_mode == "all" else found

    return measured


def time_on_board(
    kernel_call: Callable[[], Any],
    warmup: float = 25,
    rep: float = 100,
    quantiles: Sequence[float] | None = None,
    return_mode: str = "mean",
    flush: bool = True,
    **_: Any,
) -> Any:
    """Stands for `do_bench` on the device `remote`: milliseconds on the board, whose launches of one call are repeated there.

    warmup, rep: milliseconds there. flush: before each repeat, other memory goes through the caches. The link takes no part.
    Raises DeviceError, also where nothing is launched.
    """
    from triton.testing import _summarize_statistics

    device = cast("RemoteDevice", get_device(*active_target()))
    flushed = _FLUSH_BYTES if flush else 0
    kernel_call()  # compiles, and sends what is not there
    with device.timing(_FIRST_REPEATS, flushed) as first:
        kernel_call()
    if not first.times:
        raise DeviceError("what is to be measured launches no kernel, and nothing else has a time on a board")
    once = max(sum(min(times) for times in first.times) * 1e-6, 1e-3)
    with device.timing(max(1, min(int((warmup + rep) / once), _MOST_REPEATS)), flushed) as timing:
        kernel_call()
    skipped = min(int(warmup / once), min(map(len, timing.times)) // 2)
    calls = [sum(each) * 1e-6 for each in zip(*timing.times, strict=True)][skipped:]
    return _summarize_statistics(calls, quantiles, return_mode)
