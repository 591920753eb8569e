"""From the stored state to what the core serves; pure."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from inferline.errors import InputError
from inferline.files import pipeline_of
from serving_adapter.core.endpoints import Endpoint
from serving_adapter.core.pipelines import Graph, ServedPipeline
from serving_adapter.core.queueing import Order
from serving_adapter.core.versions import Batching, VersionSpec
from serving_adapter.core.world import ModelKey
from serving_adapter.frontend.pipeline_admin import stage_model
from serving_adapter.models import ModelEntry
from serving_adapter.state import Application, ModelVersion, PipelineRecord, Snapshot

__all__ = ["BATCHINGS", "Defaults", "endpoints", "served_pipelines", "version_specs"]

BATCHINGS = ("explore", "aimd")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for applications and models that say nothing else.

    Parameters
    ----------
    order
        Order of the queues.
    batching
        How the largest batch of a model registered with batch size -1 is found out.
    wait_ns
        Longest wait for a batch to fill.
    """

    order: Order = "arrival"
    batching: Batching = "explore"
    wait_ns: int = 0


def version_specs(snapshot: Snapshot, defaults: Defaults, most_queued: int) -> dict[ModelKey, VersionSpec]:
    """Return how each version of each model is served.

    Parameters
    ----------
    snapshot
        The stored state.
    defaults
        What holds where that says nothing.
    most_queued
        How many queries may wait for one version of a model.
    """
    linking: dict[str, list[Application]] = {}
    for name, models in snapshot.links.items():
        if name in snapshot.applications:
            for model in models:
                linking.setdefault(model, []).append(snapshot.applications[name])
    of_pipelines = tuple(f"{name}." for name in snapshot.pipelines)  # also of stages that a pipeline no longer has
    return {
        key: _spec(
            model,
            linking.get(model.name, []),
            defaults,
            most_queued,
            is_stage=model.name.startswith(of_pipelines),
        )
        for key, model in snapshot.models.items()
    }


def _spec(
    model: ModelVersion, applications: list[Application], defaults: Defaults, most_queued: int, *, is_stage: bool
) -> VersionSpec:
    """Return how a version is served: by deadline if any application asks for it, within the shortest SLO of all.

    A stage of a pipeline runs every query, as the planner assumes, and has its queries wait while it has no replica.
    """
    in_order = any(application.queue_order == "deadline" for application in applications)
    slos_ns = [application.latency_slo_micros * 1000 for application in applications]
    shortest_ns = min((slo_ns for slo_ns in slos_ns if slo_ns > 0), default=VersionSpec().objective_ns)
    return VersionSpec(
        input_type=model.input_type,
        batch_size=model.batch_size,
        batching=cast("Batching", model.batching) if model.batching in BATCHINGS else defaults.batching,
        objective_ns=shortest_ns,
        order="deadline" if in_order else defaults.order,
        wait_ns=defaults.wait_ns if model.batch_wait_micros < 0 else model.batch_wait_micros * 1000,
        most_queued=most_queued,
        cached=not is_stage,
        patient=is_stage,
    )


def served_pipelines(
    snapshot: Snapshot, before: Mapping[str, tuple[PipelineRecord, ServedPipeline]]
) -> dict[str, tuple[PipelineRecord, ServedPipeline]]:
    """Return every pipeline with its record; one that has not changed is the same object.

    One that cannot be read, which only another program can have kept, is logged and left out.

    Parameters
    ----------
    snapshot
        The stored state.
    before
        What was served until now.
    """
    now = {}
    for name, record in snapshot.pipelines.items():
        old = before.get(name)
        if old is not None and old[0] == record:
            now[name] = old
            continue
        try:
            now[name] = (record, _served(record))
        except (InputError, ValueError, LookupError) as error:
            _log.error("event=pipeline_unreadable name=%s reason=%s", name, error)
    return now


def _served(record: PipelineRecord) -> ServedPipeline:
    file = pipeline_of(json.loads(record.document), "pipeline")
    stages = file.pipeline.stages
    return ServedPipeline(
        record.name,
        Graph.of(file.pipeline),
        keys=tuple((stage_model(record.name, stage.name), record.versions[stage.name]) for stage in stages),
        input_types=tuple(ModelEntry.input_type_of(file.models.get(stage.model, {})) for stage in stages),
        deadline_ns=record.deadline_micros * 1000,
    )


def endpoints(
    snapshot: Snapshot, before: Mapping[str, Endpoint], keep: Callable[[str, int, str], None]
) -> dict[str, Endpoint]:
    """Return every application; one that has not changed is the same object, and keeps what it has learnt.

    Parameters
    ----------
    snapshot
        The stored state.
    before
        What was served until now.
    keep
        Called when a policy has learnt something.
    """
    now = {}
    for name, application in snapshot.applications.items():
        models = tuple(sorted(snapshot.links.get(name, ())))
        old = before.get(name)
        if old is None or old.application != application:
            now[name] = Endpoint(application, models, keep)
        elif old.models != models:
            now[name] = Endpoint(application, models, keep, old.states)
        else:
            now[name] = old
    return now
