"""Bessel functions of any whole order by recurrence over the order: upwards where that is stable, else downwards from a far one."""

from triton_spacemit.passes.math.bessel import j0_f64, j1_f64, y0_f64, y1_f64
from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes

_BIG = 2.0**400


def _is_even(order: Lanes) -> Lanes:
    return (order * 0.5).floor().equals(order * 0.5)


def _upwards(b: Builder, order: Lanes, size: Lanes, first: Lanes, second: Lanes, limit: Lanes) -> Lanes:
    """The value at `order` (a float, at least 1) from those at 0 and 1, in the lanes where `limit` holds."""
    step = 2.0 / size

    def turn(k: Lanes, low: Lanes, high: Lanes) -> list[Lanes]:
        return [k + 1.0, high, k * step * high - low]

    k = b.select(limit, size.like(1.0), order)
    return b.repeat([k, first, second], lambda k, low, high: k < order, turn)[2]


def jn_f64(b: Builder, x: Lanes, n: Lanes) -> Lanes:
    """The first kind, of order n. The absolute error is about 1e-15 times the order."""
    size, order = x.abs(), n.to("f64").abs()
    usable = (size > 0.0) & (size < float("inf")) & (order >= 2.0)
    stable = usable & (size > order)
    safe = b.select(usable, size, 1.0)
    first, second = j0_f64(b, x), j1_f64(b, x)
    upward = _upwards(b, order, safe, j0_f64(b, safe), j1_f64(b, safe), stable)
    # Miller: from far above the order with arbitrary values; 1 = J0 + 2 (J2 + J4 + ...) scales them
    down = usable & ~stable
    start = 2.0 * ((order + (160.0 * order).sqrt()) * 0.5).floor()
    step = 2.0 / safe

    def turn(k: Lanes, above: Lanes, value: Lanes, wanted: Lanes, total: Lanes) -> list[Lanes]:
        below = k * step * value - above
        above, value = value, below
        k = k - 1.0
        total = b.select(_is_even(k) & (k > 0.0), total + value, total)  # k is the order of `value`
        wanted = b.select(k.equals(order), value, wanted)
        factor = b.select(value.abs() > _BIG, size.like(1.0 / _BIG), 1.0)
        return [k, above * factor, value * factor, wanted * factor, total * factor]

    zero = size.like(0.0)
    begin = [b.select(down, start, 0.0), zero, size.like(1.0), zero, zero]
    _, _, value, wanted, total = b.repeat(begin, lambda k, *_: k > 0.0, turn)
    downward = wanted / (2.0 * total + value)
    result = b.select(stable, upward, downward)
    odd = ~_is_even(order)
    result = b.select(odd & (x < 0.0), -result, result)
    result = b.select(usable, result, b.select(x.is_nan(), x, 0.0))
    result = b.select(order.equals(0.0), first, b.select(order.equals(1.0), second, result))
    return b.select(odd & (n < 0), -result, result)


def yn_f64(b: Builder, x: Lanes, n: Lanes) -> Lanes:
    """The second kind, of order n; NaN below zero, -infinity at zero."""
    order = n.to("f64").abs()
    usable = (x > 0.0) & (x < float("inf")) & (order >= 2.0)
    first, second = y0_f64(b, x), y1_f64(b, x)
    safe = b.select(usable, x, 1.0)
    result = _upwards(b, order, safe, first, second, usable)
    result = b.select(result.is_nan() & usable, float("-inf"), result)
    result = b.select(usable, result, second)
    result = b.select(order.equals(0.0), first, result)
    odd = ~_is_even(order)
    return b.select(odd & (n < 0), -result, result)
