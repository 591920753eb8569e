"""Traffic against the envelope that the plan was made for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Plan
from inferline.units import NANO
from tuner.situation import Reason

__all__ = ["exceeded"]

Instants = NDArray[np.int64]


def exceeded(plan: Plan, arrival_ns: Instants, since_ns: int) -> Reason | None:
    """Return the largest rate, of those above the plan's envelope, in windows that end after ``since_ns``.

    Parameters
    ----------
    plan
        Its envelope counts.
    arrival_ns
        int64 (n,), non-decreasing: arrivals at the pipeline.
    since_ns
        The tick before: older windows have been looked at.
    """
    largest: Reason | None = None
    for window_s, most, count in _fullest(plan, arrival_ns, since_ns):
        if count > most and (largest is None or count / window_s > largest.measured):
            largest = Reason(
                rule="envelope exceeded",
                window_ns=round(window_s * NANO),
                measured=count / window_s,
                threshold=most / window_s,
            )
    return largest


def _fullest(plan: Plan, arrival_ns: Instants, since_ns: int) -> Iterator[tuple[float, int, int]]:
    """Yield each window of the envelope in seconds, the plan's count and the fullest that ends after an instant."""
    first = int(np.searchsorted(arrival_ns, since_ns, side="right"))
    fresh_ns = arrival_ns[first:]
    if fresh_ns.size == 0:
        return
    ends = np.arange(first, arrival_ns.size) + 1
    for window_s, most in zip(plan.envelope.window_s, plan.envelope.max_queries, strict=True):
        begins = np.searchsorted(arrival_ns, fresh_ns - round(window_s * NANO), side="right")
        yield window_s, most, int((ends - begins).max())
