"""The delay of every query at one stage, waiting and service, from its arrivals: nearly from above.

Two bounds hold for every query of a station with c replicas that takes greedy batches of at most b queries, each in
service for at most L. They are those of `inferline.calculus.delay_bound_ns`, which takes the worst query of all; here
each query is taken by itself, so that a share of them may be looked at:

* Serving a batch never takes longer than serving its queries one by one: query j starts at the latest when it would
  in the station with b = 1, start_j = max(arrival_j, start_(j-c) + L). With B = 1 that is exact.
* Since the station was last empty, before arrival i, all replicas have been busy and all batches full, so query j
  is done by arrival_i + R + (j - i) L / (c b) + L, where R <= L is the wait for the first replica to get free.

Two things make an estimate of the second. When c replicas are out of step, the first one of them gets free before
R = L (1 - (1 - q)^(1/c)) with probability q, for the quantile q that is asked for: L itself for q = 1. And L is the
service time of the largest batch that is usual at the rate, not of the largest one possible, which small loads never
fill. Both are checked against simulations in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inferline.units import NANO

__all__ = ["delay_ns", "throughput_qps"]

Floats = NDArray[np.float64]


def throughput_qps(batch_latency_ns: Sequence[int]) -> float:
    """Return the queries per second of one replica that always has its best batches."""
    return max((size + 1) * NANO / latency for size, latency in enumerate(batch_latency_ns))


def delay_ns(
    arrival_ns: Floats, batch_latency_ns: Sequence[int], replicas: int, rate_qps: float, quantile: float
) -> float:
    """Return the delay that a share of the queries keeps, in nanoseconds.

    Parameters
    ----------
    arrival_ns
        float64 (n,), non-decreasing; n at least 1.
    batch_latency_ns
        L(1) ... L(B).
    replicas
        c, at least 1.
    rate_qps
        Rate of the arrivals; it says how large batches get.
    quantile
        The share q, in [0, 1]; nearest rank.

    Notes
    -----
    O(n).

    Examples
    --------
    Four queries at once find two replicas that take 10 ns for one:

    >>> [delay_ns(np.zeros(4), (10,), 2, 1.0, quantile) for quantile in (0.5, 1.0)]
    [10.0, 20.0]
    """
    rank = min(max(1, math.ceil(quantile * arrival_ns.size)), arrival_ns.size) - 1
    size = _usual_batch(batch_latency_ns, replicas, rate_qps)
    longest_ns = max(batch_latency_ns[:size])
    if size == 1:
        delays_ns = _one_by_one(arrival_ns, longest_ns, replicas)
    else:
        until_free = 1.0 - max(0.0, 1.0 - quantile) ** (1.0 / replicas)
        delays_ns = _in_batches(arrival_ns, longest_ns, replicas * size) + longest_ns * until_free
    return float(np.partition(delays_ns, rank)[rank])


def _usual_batch(batch_latency_ns: Sequence[int], replicas: int, rate_qps: float) -> int:
    """Return a size that few batches exceed: what arrives for a replica during a service, and two deviations more.

    The service is that of the smallest batches that carry the rate.
    """
    most = len(batch_latency_ns)
    able = (size for size in range(1, most + 1) if replicas * size * NANO > rate_qps * batch_latency_ns[size - 1])
    service_ns = batch_latency_ns[next(able, most) - 1]
    mean = rate_qps * service_ns / NANO / replicas
    return min(most, max(1, math.ceil(mean + 2.0 * math.sqrt(mean))))


def _one_by_one(arrival_ns: Floats, service_ns: int, replicas: int) -> Floats:
    """Return the delays with batches of one: every c-th query is served by the same replica, in turn."""
    rows = -(-arrival_ns.size // replicas)
    padded = np.full(rows * replicas, np.inf)
    padded[: arrival_ns.size] = arrival_ns
    turns: Floats = padded.reshape(rows, replicas)
    served_ns = np.arange(rows)[:, None] * float(service_ns)
    starts_ns = np.maximum.accumulate(turns - served_ns, axis=0) + served_ns
    delays_ns: Floats = starts_ns.ravel()[: arrival_ns.size] - arrival_ns + service_ns
    return delays_ns


def _in_batches(arrival_ns: Floats, longest_ns: int, slots: int) -> Floats:
    """Return the delays behind full batches and in one's own, the wait for the first replica left out."""
    free_ns = arrival_ns - np.arange(arrival_ns.size) * (longest_ns / slots)
    delays_ns: Floats = longest_ns + np.maximum.accumulate(free_ns) - free_ns
    return delays_ns
