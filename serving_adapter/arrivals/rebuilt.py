"""Arrivals rebuilt from scrapes of counters and envelopes, never less bursty than what was scraped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["rebuilt"]

Instants = NDArray[np.int64]


def rebuilt(at_ns: Sequence[int], counts: Sequence[int], windows_ns: Sequence[int], most: Sequence[int]) -> Instants:
    """Return arrivals that agree with what was scraped.

    The arrivals between two scrapes are spread evenly between them, but for the two neighbouring spans in which most
    came together: theirs are placed at the end of the two as close together as the envelope lets them be. Of k + 1
    arrivals it says that they cannot be in a window w with most[w] <= k.

    So for each window that is no longer than any span the rebuilt arrivals have at least as many in one such window
    as there ever were: a stretch that short lies in two neighbouring spans, and no two have more arrivals than those
    that are chosen. Longer windows are right up to what comes in one span.

    Parameters
    ----------
    at_ns
        When each of n scrapes was made, ascending.
    counts
        n - 1 counts: arrivals between a scrape and the next.
    windows_ns, most
        The envelope of the last scrape: windows, ascending, and the most arrivals in each.

    Returns
    -------
        int64, non-decreasing; as many as were counted.

    Examples
    --------
    >>> rebuilt([0, 100, 200, 300], [1, 2, 2], [10, 40], [3, 4]).tolist()
    [100, 290, 300, 300, 300]
    """
    if not counts:
        return np.empty(0, dtype=np.int64)
    spans = len(counts)
    pairs = [sum(counts[max(0, place - 1) : place + 1]) for place in range(spans)]
    busiest = max(range(spans), key=lambda place: (pairs[place], place))
    parts = []
    for place, count in enumerate(counts):
        begin_ns, end_ns = at_ns[place], at_ns[place + 1]
        if place not in {busiest - 1, busiest}:
            parts.append(begin_ns + (end_ns - begin_ns) * np.arange(1, count + 1) // max(1, count))
    crowd = at_ns[busiest + 1] - _closest_ns(pairs[busiest], windows_ns, most)
    parts.append(np.maximum(crowd, at_ns[max(0, busiest - 1)]))
    return np.sort(np.concatenate(parts).astype(np.int64))


def _closest_ns(count: int, windows_ns: Sequence[int], most: Sequence[int]) -> Instants:
    """Return how long before the last arrival each was at least, the last one first; int64 (count,)."""
    # After the last arrival come, at the distance of each window, those that are too many for it.
    fits = np.maximum.accumulate(np.array([0, *most], dtype=np.int64))
    place = np.searchsorted(fits[1:], np.arange(count), side="right")
    return np.array([0, *windows_ns], dtype=np.int64)[place]
