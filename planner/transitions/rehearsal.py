"""A transition played on a trace before it is done: what the queries see that arrive while each step runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice, permutations
from typing import get_args

from inferline.domain import Configuration
from inferline.units import NANO
from planner.prediction import latency_ns
from planner.problem import Problem
from planner.transitions.periods import Period, Seen, arriving, period, seen
from planner.transitions.timetable import Pace, Slot, schedule, timetable
from planner.transitions.transition import ADD, REMOVE, BatchPlace, Transition, plan_transition
from simulator import Result
from simulator.cluster import simulate_cluster

__all__ = ["Rehearsal", "rehearse"]

_HOUR_NS = 3600 * NANO
_MOST_ORDERS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A transition and what it does to the queries of a trace.

    Parameters
    ----------
    transition
        The steps.
    steps
        One period per step.
    before, whole, after
        The periods before the first step, of all steps together, and after the last one.
    old, new
        What all queries of the trace see in the steady states before and after.
    cost_nano_usd
        What all replicas cost from the beginning of the first step to the end of the last.
    peak_nano_usd_per_hour
        The most that is paid per hour, before the first step or while one runs.
    """

    transition: Transition
    steps: tuple[Period, ...]
    before: Period
    whole: Period
    after: Period
    old: Seen
    new: Seen
    cost_nano_usd: int
    peak_nano_usd_per_hour: int

    @property
    def worst(self) -> int | None:
        """Place of the step with the highest latency at the SLO's percentile; None when no query arrives at all."""
        latency = {
            place: period.seen.latency_ns or 0 for place, period in enumerate(self.steps) if period.seen.queries
        }
        return max(latency, key=lambda place: latency[place], default=None)

    @property
    def slo_met(self) -> bool:
        """Whether the SLO holds for the queries of every single step."""
        return all(period.seen.slo_met for period in self.steps)


def rehearse(problem: Problem, old: Configuration, new: Configuration, pace: Pace) -> Rehearsal:
    """Plan the transition between two configurations and simulate it on the problem's trace.

    Two things are left to the simulation: the order of the hardware (every order is tried, 24 at most), and then
    where each change of batch size stands (every `BatchPlace`, one stage after the other). What is kept has the
    lowest latency at the SLO's percentile in its worst step, then the fewest late queries; of equals the first. The
    first follows the pipeline file, and has batch sizes change between additions and removals.

    Parameters
    ----------
    problem
        Pipeline, profiles, trace and routes.
    old, new
        Where the transition begins and ends.
    pace
        When its steps begin.
    """
    best = _Play(problem, plan_transition(problem, old, new), pace)
    # All at the same instant, so that they differ in nothing else.
    at = replace(pace, begin_ns=best.slots[0].begin_ns) if best.slots else pace
    changing = {step.hardware for step in best.transition.steps if step.kind in (ADD, REMOVE)}
    tried = {best.transition.steps}
    for order in islice(
        permutations(name for name in best.transition.hardware_order if name in changing), _MOST_ORDERS
    ):
        other = plan_transition(problem, old, new, hardware_order=order)
        if other.steps not in tried:
            tried.add(other.steps)
            best = _better(best, _Play(problem, other, at))
    for name in best.transition.batch_places:
        for place in get_args(BatchPlace):
            chosen = best.transition
            places = {**chosen.batch_places, name: place}
            if places != chosen.batch_places:
                first = chosen.hardware_order
                other = plan_transition(problem, old, new, hardware_order=first, batch_places=places)
                best = _better(best, _Play(problem, other, at))
    return _rehearsal(best)


def _better(one: _Play, other: _Play) -> _Play:
    return min(one, other, key=lambda play: play.score)


class _Play:
    """One order of the steps, simulated."""

    def __init__(self, problem: Problem, transition: Transition, pace: Pace) -> None:
        self.problem, self.transition = problem, transition
        self.slots = timetable(problem, transition, pace)
        latency = self.simulated(record_visits=False).latency_ns
        steps = [seen(problem.pipeline.slo, latency[arriving(problem, slot)]) for slot in self.slots]
        self.score = (max((step.latency_ns or 0 for step in steps), default=0), sum(step.late for step in steps))

    def simulated(self, *, record_visits: bool) -> Result:
        """Return what the queries of the whole trace see."""
        problem = self.problem
        return simulate_cluster(
            problem.network(self.transition.old),
            schedule(problem, self.transition, self.slots),
            problem.trace.arrival_ns,
            problem.routes,
            record_visits=record_visits,
        )


def _rehearsal(play: _Play) -> Rehearsal:
    problem, transition, slots = play.problem, play.transition, play.slots
    result = play.simulated(record_visits=True)
    with_old, with_new = latency_ns(problem, transition.old), latency_ns(problem, transition.new)
    end_ns = max(problem.trace.duration_ns, int((problem.trace.arrival_ns + result.latency_ns).max())) + 1

    def within(begin_ns: int, ready_ns: int, end_ns: int) -> Period:
        return period(problem, Slot(begin_ns=begin_ns, ready_ns=ready_ns, end_ns=end_ns), result, with_old, with_new)

    begin, end = (slots[0].begin_ns, slots[-1].end_ns) if slots else (0, 0)
    paid = sum(
        step.cost_nano_usd_per_hour * (slot.end_ns - slot.begin_ns)
        for step, slot in zip(transition.steps, slots, strict=True)
    )
    return Rehearsal(
        transition=transition,
        steps=tuple(period(problem, slot, result, with_old, with_new) for slot in slots),
        before=within(0, 0, begin),
        whole=within(begin, end, end),
        after=within(end, end, max(end, end_ns)),
        old=seen(problem.pipeline.slo, with_old),
        new=seen(problem.pipeline.slo, with_new),
        cost_nano_usd=(paid + _HOUR_NS // 2) // _HOUR_NS,
        peak_nano_usd_per_hour=max(
            transition.old.cost_nano_usd_per_hour(problem.pipeline),
            *(step.cost_nano_usd_per_hour for step in transition.steps),
            0,
        ),
    )
