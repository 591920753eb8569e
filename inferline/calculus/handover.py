"""The same bounds for a station that is running: some queries wait already, and more replicas are on their way."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from inferline.calculus.staircase import Staircase
from inferline.calculus.station import Uncertified, check_station

__all__ = ["Handover", "delay_bound_after_ns", "replicas_after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What a station is like now, and when it will have all of its replicas.

    Parameters
    ----------
    backlog
        Queries that wait now.
    start_ns
        Time until all replicas are there: the activation delay of the last one.
    serving
        Replicas that serve from now on, and stay. Those that come in between are not counted before the start.

    Raises
    ------
    ValueError
        When a number is negative.
    """

    backlog: int = 0
    start_ns: int = 0
    serving: int = 0

    def __post_init__(self) -> None:
        if min(self.backlog, self.start_ns, self.serving) < 0:
            raise ValueError(f"{self}: numbers from 0 on are accepted")


def delay_bound_after_ns(
    curve: Staircase, batch_latency_ns: Sequence[int], replicas: int, handover: Handover
) -> int | float:
    """Return a bound on the delay of every query that arrives once all replicas are there.

    Queries that arrive before, or wait already, end at most that long after the start.

    Parameters
    ----------
    curve
        What is known of the arrivals from now on.
    batch_latency_ns
        L(1) ... L(B).
    replicas
        c after the start, the serving ones included; at least 1.
    handover
        What is there now. Replicas that have begun a batch may be busy for L*, as at any time.

    Returns
    -------
    int or float
        `math.inf` when the windows are too short to tell that the station ever catches up.

    Notes
    -----
    The bound by full batches of `inferline.calculus.delay_bound_ns`, with the backlog added to alpha and time shifted
    by the start: for a queue that has been there since now, with f = floor(start / L*),

        2 L* + L(B) max(0, floor((backlog + k - serving B f) / (c B))) - max(0, d(k) - start)

    at its greatest over k; for one that began s < start later, the backlog is not in it, and f is that of the time
    that was left. That time may be any, and the worst is the longest that d(k) allows, up to the rounding of f, for
    which one is taken off. See docs/background/delay-bound.md. Neither history nor batch sizes before now matter.

    Raises
    ------
    ValueError
        When a latency is below 1, or there are fewer replicas than serve now.

    Examples
    --------
    One arrival every 10 ns, and 20 ns for a batch of one, so that two replicas keep up. Twelve queries wait, and the
    second replica comes after 100 ns, when the first has taken five, and ten more have come:

    >>> curve = Staircase((1, 2, 4, 8), (10, 20, 40, 80))
    >>> now = Handover(backlog=12, start_ns=100, serving=1)
    >>> [delay_bound_after_ns(curve, (20,), replicas, now) for replicas in (1, 2, 4)]
    [inf, 240, 120]
    """
    check_station(batch_latency_ns, replicas)
    if replicas < handover.serving:
        raise ValueError(
            f"{replicas} replicas after the start: from the {handover.serving} that serve now on is accepted"
        )
    longest_ns, full_ns, max_batch = max(batch_latency_ns), batch_latency_ns[-1], len(batch_latency_ns)
    group = replicas * max_batch
    settled = curve.settled(group, full_ns)
    if settled is None:
        return math.inf
    # What is served in a turn of L* until the start, and how many turns that is.
    per_turn, start_ns = handover.serving * max_batch, handover.start_ns
    until_start = start_ns // longest_ns
    # More arrivals than these are no worse than fewer; and spans that cost more than the most they can add are not.
    matter = curve.max_arrivals(start_ns) + settled + handover.backlog
    worst_ns = 0
    for k, span_ns in curve.treads(start_ns + matter // group * full_ns):
        left = max(0, min(start_ns, span_ns) // longest_ns - 1)
        ahead = max(handover.backlog + k - 1 - per_turn * until_start, k - 1 - per_turn * left, 0)
        worst_ns = max(worst_ns, ahead // group * full_ns - max(0, span_ns - start_ns))
    return 2 * longest_ns + worst_ns


def replicas_after(
    curve: Staircase, batch_latency_ns: Sequence[int], delay_budget_ns: int, handover: Handover
) -> int | Uncertified:
    """Return the least number of replicas whose `delay_bound_after_ns` is within the budget.

    Parameters
    ----------
    curve, batch_latency_ns, handover
        As of `delay_bound_after_ns`.
    delay_budget_ns
        D, for queries that arrive once all replicas are there; nothing below 2 L* is certified.

    Returns
    -------
    int or Uncertified
        At least the replicas that serve now.

    Examples
    --------
    >>> curve = Staircase((1, 2, 4, 8), (10, 20, 40, 80))
    >>> replicas_after(curve, (20,), 120, Handover(backlog=12, start_ns=100, serving=1))
    4
    """
    # With so many, none of those that can be ahead waits for a second turn.
    enough = curve.max_arrivals(handover.start_ns) + curve.most + handover.backlog + handover.serving

    def bound_ns(replicas: int) -> int | float:
        return delay_bound_after_ns(curve, batch_latency_ns, replicas, handover)

    least_ns = bound_ns(enough)
    if least_ns > delay_budget_ns:
        return Uncertified.of(delay_budget_ns, least_ns)
    least = max(1, handover.serving)
    return least + bisect_left(range(least, enough), True, key=lambda replicas: bound_ns(replicas) <= delay_budget_ns)
