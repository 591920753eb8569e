"""The two kinds of trace: their numbers taken in piece by piece, their faults named line by line."""

from __future__ import annotations

import io
from abc import abstractmethod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Trace
from inferline.domain.arrivals import PerSecondCounts
from inferline.errors import Fault
from inferline.files.documents.scalars import decimal
from inferline.files.wording import shown
from inferline.units import MAX_TIME_NS, NANO

__all__ = ["ArrivalTimes", "RequestsPerSecond", "TraceColumns", "take"]

_MOST_LINES_NAMED = 20
_MOST_REQUESTS = 10**9
"""In one second, before scaling; the sum over as many seconds as a file can hold still fits in 64 bits."""


class TraceColumns(Protocol):
    """What takes in the lines of a trace after its header."""

    @abstractmethod
    def numbers(self, values: NDArray[np.float64]) -> bool:
        """Take in rows of numbers, float64 (rows, columns); or change nothing and return False."""

    @abstractmethod
    def line(self, text: str) -> str:
        """Take in one line that is not blank; or return what is wrong with it."""

    @abstractmethod
    def finished(self) -> Trace | PerSecondCounts:
        """Return the trace; raises ValueError when there is none."""


def take(columns: TraceColumns, piece: bytes, first_line: int, file: str, faults: list[Fault]) -> None:
    """Take in whole lines.

    Parameters
    ----------
    columns
        Where the numbers go.
    piece
        Lines, each with its end.
    first_line
        Number of the first one in the file.
    file
        The file, as the user named it.
    faults
        Where the faults go; beyond 20 of them, nothing more is looked at.
    """
    if not faults and (values := _parsed(piece)) is not None and columns.numbers(values):
        return
    for i, text in enumerate(piece.decode("utf-8", errors="replace").split("\n")):
        if len(faults) > _MOST_LINES_NAMED:
            return
        message = columns.line(text) if text.strip() else ""
        if message and len(faults) == _MOST_LINES_NAMED:
            message = "the faults from here on are not listed"
        if message:
            faults.append(Fault(file, f"line {first_line + i}", message))


def _parsed(piece: bytes) -> NDArray[np.float64] | None:
    """Return the numbers of a piece, float64 (rows, columns), or None when NumPy cannot tell all of them."""
    lines = piece.replace(b"\r\n", b"\n")
    if not lines.isascii() or b"\r" in lines or not lines.strip():
        return None
    try:
        return np.loadtxt(io.StringIO(lines.decode("ascii")), delimiter=",", comments=None, ndmin=2)
    except ValueError:
        return None


class ArrivalTimes:
    """The column ``arrival_s``."""

    def __init__(self) -> None:
        self._pieces: list[NDArray[np.int64]] = []
        self._last_ns = 0

    def numbers(self, values: NDArray[np.float64]) -> bool:
        """Take in rows of one number, or change nothing and return False."""
        if values.shape[1] != 1:
            return False
        seconds = values[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = np.rint(seconds * NANO)
            good = (seconds >= 0) & (rounded <= MAX_TIME_NS)
        if not good.all():
            return False
        arrivals = rounded.astype(np.int64)
        if arrivals[0] < self._last_ns or np.any(np.diff(arrivals) < 0):
            return False
        self._pieces.append(arrivals)
        self._last_ns = int(arrivals[-1])
        return True

    def line(self, text: str) -> str:
        """Take in one line, or return what is wrong with it."""
        seconds = decimal(text)
        if seconds is None:
            return f"{shown(text.strip())} is not a number of seconds"
        if seconds < 0:
            return f"{text.strip()} is negative; arrivals are seconds from the start"
        if seconds * NANO > MAX_TIME_NS:
            return f"{text.strip()} is longer than 146 years (2**62 ns)"
        arrival, last = round(seconds * NANO), self._last_ns
        self._last_ns = arrival
        if arrival < last:
            return f"{text.strip()} comes after {last / NANO!r}; arrivals must be sorted"
        self._pieces.append(np.array([arrival]))
        return ""

    def finished(self) -> Trace:
        """Return the trace; it ends just after its last arrival."""
        if not self._pieces:
            raise ValueError("holds no query; it needs at least one")
        arrivals = np.concatenate(self._pieces)
        return Trace(arrivals, min(int(arrivals[-1]) + 1, MAX_TIME_NS))


class RequestsPerSecond:
    """The columns ``second,requests``."""

    def __init__(self) -> None:
        self._pieces: list[NDArray[np.int64]] = []
        self._next = 0

    def numbers(self, values: NDArray[np.float64]) -> bool:
        """Take in rows of two numbers, or change nothing and return False."""
        if values.shape[1] != 2:
            return False
        seconds, requests = values[:, 0], values[:, 1]
        after = self._next + seconds.size
        whole = (requests >= 0) & (requests <= _MOST_REQUESTS) & (requests == np.rint(requests))
        if not whole.all() or not np.array_equal(seconds, np.arange(self._next, after)):
            return False
        self._pieces.append(requests.astype(np.int64))
        self._next = after
        return True

    def line(self, text: str) -> str:
        """Take in one line, or return what is wrong with it."""
        cells = [cell.strip() for cell in text.split(",")]
        if len(cells) != 2:
            return f"{shown(text.strip())} has {len(cells)} cells; write second,requests"
        second, requests = decimal(cells[0]), decimal(cells[1])
        if second is None or not second.is_integer():
            return f"second {shown(cells[0])} is not a whole number"
        expected, self._next = self._next, int(second) + 1
        if second != expected:
            return f"second {cells[0]} stands where second {expected} is expected; write every second, from 0, once"
        if requests is None or not requests.is_integer():
            return f"requests {shown(cells[1])} is not a whole number"
        if requests < 0:
            return f"requests {cells[1]} is negative"
        if requests > _MOST_REQUESTS:
            return f"requests {cells[1]} is out of range; it must be at most {_MOST_REQUESTS}"
        self._pieces.append(np.array([int(requests)]))
        return ""

    def finished(self) -> PerSecondCounts:
        """Return the counts."""
        if not self._pieces or not any(piece.any() for piece in self._pieces):
            raise ValueError("holds no query; it needs at least one")
        return PerSecondCounts(np.concatenate(self._pieces))
