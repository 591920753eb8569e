"""The twin: the certified counts, checked and trimmed by simulating the next seconds before acting.

Bounds add up what no single query suffers, and they do not know the queue. So the last seconds' arrivals are played
once more as the near future, at the rate to be ready for, from the present backlog, with the replicas that serve now
and those that get ready meanwhile. The certified counts, with those that drain the backlog, are the best that is
looked at; the cheapest counts found with which hardly more queries are late are asked for. A burst that is over
before another replica could serve changes nothing, and so buys nothing; load that stays does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from inferline.errors import Fault, InputError
from inferline.units import NANO
from tuner.policies.bounds import constants, requested
from tuner.policies.certified import Assessment, CertifiedConstants, CertifiedNote, assess, conclude
from tuner.policies.future import futures
from tuner.policies.load import replay_ns
from tuner.situation import Decision, Observation, Situation

__all__ = ["PERIOD_NS", "TwinConstants", "TwinNote", "twin"]

PERIOD_NS = NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinConstants:
    """Constants of `twin`, beside those of `tuner.policies.certified.CertifiedConstants`; all are our choices.

    Parameters
    ----------
    look_s, look_queries
        The future is the arrivals of the last so many seconds, but at most so many of them.
    late_share
        Of the queries that the SLO's percentile lets be late, the share that cheaper counts may add.
    looks
        Most simulations in one tick.
    """

    look_s: float = 30.0
    look_queries: int = 8192
    late_share: float = 0.2
    looks: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinNote:
    """What `twin` remembers.

    Parameters
    ----------
    certified
        What the certified tuner remembers.
    chosen
        (instant, counts) of the hold time.
    """

    certified: CertifiedNote
    chosen: tuple[tuple[int, Mapping[str, int]], ...]


Late = Callable[[Mapping[str, int]], int]
"""How many of the fresh queries are late with such counts."""


def twin(situation: Situation, observation: Observation, note: TwinNote | None) -> tuple[Decision, TwinNote]:
    """Decide as the module says; to be called every `PERIOD_NS`.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; options are `TwinConstants` and `CertifiedConstants`.

    Raises
    ------
    InputError
        When the situation has no simulator.
    """
    own = {field.name for field in fields(TwinConstants)}
    given = constants(TwinConstants, {name: value for name, value in situation.options.items() if name in own})
    shared = constants(
        CertifiedConstants, {name: value for name, value in situation.options.items() if name not in own}
    )
    before = None if note is None else note.certified
    assessed = assess(situation, observation, before, shared)
    most = {name: max(count, assessed.draining[name]) for name, count in assessed.sized.items()}
    least = {name: max(count, assessed.draining[name]) for name, count in assessed.least.items()}
    now_ns = observation.now_ns
    start = requested(observation) if note is None else note.chosen[-1][1]
    start = {name: min(max(start[name], least[name]), most[name]) for name in most}
    looking = _looking(situation, observation, before, assessed, given)
    chosen = most if looking is None else _cheapest(situation, start, least, most, looking, given)
    since_ns = now_ns - round(shared.hold_s * NANO)
    recent = (*(each for each in (() if note is None else note.chosen) if each[0] > since_ns), (now_ns, chosen))
    held = {name: min(most[name], max(counts[name] for _, counts in recent)) for name in chosen}
    decision, after = conclude(situation, observation, before, shared, assessed, held, "simulated")
    # The certified counts go on from their own, not from these.
    return decision, TwinNote(certified=replace(after, sized=assessed.sized), chosen=recent)


def _looking(
    situation: Situation,
    observation: Observation,
    note: CertifiedNote | None,
    assessed: Assessment,
    given: TwinConstants,
) -> tuple[Late, int] | None:
    """Return what looks into the future, and how many fresh queries it sees; None when nothing has come lately."""
    simulate = situation.simulate
    if simulate is None:
        raise InputError(Fault("", "policy", "twin looks ahead and needs a simulator; none was handed in"))
    entry = next(stage.name for stage in situation.pipeline.stages if stage.is_entry)
    look_ns, most = round(given.look_s * NANO), int(given.look_queries)
    rate = assessed.rate_qps[entry]
    if rate <= 0.0:
        return None
    replay = replay_ns(observation.stages[entry].arrival_ns, observation.now_ns, look_ns, most, rate)
    if replay.size == 0:
        return None
    asked = {} if note is None else note.asked
    future = futures(situation, observation, replay, assessed.shares, asked)

    def late(counts: Mapping[str, int]) -> int:
        latency_ns = simulate(situation, future(counts))
        return int(np.count_nonzero(latency_ns[latency_ns.size - replay.size :] > situation.plan.slo.latency_ns))

    return late, replay.size


def _cheapest(
    situation: Situation,
    start: Mapping[str, int],
    least: Mapping[str, int],
    most: Mapping[str, int],
    looking: tuple[Late, int],
    given: TwinConstants,
) -> Mapping[str, int]:
    """Return the cheapest counts that were found good enough, at most ``most``.

    From the counts to start with, which were good at the tick before: when they are good still, replicas are taken
    away, the dearest first; when not, the first good ones on the way to ``most`` are taken.
    """
    late, queries = looking
    allowed = late(most) + math.floor(situation.plan.slo.allowance(queries) * given.late_share)
    if late(start) > allowed:
        for part in (0.25, 0.5, 0.75):
            between = {name: count + math.ceil(part * (most[name] - count)) for name, count in start.items()}
            if late(between) <= allowed:
                return between
        return most
    chosen = dict(start)
    for name, fewer in _fewer(situation, start, least, max(0, int(given.looks) - 2)):
        if late({**chosen, name: fewer}) <= allowed:
            chosen[name] = fewer
    return chosen


def _fewer(
    situation: Situation, counts: Mapping[str, int], least: Mapping[str, int], looks: int
) -> Iterator[tuple[str, int]]:
    """Yield stages with a tenth of their replicas less, and how many that leaves: what saves most comes first."""
    configuration, pipeline = situation.plan.configuration, situation.pipeline
    saved = {
        name: pipeline.unit(configuration[name].hardware).price_nano_usd_per_hour * max(1, count // 10)
        for name, count in counts.items()
        if count - max(1, count // 10) >= least[name]
    }
    for name in sorted(saved, key=lambda name: -saved[name])[:looks]:
        yield name, counts[name] - max(1, counts[name] // 10)
