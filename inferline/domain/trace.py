"""A trace: the arrival instants of queries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.units import MAX_TIME_NS, NANO

__all__ = ["Trace"]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Arrival instants in nanoseconds from the start of the trace.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing, n at least 1, each in [0, 2**62].
    duration_ns
        Length of the trace; at least the last arrival, at most 2**62.

    Raises
    ------
    ValueError
        When the arrivals are empty, unsorted or out of range, or the duration is too short.
    """

    arrival_ns: NDArray[np.int64]
    duration_ns: int

    def __post_init__(self) -> None:
        arrivals = np.array(self.arrival_ns, dtype=np.int64)
        arrivals.flags.writeable = False
        object.__setattr__(self, "arrival_ns", arrivals)
        if arrivals.ndim != 1 or arrivals.size == 0:
            raise ValueError("a trace needs at least one arrival")
        # Compared, not subtracted: a difference of two 64-bit integers may wrap around.
        if np.any(arrivals[1:] < arrivals[:-1]):
            raise ValueError("arrivals must not decrease")
        if arrivals[0] < 0 or not arrivals[-1] <= self.duration_ns <= MAX_TIME_NS:
            raise ValueError("arrivals lie in [0, duration], and the duration is at most 2**62 ns")

    def __len__(self) -> int:
        return int(self.arrival_ns.size)

    @property
    def mean_qps(self) -> float:
        """Queries per second over the whole duration."""
        return len(self) * NANO / max(self.duration_ns, 1)

    def peak_qps(self) -> int:
        """Return the queries in the busiest whole second, counted from second 0."""
        # By the lengths of the runs: counting into one bin per second would not fit in memory for a long trace.
        begins = np.flatnonzero(np.diff(self.arrival_ns // NANO, prepend=-1))
        return int(np.diff(begins, append=len(self)).max())

    def first(self, share: float) -> Trace:
        """Return the first part of the trace's duration; ``share`` lies in (0, 1].

        The cut is rounded to whole nanoseconds; an arrival at the cut belongs to `rest`.

        Raises
        ------
        ValueError
            When that part holds no arrival, or there is no such part.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share {share} is outside (0, 1]")
        if share == 1.0:
            return self
        duration_ns = round(self.duration_ns * share)
        kept = int(np.searchsorted(self.arrival_ns, duration_ns, side="left"))
        return Trace(self.arrival_ns[:kept], duration_ns)

    def rest(self, share: float) -> Trace:
        """Return what `first` leaves, with time counted from the cut.

        Raises
        ------
        ValueError
            When nothing is left, or there is no such part.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share {share} is outside (0, 1]")
        cut_ns = round(self.duration_ns * share)
        start = int(np.searchsorted(self.arrival_ns, cut_ns, side="left"))
        return Trace(self.arrival_ns[start:] - cut_ns, self.duration_ns - cut_ns)

    def scaled(self, factor: float) -> Trace:
        """Return the trace played ``factor`` times as fast (arrival times divided by it).

        Raises
        ------
        ValueError
            When ``factor`` is not a finite number above 0, or the trace becomes longer than 2**62 ns.
        """
        if not 0 < factor < math.inf:
            raise ValueError(f"scale {factor} is not a finite number above 0")
        if self.duration_ns > MAX_TIME_NS * factor:
            raise ValueError(f"scaled by {factor}, the trace is longer than 146 years (2**62 ns)")
        arrivals = np.rint(self.arrival_ns / factor).astype(np.int64)
        return Trace(arrivals, max(round(self.duration_ns / factor), int(arrivals[-1])))
