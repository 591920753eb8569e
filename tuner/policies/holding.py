"""From the counts that suffice to the counts to ask for: held for a while, and with what drains a backlog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inferline.units import NANO
from tuner.policies.backlog import Asked, asked_after, draining
from tuner.policies.bounds import decide, requested
from tuner.policies.demand import Demand
from tuner.situation import Decision, Observation, Reason, Situation

__all__ = ["HoldingNote", "Wanted", "asking", "last_sized", "wanting"]

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingNote:
    """What is remembered from tick to tick.

    Parameters
    ----------
    first_ns
        The first tick.
    sized
        (instant, the counts that sufficed then) of the hold time, at least the last.
    asked
        What may still be starting.
    """

    first_ns: int
    sized: tuple[tuple[int, Counts], ...]
    asked: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted at a tick.

    Parameters
    ----------
    replicas, reasons
        By stage, how many, and why.
    needed
        By stage, how many were there no backlog.
    first_ns, sized
        To be remembered, as of `HoldingNote`.
    """

    replicas: Counts
    reasons: Mapping[str, Reason]
    needed: Counts
    first_ns: int
    sized: tuple[tuple[int, Counts], ...]


def last_sized(observation: Observation, note: HoldingNote | None) -> dict[str, int]:
    """Return the counts that sufficed at the tick before; at first those that there are."""
    return requested(observation) if note is None else dict(note.sized[-1][1])


def wanting(
    situation: Situation,
    observation: Observation,
    note: HoldingNote | None,
    expected: Demand,
    sized: Counts,
    reasons: Mapping[str, Reason],
    *,
    hold_s: float,
    drain_s: float,
) -> Wanted:
    """Return what is wanted where such counts suffice now.

    A stage grows at once, and shrinks to the most that it needed in the hold time, so that one quiet moment takes
    nothing away; in the first hold time nothing is taken at all. What drains a backlog goes as soon as there is none.

    Parameters
    ----------
    sized
        By stage.
    reasons
        By stage, why it needs so many.
    hold_s
        The hold time.
    drain_s
        A backlog shall be gone so long after the replicas that drain it serve.
    """
    now_ns, hold_ns = observation.now_ns, round(hold_s * NANO)
    first_ns = now_ns if note is None else note.first_ns
    asked = {} if note is None else note.asked
    before = () if note is None else tuple(each for each in note.sized if each[0] > now_ns - hold_ns)
    recent = (*before, (now_ns, sized))
    floor = requested(observation) if now_ns - first_ns < hold_ns else {}
    drains = draining(situation, observation, asked, expected.rate_qps, expected.shares, max(drain_s, 1e-3))
    needed = {name: max(floor.get(name, 0), *(counts[name] for _, counts in recent)) for name in sized}
    replicas = {name: max(count, drains[name]) for name, count in needed.items()}
    drain_ns = round(drain_s * NANO)
    why = {
        name: Reason(rule="backlog", window_ns=drain_ns, measured=observation.stages[name].queued)
        if count > needed[name]
        else reasons[name]
        for name, count in replicas.items()
    }
    return Wanted(replicas=replicas, reasons=why, needed=needed, first_ns=first_ns, sized=recent)


def asking(
    situation: Situation, observation: Observation, note: HoldingNote | None, wanted: Wanted
) -> tuple[Decision, HoldingNote]:
    """Return the decision for what is wanted, within bounds and limits, and what to remember."""
    decision = decide(situation, observation, wanted.replicas, wanted.reasons)
    asked = asked_after(situation, observation, {} if note is None else note.asked, decision.replicas)
    return decision, HoldingNote(first_ns=wanted.first_ns, sized=wanted.sized, asked=asked)
