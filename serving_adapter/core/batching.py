"""How many queries go into one batch: the maximum of each replica, and when a batch that is not full leaves.

Every replica has a policy of its own, because two replicas of one model need not run on equal hardware. What a free
replica then takes is `inferline.domain.batch_to_take`, here and in the simulator.
"""

from __future__ import annotations

import math
import sys
from typing import Protocol

import numpy as np

from inferline.domain import batch_to_take

__all__ = ["Aimd", "BatchPolicy", "ExploreThenFit", "FixedBatch", "when_to_cut"]

_NS_PER_MS = 1e6


def when_to_cut(queued: int, max_batch: int, oldest_arrival_ns: int, now_ns: int, wait_ns: int) -> int:
    """Return for how many nanoseconds a free replica still waits before it takes a batch; 0 for at once.

    Delayed batching, a Nagle-like rule (Clipper paper, section 4.3): a batch that is not full leaves when its oldest
    query has waited ``wait_ns``. With ``wait_ns`` 0 it is greedy batching. However long it waited, what the replica
    takes is `batch_to_take`.

    Parameters
    ----------
    queued
        Queries that wait, at least 1.
    max_batch
        Maximum batch size of the free replica.
    oldest_arrival_ns, now_ns
        On one clock.
    wait_ns
        Longest wait of a query for others to join it.

    Examples
    --------
    >>> when_to_cut(3, 8, oldest_arrival_ns=100, now_ns=130, wait_ns=50)
    20
    >>> when_to_cut(8, 8, oldest_arrival_ns=100, now_ns=130, wait_ns=50)
    0
    """
    if batch_to_take(queued, max_batch) == max_batch:
        return 0
    return max(0, oldest_arrival_ns + wait_ns - now_ns)


class BatchPolicy(Protocol):
    """The maximum batch size of one replica; asked before every batch and told of every answer."""

    @property
    def fills(self) -> bool:
        """Whether the batch just asked for is to be filled up to its maximum with copies of its last query."""

    def max_batch(self, now_ns: int, head_deadline_ns: int | None, /) -> int:
        """Return the maximum for a batch that leaves now, whose first query has this deadline; at least 1."""

    def observe(self, batch_size: int, latency_ns: int, /) -> None:
        """Learn that a batch of this size, copies included, took so long from sending to the answer."""


class FixedBatch:
    """Always the same maximum: what the plan or the registration of the model says.

    Raises
    ------
    ValueError
        When it is below 1.
    """

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = _at_least_one("maximum batch size", size)

    @property
    def fills(self) -> bool:
        """Never."""
        return False

    def max_batch(self, _now_ns: int, _head_deadline_ns: int | None, /) -> int:
        """Return the fixed size."""
        return self._size

    def observe(self, _batch_size: int, _latency_ns: int, /) -> None:
        """Learn nothing."""


class Aimd:
    """Additive increase, multiplicative decrease (Clipper paper, section 4.3.1).

    A full batch within the objective raises the maximum by a constant; a batch over it lowers the maximum to 90 %.
    A batch that was not full raises nothing: it says nothing about the maximum, and light load would carry that up to
    where the first burst misses.

    Parameters
    ----------
    objective_ns
        What one batch may take.
    increase
        Queries added at a time.
    backoff
        What is left of the maximum after a batch over the objective; in (0, 1).
    most
        Upper end of the maximum; None for no end.

    Raises
    ------
    ValueError
        When a parameter is out of range.
    """

    __slots__ = ("_backoff", "_increase", "_max", "_most", "_objective_ns")

    def __init__(
        self, objective_ns: int, *, increase: int = 1, backoff: float = 0.9, most: int | None = None
    ) -> None:
        if not 0 < backoff < 1:
            raise ValueError(f"backoff {backoff}: expected a number between 0 and 1")
        self._objective_ns = _at_least_one("latency objective (ns)", objective_ns)
        self._increase = _at_least_one("increase", increase)
        self._backoff = backoff
        self._most = sys.maxsize if most is None else _at_least_one("largest maximum", most)
        self._max = 1

    @property
    def fills(self) -> bool:
        """Never."""
        return False

    def max_batch(self, _now_ns: int, _head_deadline_ns: int | None, /) -> int:
        """Return the present maximum."""
        return self._max

    def observe(self, batch_size: int, latency_ns: int, /) -> None:
        """Raise or lower the maximum."""
        if latency_ns > self._objective_ns:
            self._max = max(1, math.floor(self._max * self._backoff))
        elif batch_size >= self._max:
            self._max = min(self._most, self._max + self._increase)


class ExploreThenFit:
    """Clipper's own adaptive batching (since its release 0.3): explore while there is time, then fit a line.

    The budget of a batch is 0.92 of the time to its first deadline. While the budget exceeds the longest latency
    seen, larger batches are tried: at least 5 of each size, up to 10 one by one, beyond that by a random share
    (normal, mean 10 %, deviation 5 %, never down). Otherwise the size is read off a ridge regression of batch size on
    latency in ms, one point per size seen, at its mean plus three deviations; the deviation is pooled over the sizes
    that were seen at least 5 times.

    The regulariser is `PENALTY_MS2` on the slope and none on the intercept. The original searches 1e-9 to 100 by
    leaving one point out each time, which settles at the small end wherever latency grows with the batch; the penalty
    then only keeps the slope finite when all sizes took equally long.

    The late have to be dropped from the queue (`new_queue` with ``expire``): a late query leaves no budget, and
    batches of 1 are what an overloaded replica can afford least.

    Parameters
    ----------
    rng
        Source of the random shares.
    fill
        Whether exploring batches are to be filled up with copies, as in the original. It finds the maximum sooner,
        and costs the replica work that nobody asked for.
    most
        Upper end of the maximum; None for no end, as in the original.

    Raises
    ------
    ValueError
        When ``most`` is below 1.
    """

    BUDGET = 0.92
    SAMPLES = 5
    ONE_BY_ONE = 10
    GROWTH_MEAN, GROWTH_DEVIATION = 0.1, 0.05
    DEVIATIONS = 3.0
    PENALTY_MS2 = 1e-6

    __slots__ = ("_exploring", "_fill", "_line", "_max", "_most", "_rng", "_seen", "_slowest_ns")

    def __init__(self, rng: np.random.Generator, *, fill: bool = True, most: int | None = None) -> None:
        self._rng = rng
        self._fill = fill
        self._most = sys.maxsize if most is None else _at_least_one("largest maximum", most)
        self._max = 1
        self._exploring = False
        self._slowest_ns = 0
        self._seen: dict[int, _Latencies] = {}
        self._line: tuple[float, float] | None = None

    @property
    def fills(self) -> bool:
        """Whether the last size was for exploring, and those are filled up."""
        return self._fill and self._exploring

    def max_batch(self, now_ns: int, head_deadline_ns: int | None, /) -> int:
        """Return the next size to try, or the largest that fits the budget.

        A query without a deadline sets no budget: the largest size so far serves it, and nothing is explored.
        """
        self._exploring = False
        if head_deadline_ns is None:
            return self._max
        budget_ns = self.BUDGET * (head_deadline_ns - now_ns)
        if budget_ns > self._slowest_ns:
            self._exploring = True
            size = self._next_size()
        else:
            size = self._largest_within(budget_ns)
        size = min(size, self._most)
        self._max = max(self._max, size)
        return size

    def observe(self, batch_size: int, latency_ns: int, /) -> None:
        """Add one sample; the line is fitted again when it is next needed."""
        if batch_size not in self._seen:
            self._seen[batch_size] = _Latencies()
        self._seen[batch_size].add(latency_ns / _NS_PER_MS)
        self._slowest_ns = max(self._slowest_ns, latency_ns)
        self._line = None

    def _next_size(self) -> int:
        seen = self._seen.get(self._max)
        if seen is None or seen.count < self.SAMPLES:
            return self._max
        if self._max < self.ONE_BY_ONE:
            return self._max + 1
        growth = max(0.0, self._rng.normal(self.GROWTH_MEAN, self.GROWTH_DEVIATION))
        return math.floor(self._max * (1 + growth))

    def _largest_within(self, budget_ns: float) -> int:
        if not self._seen:
            return 1
        if self._line is None:
            self._line = self._fit()
        slope, intercept = self._line
        return max(1, math.floor(slope * budget_ns / _NS_PER_MS + intercept))

    def _fit(self) -> tuple[float, float]:
        """Return slope and intercept of batch size on latency in ms; O(sizes seen)."""
        often = [seen for seen in self._seen.values() if seen.count >= self.SAMPLES]
        freedom = sum(seen.count - 1 for seen in often)
        pooled = math.sqrt(sum(seen.squares for seen in often) / freedom) if freedom else 0.0
        latency = [seen.mean + self.DEVIATIONS * pooled for seen in self._seen.values()]
        mean_latency = sum(latency) / len(latency)
        mean_size = sum(self._seen) / len(latency)
        square = sum((x - mean_latency) ** 2 for x in latency)
        product = sum((x - mean_latency) * (size - mean_size) for x, size in zip(latency, self._seen, strict=True))
        slope = product / (square + self.PENALTY_MS2)
        return slope, mean_size - slope * mean_latency


class _Latencies:
    """Count, mean and sum of squared deviations of the latencies of one size, in ms (Welford's recurrence)."""

    __slots__ = ("count", "mean", "squares")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0

    def add(self, latency_ms: float) -> None:
        self.count += 1
        above = latency_ms - self.mean
        self.mean += above / self.count
        self.squares += above * (latency_ms - self.mean)


def _at_least_one(what: str, number: int) -> int:
    if number < 1:
        raise ValueError(f"{what} {number}: expected at least 1")
    return number
