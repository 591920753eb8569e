"""From a pipeline file and a plan to what is to run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inferline.domain import Configuration, Pipeline
from inferline.errors import Fault, InputError
from inferline.files import PipelineFile, configuration_of
from inferline.files.contents import read_bytes, utf8
from inferline.files.documents.json_document import parse_json
from inferline.files.faults import attempt
from inferline.files.limits import MAX_PLAN_BYTES
from inferline.files.pipeline_file.pipeline import draft_pipeline
from inferline.files.wording import shown
from serving_adapter.deployment.standing import Standing, digest_of
from serving_adapter.frontend.pipeline_admin import stage_model
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import ReplicaSet, SetKey

__all__ = ["Files", "Wanted", "read_files", "wanted_of"]

_FORBIDDEN = ",:/"
"""What names of stages and pipelines may not have at the core: they are parts of paths, and of names of models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A pipeline file and a plan that fit together and can be deployed.

    Parameters
    ----------
    path
        The pipeline file.
    pipeline, document
        What it says, and the same as it is sent to the core.
    configuration, plan
        What the plan says to run, and the whole of it as it is sent to the core.
    """

    path: Path
    pipeline: Pipeline
    document: Mapping[str, Any]
    configuration: Configuration
    plan: Mapping[str, Any]

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in topological order."""
        return tuple(stage.name for stage in self.pipeline.stages)

    @property
    def limits(self) -> Mapping[str, int]:
        """Most units of each hardware that has a limit."""
        return {unit.name: unit.limit for unit in self.pipeline.hardware if unit.limit is not None}

    @property
    def hardware(self) -> Mapping[str, str]:
        """By stage, the hardware that it is to run on."""
        return {stage: chosen.hardware for stage, chosen in self.configuration.items()}

    def entry(self, stage: str) -> ModelEntry:
        """Return how the model of a stage is run."""
        model = self.pipeline.stage(stage).model
        return ModelEntry.from_document(model, self.document["models"][model], self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to run.

    Parameters
    ----------
    standing
        How the deployment is to stand.
    sets
        The sets of replicas, by what they are found by.
    """

    standing: Standing
    sets: Mapping[SetKey, ReplicaSet]


def read_files(pipeline: Path, plan: Path) -> Files:
    """Read a pipeline file and a plan of it; of the plan its stages are enough.

    Raises
    ------
    InputError
        With every fault of both: of the files, and of what keeps them from being deployed. Every model needs an entry
        under ``models:``, names need to be such that the core takes them, and no hardware may be used above its
        limit.
    """
    faults: list[Fault] = []
    file = attempt(faults, partial(_pipeline, pipeline))
    document = attempt(faults, partial(_plan, plan))
    if file is None or document is None:
        raise InputError(*faults)
    read, raw = file
    configuration = attempt(faults, partial(configuration_of, document, str(plan), read.pipeline))
    faults += _undeployable(pipeline, read)
    if configuration is not None:
        faults += _beyond_limits(plan, read.pipeline, configuration)
    if faults or configuration is None:
        raise InputError(*dict.fromkeys(faults))
    return Files(path=pipeline, pipeline=read.pipeline, document=raw, configuration=configuration, plan=document)


def _pipeline(path: Path) -> tuple[PipelineFile, Mapping[str, Any]]:
    draft = draft_pipeline(path)
    return draft.finished(), draft.outline.document


def _plan(path: Path) -> Mapping[str, Any]:
    file = os.fspath(path)
    document = parse_json(file, utf8(file, read_bytes(path, MAX_PLAN_BYTES)))
    if not isinstance(document, Mapping):
        raise InputError(Fault(file, "", f"is {shown(document)}; a plan is a mapping with version and stages"))
    return document


def _undeployable(path: Path, read: PipelineFile) -> Iterable[Fault]:
    pipeline = read.pipeline
    named = (("name", pipeline.name), *((f"stages.{stage.name}", stage.name) for stage in pipeline.stages))
    for where, name in named:
        if any(mark in name for mark in _FORBIDDEN):
            yield Fault(str(path), where, f"{shown(name)} cannot be deployed: it has a ',', a ':' or a '/'")
    for stage in pipeline.stages:
        if stage.model not in read.models:
            message = f"missing; deploy needs to know how to run the model of stage {shown(stage.name)}"
            yield Fault(str(path), f"models.{stage.model}", message)


def _beyond_limits(path: Path, pipeline: Pipeline, configuration: Configuration) -> Iterable[Fault]:
    used = configuration.units()
    for name in configuration.exceeded_limits(pipeline):
        yield Fault(
            str(path), "stages", f"use {used[name]} units of {name!r}; its limit is {pipeline.unit(name).limit}"
        )


def wanted_of(files: Files, versions: Mapping[str, str]) -> Wanted:
    """Return what is to run: one set of replicas for each stage.

    Parameters
    ----------
    files
        The pipeline file and the plan.
    versions
        By stage, the version that it runs as.
    """
    digest = digest_of(files.document, files.plan)
    sets = {
        stage: ReplicaSet(
            deployment=files.pipeline.name,
            stage=stage,
            model=stage_model(files.pipeline.name, stage),
            version=versions[stage],
            entry=files.entry(stage),
            hardware=files.pipeline.unit(chosen.hardware),
            replicas=chosen.replicas,
            plan=digest,
        )
        for stage, chosen in files.configuration.items()
    }
    by_key = {each.key: each for each in sets.values()}
    return Wanted(
        standing=Standing(
            replicas={key: each.replicas for key, each in by_key.items()},
            versions=dict(versions),
            models=frozenset(versions.items()),
            digest=digest,
        ),
        sets=by_key,
    )
