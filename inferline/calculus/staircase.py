"""What is known of arrivals, as the questions that bounds ask: by a whole trace, or by a few steps of its curve."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inferline.calculus.arrival_curve import max_arrivals, shortest_span
from inferline.units import MAX_TIME_NS

__all__ = ["ArrivalCurve", "Staircase", "WholeTrace"]

Whole = Sequence[int] | NDArray[np.int64]


class ArrivalCurve(Protocol):
    """An upper bound on arrivals: alpha(w), the most in any half-open window of length w.

    Or the other way round, d(k), the shortest time from an arrival to the k-th after it. The two are dual: more than
    k arrivals fit in a window exactly when it is longer than d(k).
    """

    @property
    def most(self) -> int:
        """Replicas beyond this number change no bound, where windows are longer than a batch is in service."""

    def max_arrivals(self, window_ns: int) -> int:
        """Return alpha(w), or more; 0 for w = 0."""

    def span_ns(self, k: int) -> int:
        """Return d(k), or less."""

    def lag_ns(self, group: int, step_ns: int) -> int | float:
        """Return the longest that arrivals can get ahead of a server that takes ``group`` of them every ``step_ns``.

        That is max over j >= 0 of j step_ns - d(j group): the horizontal deviation between alpha and that service,
        less one step. `math.inf` where nothing known bounds it; never below 0.
        """

    def excess(self, group: int, step_ns: int) -> int | float:
        """Return the most by which arrivals can outnumber what that server has taken, when its first turn is late.

        That is max over k >= 0 of k + 1 - group floor(d(k) / step_ns): the vertical deviation between the two.
        `math.inf` where nothing known bounds it.
        """


@dataclass(frozen=True, slots=True, eq=False)
class WholeTrace:
    """The exact arrival curve of a trace, for all windows.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing, n at least 1, as in a `Trace`.

    Raises
    ------
    ValueError
        When there is no arrival.

    Examples
    --------
    >>> curve = WholeTrace(np.array([0, 10, 10, 20]))
    >>> curve.max_arrivals(11), curve.span_ns(2), curve.lag_ns(1, 12), curve.excess(1, 12)
    (3, 10, 16, 3)
    """

    arrival_ns: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.arrival_ns.size:
            raise ValueError("a curve needs at least one arrival")

    @property
    def most(self) -> int:
        """The number of arrivals."""
        return int(self.arrival_ns.size)

    def max_arrivals(self, window_ns: int) -> int:
        """Return alpha(w), exactly; O(n log n)."""
        return max_arrivals(self.arrival_ns, window_ns)

    def span_ns(self, k: int) -> int:
        """Return d(k), exactly, and 2**62 where there are no k + 1 arrivals; O(n)."""
        return shortest_span(self.arrival_ns, k) if k < self.most else MAX_TIME_NS

    def lag_ns(self, group: int, step_ns: int) -> int:
        """Return max over j of j step_ns - d(j group), exactly; O(n).

        Raises
        ------
        ValueError
            When that could pass 2**62 ns.
        """
        rounds = -(-self.most // group)
        if rounds * step_ns > MAX_TIME_NS:
            raise ValueError(f"{rounds} steps of {step_ns} ns are longer than 2**62 ns; shorten the trace")
        # One column for each residue of the arrivals' numbers: those that j group arrivals lie between. With
        # x = arrival - row step, an arrival lags by the greatest x so far in its column less its own x.
        padded_ns = np.full(rounds * group, np.iinfo(np.int64).max)
        padded_ns[: self.most] = self.arrival_ns
        early_ns = padded_ns.reshape(rounds, group)
        early_ns -= np.arange(rounds, dtype=np.int64)[:, np.newaxis] * step_ns
        return int((np.maximum.accumulate(early_ns, axis=0) - early_ns).max())

    def excess(self, group: int, step_ns: int) -> int:
        """Return max over k of k + 1 - group floor(d(k) / step_ns), exactly.

        O(n log n) for every step that a busy period can last.
        """
        # d(k) < turn step for the k below alpha(turn step). Once that is at most turn group, windows longer by
        # turn step add no more than they take; and the whole trace is all that can ever be added.
        turn, within = 1, self.max_arrivals(step_ns)
        largest = within
        while within > turn * group and self.most - turn * group > largest:
            turn += 1
            within = self.max_arrivals(turn * step_ns)
            largest = max(largest, within - (turn - 1) * group)
        return largest


@dataclass(frozen=True, slots=True)
class Staircase:
    """An arrival curve known at some points only; every answer between and beyond them is on the safe side.

    Parameters
    ----------
    counts, spans_ns
        k_i and s_i, both ascending, from 1 on: k_i + 1 arrivals take at least s_i, which is to say d(k_i) >= s_i, or
        alpha(s_i) <= k_i.

    Raises
    ------
    ValueError
        When there is no step, or they do not ascend.

    Notes
    -----
    Between two steps the lower one holds for d and the upper one for alpha. Beyond the last, K and W, holds
    d(m K + r) >= m W + d(r), because one arrival that two spans share is counted in both: d(j + k) >= d(j) + d(k)
    (the dual of the subadditivity of arrival curves, Le Boudec & Thiran, Network Calculus, 2001, section 1.2).

    Examples
    --------
    >>> curve = Staircase.of_windows([10, 20, 40], [3, 3, 5])
    >>> curve
    Staircase(counts=(3, 5), spans_ns=(20, 40))
    >>> [curve.max_arrivals(window_ns) for window_ns in (0, 5, 20, 21, 40, 41, 80, 100)]
    [0, 3, 3, 5, 5, 8, 10, 13]
    >>> [curve.span_ns(k) for k in (0, 2, 3, 4, 5, 8)]
    [0, 0, 20, 20, 40, 60]
    """

    counts: tuple[int, ...]
    spans_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        ascend = all(low < high for each in (self.counts, self.spans_ns) for low, high in pairwise((0, *each)))
        if not self.counts or len(self.counts) != len(self.spans_ns) or not ascend:
            raise ValueError(f"counts {self.counts} and spans_ns {self.spans_ns} must ascend from 1, one for one")

    @classmethod
    def of_windows(cls, windows_ns: Whole, max_arrivals: Whole) -> Staircase:
        """Return what the arrival curve on a grid of windows says.

        Parameters
        ----------
        windows_ns
            Ascending, each at least 1.
        max_arrivals
            alpha of each, non-decreasing, as of `OnlineCurve.max_arrivals`. None at all counts as one, which is
            safe, too.
        """
        longest = {max(1, int(most)): int(window) for window, most in zip(windows_ns, max_arrivals, strict=True)}
        return cls(tuple(longest), tuple(longest.values()))

    @classmethod
    def of_trace(cls, arrival_ns: NDArray[np.int64], counts: Sequence[int]) -> Staircase:
        """Return d(k) of a trace at the given k, ascending, each in [1, n); those with d(k) = 0 say nothing."""
        spans = {shortest_span(arrival_ns, k): k for k in sorted(counts, reverse=True)}  # the least k of each span
        steps = sorted((k, span_ns) for span_ns, k in spans.items() if span_ns)
        return cls(tuple(k for k, _ in steps), tuple(span_ns for _, span_ns in steps))

    @property
    def most(self) -> int:
        """The last count."""
        return self.counts[-1]

    def max_arrivals(self, window_ns: int) -> int:
        """Return the best known upper bound on alpha(w): that of the next longer window, or of several together."""
        if window_ns <= 0:
            return 0
        periods, rest_ns = divmod(window_ns - 1, self.spans_ns[-1])
        return periods * self.most + self.counts[bisect_left(self.spans_ns, rest_ns + 1)]

    def span_ns(self, k: int) -> int:
        """Return the best known lower bound on d(k)."""
        periods, rest = divmod(k, self.most)
        step = bisect_right(self.counts, rest)
        return periods * self.spans_ns[-1] + (self.spans_ns[step - 1] if step else 0)

    def settled(self, group: int, step_ns: int) -> int | None:
        """Return the least known j group of arrivals that a server of ``group`` every ``step_ns`` keeps up with.

        None if none is known.

        Notes
        -----
        When d(j group) >= j step for some j >= 1, then d(k + j group) >= d(k) + j step for every k: lag and excess
        are no greater there than at k. So nothing from j group on matters.
        """
        for k, span_ns in zip(self.counts, self.spans_ns, strict=True):
            turns = -(-k // group)
            if turns * step_ns <= span_ns:
                return turns * group
        return None

    def lag_ns(self, group: int, step_ns: int) -> int | float:
        """Return an upper bound on the lag: the next larger count goes with each span."""
        settled = self.settled(group, step_ns)
        if settled is None:
            return math.inf
        return max((min(k, settled) - 1) // group * step_ns - span_ns for k, span_ns in self.treads())

    def excess(self, group: int, step_ns: int) -> int | float:
        """Return an upper bound on the excess: the next larger count goes with each span."""
        settled = self.settled(group, step_ns)
        if settled is None:
            return math.inf
        return max(min(k, settled) - span_ns // step_ns * group for k, span_ns in self.treads())

    def refined(self) -> Staircase:
        """Return the staircase with the steps that any two of its own imply: d(j + k) >= d(j) + d(k).

        It is nowhere worse: windows that double each time get those that lie between. m steps become up to
        m (m + 3) / 2, in O(m^2). Refining again combines up to four.

        Examples
        --------
        >>> Staircase((3, 5), (10, 20)).refined()
        Staircase(counts=(3, 5, 8, 10), spans_ns=(10, 20, 30, 40))
        """
        own = list(zip(self.counts, self.spans_ns, strict=True))
        best: dict[int, int] = dict(own)
        for k, span_ns in own:
            for other, other_ns in own:
                best[k + other] = max(best.get(k + other, 0), span_ns + other_ns)
        counts, spans = [], [0]
        for k, span_ns in sorted(best.items()):
            if span_ns > spans[-1]:
                counts.append(k)
                spans.append(span_ns)
        return Staircase(tuple(counts), tuple(spans[1:]))

    def treads(self, until_ns: int = 0) -> list[tuple[int, int]]:
        """Return, ascending, pairs (k, s): more arrivals than the k of the pair before, up to k, take at least s.

        All spans below ``until_ns`` are there, and all up to the last known step.
        """
        own = list(zip(self.counts, (0, *self.spans_ns[:-1]), strict=True))
        periods = range(until_ns // self.spans_ns[-1] + 1)
        return [(m * self.most + k, m * self.spans_ns[-1] + span_ns) for m in periods for k, span_ns in own]
