"""How a pipeline is doing: what its core has registered and counts, what its target says of the replicas. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from inferline.domain import Slo
from inferline.errors import InputError, OutsideError
from inferline.files import configuration_of, pipeline_of
from inferline.units import NANO
from serving_adapter.client.documents import PipelineDocument
from serving_adapter.deployment.looks import Attainment, Look, PipelineLook, VersionLook, attainment
from serving_adapter.frontend.pipeline_admin import stage_model
from serving_adapter.replicas import Phase, Replica, SetKey

__all__ = ["PipelineStatus", "SetStatus", "StageStatus", "TargetView", "status_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """What a target says of a deployment.

    Parameters
    ----------
    requested
        Replicas of each set that are asked for.
    replicas
        Those that there are.
    """

    requested: Mapping[SetKey, int]
    replicas: Sequence[Replica]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatus:
    """One set of replicas.

    Parameters
    ----------
    version, hardware
        Which.
    planned
        Replicas in the plan.
    requested
        Replicas asked for; None when no target was asked.
    phases
        Replicas by phase; empty likewise.
    restarts
        How often its replicas have been started again after they had ended by themselves.
    messages
        What replicas say, each once, with those that say it.
    """

    version: str
    hardware: str
    planned: int
    requested: int | None
    phases: Mapping[Phase, int]
    restarts: int
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """One stage.

    Parameters
    ----------
    name, model, version, max_batch
        What its visits go to; the maximum batch size is None where the model is not registered.
    observed
        Replicas of that version that are registered at the core.
    queued
        Queries that wait.
    rate_qps
        Visits that were answered per second between two looks; None when there was only one.
    utilisation
        Share of the replicas' time that batches took between them, in [0, 1]; None likewise, or without replicas. A
        batch counts when it ends.
    sets
        Its sets: the planned one first, then those that are to go.
    """

    name: str
    model: str
    version: str
    max_batch: int | None
    observed: int
    queued: int
    rate_qps: float | None
    utilisation: float | None
    sets: tuple[SetStatus, ...]

    @property
    def planned(self) -> int:
        """Replicas in the plan."""
        return sum(each.planned for each in self.sets)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStatus:
    """A pipeline.

    Parameters
    ----------
    name, slo
        Its name and its objective.
    over_s
        Seconds between the looks.
    whole, recent
        The share of queries within the SLO's latency, since the core started and between the looks; None when there
        was no query.
    stages
        Its stages, in topological order.
    others
        By stage that it does not have any more, the sets that the target still has.
    """

    name: str
    slo: Slo
    over_s: float
    whole: Attainment | None
    recent: Attainment | None
    stages: tuple[StageStatus, ...]
    others: Mapping[str, tuple[SetStatus, ...]]


def status_of(
    record: PipelineDocument, before: Look, now: Look, over_s: float, view: TargetView | None
) -> PipelineStatus:
    """Return how a pipeline is doing.

    Parameters
    ----------
    record
        What the core has registered.
    before, now, over_s
        Two looks at its metrics, and the seconds between them.
    view
        What the target says; None when none was asked.

    Raises
    ------
    OutsideError
        When what is registered cannot be read.
    """
    name = record["name"]
    try:
        pipeline = pipeline_of(record["pipeline"], "the registered pipeline").pipeline
        planned = configuration_of(record["plan"], "the registered plan", pipeline)
    except InputError as error:
        raise OutsideError(f"pipeline {name!r} is registered in a way that cannot be read: {error}") from error
    slo_s = pipeline.slo.latency_ns / NANO
    seen = now.pipelines.get(name, PipelineLook())
    stages = []
    for stage in pipeline.stages:
        about, chosen = record["stages"][stage.name], planned[stage.name]
        version = about["version"]
        key = (stage_model(name, stage.name), version)
        new, old = (look.versions.get(key, VersionLook()) for look in (now, before))
        stages.append(
            StageStatus(
                name=stage.name,
                model=stage.model,
                version=version,
                max_batch=about["max_batch"],
                observed=about["replicas"],
                queued=new.queued,
                rate_qps=_per_s(new.answered - old.answered, over_s),
                utilisation=_share(_per_s(new.busy_s - old.busy_s, over_s), new.replicas),
                sets=_sets(SetKey(stage.name, version, chosen.hardware), chosen.replicas, view),
            )
        )
    return PipelineStatus(
        name=name,
        slo=pipeline.slo,
        over_s=over_s,
        whole=attainment(seen, slo_s),
        recent=attainment(seen.since(before.pipelines.get(name, PipelineLook())), slo_s) if over_s else None,
        stages=tuple(stages),
        others=_others({stage.name for stage in stages}, view),
    )


def _per_s(more: float, over_s: float) -> float | None:
    """Return a rate; None where the counter began anew in between."""
    return more / over_s if over_s and more >= 0 else None


def _share(busy: float | None, replicas: int) -> float | None:
    return None if busy is None or not replicas else min(1.0, busy / replicas)


def _sets(planned: SetKey, replicas: int, view: TargetView | None) -> tuple[SetStatus, ...]:
    keys = dict.fromkeys([planned, *(key for key in _keys(view) if key.stage == planned.stage)])
    return tuple(_set(key, replicas if key == planned else 0, view) for key in keys)


def _others(stages: Collection[str], view: TargetView | None) -> Mapping[str, tuple[SetStatus, ...]]:
    others: dict[str, tuple[SetStatus, ...]] = {}
    for key in dict.fromkeys(_keys(view)):
        if key.stage not in stages:
            others[key.stage] = (*others.get(key.stage, ()), _set(key, 0, view))
    return others


def _keys(view: TargetView | None) -> Sequence[SetKey]:
    return () if view is None else [*view.requested, *(each.key for each in view.replicas)]


def _set(key: SetKey, planned: int, view: TargetView | None) -> SetStatus:
    there = [] if view is None else [each for each in view.replicas if each.key == key]
    phases: dict[Phase, int] = {}
    for each in there:
        phases[each.phase] = phases.get(each.phase, 0) + 1
    said: dict[str, list[str]] = {}
    for each in there:
        if each.message:
            said.setdefault(f"{each.phase}: {each.message}", []).append(each.id)
    return SetStatus(
        version=key.version,
        hardware=key.hardware,
        planned=planned,
        requested=None if view is None else view.requested.get(key, 0),
        phases=phases,
        restarts=sum(each.restarts for each in there),
        messages=tuple(f"{', '.join(ids)} {text}" for text, ids in said.items()),
    )
