"""Replicas that no schedule can do without, for a choice of hardware.

Given the hardware of some stages (and any hardware for the others), a query reaches a stage no earlier than after the
least service times before it and must leave it early enough for the least ones after it. One preemptive machine per
stage, as fast as all replicas together at their most efficient batch, serves the queries in time that can be served
in time; if too many are late even so, that number of replicas is infeasible at every batch size, whatever the other
stages run. Nothing here assumes that more replicas or bigger batches help the real system.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from planner.problem import Problem, remaining_ns
from simulator.kernel.relaxation import least_late

__all__ = ["Hardware", "Relaxation", "Windows", "fewest_replicas"]

Instants = NDArray[np.int64]
Hardware = tuple[str | None, ...]
"""Hardware of each stage, in topological order; None for any."""

ROUNDING = 1 - 1e-9
"""Work is taken this much smaller, so that the rounding of floats never makes a bound too high."""


class Windows:
    """When the visits to one stage can begin and must end, both ascending; int64 (visits,) each."""

    __slots__ = ("deadline_ns", "longest_ns", "order", "release_ns")

    def __init__(self, release_ns: Instants, deadline_ns: Instants, visitors: NDArray[np.int32]) -> None:
        order = np.argsort(deadline_ns[visitors], kind="stable")
        self.order = visitors[order]
        self.deadline_ns = deadline_ns[self.order]
        self.release_ns = np.minimum.accumulate(release_ns[self.order][::-1])[::-1]
        spans = self.deadline_ns - self.release_ns
        self.longest_ns = int(spans.max()) if spans.size else 0


def fewest_replicas(
    release_ns: Instants,
    deadline_ns: Instants,
    latency_ns: Instants,
    late_allowed: int,
    longest_ns: int,
    replicas: range,
) -> int | None:
    """Return the fewest replicas in a range that the relaxation does not rule out, or None when it rules out all.

    Parameters
    ----------
    release_ns, deadline_ns
        Of the visits, both ascending.
    latency_ns
        int64 (B,): L(1) ... L(B).
    late_allowed
        How many visits may be late.
    longest_ns
        Longest time from a release to its deadline: a longer batch serves nobody in time.
    replicas
        Ascending; the relaxation is monotone in them.
    """
    fits = latency_ns <= longest_ns
    if release_ns.size <= late_allowed:
        return replicas[0] if replicas else None
    if not replicas or not fits.any():
        return None
    each_ns = float((latency_ns / np.arange(1, latency_ns.size + 1))[fits].min()) * ROUNDING
    least_ns = int(latency_ns.min())

    def ruled_out(count: int) -> bool:
        return least_late(release_ns, deadline_ns, each_ns / count, least_ns, late_allowed) > late_allowed

    low, high = 0, len(replicas) - 1
    if ruled_out(replicas[high]):
        return None
    while low < high:
        middle = (low + high) // 2
        if ruled_out(replicas[middle]):
            low = middle + 1
        else:
            high = middle
    return replicas[low]


class Relaxation:
    """Answers how many replicas each stage needs at least, for a choice of hardware; remembers its answers.

    Parameters
    ----------
    problem
        What is planned.
    survive
        So many replicas must be dispensable: what is left of them is held against the relaxation.
    """

    def __init__(self, problem: Problem, survive: int = 0) -> None:
        self.problem = problem
        self.survive = survive
        self._stages = problem.pipeline.stages
        self._number = {stage.name: place for place, stage in enumerate(self._stages)}
        self._related = self._relatives()
        self._windows: dict[tuple[int, Hardware], Windows] = {}
        self._fewest: dict[tuple[int, str, Hardware], int | None] = {}

    def fewest(self, stage: int, hardware: str, chosen: Hardware) -> int | None:
        """Return the fewest replicas of a stage on a hardware, or None when no number within its bounds will do."""
        mine = tuple(
            hardware if place == stage else (each if place in self._related[stage] else None)
            for place, each in enumerate(chosen)
        )
        key = (stage, hardware, mine)
        if key not in self._fewest:
            windows = self.windows(stage, mine)
            declared = self._stages[stage]
            limit = self.problem.pipeline.unit(hardware).limit
            most = declared.max_replicas if limit is None else min(declared.max_replicas, limit)
            left = fewest_replicas(
                windows.release_ns,
                windows.deadline_ns,
                self.problem.options[declared.name][hardware].latency_ns,
                self.problem.late_allowed,
                windows.longest_ns,
                range(max(1, declared.min_replicas - self.survive), most - self.survive + 1),
            )
            self._fewest[key] = None if left is None else left + self.survive
        return self._fewest[key]

    def bound_nano_usd_per_hour(self, chosen: Hardware) -> int | None:
        """Return what no configuration with this hardware goes below, or None when none meets the SLO."""
        pipeline = self.problem.pipeline
        total = 0
        used: Counter[str] = Counter()
        for place, hardware in enumerate(chosen):
            costs = []
            for name in self.problem.options[self._stages[place].name] if hardware is None else (hardware,):
                fewest = self.fewest(place, name, chosen)
                if fewest is not None:
                    costs.append(fewest * pipeline.unit(name).price_nano_usd_per_hour)
                    used[name] += fewest if hardware is not None else 0
            if not costs:
                return None
            total += min(costs)
        limits = ((unit.limit, used[unit.name]) for unit in pipeline.hardware)
        return None if any(limit is not None and units > limit for limit, units in limits) else total

    def windows(self, stage: int, chosen: Hardware) -> Windows:
        """Return when the visits to a stage can begin and must end, given the hardware of its relatives."""
        key = (stage, tuple(each if place in self._related[stage] else None for place, each in enumerate(chosen)))
        if key not in self._windows:
            if len(self._windows) * len(self.problem.trace) > 20_000_000:
                self._windows.clear()
            released, deadline_ns = self._offsets(chosen)
            name = self._stages[stage].name
            release_ns = self.problem.trace.arrival_ns + released[name]
            self._windows[key] = Windows(release_ns, deadline_ns[name], self.problem.visitors[name])
        return self._windows[key]

    def deadlines(self, chosen: Hardware) -> Mapping[str, Instants]:
        """Return, per stage, the instant after which a query that leaves it is late; int64 (queries,)."""
        return self._offsets(chosen)[1]

    def _least_ns(self, place: int, hardware: str | None) -> int:
        options = self.problem.options[self._stages[place].name]
        return min(option.least_latency_ns for option in options.values() if hardware in (None, option.hardware))

    def _offsets(self, chosen: Hardware) -> tuple[dict[str, int | Instants], dict[str, Instants]]:
        """Return per stage the least time before it, and the deadline that leaves the least time after it."""
        taken = self.problem.routes
        pipeline = self.problem.pipeline
        least = {stage.name: self._least_ns(place, chosen[place]) for place, stage in enumerate(self._stages)}
        before: dict[str, int | Instants] = {}
        for stage in self._stages:
            latest: int | Instants = 0
            for edge in stage.parents:
                reached = before[edge.parent] + least[edge.parent]
                mask = taken.get((edge.parent, stage.name))
                visits = self._visits_mask(edge.parent)
                if mask is not None:
                    visits = mask if visits is None else visits & mask
                latest = np.maximum(latest, reached if visits is None else reached * visits)
            before[stage.name] = latest
        after = remaining_ns(pipeline, taken, least)
        in_time = self.problem.trace.arrival_ns + pipeline.slo.latency_ns
        return before, {name: in_time - left for name, left in after.items()}

    def _visits_mask(self, name: str) -> NDArray[np.bool_] | None:
        visitors = self.problem.visitors[name]
        if visitors.size == len(self.problem.trace):
            return None
        mask = np.zeros(len(self.problem.trace), dtype=np.bool_)
        mask[visitors] = True
        return mask

    def _relatives(self) -> tuple[frozenset[int], ...]:
        """Return, per stage, its ancestors and descendants: the stages whose hardware moves its windows."""
        above: list[set[int]] = []
        for stage in self._stages:
            parents = [self._number[edge.parent] for edge in stage.parents]
            above.append(set(parents).union(*(above[parent] for parent in parents)))
        below: list[set[int]] = [set() for _ in self._stages]
        for place, ancestors in enumerate(above):
            for ancestor in ancestors:
                below[ancestor].add(place)
        return tuple(frozenset(up | down) for up, down in zip(above, below, strict=True))
