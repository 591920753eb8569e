"""What to measure next and when to stop: pure decisions, no clock of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from profiler.results import Limits

__all__ = [
    "MAX_BATCH",
    "Evidence",
    "Step",
    "block_size",
    "draw",
    "next_step",
    "round_order",
    "seconds_left",
    "verdict",
]

MAX_BATCH = 1024
"""Largest batch size tried when nothing else ends the ramp."""

BLOCK_S = 0.075
"""How long the batches of one row in one round should take together."""

MIN_ROUNDS = 5
MIN_SAMPLES = 5
MIN_SAMPLES_IN_BUDGET = 3
_RISE = 1.05
_TAIL_SAMPLES = 299
"""Samples below which the P99 has no 95 % interval: 0.99**298 > 0.05."""


class Step(NamedTuple):
    """The next batch size; or None, and why the ramp has ended."""

    size: int | None
    ended: str = ""


class Evidence(NamedTuple):
    """How well a row is known.

    Parameters
    ----------
    samples, rounds
        Batches counted, and rounds that the row has taken part in.
    spent_s
        Seconds that these rounds took.
    mean_share, tail_share
        Half widths of the intervals of mean and P99, as shares of them; NaN where there is no interval.
    """

    samples: int
    rounds: int
    spent_s: float
    mean_share: float
    tail_share: float


def next_step(latency_s: Mapping[int, float], max_batch: int | None = None) -> Step:
    """Return the batch size to try next: 1, 2, 4 ... and the cap, as long as throughput rises.

    It has stopped rising when one size is less than 5 % above the best before it, and the next less than 5 % above
    that one. A fall alone is no end: libraries take other routines for matrices than for vectors, so that throughput
    may fall from batch size 1 to 2 and double at each step from there on. All sizes tried are kept.

    Parameters
    ----------
    latency_s
        Latency of a batch by the sizes tried so far.
    max_batch
        Cap; None for none but `MAX_BATCH`.

    Examples
    --------
    >>> next_step({}), next_step({1: 0.01, 2: 0.012}, max_batch=3)
    (Step(size=1, ended=''), Step(size=3, ended=''))
    >>> next_step({1: 0.01, 2: 0.02, 4: 0.04})
    Step(size=None, ended='throughput')
    """
    cap = min(MAX_BATCH, max_batch or MAX_BATCH)
    sizes = sorted(latency_s)
    if not sizes:
        return Step(1)
    if sizes[-1] >= cap:
        return Step(None, "max_batch")
    throughput = [size / latency_s[size] for size in sizes]
    if len(sizes) > 2:
        before, last = throughput[-2:]
        if before < _RISE * max(throughput[:-2]) and last < _RISE * before:
            return Step(None, "throughput")
    return Step(min(cap, 2 * sizes[-1]))


def block_size(hop_s: float) -> int:
    """Return how many batches a row gets in one round: about `BLOCK_S` of them, at least one.

    Examples
    --------
    >>> block_size(0.001), block_size(0.3)
    (75, 1)
    """
    return max(1, round(BLOCK_S / hop_s)) if hop_s > 0 else 1


def round_order(sizes: Sequence[int], number: int, seed: int) -> list[int]:
    """Return the rows in the order of one round: another one in each, so that no row always follows the same one."""
    order = np.random.default_rng([seed, number]).permutation(len(sizes))
    return [sizes[i] for i in order]


def draw(frames: Sequence[bytes], size: int, seed: int) -> Iterator[list[bytes]]:
    """Yield batches of that size for ever: the pool over and over, in an order of its own for each size."""
    order = np.random.default_rng([seed, size]).permutation(len(frames)).tolist()
    place = 0
    while True:
        yield [frames[order[(place + i) % len(order)]] for i in range(size)]
        place = (place + size) % len(order)


def verdict(evidence: Evidence, limits: Limits) -> str:
    """Return whether a row is done: ``precise``, ``budget``, or ``unfinished``.

    Precise needs both intervals, five rounds and five samples. When the budget is spent, three samples will do.
    """
    tight = evidence.mean_share <= limits.precision and evidence.tail_share <= limits.tail_precision  # never with NaN
    if tight and evidence.rounds >= MIN_ROUNDS and evidence.samples >= MIN_SAMPLES:
        return "precise"
    if evidence.spent_s >= limits.budget_s and evidence.samples >= MIN_SAMPLES_IN_BUDGET:
        return "budget"
    return "unfinished"


def seconds_left(evidence: Evidence, limits: Limits) -> float:
    """Estimate the time until a row is done: intervals shrink with the root of the time spent, the budget is the end.

    Examples
    --------
    >>> seconds_left(Evidence(400, 5, 2.0, 0.04, 0.1), Limits(precision=0.02, budget_s=20.0))
    6.0
    """
    budget_s = max(0.0, limits.budget_s - evidence.spent_s)
    if evidence.samples == 0 or math.isnan(evidence.mean_share):
        return budget_s
    factor = (evidence.mean_share / limits.precision) ** 2
    if math.isnan(evidence.tail_share):
        factor = max(factor, _TAIL_SAMPLES / evidence.samples)
    else:
        factor = max(factor, (evidence.tail_share / limits.tail_precision) ** 2)
    rounds = MIN_ROUNDS / evidence.rounds if evidence.rounds else math.inf
    return min(budget_s, evidence.spent_s * max(0.0, max(factor, rounds) - 1))
