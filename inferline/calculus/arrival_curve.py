"""Arrival curves of a whole trace, exact for all windows: in arrivals by length, and in length by arrivals."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Envelope, Trace
from inferline.units import NANO

__all__ = ["LONGEST_WINDOW_NS", "envelope_windows_ns", "max_arrivals", "shortest_span", "traffic_envelope"]

LONGEST_WINDOW_NS = 60 * NANO
"""Last window of the traffic envelope (Crankshaw et al., SoCC 2020, section 5)."""


def max_arrivals(arrival_ns: NDArray[np.int64], window_ns: int) -> int:
    """Return alpha(w): the most arrivals in any half-open window [t, t + w), for every real t.

    Simultaneous arrivals count one each, and fit in a window of 1 ns; two arrivals that are exactly w apart are
    never in one window.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing, as in a `Trace`.
    window_ns
        w, at least 0; a window of length 0 holds nothing.

    Raises
    ------
    ValueError
        When the window is negative.

    Notes
    -----
    k + 1 arrivals fit in a window of length w exactly when d(k) < w (`shortest_span`), and d does not decrease.
    Hence alpha(w) is the number of k with d(k) < w, found by bisection in O(n log n).

    Examples
    --------
    >>> arrivals = np.array([0, 10, 10, 20])
    >>> [max_arrivals(arrivals, window_ns) for window_ns in (0, 1, 10, 11, 20, 21)]
    [0, 2, 2, 3, 3, 4]
    """
    if window_ns < 0:
        raise ValueError(f"window_ns {window_ns} is negative; 0 or more is accepted")
    return bisect_left(range(arrival_ns.size), window_ns, key=lambda k: shortest_span(arrival_ns, k))


def shortest_span(arrival_ns: NDArray[np.int64], k: int) -> int:
    """Return d(k): the shortest time from an arrival to the k-th after it, in nanoseconds.

    The staircase dual to `max_arrivals`: a half-open window longer than d(k) can hold k + 1 arrivals, none that is
    as long or shorter can.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing, as in a `Trace`.
    k
        Arrivals after the first, in [0, n).

    Raises
    ------
    ValueError
        When there are no k + 1 arrivals.

    Examples
    --------
    >>> [shortest_span(np.array([0, 10, 10, 25]), k) for k in range(4)]
    [0, 0, 10, 25]
    """
    if not 0 <= k < arrival_ns.size:
        raise ValueError(f"there are no {k} + 1 arrivals; k in [0, {arrival_ns.size}) is accepted")
    return int((arrival_ns[k:] - arrival_ns[: arrival_ns.size - k]).min())


def envelope_windows_ns(first_window_ns: int) -> tuple[int, ...]:
    """Return the windows of a traffic envelope: doubling from the first while below 60 s, then 60 s itself.

    Parameters
    ----------
    first_window_ns
        The service time of the pipeline, at least 1; when it is 60 s or more, it is the only window.

    Raises
    ------
    ValueError
        When it is below 1.

    Examples
    --------
    >>> [window_ns / NANO for window_ns in envelope_windows_ns(14 * NANO)]
    [14.0, 28.0, 56.0, 60.0]
    """
    if first_window_ns < 1:
        raise ValueError(f"first_window_ns is {first_window_ns}; a whole number from 1 is accepted")
    windows_ns = [first_window_ns]
    while windows_ns[-1] * 2 < LONGEST_WINDOW_NS:
        windows_ns.append(windows_ns[-1] * 2)
    if windows_ns[-1] < LONGEST_WINDOW_NS:
        windows_ns.append(LONGEST_WINDOW_NS)
    return tuple(windows_ns)


def traffic_envelope(trace: Trace, first_window_ns: int) -> Envelope:
    """Return the traffic envelope of a trace: the arrival curve on `envelope_windows_ns`.

    Parameters
    ----------
    trace
        The plan's sample of the traffic.
    first_window_ns
        Shortest window: the service time of the pipeline, at least 1.

    Examples
    --------
    >>> traffic_envelope(Trace(np.array([0, 1, NANO]), 2 * NANO), 45 * NANO)
    Envelope(window_s=(45.0, 60.0), max_queries=(3, 3))
    """
    windows_ns = envelope_windows_ns(first_window_ns)
    return Envelope(
        window_s=tuple(window_ns / NANO for window_ns in windows_ns),
        max_queries=tuple(max_arrivals(trace.arrival_ns, window_ns) for window_ns in windows_ns),
    )
