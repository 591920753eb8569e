"""The twin: the cheapest counts with which a simulation of what may come keeps the SLO.

Each tick:

1. The last two minutes' arrivals are taken once more as the near future, with the branches that queries took lately,
   at the rate to be ready for when a replica that is asked for now serves (`tuner.policies.demand`).
2. That is simulated, through the whole pipeline, with several choices of counts: replicas are added where they save
   most late queries per price until few enough are late, and taken away, some stages at each tick, as long as few
   enough remain late (`tuner.policies.search`).
3. The counts are held for a while, and what has piled up is drained fast (`tuner.policies.holding`).

A bound adds up what no single query suffers, and it knows no percentile; the simulation is what the planner decides
by, and it takes a millisecond. More may be late in it than the SLO lets: it shows the traffic after it has grown as
far as is insured, and hardly ever does it grow so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from inferline.errors import Fault, InputError
from inferline.units import NANO
from tuner.policies.bounds import constants
from tuner.policies.delays import throughput_qps
from tuner.policies.demand import Demand, demand
from tuner.policies.future import fresh
from tuner.policies.holding import HoldingNote, asking, last_sized, wanting
from tuner.policies.replayed import replay_ns
from tuner.policies.search import Bounds, cheapest, dearest_first
from tuner.situation import Decision, Observation, Reason, Situation

__all__ = ["PERIOD_NS", "TwinConstants", "twin"]

PERIOD_NS = NANO

_TAKES = 3
"""Stages of which replicas may be taken away in one tick."""

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinConstants:
    """Constants of `twin`; all are our choices.

    Parameters
    ----------
    growth_per_s
        By what part of itself the traffic may grow in a second: insured until replicas that are asked for now serve.
    late_share
        Of the simulated queries, those that may be late.
    spare
        Replicas are taken away while no more than this part of those are late: the next tick shall not bring them
        back.
    replay_s, replay_queries
        The simulation takes the last arrivals of so long, but at most so many of them.
    looks
        Most simulations in one tick; the next one goes on.
    hold_s
        What was needed so long ago, or later, is needed still.
    drain_s
        A backlog shall be gone so long after the replicas that drain it serve.
    """

    growth_per_s: float = 0.06
    late_share: float = 0.05
    spare: float = 0.6
    replay_s: float = 120.0
    replay_queries: int = 8192
    looks: int = 32
    hold_s: float = 40.0
    drain_s: float = 0.25


def twin(situation: Situation, observation: Observation, note: HoldingNote | None) -> tuple[Decision, HoldingNote]:
    """Decide as the module says; to be called every `PERIOD_NS`.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; options are `TwinConstants`.

    Raises
    ------
    InputError
        When the situation has no simulator.
    """
    given = constants(TwinConstants, situation.options)
    expected = demand(situation, observation, growth_per_s=given.growth_per_s, period_ns=PERIOD_NS)
    sized, late = _sized(situation, observation, expected, last_sized(observation, note), given)
    reason = Reason(
        rule="simulated", window_ns=round(given.replay_s * NANO), measured=late, threshold=given.late_share
    )
    reasons = dict.fromkeys(sized, reason)
    wanted = wanting(
        situation, observation, note, expected, sized, reasons, hold_s=given.hold_s, drain_s=given.drain_s
    )
    return asking(situation, observation, note, wanted)


def _sized(
    situation: Situation, observation: Observation, expected: Demand, start: Counts, given: TwinConstants
) -> tuple[dict[str, int], float]:
    """Return the cheapest counts that were found to suffice, and the share of the simulated queries that is late."""
    pipeline = situation.pipeline
    # The simulation has grown as far as the stage that takes longest to start lets it; a stage that starts sooner
    # will have grown with it from what it needs now.
    most_grown = max(expected.growth.values())
    grown = {name: most_grown / times for name, times in expected.growth.items()}
    entry = next(stage.name for stage in pipeline.stages if stage.is_entry)
    bounds = {}
    for stage in pipeline.stages:
        rate_qps = expected.rate_qps[stage.name] * expected.growth[stage.name]
        stable = math.floor(rate_qps / throughput_qps(situation.batch_latency_ns[stage.name])) + 1
        bounds[stage.name] = Bounds(
            least=min(max(stable, stage.min_replicas), stage.max_replicas),
            most=stage.max_replicas,
            price=pipeline.unit(situation.plan.configuration[stage.name].hardware).price_nano_usd_per_hour,
        )
    late_of = _simulation(situation, observation, expected, entry, most_grown, given)
    if late_of is None:
        return {name: each.least for name, each in bounds.items()}, 0.0
    queries, late = late_of
    return cheapest(
        start,
        bounds,
        lambda counts: late({name: math.floor(count * grown[name]) for name, count in counts.items()}) / queries,
        enough=given.late_share,
        spare=given.late_share * given.spare,
        looks=int(given.looks),
        fewer_of=_in_turn(bounds, observation.now_ns // PERIOD_NS),
    )


def _in_turn(bounds: Mapping[str, Bounds], tick: int) -> list[str]:
    """Return the stages of which this tick tries to take replicas away: giving back is not urgent, and looks cost."""
    names = dearest_first(bounds)
    return [names[(tick * _TAKES + place) % len(names)] for place in range(min(_TAKES, len(names)))]


def _simulation(
    situation: Situation,
    observation: Observation,
    expected: Demand,
    entry: str,
    growth: float,
    given: TwinConstants,
) -> tuple[int, Callable[[Counts], int]] | None:
    """Return how many queries are simulated, and how many of them are late with given counts; None without any."""
    simulate = situation.simulate
    if simulate is None:
        raise InputError(Fault("", "policy", "twin looks ahead and needs a simulator; none was handed in"))
    if expected.rate_qps[entry] <= 0.0:
        return None
    replay = replay_ns(
        observation.stages[entry].arrival_ns,
        observation.now_ns,
        round(given.replay_s * NANO),
        int(given.replay_queries),
        expected.rate_qps[entry] * growth,
    )
    if replay.size == 0:
        return None
    future = fresh(situation.pipeline, replay, expected.shares)
    slo_ns = situation.plan.slo.latency_ns

    def late(counts: Counts) -> int:
        return int(np.count_nonzero(simulate(situation, future(counts)) > slo_ns))

    return int(replay.size), late
