"""The certified tuner: at every stage as many replicas as the arrivals at its own queue are shown to need.

Each tick:

1. The recent arrivals at every stage's queue are replayed at the rate to be ready for when a replica that is asked
   for now serves (`tuner.policies.demand`).
2. The cheapest counts are found with which the delays of the stages keep every path within its latency
   (`tuner.policies.sizing`): bounds on the delay of each query by itself, at the share of the queries that is wanted
   (`tuner.policies.delays`). With the option ``quantile`` at 1 that is the bound of `inferline.calculus` on the
   longest delay of all, which no arrivals within the replayed curve exceed.
3. The counts are held for a while, and what has piled up is drained fast (`tuner.policies.holding`).
4. Of that, no more is asked for than the published tuner would pay, and what has been saved against it
   (`tuner.policies.budget`): where that one holds more than is certified to be needed, the rest is saved, and
   where it holds too little, the savings are spent. So it is never the dearer of the two, and seldom the later.

No simulator is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from inferline.calculus import WholeTrace, delay_bound_ns
from inferline.units import NANO
from tuner.policies.bounds import constants
from tuner.policies.budget import Budget, budget_after, within_budget
from tuner.policies.delays import delay_ns, throughput_qps
from tuner.policies.demand import demand
from tuner.policies.holding import HoldingNote, asking, last_sized, wanting
from tuner.policies.replayed import replay_ns
from tuner.policies.sizing import latency_paths, size
from tuner.situation import Decision, Observation, Reason, Situation

__all__ = ["PERIOD_NS", "CertifiedConstants", "certified"]

PERIOD_NS = NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedConstants:
    """Constants of `certified`; all are our choices.

    Parameters
    ----------
    growth_per_s
        By what part of itself the traffic may grow in a second: insured until replicas that are asked for now serve.
    quantile
        Share of the replayed queries whose delay at each stage counts; 1 for the longest.
    replay_s, replay_queries
        The replay takes the last arrivals of so long, but at most so many of them.
    hold_s
        What was needed so long ago, or later, is needed still.
    drain_s
        A backlog shall be gone so long after the replicas that drain it serve.
    """

    growth_per_s: float = 0.2
    quantile: float = 0.99
    replay_s: float = 60.0
    replay_queries: int = 8192
    hold_s: float = 40.0
    drain_s: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedNote:
    """What `certified` remembers: its counts, and what the published tuner would have done."""

    holding: HoldingNote
    budget: Budget


def certified(
    situation: Situation, observation: Observation, note: CertifiedNote | None
) -> tuple[Decision, CertifiedNote]:
    """Decide as the module says; to be called every `PERIOD_NS`.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; options are `CertifiedConstants`.
    """
    given = constants(CertifiedConstants, situation.options)
    expected = demand(situation, observation, growth_per_s=given.growth_per_s, period_ns=PERIOD_NS)
    rate_qps = {name: rate * expected.growth[name] for name, rate in expected.rate_qps.items()}
    budget = budget_after(situation, observation, None if note is None else note.budget)
    before = None if note is None else note.holding
    sized, used = _sized(situation, observation, rate_qps, last_sized(observation, before), given)
    window_ns = round(given.replay_s * NANO)
    reasons = {
        name: Reason(rule="certified", window_ns=window_ns, measured=used, threshold=rate_qps[name]) for name in sized
    }
    wanted = wanting(
        situation, observation, before, expected, sized, reasons, hold_s=given.hold_s, drain_s=given.drain_s
    )
    granted, spending = within_budget(situation, budget, wanted.replicas, wanted.needed)
    cut = {
        name: Reason(rule="budget", measured=wanted.replicas[name], threshold=count)
        for name, count in granted.items()
        if count < wanted.replicas[name]
    }
    granted_now = replace(wanted, replicas=granted, reasons={**wanted.reasons, **cut})
    decision, holding = asking(situation, observation, before, granted_now)
    return decision, CertifiedNote(holding=holding, budget=replace(budget, spending=spending))


def _sized(
    situation: Situation,
    observation: Observation,
    rate_qps: Mapping[str, float],
    start: Mapping[str, int],
    given: CertifiedConstants,
) -> tuple[dict[str, int], float]:
    """Return the cheapest counts that keep every path within its latency, and the most of one that they use."""
    pipeline, plan = situation.pipeline, situation.plan
    span_ns = round(given.replay_s * NANO)
    replays, bounds, price = {}, {}, {}
    for stage in pipeline.stages:
        name, rate = stage.name, rate_qps[stage.name]
        arrival_ns = observation.stages[name].arrival_ns
        if rate > 0.0:
            replays[name] = replay_ns(arrival_ns, observation.now_ns, span_ns, int(given.replay_queries), rate)
        stable = math.floor(rate / throughput_qps(situation.batch_latency_ns[name])) + 1
        bounds[name] = (min(max(stable, stage.min_replicas), stage.max_replicas), stage.max_replicas)
        price[name] = pipeline.unit(plan.configuration[name].hardware).price_nano_usd_per_hour

    @cache
    def delay(name: str, replicas: int) -> float:
        replay, table_ns = replays.get(name), situation.batch_latency_ns[name]
        if replay is None or replay.size == 0:
            return float(table_ns[0])
        return _delay_ns(replay, table_ns, replicas, rate_qps[name], given.quantile)

    return size(latency_paths(pipeline, plan), delay, start, bounds, price)


def _delay_ns(
    replay: NDArray[np.float64], table_ns: tuple[int, ...], replicas: int, rate_qps: float, quantile: float
) -> float:
    """Return the delay of a stage with so many replicas, nobody's longer where the quantile is 1."""
    if quantile >= 1.0:
        return delay_bound_ns(WholeTrace(np.rint(replay).astype(np.int64)), table_ns, replicas)
    return delay_ns(replay, table_ns, replicas, rate_qps, quantile)
