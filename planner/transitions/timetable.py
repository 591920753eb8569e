"""When each step of a transition begins, has taken effect and has settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Configuration, Pipeline, Profile
from inferline.errors import InputError
from inferline.units import MAX_TIME_NS, NANO
from planner.problem import Problem
from planner.transitions.transition import ADD, REMOVE, SWITCH, Transition, TransitionStep
from simulator.epochs import Epoch, Schedule

__all__ = [
    "ASSUMED_ACTIVATION_NS",
    "ActivationDelay",
    "Pace",
    "Slot",
    "activation_delay",
    "activation_delays",
    "schedule",
    "timetable",
]

Instants = NDArray[np.int64]

ASSUMED_ACTIVATION_NS = 5 * NANO
"""Activation delay where nobody says one. It is no measurement: whatever rests on it has to say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationDelay:
    """From the request for a replica to its first answer.

    Parameters
    ----------
    delay_ns
        The delay.
    source
        ``given``: by the user; ``profile``: its ``load_s``; ``assumed``: nobody says one.
    """

    delay_ns: int
    source: str


def activation_delay(profile: Profile, given_ns: int | None = None) -> ActivationDelay:
    """Return the activation delay of a model on a hardware.

    Parameters
    ----------
    profile
        Its profile; of several cold starts the longest counts.
    given_ns
        Instead of what the profile says; None for nothing.
    """
    if given_ns is not None:
        return ActivationDelay(delay_ns=given_ns, source="given")
    known = profile.load_s[np.isfinite(profile.load_s)]
    if known.size:
        return ActivationDelay(delay_ns=round(min(float(known.max()) * NANO, MAX_TIME_NS)), source="profile")
    return ActivationDelay(delay_ns=ASSUMED_ACTIVATION_NS, source="assumed")


def activation_delays(
    pipeline: Pipeline,
    profiles: Mapping[tuple[str, str], Profile],
    before: Configuration,
    after: Configuration,
    given_ns: int | None = None,
) -> Mapping[tuple[str, str], ActivationDelay]:
    """Return the activation delay of every (stage, hardware) that gets replicas between two configurations.

    Parameters
    ----------
    pipeline, profiles
        The stages, and the profiles by (model, hardware).
    before, after
        Where the transition begins and ends.
    given_ns
        Instead of what the profiles say; None for nothing.
    """
    delays = {}
    for stage in pipeline.stages:
        was, becomes = before[stage.name], after[stage.name]
        if was.hardware != becomes.hardware or was.replicas < becomes.replicas:
            profile = profiles[stage.model, becomes.hardware]
            delays[stage.name, becomes.hardware] = activation_delay(profile, given_ns)
    return delays


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a transition goes.

    Parameters
    ----------
    activation_ns
        Activation delay of (stage, hardware), for every pair that replicas are added to.
    settle_ns
        Time from the end of a step to the beginning of the next.
    begin_ns
        When the first step begins; None for the beginning of the busiest stretch of the trace that is as long as the
        transition: of all stretches the one in which most queries arrive.
    """

    activation_ns: Mapping[tuple[str, str], int]
    settle_ns: int
    begin_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The time of one step.

    Parameters
    ----------
    begin_ns
        When it is asked for.
    ready_ns
        When it is done: added replicas answer, replaced or removed ones have finished what they had in service.
    end_ns
        When it has settled, and the next step begins.
    """

    begin_ns: int
    ready_ns: int
    end_ns: int


def timetable(problem: Problem, transition: Transition, pace: Pace) -> tuple[Slot, ...]:
    """Return the time of each step.

    A step that adds replicas is done when their activation delay has passed. A step that changes a batch size,
    switches, or takes serving replicas away is done when the longest batch that may be in service has ended: so no
    unit of hardware is asked for again before it is free.

    Raises
    ------
    InputError
        When the transition would end beyond 2**62 ns.
    """
    lengths = [_length_ns(problem, step, pace) for step in transition.steps]
    now = pace.begin_ns
    if now is None:
        now = _busiest_ns(problem.trace.arrival_ns, sum(lengths) + pace.settle_ns * len(lengths))
    slots = []
    for length in lengths:
        slots.append(Slot(begin_ns=now, ready_ns=now + length, end_ns=now + length + pace.settle_ns))
        now = slots[-1].end_ns
    if now > MAX_TIME_NS:
        raise InputError(f"the transition would end {now} ns from the start of the trace, beyond 2**62 ns")
    return tuple(slots)


def _length_ns(problem: Problem, step: TransitionStep, pace: Pace) -> int:
    if step.kind == ADD:
        return pace.activation_ns[step.stage, step.hardware]
    if step.kind == REMOVE and not step.serving:
        return 0
    return int(problem.options[step.stage][step.from_hardware].latency_ns[: step.from_batch].max())


def _busiest_ns(arrival_ns: Instants, length_ns: int) -> int:
    """Return the beginning of the stretch of that length in which most queries arrive; the first of several."""
    ends = arrival_ns + min(length_ns, MAX_TIME_NS - 1)  # so that no sum needs more than 63 bits
    within = np.searchsorted(arrival_ns, ends, side="left") - np.arange(arrival_ns.size)
    return int(arrival_ns[np.argmax(within)])


def schedule(problem: Problem, transition: Transition, slots: Sequence[Slot]) -> Schedule:
    """Return the epochs that the steps make at each station.

    Added replicas serve when they are ready; everything else holds from the beginning of its step on. Replicas that
    stand by, or no longer serve, are nothing that a station sees.
    """
    epochs: dict[str, list[Epoch]] = {}
    for step, slot in zip(transition.steps, slots, strict=True):
        if not step.serving:
            continue
        of_stage = epochs.setdefault(step.stage, [])
        start_ns = slot.ready_ns if step.kind == ADD else slot.begin_ns
        # Of two changes at one instant only the later would ever be seen.
        replaced = of_stage.pop() if of_stage and of_stage[-1].start_ns == start_ns else None
        table_ns = problem.options[step.stage][step.hardware].latency_ns[: step.max_batch]
        of_stage.append(
            Epoch(
                start_ns=start_ns,
                batch_latency_ns=table_ns.tolist(),
                replicas=step.replicas,
                new_hardware=step.kind == SWITCH or (replaced is not None and replaced.new_hardware),
            )
        )
    return epochs
