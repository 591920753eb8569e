"""What of a deployment is there already: at its target, and at its serving core."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from inferline.errors import InputError
from inferline.files import PipelineFile, pipeline_of
from serving_adapter.client.admin import AdminClient
from serving_adapter.client.documents import PipelineDocument
from serving_adapter.deployment.standing import Standing, digest_of
from serving_adapter.deployment.wanted import Files
from serving_adapter.frontend.pipeline_admin import stage_model
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import ReplicaSet, SetKey, Target

__all__ = ["Running", "read_running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What is there.

    Parameters
    ----------
    standing
        How the deployment stands.
    record
        What the serving core knows of the pipeline; None when it is not registered.
    """

    standing: Standing
    record: PipelineDocument | None

    def sets(self, files: Files) -> Mapping[SetKey, ReplicaSet]:
        """Return how the replicas that are there are run, as far as what is registered says it.

        A set that it says nothing of can be stopped, but not made smaller.
        """
        return dict(self._sets(files))

    def _sets(self, files: Files) -> Iterator[tuple[SetKey, ReplicaSet]]:
        file = _read(self.record)
        if file is None:
            return
        known = {unit.name: unit for unit in (*files.pipeline.hardware, *file.pipeline.hardware)}
        models = {stage.name: stage.model for stage in file.pipeline.stages}
        for key, replicas in self.standing.replicas.items():
            raw = file.models.get(models.get(key.stage, ""))
            if raw is not None and key.hardware in known and self.standing.versions.get(key.stage) == key.version:
                yield (
                    key,
                    ReplicaSet(
                        deployment=file.pipeline.name,
                        stage=key.stage,
                        model=stage_model(file.pipeline.name, key.stage),
                        version=key.version,
                        entry=ModelEntry.from_document(models[key.stage], raw, files.path),
                        hardware=known[key.hardware],
                        replicas=replicas,
                    ),
                )


def _read(record: PipelineDocument | None) -> PipelineFile | None:
    try:
        return None if record is None else pipeline_of(record["pipeline"], "the registered pipeline")
    except InputError:  # of another version of this package
        return None


def read_running(target: Target, admin: AdminClient, name: str, stages: Collection[str] = ()) -> Running:
    """Ask the target and the serving core what there is.

    Parameters
    ----------
    target, admin
        Whom to ask.
    name
        The pipeline.
    stages
        Stages that are wanted: versions of their models count even when they are not registered as stages.

    Raises
    ------
    OutsideError
        When one of them cannot be reached, or fails.
    """
    requested = target.requested(name)
    record = admin.get_pipeline(name)
    versions = {} if record is None else record["versions"]
    named = {stage_model(name, stage): stage for stage in (*stages, *versions, *(key.stage for key in requested))}
    models = frozenset(
        (named[each["model_name"]], each["model_version"])
        for each in admin.get_all_models()
        if each["model_name"] in named
    )
    return Running(
        standing=Standing(
            replicas=dict(requested),
            versions=dict(versions),
            models=models,
            digest="" if record is None else digest_of(record["pipeline"], record["plan"]),
        ),
        record=record,
    )
