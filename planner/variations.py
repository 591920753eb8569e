"""The same planning problem with one thing changed; the routes of its queries stay as they were drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from inferline.domain import Pipeline, Profile, Slo, Trace
from planner.problem import Problem, pose

__all__ = ["Profiles", "varied", "with_latency", "with_percentile", "with_rate"]

Profiles = Mapping[tuple[str, str], Profile]
"""By (model, hardware)."""


def varied(
    problem: Problem, profiles: Profiles, *, pipeline: Pipeline | None = None, trace: Trace | None = None
) -> Problem:
    """Pose a problem again with another pipeline of the same edges, or another trace of as many queries."""
    return pose(pipeline or problem.pipeline, profiles, trace or problem.trace, problem.routes)


def with_latency(problem: Problem, profiles: Profiles, latency_ns: int) -> Problem:
    """Return the problem with another latency of its SLO."""
    slo = Slo(latency_ns=latency_ns, percentile=problem.pipeline.slo.percentile)
    return varied(problem, profiles, pipeline=replace(problem.pipeline, slo=slo))


def with_percentile(problem: Problem, profiles: Profiles, percentile: Decimal) -> Problem:
    """Return the problem with another percentile of its SLO."""
    slo = Slo(latency_ns=problem.pipeline.slo.latency_ns, percentile=percentile)
    return varied(problem, profiles, pipeline=replace(problem.pipeline, slo=slo))


def with_rate(problem: Problem, profiles: Profiles, factor: float) -> Problem:
    """Return the problem with ``factor`` times the rate: the same queries, arriving that much faster."""
    return varied(problem, profiles, trace=problem.trace.scaled(factor))
