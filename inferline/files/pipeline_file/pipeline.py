"""Reading pipeline.yaml: all of its faults in one go, or a `PipelineFile`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferline.domain import Edge, Hardware, Pipeline, Slo, Stage
from inferline.errors import Fault, InputError
from inferline.files.contents import read_bytes, utf8
from inferline.files.documents.fields import exact_percentile
from inferline.files.documents.structure import check_structure
from inferline.files.documents.yaml_document import parse_yaml
from inferline.files.faults import DocumentFaults
from inferline.files.limits import MAX_PIPELINE_BYTES
from inferline.files.pipeline_file.graph_checks import check_graph
from inferline.files.pipeline_file.outline import Outline, as_mapping
from inferline.files.pipeline_file.pipeline_structure import PipelineDocument, StageDocument, WorkloadDocument
from inferline.files.pipeline_file.workload import Workload
from inferline.files.pipeline_file.workload_checks import check_models, check_profile_list, check_workload

__all__ = ["PipelineDraft", "PipelineFile", "draft_pipeline", "pipeline_of", "read_pipeline", "schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFile:
    """What a pipeline file says.

    Parameters
    ----------
    pipeline
        Stages, hardware and SLO.
    profile_paths
        The profile files, found from the pipeline file's folder.
    workload
        The traffic that is planned for.
    models
        How to run each model, as it stands in the file.
    sha256
        Digest of the file's bytes.
    """

    pipeline: Pipeline
    profile_paths: tuple[Path, ...]
    workload: Workload
    models: Mapping[str, Mapping[str, Any]]
    sha256: str


def read_pipeline(path: str | os.PathLike[str]) -> PipelineFile:
    """Read a pipeline file.

    Parameters
    ----------
    path
        The file; faults name it exactly as given.

    Raises
    ------
    InputError
        With every fault of the file, in its order.
    """
    return draft_pipeline(path).finished()


def pipeline_of(document: Mapping[str, Any], name: str) -> PipelineFile:
    """Return what a pipeline file says that was read before and has travelled as JSON.

    Parameters
    ----------
    document
        The file's contents.
    name
        What faults call it.

    Raises
    ------
    InputError
        With every fault, in the document's order.
    """
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return _checked(Path(name), document, DocumentFaults(name, document), digest).finished()


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of pipeline.yaml, for editors."""
    described = PipelineDocument.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described, "title": "InferLine pipeline"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineDraft:
    """A pipeline file that was read and checked, with what is usable of it when there are faults."""

    path: Path
    outline: Outline
    faults: DocumentFaults
    checked: PipelineDocument | None
    sha256: str

    @property
    def profile_paths(self) -> tuple[Path, ...]:
        """The profile files, as far as they can be read."""
        named = self.outline.document.get("profiles")
        if not isinstance(named, list):
            named = [] if self.profiles_are_faulty else [named]
        usable = (name for i, name in enumerate(named) if not self.faults.within("profiles", i))
        return tuple(self.path.parent / name for name in usable if isinstance(name, str))

    @property
    def profiles_are_faulty(self) -> bool:
        """Whether some profile file is not known, so that nothing can be said to be without a profile."""
        return self.faults.within("profiles")

    @property
    def trace_path(self) -> Path | None:
        """The trace file, as far as it can be read."""
        named = as_mapping(self.outline.document.get("workload")).get("trace")
        if not isinstance(named, str) or self.faults.within("workload", "trace"):
            return None
        return self.path.parent / named

    @property
    def workload(self) -> Workload | None:
        """The workload, or None when something is wrong with it."""
        raw = self.outline.document.get("workload")
        if self.faults.within("workload") or raw is None:
            return None
        return Workload.from_document(WorkloadDocument.model_validate(raw), self.path.parent)

    def finished(self) -> PipelineFile:
        """Return the pipeline file, or raise all of its faults."""
        self.faults.raise_any()
        workload = self.workload
        if self.checked is None or workload is None:
            # A fault that nobody put into words must still not pass.
            raise InputError(Fault(self.faults.file, "", "is not a pipeline"))
        models = {name: dict(raw) for name, raw in self.outline.document.get("models", {}).items()}
        return PipelineFile(
            pipeline=_pipeline(self.checked),
            profile_paths=self.profile_paths,
            workload=workload,
            models=models,
            sha256=self.sha256,
        )


def draft_pipeline(path: str | os.PathLike[str]) -> PipelineDraft:
    """Read and check a pipeline file, and keep what is usable whatever is wrong.

    Raises
    ------
    InputError
        When it cannot be read at all, or is no YAML mapping.
    """
    file = os.fspath(path)
    data = read_bytes(path, MAX_PIPELINE_BYTES)
    document, key_faults = parse_yaml(file, utf8(file, data))
    if document is None and not key_faults:
        raise InputError(Fault(file, "", "is empty; a pipeline file begins with version: 1"))
    faults = DocumentFaults(file, document)
    for where, message in key_faults:
        faults.add(where, message)
    return _checked(Path(path), document, faults, hashlib.sha256(data).hexdigest())


def _checked(path: Path, document: object, faults: DocumentFaults, sha256: str) -> PipelineDraft:
    checked = check_structure(PipelineDocument, document, faults)
    outline = Outline(document)
    check_graph(outline, faults)
    check_profile_list(outline.document, faults)
    check_workload(outline.document, faults)
    check_models(outline, faults)
    return PipelineDraft(path=path, outline=outline, faults=faults, checked=checked, sha256=sha256)


def _pipeline(document: PipelineDocument) -> Pipeline:
    hardware = tuple(
        Hardware(
            name=name,
            price_nano_usd_per_hour=unit.price,
            cpus=unit.cpus,
            accelerator=unit.accelerator,
            accelerators=unit.accelerators,
            limit=unit.limit,
            isolation=unit.isolation,
        )
        for name, unit in document.hardware.items()
    )
    return Pipeline(
        name=document.name,
        slo=Slo(latency_ns=document.slo.latency, percentile=exact_percentile(document.slo.percentile)),
        stages=tuple(_stage(name, stage, tuple(document.hardware)) for name, stage in document.stages.items()),
        hardware=hardware,
        seed=document.seed,
        service_time=document.planner.service_time,
    )


def _stage(name: str, document: StageDocument, all_hardware: tuple[str, ...]) -> Stage:
    # In the order of the hardware section, whatever order the stage lists them in: it decides ties.
    allowed = all_hardware if document.hardware is None else tuple(h for h in all_hardware if h in document.hardware)
    return Stage(
        name=name,
        model=document.model,
        parents=tuple(
            Edge(
                parent=edge.stage,
                probability=1.0 if edge.probability is None else edge.probability,
                choice=edge.choice,
                when=edge.when,
            )
            for edge in document.after
        ),
        hardware=allowed,
        max_batch=document.max_batch,
        min_replicas=document.replicas.min,
        max_replicas=document.replicas.max,
    )
