"""What the administration interface answers, as typed objects of JSON."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

__all__ = [
    "ApplicationDocument",
    "ModelDocument",
    "ObservationDocument",
    "PipelineDocument",
    "ReplicaDocument",
    "StageDocument",
    "StageObservationDocument",
]


class ApplicationDocument(TypedDict):
    """A registered application."""

    name: str
    input_type: str
    default_output: str
    latency_slo_micros: int
    linked_models: list[str]


class ModelDocument(TypedDict):
    """A registered version of a model."""

    model_name: str
    model_version: str
    input_type: str
    labels: list[str]
    container_name: str
    model_data_path: str
    is_current_version: bool


class ReplicaDocument(TypedDict):
    """A model container that is registered: one replica that can answer."""

    model_id: str
    model_name: str
    model_version: str
    model_replica_id: int
    input_type: str


class StageDocument(TypedDict):
    """A stage of a pipeline: what serves it; None for what is unknown because somebody has deleted its model."""

    model: str
    version: str
    input_type: str | None
    max_batch: int | None
    replicas: int
    queued: NotRequired[int]


class PipelineDocument(TypedDict):
    """A registered pipeline: its file and its plan as they were given, and its stages by name."""

    name: str
    pipeline: dict[str, Any]
    plan: dict[str, Any]
    versions: dict[str, str]
    deadline_micros: int | None
    stages: dict[str, StageDocument]


class StageObservationDocument(TypedDict, total=False):
    """What has happened to a stage; nothing when its model was deleted.

    ``first`` is the number of the first of ``arrivals_ns``, which begin anew with each ``version``; times are of the
    serving core's monotonic clock.
    """

    version: str
    first: int
    arrivals_ns: list[int]
    queued: int
    in_service: int
    replicas: int
    busy_ns: int


class ObservationDocument(TypedDict):
    """What has happened to each stage of a pipeline, since the serving core's process began.

    ``start`` tells one process from the next; ``now_ns`` is its monotonic clock. Both clock and numbers begin anew.
    """

    start: str
    now_ns: int
    stages: dict[str, StageObservationDocument]
