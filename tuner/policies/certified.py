"""The certified tuner: at every stage as many replicas as the arrivals at its own queue are shown to need.

Each tick:

1. The rate to be ready for when a replica that is asked for now serves (`tuner.policies.demand`), for every stage:
   what arrives at its own queue, what its parents are about to send on, and how much more came of such a rate before.
2. For traffic within the plan's envelope the plan's own counts are enough, for so many times of it so many times of
   them, and at lower rates at least their share is needed (`tuner.policies.evidence`).
3. Within these bounds, the recent arrivals are replayed at that rate, and the cheapest counts are found with which
   the delays of the stages (`tuner.policies.delays`) keep every path within its latency (`tuner.policies.sizing`).
   The delays are those that the wanted share of the replayed queries keeps, not those of the unluckiest one.
4. What has piled up is drained fast (`tuner.policies.backlog`).

Counts go up at once, and come down to those for the highest rate of the last `hold_s`, so that one quiet moment takes
nothing away. What was asked for to drain a backlog goes as soon as there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from inferline.units import NANO
from tuner.policies.backlog import Asked, asked_after, draining
from tuner.policies.bounds import constants, decide, requested
from tuner.policies.delays import delay_ns, throughput_qps
from tuner.policies.demand import Headroom, rates_expected, shares_seen
from tuner.policies.evidence import excess, planned_bounds
from tuner.policies.load import LoadNote, replay_ns
from tuner.policies.sizing import latency_paths, size
from tuner.situation import Decision, Observation, Reason, Situation

__all__ = ["PERIOD_NS", "Assessment", "CertifiedConstants", "CertifiedNote", "assess", "certified", "conclude"]

PERIOD_NS = NANO

Rates = Mapping[str, float]
"""Queries per second, by stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedConstants:
    """Constants of `certified`; all are our choices.

    Parameters
    ----------
    quantile
        Share of the replayed queries whose delay at each stage counts: 0.99, as in the plan's evidence.
    headroom_quantile
        Share of the past growths, within an activation delay, that the headroom covers.
    memory_s
        How far back growth counts.
    least_headroom, most_headroom
        Bounds of the headroom.
    replay_s, replay_queries
        The replay takes the last arrivals of so long, but at most so many of them.
    hold_s
        Counts come down to those for the highest rate of so long.
    keep_s
        Of the plan's counts, what was needed so long ago or later is kept: 120 s, for which AutoScale (Gandhi et al.,
        TOCS 2012) leaves on what has no work. Not longer than arrivals are seen.
    beyond_s
        As many times as the plan's envelope was exceeded, its counts are taken to be enough for so long.
    drain_s
        A backlog shall be gone so long after the replicas that drain it serve.
    slack
        Factor on the latency that each path may take.
    """

    quantile: float = 0.99
    headroom_quantile: float = 0.99
    memory_s: float = 600.0
    least_headroom: float = 1.08
    most_headroom: float = 3.0
    replay_s: float = 60.0
    replay_queries: int = 8192
    hold_s: float = 15.0
    keep_s: float = 120.0
    beyond_s: float = 600.0
    drain_s: float = 0.25
    slack: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedNote:
    """What `certified` remembers.

    Parameters
    ----------
    first_ns
        The first tick.
    loads
        By stage.
    rates
        (instant, rates to be ready for) of the hold time.
    excesses
        (instant, times the plan's envelope), the largest since, of the time that they count.
    sized
        The counts that were found.
    asked
        What may still be starting.
    """

    first_ns: int
    loads: Mapping[str, LoadNote]
    rates: tuple[tuple[int, Rates], ...]
    excesses: tuple[tuple[int, float], ...]
    sized: Mapping[str, int]
    asked: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What a tick has found before it decides.

    Parameters
    ----------
    loads, rates, excesses
        To be remembered.
    rate_qps
        The highest rates to be ready for of the hold time.
    shares
        By edge, of the last minute.
    least
        By stage, the counts below which the rate is not carried, or the plan's share not kept.
    sized
        By stage, the cheapest counts that are certified at that rate.
    used
        Largest share of a path's latency that they use; above 1 when more replicas would not help.
    draining
        By stage, the counts that drain the backlog; 0 for none.
    """

    loads: Mapping[str, LoadNote]
    rates: tuple[tuple[int, Rates], ...]
    excesses: tuple[tuple[int, float], ...]
    rate_qps: Rates
    shares: Mapping[tuple[str, str], float]
    least: Mapping[str, int]
    sized: Mapping[str, int]
    used: float
    draining: Mapping[str, int]


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
    assessed = assess(situation, observation, note, given)
    return conclude(situation, observation, note, given, assessed, assessed.sized, "certified")


def assess(
    situation: Situation, observation: Observation, note: CertifiedNote | None, given: CertifiedConstants
) -> Assessment:
    """Find the rates to be ready for, the certified counts and those that drain the backlog."""
    now_ns = observation.now_ns
    shares = shares_seen(situation, observation)
    headroom = Headroom(
        lead_ns=PERIOD_NS,
        quantile=given.headroom_quantile,
        memory_ns=round(given.memory_s * NANO),
        least=given.least_headroom,
        most=given.most_headroom,
    )
    now_qps, loads = rates_expected(situation, observation, shares, None if note is None else note.loads, headroom)
    since_ns = now_ns - round(given.hold_s * NANO)
    before = () if note is None else tuple(each for each in note.rates if each[0] > since_ns)
    rates = (*before, (now_ns, now_qps))
    rate_qps = {name: max(each[name] for _, each in rates) for name in now_qps}
    excesses = _excesses(situation, observation, note, round(given.beyond_s * NANO))
    times = max((each for _, each in excesses), default=1.0)
    start = requested(observation) if note is None else note.sized
    sized, used, least = _sized(situation, observation, given, rate_qps, start, times)
    asked = {} if note is None else note.asked
    return Assessment(
        loads=loads,
        rates=rates,
        excesses=excesses,
        rate_qps=rate_qps,
        shares=shares,
        least=least,
        sized=sized,
        used=used,
        draining=draining(situation, observation, asked, now_qps, shares, max(given.drain_s, 1e-3)),
    )


def conclude(
    situation: Situation,
    observation: Observation,
    note: CertifiedNote | None,
    given: CertifiedConstants,
    assessed: Assessment,
    sized: Mapping[str, int],
    rule: str,
) -> tuple[Decision, CertifiedNote]:
    """Return the decision for counts: those and what drains the backlog; in the first hold time nothing is taken."""
    now_ns = observation.now_ns
    first_ns = now_ns if note is None else note.first_ns
    present = requested(observation) if now_ns - first_ns < round(given.hold_s * NANO) else {}
    wanted, reasons = {}, {}
    for name, count in sized.items():
        wanted[name] = max(count, present.get(name, 0), assessed.draining[name])
        reasons[name] = Reason(
            rule=rule,
            window_ns=round(given.replay_s * NANO),
            measured=assessed.used,
            threshold=assessed.rate_qps[name],
        )
        if assessed.draining[name] > count:
            queued = observation.stages[name].queued
            reasons[name] = Reason(rule="backlog", window_ns=round(given.drain_s * NANO), measured=queued)
    decision = decide(situation, observation, wanted, reasons)
    return decision, CertifiedNote(
        first_ns=first_ns,
        loads=assessed.loads,
        rates=assessed.rates,
        excesses=assessed.excesses,
        sized=sized,
        asked=asked_after(situation, observation, {} if note is None else note.asked, decision.replicas),
    )


def _excesses(
    situation: Situation, observation: Observation, note: CertifiedNote | None, memory_ns: int
) -> tuple[tuple[int, float], ...]:
    """Return by how much the plan's envelope was exceeded, this tick included; what a later one tops is left out."""
    if note is None:
        return ()
    entry = next(stage.name for stage in situation.pipeline.stages if stage.is_entry)
    tick_ns, _ = note.rates[-1]
    times = excess(situation.plan, observation.stages[entry].arrival_ns, tick_ns)
    before = (each for each in note.excesses if each[0] > observation.now_ns - memory_ns and each[1] > times)
    return (*before, (observation.now_ns, times)) if times > 1.0 else tuple(before)


def _sized(
    situation: Situation,
    observation: Observation,
    given: CertifiedConstants,
    rate_qps: Rates,
    start: Mapping[str, int],
    times: float,
) -> tuple[dict[str, int], float, dict[str, int]]:
    """Return the cheapest counts that keep every path within its latency, what of it they use, and the least counts.

    ``times`` is how many times the plan's envelope the traffic was lately. Of the counts that are enough because so
    many times the plan's are, and of those that are enough by the delays alone, the cheaper ones are taken.
    """
    pipeline, plan, now_ns = situation.pipeline, situation.plan, observation.now_ns
    hold_ns, keep_ns = round(given.hold_s * NANO), round(given.keep_s * NANO)
    replay_span_ns = round(given.replay_s * NANO)
    replays, free, planned, price = {}, {}, {}, {}
    for stage in pipeline.stages:
        name, rate = stage.name, rate_qps[stage.name]
        arrival_ns = observation.stages[name].arrival_ns
        if rate > 0.0:
            replays[name] = replay_ns(arrival_ns, now_ns, replay_span_ns, int(given.replay_queries), rate)
        least, most = planned_bounds(
            plan, name, arrival_ns, now_ns, hold_ns=hold_ns, keep_ns=keep_ns, rate_qps=rate, times=times
        )
        stable = math.floor(rate / throughput_qps(situation.batch_latency_ns[name])) + 1
        least = min(max(least, stable, stage.min_replicas), stage.max_replicas)
        free[name] = (least, stage.max_replicas)
        planned[name] = (least, stage.max_replicas if most is None else min(max(most, least), stage.max_replicas))
        price[name] = pipeline.unit(plan.configuration[name].hardware).price_nano_usd_per_hour
    delay = cache(partial(_delay_ns, situation, replays, rate_qps, given.quantile))
    paths = latency_paths(pipeline, plan, given.slack)
    found = [size(paths, delay, start, bounds, price) for bounds in (planned, free)]
    counts, used = min(found, key=lambda each: sum(price[name] * count for name, count in each[0].items()))
    return counts, used, {name: least for name, (least, _) in free.items()}


def _delay_ns(
    situation: Situation,
    replays: Mapping[str, NDArray[np.float64]],
    rate_qps: Rates,
    quantile: float,
    name: str,
    replicas: int,
) -> float:
    """Return the delay of a stage with so many replicas; the service of one query where nothing comes."""
    table_ns = situation.batch_latency_ns[name]
    replay = replays.get(name)
    if replay is None or replay.size == 0:
        return float(table_ns[0])
    return delay_ns(replay, table_ns, replicas, rate_qps[name], quantile)
