"""What the published tuner would pay at the same moment, and what has been saved against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from inferline.units import NANO
from tuner.policies.bounds import requested
from tuner.policies.inferline import InferlineNote, inferline
from tuner.situation import Observation, Situation

__all__ = ["Budget", "budget_after", "within_budget"]

Counts = Mapping[str, int]

_LEAST_S, _ENOUGH_S = 10, 120
"""What is spent beyond the published tuner can go on for so many seconds, at least, from what has been saved; and for
so many when it begins, so that it does not come and go."""

_MEMORY_S = 600
"""No more is kept of savings than the published tuner pays in so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the published tuner would do here, and what has been saved.

    Parameters
    ----------
    now_ns
        The tick.
    counts
        By stage, the replicas that it would have.
    note
        What it would remember.
    saved
        What it would have paid until now less what is paid, in nano-USD per hour times nanoseconds.
    spending
        Whether more was asked for than it would have, at the tick before.
    """

    now_ns: int
    counts: Counts
    note: InferlineNote
    saved: int
    spending: bool


def budget_after(situation: Situation, observation: Observation, before: Budget | None) -> Budget:
    """Return the budget at a tick.

    The published tuner (`tuner.policies.inferline`) is asked what it would do had it been in charge since the first
    tick: it looks at nothing but the arrivals and its own counts.

    Parameters
    ----------
    before
        At the tick before; None at the first.
    """
    counts = (
        {name: chosen.replicas for name, chosen in situation.plan.configuration.items()}
        if before is None
        else before.counts
    )
    seen = {name: replace(stage, requested=counts[name]) for name, stage in observation.stages.items()}
    decision, note = inferline(
        replace(situation, options=MappingProxyType({})),
        Observation(now_ns=observation.now_ns, stages=seen),
        None if before is None else before.note,
    )
    saved = 0
    if before is not None:
        a_tick = cost(situation, before.counts) - cost(situation, requested(observation))
        most = cost(situation, decision.replicas) * _MEMORY_S * NANO
        saved = min(before.saved + a_tick * (observation.now_ns - before.now_ns), most)
    spending = before is not None and before.spending
    return Budget(now_ns=observation.now_ns, counts=decision.replicas, note=note, saved=saved, spending=spending)


def within_budget(situation: Situation, budget: Budget, *choices: Counts) -> tuple[dict[str, int], bool]:
    """Return the first choice that can be paid, and whether that is spending; if none can, what of the last can.

    What costs more than the published tuner pays is granted when the savings pay for it. If they do not, every stage
    gets what it wants up to what the published tuner has, and what that leaves goes, replica by replica, to the stage
    that then has the smallest share of what it wants, as far as it goes.
    """
    for wanted in choices:
        excess = cost(situation, wanted) - cost(situation, budget.counts)
        if excess <= 0:
            return dict(wanted), budget.spending
        if excess * (_LEAST_S if budget.spending else _ENOUGH_S) * NANO <= budget.saved:
            return dict(wanted), True
    granted = {name: min(count, budget.counts[name]) for name, count in wanted.items()}
    left = cost(situation, budget.counts) - cost(situation, granted)
    while True:
        able = [name for name in wanted if granted[name] < wanted[name] and price(situation, name) <= left]
        if not able:
            return granted, False
        poorest = min(able, key=lambda name: granted[name] / wanted[name])
        granted[poorest] += 1
        left -= price(situation, poorest)


def cost(situation: Situation, counts: Counts) -> int:
    """Return what counts cost, in nano-USD per hour."""
    return sum(price(situation, name) * count for name, count in counts.items())


def price(situation: Situation, name: str) -> int:
    """Return what a replica of a stage costs, in nano-USD per hour."""
    hardware = situation.plan.configuration[name].hardware
    return situation.pipeline.unit(hardware).price_nano_usd_per_hour
