"""How long a station of batched replicas can make any query wait, and how many replicas keep that within a budget.

The station is that of the simulator: one queue, first in first out; c replicas; a free replica takes what waits, at
most B queries, and waits for nothing else; a batch of b is in service for L(b). The proofs are written out in
docs/background/delay-bound.md.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from inferline.calculus.curves import Curve, stairs
from inferline.calculus.staircase import ArrivalCurve

__all__ = [
    "Uncertified",
    "backlog_bound",
    "certified_replicas",
    "certifying_windows_ns",
    "check_station",
    "delay_bound_ns",
    "service_curve",
]


_TURNS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 60, 120)
"""Of `certifying_windows_ns`, counted from the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertified:
    """No number of replicas is certified to keep the delay within the budget.

    Parameters
    ----------
    reason
        The whole sentence for the user.
    least_budget_ns
        The shortest budget for which some number is certified; infinite when none is.
    """

    reason: str
    least_budget_ns: int | float

    @classmethod
    def of(cls, delay_budget_ns: int, least_budget_ns: int | float) -> Uncertified:
        """Return the refusal of a budget below the least one."""
        other = "none is: the windows are too short" if math.isinf(least_budget_ns) else f"{least_budget_ns} ns is"
        return cls(
            reason=f"a delay of {delay_budget_ns} ns is not certified for any number of replicas; {other}",
            least_budget_ns=least_budget_ns,
        )


def delay_bound_ns(curve: ArrivalCurve, batch_latency_ns: Sequence[int], replicas: int) -> int | float:
    """Return a bound on the time from any query's arrival at the station to the end of its batch.

    Parameters
    ----------
    curve
        What is known of the arrivals: a `WholeTrace`, or a `Staircase`.
    batch_latency_ns
        L(1) ... L(B), each at least 1; need not ascend.
    replicas
        c, at least 1, all there from the beginning, with nobody waiting or in service.

    Returns
    -------
    int or float
        Whole nanoseconds; `math.inf` when a staircase's windows do not tell that the station ever catches up.

    Notes
    -----
    The least of three bounds. With alpha(w) the most arrivals in a half-open window, d(k) the shortest time from an
    arrival to the k-th after it, and l the longest time that any batch that can occur is in service (below):

    *In step*: a query that waits finds c replicas busy, with at most c - 1 of them on queries younger than the c-th
    before it. So finish(n) <= max(arrival(n), finish(n - c)) + l, whatever the batches, and

        delay <= max over j >= 0 of (j + 1) l - d(j c).

    Exact for B = 1; l alone when no more than c queries can arrive within l, so that nobody ever waits.

    *In full batches*: from the instant a queue builds up, everybody in it arrived since, every replica is busy, and
    every batch but the last is full. The replicas end what they are doing within L* = max L(b), and then take a full
    batch each at least every L(B):

        delay <= max over j >= 0 of 2 L* + j L(B) - d(j c B),

    which for L* = L(B) is  max over w > 0 of L* (2 + floor((alpha(w) - 1) / (c B))) - w.

    *Never full*: if for some b < B no more than b queries can arrive at one instant, and no more than b + c - 1
    within l = max of L(1) ... L(b), then no batch is ever larger than b: each takes all that waits, c are in service
    at different instants, and those after the first began with arrivals of their own. Then

        delay <= l + max(0, l - d(c - 1)).

    The least such b also limits l in the first bound; without one, l = L*.

    No bound grows with c. Complexity: O(n log n) for a whole trace, O(m) for m steps.

    Raises
    ------
    ValueError
        When a latency or the number of replicas is below 1.

    Examples
    --------
    Two replicas of a batch of up to 2, 10 ns each; six queries at once, then one each 5 ns:

    >>> import numpy as np
    >>> from inferline.calculus import WholeTrace
    >>> delay_bound_ns(WholeTrace(np.array([0, 0, 0, 0, 0, 0, 5, 10, 15])), (10, 10), 2)
    30
    """
    check_station(batch_latency_ns, replicas)
    max_batch = len(batch_latency_ns)
    largest = _largest_batch(curve, batch_latency_ns, replicas)
    longest_ns = max(batch_latency_ns[:largest])
    if largest < max_batch:
        wait_ns: int | float = max(0, longest_ns - curve.span_ns(replicas - 1))
    else:
        wait_ns = longest_ns + curve.lag_ns(replicas * max_batch, batch_latency_ns[-1])
    return longest_ns + min(wait_ns, curve.lag_ns(replicas, longest_ns))


def backlog_bound(curve: ArrivalCurve, batch_latency_ns: Sequence[int], replicas: int) -> int | float:
    """Return a bound on the queries that wait in the queue, once those that can be have been dispatched.

    Parameters
    ----------
    curve, batch_latency_ns, replicas
        As of `delay_bound_ns`.

    Returns
    -------
    int or float
        `math.inf` where nothing known bounds it.

    Notes
    -----
    From the instant a queue builds up, each replica takes a full batch at least every L*, so after a time x at least
    c B floor(x / L*) queries are gone: the backlog is at most max over k of k + 1 - c B floor(d(k) / L*), the
    vertical deviation between the two curves. Where no batch is ever full, each takes all that waits, so that no more
    wait than fit in one; and nobody waits where no more than c can arrive while one is served.
    """
    check_station(batch_latency_ns, replicas)
    largest = _largest_batch(curve, batch_latency_ns, replicas)
    longest_ns = max(batch_latency_ns[:largest])
    if curve.max_arrivals(longest_ns) <= replicas:
        return 0
    excess = curve.excess(replicas * len(batch_latency_ns), longest_ns)
    return min(excess, largest) if largest < len(batch_latency_ns) else excess


def certified_replicas(
    curve: ArrivalCurve, batch_latency_ns: Sequence[int], delay_budget_ns: int
) -> int | Uncertified:
    """Return the least number of replicas whose `delay_bound_ns` is within the budget.

    Every larger number is certified, too, although the delays themselves need not fall with every replica more.

    Parameters
    ----------
    curve, batch_latency_ns
        As of `delay_bound_ns`.
    delay_budget_ns
        D, from arrival at the station to the end of the batch.

    Returns
    -------
    int or Uncertified
        Below 2 L*, full batches certify nothing; what is certified then is that queries hardly ever wait, or that
        batches stay small. Below the time that a batch of simultaneous arrivals takes, nothing is.

    Notes
    -----
    Bisection, as the bound does not grow with c. From full batches alone, the answer is

        c = max over i of ceil(alpha(w_i) / (B (floor((D + w_{i-1}) / L*) - 1)))

    on a grid of windows with w_0 = 0, and the same with all windows for a whole trace.

    Examples
    --------
    >>> import numpy as np
    >>> from inferline.calculus import WholeTrace
    >>> burst = WholeTrace(np.zeros(100, dtype=np.int64))
    >>> [certified_replicas(burst, (10, 10), budget_ns) for budget_ns in (10, 20, 30, 60)]
    [100, 50, 25, 10]
    >>> certified_replicas(burst, (10, 10), 9).reason
    'a delay of 9 ns is not certified for any number of replicas; 10 ns is'
    """
    least_ns = delay_bound_ns(curve, batch_latency_ns, curve.most)
    if least_ns > delay_budget_ns:
        return Uncertified.of(delay_budget_ns, least_ns)

    def within(replicas: int) -> bool:
        return delay_bound_ns(curve, batch_latency_ns, replicas) <= delay_budget_ns

    return 1 + bisect_left(range(1, curve.most), True, key=within)


def certifying_windows_ns(batch_latency_ns: Sequence[int], delay_budget_ns: int) -> tuple[int, ...]:
    """Return the windows, ascending, whose arrivals say most about the replicas for a delay budget.

    The bound by full batches is within D exactly when no more than j c B queries arrive in 2 L* + j L(B) - D, for
    every j from the first that makes this positive. These are the windows of 14 such j: of the first seven, where
    bursts decide, and of some at growing distances, where the rate does. For a budget below 2 L* they are those of
    the bound in step, if L* = L(B).

    Parameters
    ----------
    batch_latency_ns
        L(1) ... L(B).
    delay_budget_ns
        D, at least 1.

    Examples
    --------
    >>> certifying_windows_ns((10, 10), 45)[:8]
    (5, 15, 25, 35, 45, 55, 65, 85)
    """
    check_station(batch_latency_ns, 1)
    spare_ns, full_ns = delay_budget_ns - 2 * max(batch_latency_ns), batch_latency_ns[-1]
    first = spare_ns // full_ns + 1
    return tuple((first + turns) * full_ns - spare_ns for turns in _TURNS)


def service_curve(batch_latency_ns: Sequence[int], replicas: int, turns: int) -> Curve:
    """Return beta(t): queries that a station starts, at least, within t of the instant from which some always wait.

    Parameters
    ----------
    batch_latency_ns, replicas
        As of `delay_bound_ns`.
    turns
        Full batches of each replica that are written out, at least 1; from then on the curve is the straight line
        below the stairs.

    Notes
    -----
    Nothing before L*, then c B at once, and c B more every L(B): a strict service curve (Le Boudec & Thiran, Network
    Calculus, 2001, section 1.3) of the queue. The delay is at most the horizontal deviation between the arrival curve
    and this one, plus L* in service: the second bound of `delay_bound_ns`, as long as ``turns`` reaches far enough.
    """
    check_station(batch_latency_ns, replicas)
    full = replicas * len(batch_latency_ns)
    return stairs(full, batch_latency_ns[-1], turns, tail="below", delay=max(batch_latency_ns))


def _largest_batch(curve: ArrivalCurve, batch_latency_ns: Sequence[int], replicas: int) -> int:
    """Return the least b that the arrivals never let a batch exceed, or B."""
    largest, grown = 0, curve.max_arrivals(1)
    while largest < grown < len(batch_latency_ns):
        largest = grown
        grown = max(largest, curve.max_arrivals(max(batch_latency_ns[:largest])) - replicas + 1)
    return min(grown, len(batch_latency_ns))


def check_station(batch_latency_ns: Sequence[int], replicas: int) -> None:
    """Refuse latencies and replicas that no station has."""
    if not batch_latency_ns or min(batch_latency_ns) < 1:
        raise ValueError(
            f"batch_latency_ns {list(batch_latency_ns)}: one latency per batch size, from 1, is accepted"
        )
    if replicas < 1:
        raise ValueError(f"replicas {replicas}: 1 or more is accepted")
