"""What a plan is bound by, and the least step back from each bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from typing import Literal

from inferline.domain import Configuration, Pipeline, Plan, Slo, Stage
from inferline.domain.pipeline import DEFAULT_MAX_REPLICAS
from inferline.units import MAX_TIME_NS
from planner.problem import Problem
from planner.variations import Profiles

__all__ = ["Constraint", "constraints"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """Something that the pipeline file asks for, and the least step back from it.

    Parameters
    ----------
    key
        Key path in the pipeline file, ``slo.latency`` or ``hardware.k80.limit``; or the option ``--survive``.
    kind
        What the figures are: nanoseconds, late queries, units of hardware, replicas, a batch size, kinds of hardware,
        replicas lost.
    used, allowed
        What the plan has, and the bound on it.
    relaxed_to
        The value of the key after the step: nanoseconds, a percentile, or a number; for ``stages.*.hardware`` the
        names of the hardware that is allowed then.
    pipeline, survive
        With that value.
    """

    key: str
    kind: Literal["latency", "late", "units", "replicas", "batch", "hardware", "losses"]
    used: int
    allowed: int
    relaxed_to: int | Decimal | tuple[str, ...]
    pipeline: Pipeline
    survive: int = 0

    @property
    def reached(self) -> bool:
        """Whether the plan stands at the bound."""
        return self.used == self.allowed


def constraints(
    problem: Problem, profiles: Profiles, plan: Plan, *, late: int, latency_ns: int
) -> tuple[Constraint, ...]:
    """Return what binds, or may bind, a plan: the SLO, then bounds that the plan stands at, then the others.

    The least steps are a tenth more latency; a tenth more late queries, at least one; one more unit of a limited
    hardware; one replica less than a minimum or more than a maximum; the next profiled batch size above a cap; all
    hardware that has a profile, for a stage that names some.

    Parameters
    ----------
    problem, profiles, plan
        What was planned, from which profiles, and the result.
    late, latency_ns
        Late queries of the plan and its latency at the SLO's percentile, after the worst loss to be survived.
    """
    pipeline = problem.pipeline
    declared = [*_survival(plan, pipeline), *_limits(plan.configuration, pipeline)]
    for stage in pipeline.stages:
        declared += _replica_bounds(plan.configuration, pipeline, stage)
        declared += _choices(plan.configuration, pipeline, stage, profiles)
    declared.sort(key=lambda each: not each.reached)  # stable: in the order of the file
    everything = (*_slo(problem, late, latency_ns), *declared)
    return tuple(each if each.kind == "losses" else replace(each, survive=plan.survive) for each in everything)


def _slo(problem: Problem, late: int, latency_ns: int) -> Iterator[Constraint]:
    pipeline, slo = problem.pipeline, problem.pipeline.slo
    longer_ns = min(MAX_TIME_NS, slo.latency_ns + max(1, slo.latency_ns // 10))
    yield Constraint(
        key="slo.latency",
        kind="latency",
        used=latency_ns,
        allowed=slo.latency_ns,
        relaxed_to=longer_ns,
        pipeline=replace(pipeline, slo=replace(slo, latency_ns=longer_ns)),
    )
    lower = _more_late(slo, len(problem.trace))
    if lower is not None:
        yield Constraint(
            key="slo.percentile",
            kind="late",
            used=late,
            allowed=problem.late_allowed,
            relaxed_to=lower,
            pipeline=replace(pipeline, slo=replace(slo, percentile=lower)),
        )


def _more_late(slo: Slo, queries: int) -> Decimal | None:
    """Return the percentile that lets a tenth more of the queries be late, and at least one; None for none."""
    allowed = slo.allowance(queries)
    if allowed + 1 >= queries:
        return None
    lower = 100 - (100 - slo.percentile) * Decimal("1.1")
    if lower > 0 and replace(slo, percentile=lower).allowance(queries) > allowed:
        return lower
    one_more = 100 * Decimal(queries - allowed - 1) / queries
    return one_more.quantize(Decimal("0.000001"), ROUND_DOWN)


def _survival(plan: Plan, pipeline: Pipeline) -> Iterator[Constraint]:
    if plan.survive:
        yield Constraint(
            key="--survive",
            kind="losses",
            used=plan.survive,
            allowed=plan.survive,
            relaxed_to=plan.survive - 1,
            pipeline=pipeline,
            survive=plan.survive - 1,
        )


def _limits(configuration: Configuration, pipeline: Pipeline) -> Iterator[Constraint]:
    used = configuration.units()
    for unit in pipeline.hardware:
        if unit.limit is not None:
            wider = tuple(
                replace(each, limit=unit.limit + 1) if each.name == unit.name else each for each in pipeline.hardware
            )
            yield Constraint(
                key=f"hardware.{unit.name}.limit",
                kind="units",
                used=used[unit.name],
                allowed=unit.limit,
                relaxed_to=unit.limit + 1,
                pipeline=replace(pipeline, hardware=wider),
            )


def _replica_bounds(configuration: Configuration, pipeline: Pipeline, stage: Stage) -> Iterator[Constraint]:
    replicas = configuration[stage.name].replicas
    if stage.min_replicas > 1:
        yield Constraint(
            key=f"stages.{stage.name}.replicas.min",
            kind="replicas",
            used=replicas,
            allowed=stage.min_replicas,
            relaxed_to=stage.min_replicas - 1,
            pipeline=_with_stage(pipeline, replace(stage, min_replicas=stage.min_replicas - 1)),
        )
    if stage.max_replicas != DEFAULT_MAX_REPLICAS or replicas == stage.max_replicas:
        yield Constraint(
            key=f"stages.{stage.name}.replicas.max",
            kind="replicas",
            used=replicas,
            allowed=stage.max_replicas,
            relaxed_to=stage.max_replicas + 1,
            pipeline=_with_stage(pipeline, replace(stage, max_replicas=stage.max_replicas + 1)),
        )


def _choices(
    configuration: Configuration, pipeline: Pipeline, stage: Stage, profiles: Profiles
) -> Iterator[Constraint]:
    """Yield the batch cap of a stage and the hardware it is kept to, where the profiles offer more."""
    profiled = {name: profiles[stage.model, name] for name in stage.hardware if (stage.model, name) in profiles}
    cap = stage.max_batch
    larger = [int(size) for each in profiled.values() for size in each.batch_size if cap is not None and size > cap]
    if cap is not None and larger:
        yield Constraint(
            key=f"stages.{stage.name}.max_batch",
            kind="batch",
            used=configuration[stage.name].max_batch,
            allowed=cap,
            relaxed_to=min(larger),
            pipeline=_with_stage(pipeline, replace(stage, max_batch=min(larger))),
        )
    others = tuple(
        unit.name
        for unit in pipeline.hardware
        if unit.name in stage.hardware
        or ((stage.model, unit.name) in profiles and _smallest(profiles, stage, unit.name) <= (cap or MAX_TIME_NS))
    )
    if len(others) > len(stage.hardware):
        yield Constraint(
            key=f"stages.{stage.name}.hardware",
            kind="hardware",
            used=len(stage.hardware),
            allowed=len(stage.hardware),
            relaxed_to=others,
            pipeline=_with_stage(pipeline, replace(stage, hardware=others)),
        )


def _smallest(profiles: Profiles, stage: Stage, hardware: str) -> int:
    return int(profiles[stage.model, hardware].batch_size[0])


def _with_stage(pipeline: Pipeline, changed: Stage) -> Pipeline:
    return replace(pipeline, stages=tuple(changed if each.name == changed.name else each for each in pipeline.stages))
