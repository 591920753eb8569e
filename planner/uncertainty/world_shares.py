"""Shares of worlds: how many are needed, and in how many of them a configuration meets the SLO."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from inferline.domain import Configuration
from planner.estimator import THREADS
from planner.uncertainty.world_estimator import WorldEstimator
from planner.uncertainty.worlds import Worlds

__all__ = ["Share", "met_in", "required_worlds", "world_counts"]

_PLANNING_QUERIES = 20_000_000
_CHECKING_QUERIES = 40_000_000
_FRESH_QUERIES = 50_000_000


@dataclass(frozen=True, slots=True)
class Share:
    """In how many of some worlds the SLO was met."""

    met: int
    of: int

    @property
    def value(self) -> float:
        """Met / all."""
        return self.met / self.of

    def interval(self, z: float = 1.959964) -> tuple[float, float]:
        """Return Wilson's interval for the share of all worlds; 95 % by default.

        Examples
        --------
        >>> low, high = Share(96, 100).interval()
        >>> round(low, 3), round(high, 3)
        (0.902, 0.984)
        """
        centre = (self.value + z * z / (2 * self.of)) / (1 + z * z / self.of)
        half = (
            z * math.sqrt(self.value * (1 - self.value) / self.of + (z / (2 * self.of)) ** 2) / (1 + z * z / self.of)
        )
        # The ends are exact where nothing or everything was met; rounding would miss them.
        return (0.0 if self.met == 0 else centre - half), (1.0 if self.met == self.of else centre + half)


def required_worlds(confidence: float, count: int) -> int:
    """Return how many of the planning worlds must be met: a standard error more than asked for, at most all.

    Examples
    --------
    >>> [required_worlds(0.95, count) for count in (24, 60, 100)]
    [24, 59, 98]
    """
    error = math.sqrt(confidence * (1 - confidence) / count)
    return min(count, math.ceil(round(count * (confidence + error), 9)))


def world_counts(confidence: float, queries: int) -> tuple[int, int, int]:
    """Return how many worlds are planned on, checked on, and fresh: fewer for long traces, within reason.

    Examples
    --------
    >>> world_counts(0.95, 40_000), world_counts(0.95, 250_000), world_counts(0.95, 1_250_000)
    ((100, 100, 200), (80, 100, 200), (24, 40, 100))
    """
    least, most = math.ceil(round(1.2 / (1 - confidence), 9)), math.ceil(round(5 / (1 - confidence), 9))

    def within(budget: int, low: int, high: int) -> int:
        return min(max(budget // queries, low), high)

    return (
        within(_PLANNING_QUERIES, least, most),
        within(_CHECKING_QUERIES, math.ceil(least * 5 / 3), most),
        within(_FRESH_QUERIES, 100, 2 * most),
    )


def met_in(
    worlds: Worlds,
    numbers: Sequence[int],
    configurations: Sequence[Configuration],
    tell: Callable[[int], None] | None = None,
) -> list[Share]:
    """Return the share of the worlds in which each of the configurations meets the SLO.

    Parameters
    ----------
    worlds, numbers
        Which worlds.
    configurations
        All are held against the same worlds.
    tell
        Told how many worlds are done.
    """

    def verdicts(number: int) -> list[bool]:
        estimator = WorldEstimator(worlds.world(number), len(worlds.problem.options))
        return [estimator.meets(each) for each in configurations]

    met = [0] * len(configurations)
    with ThreadPoolExecutor(THREADS) as cores:
        for done, found in enumerate(cores.map(verdicts, numbers), start=1):
            met = [count + verdict for count, verdict in zip(met, found, strict=True)]
            if tell is not None:
                tell(done)
    return [Share(count, len(numbers)) for count in met]
