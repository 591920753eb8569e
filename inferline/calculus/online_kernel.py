"""The sliding arrival curve, compiled: a few nanoseconds per arrival and window.

Arrivals are numbered from 0 as they come. A window of length w is looked at from the arrival j that it begins with:
it holds the arrivals of [a_j, a_j + w). It is *open* while it can still get more. The fullest open window is the one
that began first, so a head per length, the first arrival whose window is open, says all about the open ones: total -
head. A window that is over keeps its count and can only leave, when a_j leaves the horizon; of those, the ones that
some later window equals or exceeds will never be the fullest again. What remains is a queue whose counts fall from
front to back, and its front is the fullest.

Arrivals are taken in chunks, and each length goes through a chunk by itself: its heads and the arrivals are two
ascending sequences, merged without a branch that depends on them, since nobody can guess which of the two is next.

Arrivals and queues lie in rings whose lengths are powers of two; number n is at place ``n & (length - 1)``.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

__all__ = ["CHUNK", "FULL", "HELD_SIZE", "OLDEST", "TOTAL", "Numbers", "feed", "look"]

Numbers = NDArray[np.int64]
"""Nanoseconds, counts, or numbers of arrivals; in one row, or in a row per window."""

CHUNK = 1024
"""Arrivals that are taken at once, and windows that are closed at once."""

HELD_SIZE = 3
OLDEST, TOTAL, FULL = range(HELD_SIZE)
"""Fields of ``held``: the first arrival in the horizon, how many there were in all, and whether a queue is full."""

_WHOLE = types.int64
_ROW = types.Array(types.int64, 1, "C")
_ROWS = types.Array(types.int64, 2, "C")
_READ_ROW = types.Array(types.int64, 1, "C", readonly=True)


@njit(
    types.boolean(_ROW, _WHOLE, _WHOLE, _WHOLE, _ROW, _ROW, _ROW, _ROW, _ROWS, _ROWS, _ROWS), cache=True, nogil=True
)
def _catch_up(
    time_ns: Numbers,
    w: int,
    window_ns: int,
    oldest: int,
    held: Numbers,
    reached: Numbers,
    begin: Numbers,
    end: Numbers,
    start: Numbers,
    count: Numbers,
    spare: Numbers,
) -> bool:
    """Close the windows of one length that are over by the last arrival; return False when its queue is full.

    ``reached`` is the head and the first arrival that the head has not been held against, for this length.
    """
    place, last = time_ns.size - 1, start.shape[1] - 1
    holds, kept = spare[0], spare[1]
    total = held[TOTAL]
    # A window that began before the horizon would leave its queue at once.
    head, arrival = max(reached[0], oldest), reached[1]
    while arrival < total:
        first, stop = head, head + CHUNK
        while arrival < total and head < stop:
            over = time_ns[head & place] <= time_ns[arrival & place] - window_ns
            holds[head - first] = arrival - head
            head += over
            arrival += 1 - over
        # From the back, whoever holds more than all behind it stays.
        most, keeps = np.int64(0), 0
        for k in range(head - first - 1, -1, -1):
            if holds[k] > most:
                most = holds[k]
                kept[keeps] = k
                keeps += 1
        front, behind = begin[w], end[w]
        while front < behind and start[w, front & last] < oldest:
            front += 1
        while front < behind and count[w, (behind - 1) & last] <= most:
            behind -= 1
        if behind - front + keeps > last + 1:
            return False
        for k in kept[:keeps][::-1]:
            start[w, behind & last] = first + k
            count[w, behind & last] = holds[k]
            behind += 1
        begin[w], end[w] = front, behind
        reached[0], reached[1] = head, arrival
    return True


@njit(
    _WHOLE(_READ_ROW, _READ_ROW, _WHOLE, _ROW, _ROW, _ROWS, _ROW, _ROW, _ROWS, _ROWS, _ROWS), cache=True, nogil=True
)
def feed(
    new_ns: Numbers,
    windows_ns: Numbers,
    horizon_ns: int,
    time_ns: Numbers,
    held: Numbers,
    reached: Numbers,
    begin: Numbers,
    end: Numbers,
    start: Numbers,
    count: Numbers,
    spare: Numbers,
) -> int:
    """Take in arrivals in order; return how many were, which is fewer when a ring is full.

    When a queue is full, ``held[FULL]`` is set; when the ring of arrivals has no room for a chunk, it is not. Either
    may be replaced by a longer one, for the next call to go on.

    Parameters
    ----------
    new_ns : int64 (n,)
        Non-decreasing, and not before the last one; none to go on with what was taken.
    windows_ns : int64 (m,)
        Lengths w, each in [1, horizon_ns].
    horizon_ns
        Arrivals up to that long before the last one are forgotten.
    time_ns : int64 (2**i,)
        Ring of the arrivals.
    held : int64 (HELD_SIZE,)
        Bounds of that ring, and the flag.
    reached : int64 (m, 2)
        Per window, its head, and the first arrival that this has not been held against.
    begin, end : int64 (m,)
        Bounds of each queue.
    start, count : int64 (m, 2**k)
        Rings of the queues: the arrival a window began with, and what it held.
    spare : int64 (2, CHUNK)
        Overwritten.

    Notes
    -----
    O(n m) altogether: each window is closed once, and enters and leaves its queue at most once.
    """
    place = time_ns.size - 1
    taken = 0
    while True:
        for w in range(windows_ns.size):
            if not _catch_up(
                time_ns, w, windows_ns[w], held[OLDEST], held, reached[w], begin, end, start, count, spare
            ):
                held[FULL] = 1
                return taken
        held[FULL] = 0
        size = min(new_ns.size - taken, CHUNK)
        if size == 0:
            return taken
        oldest, total = held[OLDEST], held[TOTAL]
        while oldest < total and time_ns[oldest & place] <= new_ns[taken] - horizon_ns:
            oldest += 1
        held[OLDEST] = oldest
        if total - oldest + size > time_ns.size:
            return taken
        for k in range(size):
            time_ns[(total + k) & place] = new_ns[taken + k]
        held[TOTAL] = total + size
        taken += size


@njit(_WHOLE(_ROW, _WHOLE, _WHOLE, _WHOLE), cache=True, nogil=True)
def _first_after(time_ns: Numbers, low: int, high: int, instant_ns: int) -> int:
    """Return the first arrival of [low, high) that comes after an instant, or ``high``."""
    place = time_ns.size - 1
    while low < high:
        middle = (low + high) // 2
        if time_ns[middle & place] <= instant_ns:
            low = middle + 1
        else:
            high = middle
    return low


@njit(
    types.void(_WHOLE, _READ_ROW, _WHOLE, _ROW, _ROW, _ROWS, _ROW, _ROW, _ROWS, _ROWS, _ROW, _ROW),
    cache=True,
    nogil=True,
)
def look(
    now_ns: int,
    windows_ns: Numbers,
    horizon_ns: int,
    time_ns: Numbers,
    held: Numbers,
    reached: Numbers,
    begin: Numbers,
    end: Numbers,
    start: Numbers,
    count: Numbers,
    most: Numbers,
    current: Numbers,
) -> None:
    """Write the curve and the current counts at an instant, not before the last arrival; nothing else changes.

    Parameters
    ----------
    now_ns
        The horizon is (now_ns - horizon_ns, now_ns].
    windows_ns, horizon_ns, time_ns, held, reached, begin, end, start, count
        As of `feed`.
    most : int64 (m,)
        Result: the most arrivals of the horizon in any window of each length.
    current : int64 (m,)
        Result: the arrivals in (now_ns - w, now_ns].

    Notes
    -----
    O(m log n).
    """
    last = start.shape[1] - 1
    total = held[TOTAL]
    oldest = _first_after(time_ns, held[OLDEST], total, now_ns - horizon_ns)
    for w in range(windows_ns.size):
        low, high = begin[w], end[w]
        while low < high:
            middle = (low + high) // 2
            if start[w, middle & last] < oldest:
                low = middle + 1
            else:
                high = middle
        fullest = count[w, low & last] if low < end[w] else np.int64(0)
        first_open = max(reached[w, 0], oldest)
        most[w] = max(fullest, total - first_open)
        current[w] = total - _first_after(time_ns, first_open, total, now_ns - windows_ns[w])
