"""When queries reached a stage, numbered, so that whoever reads now and then misses none."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["MOST_KEPT", "ArrivalLog"]

MOST_KEPT = 2**18
"""Arrivals kept at least, once so many have come; at most twice as many take memory, 8 bytes each."""


class ArrivalLog:
    """The last arrivals of one stage.

    Attributes
    ----------
    first
        Number of the earliest arrival that is kept; they are numbered from 0.

    Parameters
    ----------
    most
        Arrivals to keep.

    Examples
    --------
    >>> log = ArrivalLog(most=2)
    >>> for instant_ns in (5, 6, 9, 9):
    ...     log.add(instant_ns)
    >>> log.count, log.since(3), log.since(0)
    (4, (3, [9]), (2, [9, 9]))
    """

    __slots__ = ("_instants_ns", "_most", "first")

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.first = 0
        self._most = most
        self._instants_ns = array("q")

    @property
    def count(self) -> int:
        """How many have come in all."""
        return self.first + len(self._instants_ns)

    def add(self, instant_ns: int) -> None:
        """Note an arrival; amortised O(1)."""
        kept = self._instants_ns
        kept.append(instant_ns)
        if len(kept) >= 2 * self._most:
            del kept[: self._most]
            self.first += self._most

    def since(self, number: int) -> tuple[int, Sequence[int]]:
        """Return the arrivals from a number on, and the number of the first of them: a later one if some are lost."""
        start = max(number, self.first)
        return start, self._instants_ns[start - self.first :].tolist()

    def after(self, instant_ns: int) -> Sequence[int]:
        """Return the arrivals that are kept from an instant on."""
        return self._instants_ns[bisect_left(self._instants_ns, instant_ns) :]
