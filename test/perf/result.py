"""A row of the table: what is measured, what it should reach, and what came out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Config = TypeVar("Config")


@dataclass(frozen=True)
class Result:
    """value, anchor: in the row's unit; the anchor measured in the same run, or None. error: the largest one as a share of its bound."""

    value: float
    anchor: float | None = None
    error: float = 0.0
    config: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line.

    unit: less of it is better. anchor: what it is compared with, and `given`, what that costs where it cannot be measured here. reach:
    the most that it may cost. speed: the least that anchor / value may be. slow: left out by `--quick`. measure gets the share of the
    usual time for timed calls.
    """

    name: str
    unit: str
    measure: Callable[[float], Result]
    anchor: str = ""
    given: float | None = None
    reach: float | None = None
    speed: float | None = None
    slow: bool = False


@dataclass
class Line:
    """A row as it came out; `failure` where there is no result."""

    row: Row
    result: Result | None = None
    failure: str = ""

    @property
    def anchor(self) -> float | None:
        if self.result is None:
            return None
        return self.row.given if self.result.anchor is None else self.result.anchor

    @property
    def speed(self) -> float | None:
        """How many times as good as the anchor."""
        return self.anchor / self.result.value if self.result and self.anchor and self.result.value else None

    @property
    def right(self) -> bool:
        return self.result is not None and self.result.error <= 1

    @property
    def met(self) -> bool | None:
        """Whether it reaches what it should; None where nothing is asked or nothing was measured to compare with."""
        if not self.right or self.result is None:
            return False
        if self.row.reach is not None:
            return self.result.value <= self.row.reach
        if self.row.speed is not None:
            return None if self.speed is None else self.speed >= self.row.speed
        return None


def cheapest(configs: Iterable[Config], cost: Callable[[Config], float]) -> Config:
    """The config that costs least; as `triton.autotune`, one that does not compile is passed over."""
    costs: list[tuple[float, Config]] = []
    failures = []
    for config in configs:
        try:
            costs.append((cost(config), config))
        except Exception as error:
            failures.append(error)
    if not costs:
        raise failures[0]
    return min(costs, key=lambda pair: pair[0])[1]
