"""The cheapest counts at which every path through the pipeline keeps within its latency, stage delays added up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inferline.domain import Pipeline, Plan
from inferline.units import NANO

__all__ = ["LatencyPath", "latency_paths", "size"]

_MOST_STEPS = 64
"""More steps are not taken in one tick; the next one goes on."""

_ROOM = 0.92
"""Replicas are taken away only when so much of each budget suffices: the next tick shall not bring them back."""

Delay = Callable[[str, int], float]
"""Delay in nanoseconds of a stage with so many replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPath:
    """A way through the pipeline, from an entry to an end, and what the delays of its stages may add up to."""

    stages: tuple[str, ...]
    budget_ns: float


def latency_paths(pipeline: Pipeline, plan: Plan) -> tuple[LatencyPath, ...]:
    """Return every path with its budget: the SLO, or more where the plan shows that more is fine.

    The P99 of the stages along a path add up to more than the P99 of the path, because no query is unlucky
    everywhere. By how much, the plan's own evidence says: it meets the SLO with the delays that it predicts.

    Parameters
    ----------
    pipeline, plan
        The stages, and the evidence.

    Notes
    -----
    O(paths), which for a pipeline of n stages can be as many as 2^(n/2).
    """
    predicted = plan.predicted
    stretch = plan.slo.latency_ns / max(predicted.at_slo_percentile_s * NANO, 1.0) if predicted.slo_met else 1.0
    found = []
    for stages in _paths(pipeline):
        evidence_s = sum(predicted.stages[name].wait_p99_s + predicted.stages[name].service_p99_s for name in stages)
        budget_ns = max(plan.slo.latency_ns, evidence_s * NANO * stretch)
        found.append(LatencyPath(stages=stages, budget_ns=budget_ns))
    return tuple(found)


def _paths(pipeline: Pipeline) -> list[tuple[str, ...]]:
    ways: dict[str, list[tuple[str, ...]]] = {}
    for stage in reversed(pipeline.stages):
        onwards = [way for child, _ in pipeline.children(stage.name) for way in ways[child.name]]
        ways[stage.name] = [(stage.name, *way) for way in onwards]
        if all(not edge.always_taken for _, edge in pipeline.children(stage.name)):
            ways[stage.name].append((stage.name,))
    return [way for stage in pipeline.stages if stage.is_entry for way in ways[stage.name]]


def size(
    paths: Sequence[LatencyPath],
    delay: Delay,
    start: Mapping[str, int],
    bounds: Mapping[str, tuple[int, int]],
    price: Mapping[str, int],
) -> tuple[dict[str, int], float]:
    """Return counts that keep every path within its budget, and the largest share of a budget that is used.

    From the counts to start with, replicas are added where they save most delay per price until all paths keep
    within. Then they are taken away, the dearest first, as long as all paths keep well within: so the next tick does
    not bring back what this one takes. When more replicas do not help, what is reached stays.

    Parameters
    ----------
    paths
        The paths.
    delay
        Of a stage with so many replicas; does not grow with them, or hardly.
    start
        By stage.
    bounds
        Least and most replicas of each stage.
    price
        Of a replica of each stage.
    """
    known: dict[tuple[str, int], float] = {}

    def of(name: str, count: int) -> float:
        if (name, count) not in known:
            known[name, count] = delay(name, count)
        return known[name, count]

    def used(counts: Mapping[str, int], path: LatencyPath) -> float:
        return sum(of(name, counts[name]) for name in path.stages) / path.budget_ns

    counts = {name: min(max(start[name], least), most) for name, (least, most) in bounds.items()}
    for _ in range(_MOST_STEPS):
        late = [path for path in paths if used(counts, path) > 1.0]
        steps = {
            name: min(counts[name] + max(1, counts[name] // 8), bounds[name][1])
            for path in late
            for name in path.stages
            if counts[name] < bounds[name][1]
        }
        gains = {
            name: (of(name, counts[name]) - of(name, count)) / ((count - counts[name]) * max(price[name], 1))
            for name, count in steps.items()
        }
        best = max(gains, key=lambda name: gains[name], default=None)
        if best is None or gains[best] <= 0.0:
            break
        counts[best] = steps[best]
    for name in sorted(bounds, key=lambda name: -price[name]):
        concerned = [path for path in paths if name in path.stages]
        for step in (max(1, counts[name] // 4), max(1, counts[name] // 10), 1):
            while counts[name] - step >= bounds[name][0]:
                fewer = {**counts, name: counts[name] - step}
                if any(used(fewer, path) > _ROOM for path in concerned):
                    break
                counts = fewer
    return counts, float(np.max([used(counts, path) for path in paths]))
