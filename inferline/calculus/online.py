"""The arrival curve of the last while, kept up as arrivals come in."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferline.units import MAX_TIME_NS, NANO

__all__ = ["HORIZON_NS", "OnlineCurve"]

HORIZON_NS = 120 * NANO
"""How far back arrivals count unless told otherwise: two of the longest windows of a traffic envelope."""

_PENDING = 1024
"""Single arrivals that are collected before the compiled code takes them: a call costs as much as dozens of them."""


class OnlineCurve:
    """The most arrivals in any window of each length, over a horizon that slides along.

    After every arrival, and at any later instant, `max_arrivals` is exactly what
    `inferline.calculus.max_arrivals` says of the arrivals within the horizon (now - horizon, now].

    Parameters
    ----------
    windows_ns
        Lengths of the windows, ascending, each from 1 to the horizon.
    horizon_ns
        Arrivals as old as that, or older, no longer count; at most 2**62.

    Raises
    ------
    ValueError
        When there is no window, or one is out of range or order.

    Notes
    -----
    Amortised O(windows) for each arrival, expiry included. Memory: 8 bytes for each arrival in the horizon, and
    16 bytes per window for each entry of its queue of past windows, at most one for every count.

    The code is compiled with Numba, which is loaded with the first curve, not when this module is imported.

    Examples
    --------
    >>> curve = OnlineCurve([10, 100], horizon_ns=1000)
    >>> curve.extend(np.array([0, 1, 2, 50]))
    >>> curve.add(55)
    >>> curve.max_arrivals(60).tolist(), curve.current(60).tolist()
    ([3, 5], [1, 5])
    >>> curve.max_arrivals(1001).tolist()  # the arrivals at 0 and 1 are forgotten
    [2, 3]
    """

    def __init__(self, windows_ns: Sequence[int], horizon_ns: int = HORIZON_NS) -> None:
        windows = [int(window_ns) for window_ns in windows_ns]
        if not 1 <= horizon_ns <= MAX_TIME_NS:
            raise ValueError(f"horizon_ns {horizon_ns} is outside [1, 2**62]")
        if not windows or sorted(set(windows)) != windows:
            raise ValueError(f"windows_ns {windows} must be one or more lengths, ascending")
        if windows[0] < 1 or windows[-1] > horizon_ns:
            raise ValueError(
                f"windows_ns from {windows[0]} to {windows[-1]}: 1 to the horizon {horizon_ns} is accepted"
            )
        # Importing Numba takes half a second: only who has a curve pays for it.
        self._kernel: Any = importlib.import_module("inferline.calculus.online_kernel")
        self._windows_ns = np.array(windows, dtype=np.int64)
        self._windows_ns.flags.writeable = False
        self._horizon_ns = horizon_ns
        self._last_ns = 0
        self._pending: list[int] = []
        self._time_ns = np.zeros(2 * self._kernel.CHUNK, dtype=np.int64)
        self._held = np.zeros(self._kernel.HELD_SIZE, dtype=np.int64)
        self._reached = np.zeros((len(windows), 2), dtype=np.int64)
        self._begin, self._end = np.zeros((2, len(windows)), dtype=np.int64)
        self._start, self._count = np.zeros((2, len(windows), 64), dtype=np.int64)
        self._spare = np.empty((2, self._kernel.CHUNK), dtype=np.int64)

    @property
    def windows_ns(self) -> NDArray[np.int64]:
        """Lengths of the windows; int64 (m,), read-only."""
        return self._windows_ns

    @property
    def horizon_ns(self) -> int:
        """How far back arrivals count."""
        return self._horizon_ns

    @property
    def last_ns(self) -> int:
        """The last arrival; 0 before the first."""
        return self._last_ns

    def add(self, arrival_ns: int) -> None:
        """Take in one arrival.

        Raises
        ------
        ValueError
            When it is before the last one, or outside [0, 2**62].
        """
        if not self._last_ns <= arrival_ns <= MAX_TIME_NS:
            raise ValueError(f"arrival at {arrival_ns}: from the last one, {self._last_ns}, to 2**62 is accepted")
        self._last_ns = arrival_ns
        self._pending.append(arrival_ns)
        if len(self._pending) >= _PENDING:
            self._settle()

    def extend(self, arrival_ns: NDArray[np.int64]) -> None:
        """Take in many arrivals.

        Parameters
        ----------
        arrival_ns
            int64 (n,), non-decreasing, from the last arrival on.

        Raises
        ------
        ValueError
            When the order or the range is wrong; then none of them counts.
        """
        arrivals = np.ascontiguousarray(arrival_ns)
        if arrivals.dtype != np.int64 or arrivals.ndim != 1:
            raise ValueError(f"arrival_ns must be int64 (n,), not {arrivals.dtype} {arrivals.shape}")
        if not arrivals.size:
            return
        if not self._last_ns <= arrivals[0] <= arrivals[-1] <= MAX_TIME_NS or np.any(arrivals[1:] < arrivals[:-1]):
            raise ValueError(f"arrival_ns must not decrease, from the last arrival {self._last_ns} up to 2**62")
        self._settle()
        self._last_ns = int(arrivals[-1])
        self._feed(arrivals)

    def max_arrivals(self, now_ns: int | None = None) -> NDArray[np.int64]:
        """Return, per window, the most arrivals of the horizon in any half-open window [t, t + w).

        Parameters
        ----------
        now_ns
            End of the horizon, not before the last arrival; None for the last arrival.

        Raises
        ------
        ValueError
            When it is before the last arrival: what was forgotten since cannot be brought back.
        """
        return self._look(now_ns)[0]

    def current(self, now_ns: int | None = None) -> NDArray[np.int64]:
        """Return, per window, the arrivals in (now - w, now]; the argument is that of `max_arrivals`."""
        return self._look(now_ns)[1]

    def _look(self, now_ns: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        now = self._last_ns if now_ns is None else now_ns
        if not self._last_ns <= now <= MAX_TIME_NS:
            raise ValueError(f"now_ns {now}: from the last arrival, {self._last_ns}, to 2**62 is accepted")
        self._settle()
        most, current = np.empty((2, self._windows_ns.size), dtype=np.int64)
        self._kernel.look(now, *self._state(), most, current)
        return most, current

    def _settle(self) -> None:
        """Hand the collected single arrivals on."""
        if self._pending:
            self._feed(np.array(self._pending, dtype=np.int64))
            self._pending.clear()

    def _feed(self, arrivals: NDArray[np.int64]) -> None:
        """Take in arrivals that were checked, in rings that grow when they are full."""
        while True:
            taken = self._kernel.feed(arrivals, *self._state(), self._spare)
            arrivals = arrivals[taken:]
            if self._held[self._kernel.FULL]:
                ends = self._end.tolist()
                self._start, self._count = (
                    np.stack([_doubled(ring, end) for ring, end in zip(rings, ends, strict=True)])
                    for rings in (self._start, self._count)
                )
            elif arrivals.size:
                self._time_ns = _doubled(self._time_ns, int(self._held[self._kernel.TOTAL]))
            else:
                return

    def _state(self) -> tuple[Any, ...]:
        return (
            self._windows_ns, self._horizon_ns, self._time_ns, self._held, self._reached, self._begin, self._end,
            self._start, self._count,
        )  # fmt: skip


def _doubled(ring: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    """Return a ring twice as long with the same last entries, up to number ``end``, at their new places."""
    numbers = np.arange(max(0, end - ring.size), end)
    longer = np.zeros(2 * ring.size, dtype=np.int64)
    longer[numbers & (longer.size - 1)] = ring[numbers & (ring.size - 1)]
    return longer
