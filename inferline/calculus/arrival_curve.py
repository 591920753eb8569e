"""Arrival curves of a whole trace: the most arrivals in any window of a length, exact for all windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Envelope, Trace
from inferline.units import NANO

__all__ = ["max_arrivals", "shortest_span", "traffic_envelope"]

LONGEST_WINDOW_NS = 60 * NANO
"""Last window of the traffic envelope (Crankshaw et al., SoCC 2020, section 5)."""


def max_arrivals(arrival_ns: NDArray[np.int64], window_ns: int) -> int:
    """Return alpha(w): the most arrivals in any half-open window [t, t + w), for every t.

    A fullest window can be moved to begin at one of its arrivals, so only those windows are counted.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing.
    window_ns
        w, at least 0; a window of length 0 holds nothing.
    """
    if arrival_ns.size == 0 or window_ns <= 0:
        return 0
    end = np.searchsorted(arrival_ns, arrival_ns + window_ns, side="left")
    return int((end - np.arange(arrival_ns.size)).max())


def shortest_span(arrival_ns: NDArray[np.int64], arrivals: int) -> int:
    """Return d(k): the shortest time from an arrival to the k-th after it, in nanoseconds.

    The staircase dual to `max_arrivals`: a half-open window longer than d(k) can hold k + 1 arrivals, none that is
    as long or shorter can.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing.
    arrivals
        k, in [0, n).
    """
    if not 0 <= arrivals < arrival_ns.size:
        raise ValueError(f"k = {arrivals} is outside [0, {arrival_ns.size})")
    return int((arrival_ns[arrivals:] - arrival_ns[: arrival_ns.size - arrivals]).min())


def traffic_envelope(trace: Trace, first_window_ns: int) -> Envelope:
    """Return the traffic envelope of a trace (Crankshaw et al., SoCC 2020, section 5).

    Parameters
    ----------
    trace
        The plan's sample of the traffic.
    first_window_ns
        Shortest window: the service time of the pipeline. Windows double up to 60 s, which is the last one.
    """
    windows_ns = [first_window_ns]
    while windows_ns[-1] * 2 < LONGEST_WINDOW_NS:
        windows_ns.append(windows_ns[-1] * 2)
    if windows_ns[-1] < LONGEST_WINDOW_NS:
        windows_ns.append(LONGEST_WINDOW_NS)
    return Envelope(
        window_s=tuple(window / NANO for window in windows_ns),
        max_queries=tuple(max_arrivals(trace.arrival_ns, window) for window in windows_ns),
    )
