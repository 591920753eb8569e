"""What is kept, and what can be done with it: the words that the stores and the serving core share.

The records are those of Clipper (Crankshaw et al., NSDI 2017), because its Redis must hold them. They are kept as
they are given: what a name or a batch size may be is checked at the frontends, which answer in Clipper's own words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["INPUT_TYPES", "Application", "ModelVersion", "PipelineRecord", "ReplicaRecord", "Snapshot", "State"]

INPUT_TYPES = ("bytes", "integers", "floats", "doubles", "strings")
"""Every input type, in the readable form that is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What clients send queries to.

    Parameters
    ----------
    name
        Its name, and its path below the query frontend.
    input_type
        One of `INPUT_TYPES`.
    default_output
        What is answered when no model answers within the latency SLO.
    latency_slo_micros
        The latency SLO in microseconds.
    policy
        Name of the selection policy.
    queue_order
        ``deadline`` when the queues of its models are to be in that order, else ``arrival``. Unknown to Clipper.
    """

    name: str
    input_type: str
    default_output: str
    latency_slo_micros: int
    policy: str = "DefaultOutputSelectionPolicy"
    queue_order: str = "arrival"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of a model, as it was registered.

    Parameters
    ----------
    name, version
        Which one; a version is any text.
    input_type
        One of `INPUT_TYPES`.
    labels
        Texts that the user attached. Clipper cannot tell one empty label from none: it is read as none.
    container_name, model_data_path
        Image and data it runs from, for people to read.
    batch_size
        Largest batch that a replica is sent; -1 leaves that to the server.
    batching
        How the server finds the largest batch out; empty leaves that to the server too. Unknown to Clipper.
    batch_wait_micros
        Longest wait in microseconds for a batch to fill; -1 leaves that to the server. Unknown to Clipper.
    """

    name: str
    version: str
    input_type: str
    labels: tuple[str, ...]
    container_name: str
    model_data_path: str
    batch_size: int
    batching: str = ""
    batch_wait_micros: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRecord:
    """A pipeline that queries walk. Unknown to Clipper.

    Parameters
    ----------
    name
        Its name, and its path below the query frontend.
    document, plan
        The pipeline file and the plan as JSON texts, as they were given.
    versions
        By stage, the version that its visits go to, of the model ``name.stage``.
    deadline_micros
        When a query is given up, in microseconds from its arrival.
    """

    name: str
    document: str
    plan: str
    versions: Mapping[str, str]
    deadline_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRecord:
    """One replica that has registered with this server.

    Parameters
    ----------
    name, version
        The model that it runs.
    replica_id
        Its number among the replicas of that version, from 0.
    connection_id
        The number of its connection among all.
    input_type
        One of `INPUT_TYPES`.
    """

    name: str
    version: str
    replica_id: int
    connection_id: int
    input_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is kept, selection states apart; what happens later does not show in it.

    Parameters
    ----------
    applications
        By name.
    links
        Names of the linked models by application; an application without links has no entry. What another program
        left behind may name applications and models that are not there.
    models
        By name and version.
    current
        Current version by model name. It stays when that version is deleted, and so may name one that is not there.
    replicas
        By name, version and replica id.
    pipelines
        By name.
    """

    applications: Mapping[str, Application]
    links: Mapping[str, frozenset[str]]
    models: Mapping[tuple[str, str], ModelVersion]
    current: Mapping[str, str]
    replicas: Mapping[tuple[str, str, int], ReplicaRecord]
    pipelines: Mapping[str, PipelineRecord] = field(default_factory=dict)


class State(Protocol):
    """A store of the configuration. What is there already is replaced; deleting what is not there does nothing.

    Every method that talks to a store raises OutsideError, within two seconds, when the store cannot be reached or
    refuses; nothing is then known about whether a write took place, and it can be repeated.
    """

    async def snapshot(self) -> Snapshot:
        """Return all that is kept now."""

    async def put_application(self, application: Application) -> None:
        """Keep an application."""

    async def delete_application(self, name: str) -> None:
        """Forget an application, its links and the selection states of its users."""

    async def put_model(self, model: ModelVersion) -> None:
        """Keep a version of a model."""

    async def delete_model(self, name: str, version: str) -> None:
        """Forget a version of a model; links to the model and its current version stay as they are."""

    async def set_current(self, name: str, version: str) -> None:
        """Make that version the current one of the model."""

    async def add_links(self, application: str, models: Collection[str]) -> None:
        """Link models to an application, beside those that are."""

    async def remove_links(self, application: str, models: Collection[str]) -> None:
        """Take links of an application away."""

    async def put_pipeline(self, pipeline: PipelineRecord) -> None:
        """Keep a pipeline."""

    async def delete_pipeline(self, name: str) -> None:
        """Forget a pipeline; the models of its stages stay as they are."""

    async def put_replica(self, replica: ReplicaRecord) -> None:
        """Keep a replica."""

    async def delete_replica(self, name: str, version: str, replica_id: int) -> None:
        """Forget a replica."""

    async def selection(self, application: str, uid: int) -> str | None:
        """Return what the selection policy of an application keeps for a user; None when it keeps nothing."""

    async def put_selection(self, application: str, uid: int, text: str) -> None:
        """Keep what the selection policy of an application has to keep for a user."""

    def changes(self) -> AsyncIterator[None]:
        """Yield at first, and then whenever something may have changed, by this process or by another.

        Selection states apart. A reader that takes a snapshot at each yield misses nothing; changes that happen while
        it does so reach it as one. It ends when the state is closed. To be called inside an event loop.
        """

    async def close(self) -> None:
        """Let go of the store; nothing may be asked of it afterwards."""
