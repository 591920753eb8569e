"""The administration paths of pipelines: what each answers and changes, as pure functions of the stored state.

They stand beside Clipper's paths and use its models: stage S of pipeline P is the model ``P.S``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from inferline.domain import Configuration
from inferline.errors import InputError
from inferline.files import PipelineFile, configuration_of, pipeline_of
from serving_adapter.frontend.admin_fields import Fields
from serving_adapter.frontend.admin_replies import AdminReply, RefusedError, Write, text_reply
from serving_adapter.models import ModelEntry
from serving_adapter.rpc.values import data_type_of
from serving_adapter.state import ModelVersion, PipelineRecord, Snapshot

__all__ = ["OBSERVE_FIELDS", "OBSERVE_PATH", "PIPELINE_PATHS", "stage_model"]

_FIRST_VERSION = "1"
_DEADLINE_SLOS = 10
_LEAST_DEADLINE_MICROS = 1_000_000
_MOST_MICROS = 2**53
_FORBIDDEN = ",:/"


def stage_model(pipeline: str, stage: str) -> str:
    """Return the name of the model that a stage is to the core, and that its replicas register as."""
    return f"{pipeline}.{stage}"


def _add_pipeline(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    file, configuration = _read(asked["pipeline"], asked["plan"])
    name = file.pipeline.name
    _check_names(file)
    if name in snapshot.pipelines:
        raise RefusedError(f"pipeline '{name}' already exists; set_plan moves it to another plan")
    if name in snapshot.applications:
        raise RefusedError(f"application '{name}' already exists; a pipeline needs a path of its own")
    taken = {model for model, _ in snapshot.models}
    for stage in file.pipeline.stages:
        if stage_model(name, stage.name) in taken:
            raise RefusedError(f"model '{stage_model(name, stage.name)}' already exists; it is none of a pipeline")
    deadline_micros = asked.get("deadline_micros")
    if deadline_micros is None:
        deadline_micros = max(_LEAST_DEADLINE_MICROS, file.pipeline.slo.latency_ns * _DEADLINE_SLOS // 1000)
    if not 1 <= deadline_micros <= _MOST_MICROS:
        raise RefusedError(f"deadline_micros is {deadline_micros}; expected 1 to {_MOST_MICROS}")
    record = PipelineRecord(
        name=name,
        document=json.dumps(asked["pipeline"]),
        plan=json.dumps(asked["plan"]),
        versions={stage.name: _FIRST_VERSION for stage in file.pipeline.stages} | _versions(asked, file),
        deadline_micros=deadline_micros,
    )
    return text_reply(f"Successfully added pipeline with name '{name}'", *_writes(record, file, configuration))


def _set_plan(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    before = _record(asked, snapshot)
    document = asked.get("pipeline", json.loads(before.document))
    file, configuration = _read(document, asked["plan"])
    if file.pipeline.name != before.name:
        raise RefusedError(f"the pipeline is called '{file.pipeline.name}', not '{before.name}'")
    _check_names(file)
    versions = {**before.versions, **_versions(asked, file)}
    record = replace(
        before,
        document=json.dumps(document),
        plan=json.dumps(asked["plan"]),
        versions={stage.name: versions.get(stage.name, _FIRST_VERSION) for stage in file.pipeline.stages},
    )
    return text_reply(
        f"Successfully moved pipeline with name '{before.name}' to the plan", *_writes(record, file, configuration)
    )


def _set_batch_size(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    record, stage, max_batch = _record(asked, snapshot), asked["stage"], asked["max_batch"]
    if stage not in record.versions:
        raise RefusedError(f"pipeline '{record.name}' has no stage '{stage}'; it has {', '.join(record.versions)}")
    if max_batch < 1:
        raise RefusedError(f"max_batch is {max_batch}; expected at least 1")
    model = snapshot.models.get((stage_model(record.name, stage), record.versions[stage]))
    if model is None:
        raise RefusedError(f"the model of stage '{stage}' was deleted; set_plan registers it again")
    return text_reply(
        f"Successfully set the maximum batch size of stage '{stage}' to {max_batch}",
        Write("put_model", (replace(model, batch_size=max_batch),)),
    )


def _delete_pipeline(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    record = _record(asked, snapshot)
    stages = {stage_model(record.name, stage) for stage in record.versions}
    return text_reply(
        f"Successfully deleted pipeline with name '{record.name}'",
        Write("delete_pipeline", (record.name,)),
        *(Write("delete_model", key) for key in sorted(snapshot.models) if key[0] in stages),
    )


def _get_pipeline(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    record = snapshot.pipelines.get(asked["name"])
    return AdminReply({} if record is None else _shown(record, snapshot))


def _get_pipelines(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    names = sorted(snapshot.pipelines)
    return AdminReply([_shown(snapshot.pipelines[name], snapshot) for name in names] if asked["verbose"] else names)


def _shown(record: PipelineRecord, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "name": record.name,
        "pipeline": json.loads(record.document),
        "plan": json.loads(record.plan),
        "versions": dict(record.versions),
        "deadline_micros": record.deadline_micros,
        "stages": {stage: _stage(record, stage, snapshot) for stage in record.versions},
    }


def _stage(record: PipelineRecord, stage: str, snapshot: Snapshot) -> dict[str, Any]:
    key = (stage_model(record.name, stage), record.versions[stage])
    model = snapshot.models.get(key)
    return {
        "model": key[0],
        "version": key[1],
        "input_type": None if model is None else model.input_type,
        "max_batch": None if model is None else model.batch_size,
        "replicas": sum((name, version) == key for name, version, _ in snapshot.replicas),
    }


def _record(asked: Mapping[str, Any], snapshot: Snapshot) -> PipelineRecord:
    record = snapshot.pipelines.get(asked["name"])
    if record is None:
        there = ", ".join(sorted(snapshot.pipelines)) or "none"
        raise RefusedError(f"No pipeline with name '{asked['name']}' exists; there are: {there}")
    return record


def _read(document: Mapping[str, Any], plan: Mapping[str, Any]) -> tuple[PipelineFile, Configuration]:
    try:
        file = pipeline_of(document, "pipeline")
        return file, configuration_of(plan, "plan", file.pipeline)
    except InputError as error:
        raise RefusedError("\n".join(map(str, error.faults))) from error


def _check_names(file: PipelineFile) -> None:
    for what, name in (("pipeline", file.pipeline.name), *(("stage", stage.name) for stage in file.pipeline.stages)):
        if not name or any(mark in name for mark in _FORBIDDEN):
            raise RefusedError(f"Invalid {what} name supplied: {name}. It is empty or contains one of: ',', ':', '/'")


def _versions(asked: Mapping[str, Any], file: PipelineFile) -> dict[str, str]:
    versions = asked.get("versions", {})
    stages = [stage.name for stage in file.pipeline.stages]
    for stage, version in versions.items():
        if stage not in stages:
            raise RefusedError(f"versions names no stage '{stage}'; there are {', '.join(stages)}")
        if not isinstance(version, str) or not version or "," in version or ":" in version:
            raise RefusedError(f"the version of stage '{stage}' is no text without ',' and ':'")
    return dict(versions)


def _writes(record: PipelineRecord, file: PipelineFile, configuration: Configuration) -> list[Write]:
    writes = []
    for stage in file.pipeline.stages:
        name, version = stage_model(record.name, stage.name), record.versions[stage.name]
        raw = file.models.get(stage.model, {})
        model = ModelVersion(
            name=name,
            version=version,
            input_type=data_type_of(ModelEntry.input_type_of(raw)).readable,
            labels=("pipeline",),
            container_name=stage.model,
            model_data_path="",
            batch_size=configuration[stage.name].max_batch,
        )
        writes += [Write("put_model", (model,)), Write("set_current", (name, version))]
    return [*writes, Write("put_pipeline", (record,))]


_NAME = Fields(name="String")

OBSERVE_PATH = "/admin/observe_pipeline"
"""What is answered from what is happening instead of what is stored; see `serving_adapter.frontend.server`."""

OBSERVE_FIELDS = Fields(name="String").may(since="Object")

PIPELINE_PATHS: Mapping[str, tuple[Fields, Callable[[Mapping[str, Any], Snapshot], AdminReply]]] = MappingProxyType(
    {
        "/admin/add_pipeline": (
            Fields(pipeline="Object", plan="Object").may(versions="Object", deadline_micros="Int64"),
            _add_pipeline,
        ),
        "/admin/set_plan": (
            Fields(name="String", plan="Object").may(versions="Object", pipeline="Object"),
            _set_plan,
        ),
        "/admin/set_batch_size": (Fields(name="String", stage="String", max_batch="Int32"), _set_batch_size),
        "/admin/delete_pipeline": (_NAME, _delete_pipeline),
        "/admin/get_pipeline": (_NAME, _get_pipeline),
        "/admin/get_all_pipelines": (Fields(verbose="Bool"), _get_pipelines),
    }
)
"""Every POST path of pipelines with the keys that it takes."""
