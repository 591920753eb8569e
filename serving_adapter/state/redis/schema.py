"""Clipper's schema in Redis: records to keys and hash fields, and back. Nothing here talks to Redis.

That of Clipper's last commit (ucbrise/clipper 9f25e3fc, 2020): one database for each kind of record. What another
program wrote is read as far as it follows that schema; the rest is `NotInSchemaError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from serving_adapter.state.records import INPUT_TYPES, Application, ModelVersion, PipelineRecord, ReplicaRecord

__all__ = [
    "APPLICATIONS",
    "APPLICATION_FIELDS",
    "CURRENT",
    "CURRENT_PREFIX",
    "LINKS",
    "MODELS",
    "PIPELINES",
    "REPLICAS",
    "SELECTIONS",
    "VALID",
    "NotInSchemaError",
    "application_fields",
    "model_fields",
    "model_key",
    "pipeline_fields",
    "read_application",
    "read_current",
    "read_links",
    "read_model",
    "read_pipeline",
    "read_replica",
    "replica_fields",
    "replica_key",
    "selection_key",
    "selection_pattern",
]

SELECTIONS = 1
"""Number of the database of selection states; those below hold what their names say."""

MODELS = 2
REPLICAS = 3
APPLICATIONS = 5
CURRENT = 6
LINKS = 7

PIPELINES = 8
"""Clipper uses databases 1 to 7: it never sees these."""

CURRENT_PREFIX = "CURRENT_MODEL_VERSION:"
VALID = "valid"
"""The field that every model has until it is to be deleted."""

APPLICATION_FIELDS = ("input_type", "policy", "default_output", "latency_slo_micros")

_Fields = Mapping[bytes, bytes]
_INTEGER = re.compile(r"-?[0-9]{1,19}")


class NotInSchemaError(ValueError):
    """An entry is not what Clipper would have written; says why."""


def application_fields(application: Application) -> dict[str, str]:
    """Return the hash of an application; its key is its name."""
    values = (
        application.input_type,
        application.policy,
        application.default_output,
        str(application.latency_slo_micros),
    )
    fields = dict(zip(APPLICATION_FIELDS, values, strict=True))
    # What Clipper does not know is kept only when it says something: else the hash is Clipper's to the byte.
    return fields if application.queue_order == "arrival" else {**fields, "queue_order": application.queue_order}


def model_fields(model: ModelVersion) -> dict[str, str]:
    """Return the hash of a version of a model."""
    more = {}
    if model.batching:
        more["batching"] = model.batching
    if model.batch_wait_micros >= 0:
        more["batch_wait_micros"] = str(model.batch_wait_micros)
    return {
        "model_name": model.name,
        "model_version": model.version,
        "load": "0.000000",
        "input_type": model.input_type,
        "labels": ",".join(model.labels),
        "container_name": model.container_name,
        "model_data_path": model.model_data_path,
        "batch_size": str(model.batch_size),
        VALID: "",
        **more,
    }


def pipeline_fields(pipeline: PipelineRecord) -> dict[str, str]:
    """Return the hash of a pipeline; its key is its name."""
    return {
        "document": pipeline.document,
        "plan": pipeline.plan,
        "versions": json.dumps(dict(pipeline.versions)),
        "deadline_micros": str(pipeline.deadline_micros),
    }


def replica_fields(replica: ReplicaRecord) -> dict[str, str]:
    """Return the hash of a replica."""
    return {
        "model_id": model_key(replica.name, replica.version),
        "model_name": replica.name,
        "model_version": replica.version,
        "model_replica_id": str(replica.replica_id),
        "zmq_connection_id": str(replica.connection_id),
        "batch_size": "1",
        "input_type": replica.input_type,
    }


def model_key(name: str, version: str) -> str:
    """Return the key of a version of a model."""
    return f"{name}:{version}"


def replica_key(name: str, version: str, replica_id: int) -> str:
    """Return the key of a replica."""
    return f"{name},{version},{replica_id}"


def selection_key(application: str, uid: int) -> str:
    """Return the key of a selection state; the last part is always 0."""
    return f"{application}:{uid}:0"


def selection_pattern(application: str) -> tuple[str, re.Pattern[bytes]]:
    r"""Return what finds the selection states of an application: a pattern of Redis, and what its finds must match.

    Redis's finds include those of applications whose names begin with this one's and a colon.

    Examples
    --------
    >>> glob, exact = selection_pattern("a*")
    >>> glob, bool(exact.fullmatch(b"a*:7:0")), bool(exact.fullmatch(b"a*:b:7:0"))
    ('a\\*:*:0', True, False)
    """
    escaped = re.sub(r"([\\*?\[\]])", r"\\\1", application)
    return f"{escaped}:*:0", re.compile(re.escape(application.encode()) + rb":-?[0-9]+:0")


def read_application(key: bytes, fields: _Fields) -> Application:
    """Return the application that is kept under a key.

    Raises
    ------
    NotInSchemaError
        When a field is missing, or is not of its form.
    """
    return Application(
        name=_text(key),
        input_type=_input_type(fields),
        default_output=_field(fields, "default_output"),
        latency_slo_micros=_integer(fields, "latency_slo_micros"),
        policy=_field(fields, "policy"),
        queue_order=_field(fields, "queue_order") if b"queue_order" in fields else "arrival",
    )


def read_model(key: bytes, fields: _Fields) -> ModelVersion:
    """Return the version of a model that is kept under a key; without ``batch_size``, the server chooses that.

    Raises
    ------
    NotInSchemaError
        When a field is missing, or is not of its form, or says something else than the key; or when the version
        is marked for deletion.
    """
    labels = _field(fields, "labels")
    model = ModelVersion(
        name=_field(fields, "model_name"),
        version=_field(fields, "model_version"),
        input_type=_input_type(fields),
        labels=tuple(labels.split(",")) if labels else (),
        container_name=_field(fields, "container_name"),
        model_data_path=_field(fields, "model_data_path"),
        batch_size=_integer(fields, "batch_size") if b"batch_size" in fields else -1,
        batching=_field(fields, "batching") if b"batching" in fields else "",
        batch_wait_micros=_integer(fields, "batch_wait_micros") if b"batch_wait_micros" in fields else -1,
    )
    _expect_key(key, model_key(model.name, model.version))
    if VALID.encode() not in fields:
        raise NotInSchemaError("no field valid: marked for deletion")
    return model


def read_pipeline(key: bytes, fields: _Fields) -> PipelineRecord:
    """Return the pipeline that is kept under a key.

    Raises
    ------
    NotInSchemaError
        When a field is missing, or is not of its form.
    """
    try:
        versions = json.loads(_field(fields, "versions"))
    except ValueError as error:
        raise NotInSchemaError(f"versions is no JSON: {error}") from error
    if not isinstance(versions, dict) or not all(isinstance(each, str) for each in versions.values()):
        raise NotInSchemaError("versions is no object of texts")
    return PipelineRecord(
        name=_text(key),
        document=_field(fields, "document"),
        plan=_field(fields, "plan"),
        versions=versions,
        deadline_micros=_integer(fields, "deadline_micros"),
    )


def read_replica(key: bytes, fields: _Fields) -> ReplicaRecord:
    """Return the replica that is kept under a key.

    Raises
    ------
    NotInSchemaError
        When a field is missing, or is not of its form, or says something else than the key.
    """
    replica = ReplicaRecord(
        name=_field(fields, "model_name"),
        version=_field(fields, "model_version"),
        replica_id=_integer(fields, "model_replica_id"),
        connection_id=_integer(fields, "zmq_connection_id"),
        input_type=_input_type(fields),
    )
    _expect_key(key, replica_key(replica.name, replica.version, replica.replica_id))
    return replica


def read_current(key: bytes, version: bytes) -> tuple[str, str]:
    """Return the name of a model and its current version, which are kept under a key.

    Raises
    ------
    NotInSchemaError
        When either is not UTF-8.
    """
    return _text(key).removeprefix(CURRENT_PREFIX), _text(version)


def read_links(key: bytes, models: Collection[bytes]) -> tuple[str, frozenset[str]]:
    """Return the name of an application and those of its models, which are kept under a key.

    Raises
    ------
    NotInSchemaError
        When one is not UTF-8.
    """
    return _text(key), frozenset(_text(model) for model in models)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise NotInSchemaError(f"not UTF-8: {value[:40]!r}") from error


def _field(fields: _Fields, name: str) -> str:
    if name.encode() not in fields:
        raise NotInSchemaError(f"no field {name}")
    return _text(fields[name.encode()])


def _integer(fields: _Fields, name: str) -> int:
    text = _field(fields, name)
    if not _INTEGER.fullmatch(text):
        raise NotInSchemaError(f"{name} is no integer: {text[:40]!r}")
    return int(text)


def _input_type(fields: _Fields) -> str:
    text = _field(fields, "input_type")
    if text not in INPUT_TYPES:
        raise NotInSchemaError(f"input_type is none of {', '.join(INPUT_TYPES)}: {text[:40]!r}")
    return text


def _expect_key(key: bytes, expected: str) -> None:
    if key != expected.encode():
        raise NotInSchemaError(f"the fields are those of {expected[:80]!r}")
