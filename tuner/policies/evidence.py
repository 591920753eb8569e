"""What the plan itself has shown: traffic within its envelope is served by its counts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Plan
from inferline.units import NANO
from tuner.situation import Reason

__all__ = ["exceeded", "excess", "planned_bounds"]

_SUSTAINED_S = 5.0
_CHANCE = 1.05

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


def excess(plan: Plan, arrival_ns: Instants, since_ns: int) -> float:
    """Return how many times the plan's envelope the traffic was, where it was most, in windows that end lately.

    The parameters are those of `exceeded`.
    """
    return max((count / most for _, most, count in _fullest(plan, arrival_ns, since_ns)), default=0.0)


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


def planned_bounds(
    plan: Plan,
    name: str,
    arrival_ns: Instants,
    now_ns: int,
    *,
    hold_ns: int,
    keep_ns: int,
    rate_qps: float,
    times: float,
) -> tuple[int, int | None]:
    """Return the least and the most replicas of a stage that the plan speaks for; None when it does not for the most.

    The plan's counts are enough for the traffic that it was made for, and hardly any fewer are, or a cheaper plan
    would have been found. For lower rates the least is taken in proportion: a smaller stage needs no less of its
    share. For traffic that is so many times the envelope, so many times the counts are enough.

    Parameters
    ----------
    plan, name
        The plan and the stage.
    arrival_ns
        int64 (n,), non-decreasing: arrivals at the stage itself.
    now_ns, hold_ns
        Windows that end in (now - hold, now] are compared with those of the plan.
    keep_ns
        What was needed that long ago, or later, is needed still; not longer than arrivals are seen.
    rate_qps
        The rate to be ready for.
    times
        How many times the plan's envelope the pipeline's traffic may be, at least 1.
    """
    scale = plan.predicted.stages[name].visits / plan.predicted.queries
    if scale == 0.0:
        return 1, None
    planned = plan.configuration[name].replicas
    envelope = list(zip(plan.envelope.window_s, plan.envelope.max_queries, strict=True))
    window_s, most = next((each for each in envelope if each[0] >= _SUSTAINED_S), envelope[-1])
    planned_qps = scale * most / window_s
    ends_ns = now_ns - np.arange(0, max(hold_ns, keep_ns, 1), NANO)
    begins_ns = ends_ns - round(window_s * NANO)
    counts = arrival_ns.searchsorted(ends_ns, side="right") - arrival_ns.searchsorted(begins_ns, side="right")
    lately_qps = counts[ends_ns > now_ns - keep_ns].max(initial=0) / window_s
    least = min(planned, math.ceil(planned * max(rate_qps, lately_qps) / planned_qps - 1e-9))
    within = counts[ends_ns > now_ns - hold_ns].max(initial=0) / window_s <= planned_qps * times * _CHANCE
    return least, math.ceil(planned * times - 1e-9) if within else None
