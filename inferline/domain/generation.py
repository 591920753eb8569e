"""What the arrival processes share: checks of their parameters, sums of random gaps, and the cut into a trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from inferline.domain.trace import Trace
from inferline.units import MAX_TIME_NS, format_duration

__all__ = [
    "MAX_ARRIVALS",
    "Floats",
    "check_arrivals",
    "check_cv2",
    "check_number",
    "check_whole",
    "renewals_until",
    "trace_within",
    "whole_ns",
]

MAX_ARRIVALS = 100_000_000
"""More arrivals are not generated: a rate with a few zeros too many should not fill the memory."""

Floats = NDArray[np.float64]
"""Instants or gaps, before they are rounded."""

_LONGEST_CHUNK = 10_000_000


def check_number(name: str, value: object, *, or_zero: bool = False) -> None:
    """Raise ValueError unless the value is a number above 0 (or 0, where that is accepted), up to 2**62."""
    if not _is_number(value) or not 0 <= value <= MAX_TIME_NS or (value == 0 and not or_zero):
        accepted = "0 or more" if or_zero else "above 0"
        raise ValueError(f"{name} is {value!r}; a number {accepted} is accepted, up to 2**62")


def check_cv2(value: object) -> None:
    """Raise ValueError unless gamma gaps with that squared coefficient of variation can be drawn."""
    if not _is_number(value) or not 1e-9 <= value <= 1e9:
        raise ValueError(f"cv2 is {value!r}; a number from 1e-9 to 1e9 is accepted")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_whole(name: str, value: object, most: int = MAX_TIME_NS) -> None:
    """Raise ValueError unless the value is a whole number from 1 to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise ValueError(f"{name} is {value!r}; a whole number from 1 to {most:,} is accepted")


def check_arrivals(expected: float) -> None:
    """Raise ValueError when more than `MAX_ARRIVALS` are to be generated."""
    if not expected <= MAX_ARRIVALS:
        raise ValueError(f"{expected:,.0f} arrivals are too many; at most {MAX_ARRIVALS:,} are generated")


def renewals_until(draw: Callable[[int], Floats], until: float) -> Floats:
    """Return the running sums of random gaps that are below ``until``.

    The sum is carried from chunk to chunk in one order of additions, so that a larger ``until`` only appends.

    Parameters
    ----------
    draw
        Returns so many gaps; their mean is 1.
    until
        At least 0; about as many gaps are drawn.

    Raises
    ------
    ValueError
        When it takes more than `MAX_ARRIVALS`.
    """
    check_arrivals(until)
    chunks: list[Floats] = []
    drawn, last = 0, 0.0
    while last < until:
        check_arrivals(drawn)
        # Doubling, because gaps of high variation need many more draws than expected, at times.
        sums = draw(min(max(drawn, int(until + 4 * math.sqrt(until)) + 16), _LONGEST_CHUNK))
        sums[0] += last
        np.cumsum(sums, out=sums)
        chunks.append(sums)
        drawn, last = drawn + sums.size, float(sums[-1])
    sums = np.concatenate(chunks) if chunks else np.empty(0)
    return sums[: np.searchsorted(sums, until)]


def whole_ns(instants_ns: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Round instants to whole nanoseconds, half to even."""
    rounded: NDArray[np.int64] = np.rint(instants_ns).astype(np.int64)
    return rounded


def trace_within(instants_ns: Floats, duration_ns: int) -> Trace:
    """Return the trace of the instants that, rounded, lie in [0, duration).

    Raises
    ------
    ValueError
        When there is none.
    """
    arrivals = whole_ns(instants_ns)
    arrivals = arrivals[: np.searchsorted(arrivals, duration_ns)]
    if arrivals.size == 0:
        raise ValueError(f"no arrival in {format_duration(duration_ns)}; take a longer duration or a higher rate")
    return Trace(arrivals, int(duration_ns))
