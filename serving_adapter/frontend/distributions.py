"""Reservoirs and meters as Clipper's metrics have them."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np

__all__ = ["RESERVOIR", "Meter", "Reservoir"]

RESERVOIR = 4096
"""Samples that a reservoir keeps."""

_TICK_S = 5.0


class Reservoir:
    """A uniform sample of all values so far (Vitter's algorithm R).

    Parameters
    ----------
    size
        Values kept.
    seed
        Seed of what is kept.
    """

    __slots__ = ("_largest", "_random", "_size", "_smallest", "_values", "count")

    def __init__(self, size: int = RESERVOIR, seed: int = 0) -> None:
        self.count = 0
        self._size = size
        self._values: list[float] = []
        self._smallest = math.inf
        self._largest = -math.inf
        self._random = Random(seed).random

    def add(self, value: float) -> None:
        """Take a value into account."""
        self.count += 1
        self._smallest = min(self._smallest, value)
        self._largest = max(self._largest, value)
        if len(self._values) < self._size:
            self._values.append(value)
            return
        place = int(self._random() * self.count)
        if place < self._size:
            self._values[place] = value

    def fields(self, unit: str) -> dict[str, str]:
        """Return what Clipper shows of a histogram, as strings."""
        values = np.array(self._values or [0.0])
        p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
        smallest, largest = (self._smallest, self._largest) if self._values else (0.0, 0.0)
        shown = {
            "size": len(self._values),
            "min": smallest,
            "max": largest,
            "mean": values.mean(),
            "std_dev": values.std(),
            "p50": p50,
            "p95": p95,
            "p99": p99,
        }
        return {"unit": unit, **{name: str(value) for name, value in shown.items()}}


class Meter:
    """Events per second: over all time, and exponentially weighted over 1, 5 and 15 minutes.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    __slots__ = ("_clock", "_count", "_marked", "_rates", "_start", "_ticked")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = self._ticked = clock()
        self._count = 0
        self._marked = 0
        self._rates: list[float | None] = [None, None, None]

    def mark(self, events: int = 1) -> None:
        """Count events."""
        self._count += events
        self._marked += events

    def fields(self) -> dict[str, str]:
        """Return what Clipper shows of a meter, as strings."""
        now = self._clock()
        self._tick(now)
        overall = self._count / max(now - self._start, 1e-9)
        rates = [overall, *(overall if rate is None else rate for rate in self._rates)]
        names = ("rate", "rate_1min", "rate_5min", "rate_15min")
        return {"unit": "events per second", **{name: str(rate) for name, rate in zip(names, rates, strict=True)}}

    def _tick(self, now: float) -> None:
        """Bring the averages up to date: what came since the last look is taken to have come evenly."""
        elapsed = now - self._ticked
        if elapsed < _TICK_S:
            return
        rate = self._marked / elapsed
        for i, minutes in enumerate((1, 5, 15)):
            old = self._rates[i]
            kept = math.exp(-elapsed / (60 * minutes))
            self._rates[i] = rate if old is None else rate + (old - rate) * kept
        self._ticked = now
        self._marked = 0
