"""The coarse-grained baselines CG-Mean and CG-Peak (Crankshaw et al., SoCC 2020, section 6).

The pipeline is one black box: every stage has one replica in it, on its lowest-latency hardware, with one maximum
batch size for all stages, and the box is replicated as a whole until its throughput meets a rate. CG-Mean provisions
for the mean rate of the trace, CG-Peak for the peak rate in windows as long as the SLO.
"""

from __future__ import annotations

import math
from typing import Literal

from inferline.calculus import max_arrivals
from inferline.domain import Configuration, StageConfiguration
from inferline.units import NANO
from planner.problem import Option, Problem

__all__ = ["coarse", "provisioned_qps"]


def provisioned_qps(problem: Problem, rate: Literal["mean", "peak"]) -> float:
    """Return the rate that the baseline provisions for, in queries per second."""
    if rate == "mean":
        return problem.trace.mean_qps
    window_ns = problem.pipeline.slo.latency_ns
    return max_arrivals(problem.trace.arrival_ns, window_ns) * NANO / window_ns


def coarse(problem: Problem, rate: Literal["mean", "peak"]) -> Configuration:
    """Return the cheapest configuration of whole replicated pipelines that carries the rate.

    Of all batch sizes at which the unloaded pipeline stays within the SLO, the one with the least cost is taken, the
    larger one among equals; when none does, the smallest. A black box is measured on real queries, so the visits of
    its stages count as they are on the trace: that favours the baseline. Replica bounds and hardware limits are not
    looked at.
    """
    fastest = {
        name: min(options.values(), key=lambda option: (int(option.latency_ns[0]), option.hardware))
        for name, options in problem.options.items()
    }
    sizes = sorted({size for option in fastest.values() for size in option.batch_sizes})
    within = [size for size in sizes if _path_ns(problem, fastest, size) <= problem.pipeline.slo.latency_ns]
    qps = provisioned_qps(problem, rate)
    boxes = {size: _box(problem, fastest, size, qps) for size in within or sizes[:1]}
    best = min(boxes, key=lambda size: (boxes[size].cost_nano_usd_per_hour(problem.pipeline), -size))
    return boxes[best]


def _batch(option: Option, size: int) -> int:
    """Return the largest profiled batch up to the common size, or the smallest there is."""
    return max((each for each in option.batch_sizes if each <= size), default=option.batch_sizes[0])


def _path_ns(problem: Problem, fastest: dict[str, Option], size: int) -> int:
    """Return the service time of the longest path at full batches."""
    longest: dict[str, int] = {}
    for stage in problem.pipeline.stages:
        option = fastest[stage.name]
        before = max((longest[edge.parent] for edge in stage.parents), default=0)
        longest[stage.name] = before + int(option.latency_ns[_batch(option, size) - 1])
    return max(longest.values())


def _box(problem: Problem, fastest: dict[str, Option], size: int, qps: float) -> Configuration:
    share = {name: visits / len(problem.trace) for name, visits in problem.visits.items()}
    throughput_qps = min(
        (
            option.throughput_qps(_batch(option, size)) / share[name]
            for name, option in fastest.items()
            if share[name]
        ),
        default=math.inf,
    )
    replicas = max(1, math.ceil(qps / throughput_qps))
    return Configuration(
        {
            name: StageConfiguration(hardware=option.hardware, max_batch=_batch(option, size), replicas=replicas)
            for name, option in fastest.items()
        }
    )
