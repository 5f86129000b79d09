"""The gamma function: Stirling's series from 13 on, recurrence down to zero, reflection below."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.exponential import exp_of_sum_f64
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.pi_angles import sinpi_f64
from triton_spacemit.passes.math.power import pow_f64

# gamma(x) exp(x) x^(1/2 - x) / sqrt(2 pi) in 1 / x
_STIRLING = (
    1.0, 1 / 12, 1 / 288, -139 / 51840, -571 / 2488320, 163879 / 209018880, 5246819 / 75246796800, -534703531 / 902961561600,
    -4483131259 / 86684309913600, 432261921612371 / 514904800886784000, 6232523202521089 / 86504006548979712000,
)  # fmt: skip
_ROOT_TWO_PI = 2.5066282746310007
_PI = 3.141592653589793
_START = 13


def tgamma_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 20 ulp; NaN at negative integers, infinity with the sign of a zero."""
    size = b.at_most(x.abs(), 185.0)
    large, product = size, size.like(1.0)
    for _ in range(_START):
        low = large < float(_START)
        product = b.select(low, product * large, product)
        large = b.select(low, large + 1.0, large)
    # the power in two halves, whose product with exp(-x) overflows only if the result does
    half = pow_f64(b, large, 0.5 * large - 0.25)
    series = b.polynomial(1.0 / large, _STIRLING) * _ROOT_TWO_PI
    value = half * exp_of_sum_f64(b, -large, large.like(0.0)) * half * series
    positive = value / product
    # gamma(-s) = -pi / (s sin(pi s) gamma(s)); where gamma(s) overflows the factors go one by one
    divisor = sinpi_f64(b, x.abs()) * size
    negative = -(_PI / divisor) / (value * (1.0 / product))
    negative = b.select(x.equals(x.floor()), float("nan"), negative)
    result = b.select(x < 0.0, negative, positive)
    result = b.select(x.abs() < 1e-200, 1.0 / x, result)
    result = b.select(x.equals(float("-inf")), float("nan"), b.select(x > 172.0, float("inf"), result))
    return b.select(x.is_nan(), x, result)
