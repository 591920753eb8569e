"""A trace: the arrival instants of queries."""

from __future__ import annotations

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
        Length of the trace; at least the last arrival.

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
        if np.any(np.diff(arrivals) < 0):
            raise ValueError("arrivals must not decrease")
        if arrivals[0] < 0 or arrivals[-1] > MAX_TIME_NS or self.duration_ns < arrivals[-1]:
            raise ValueError("arrivals lie in [0, duration], and the duration is at most 2**62 ns")

    def __len__(self) -> int:
        return int(self.arrival_ns.size)

    @property
    def mean_qps(self) -> float:
        """Queries per second over the whole duration."""
        return len(self) * NANO / max(self.duration_ns, 1)

    def peak_qps(self) -> int:
        """Return the queries in the busiest whole second, counted from second 0."""
        return int(np.bincount(self.arrival_ns // NANO).max()) if self.arrival_ns[-1] < 10**15 else len(self)

    def first(self, share: float) -> Trace:
        """Return the first part of the trace's duration; ``share`` lies in (0, 1].

        Raises
        ------
        ValueError
            When that part holds no arrival.
        """
        if share == 1.0:
            return self
        duration_ns = int(self.duration_ns * share)
        kept = int(np.searchsorted(self.arrival_ns, duration_ns, side="left"))
        return Trace(self.arrival_ns[:kept], duration_ns)

    def rest(self, share: float) -> Trace:
        """Return what `first` leaves, with time counted from the cut.

        Raises
        ------
        ValueError
            When nothing is left.
        """
        cut_ns = int(self.duration_ns * share)
        start = int(np.searchsorted(self.arrival_ns, cut_ns, side="left"))
        return Trace(self.arrival_ns[start:] - cut_ns, self.duration_ns - cut_ns)

    def scaled(self, factor: float) -> Trace:
        """Return the trace played ``factor`` times as fast (arrival times divided by it)."""
        if not factor > 0:
            raise ValueError(f"scale {factor} is not above 0")
        arrivals = np.rint(self.arrival_ns / factor).astype(np.int64)
        return Trace(arrivals, max(round(self.duration_ns / factor), int(arrivals[-1])))
