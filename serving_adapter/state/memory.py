"""The configuration in this process alone; gone when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from serving_adapter.state.changes import Changes
from serving_adapter.state.records import Application, ModelVersion, PipelineRecord, ReplicaRecord, Snapshot

__all__ = ["MemoryState"]


class MemoryState:
    """Dictionaries. No method waits for anything, so each is one step to every other coroutine."""

    def __init__(self) -> None:
        self._applications: dict[str, Application] = {}
        self._links: dict[str, frozenset[str]] = {}
        self._models: dict[tuple[str, str], ModelVersion] = {}
        self._current: dict[str, str] = {}
        self._replicas: dict[tuple[str, str, int], ReplicaRecord] = {}
        self._pipelines: dict[str, PipelineRecord] = {}
        self._selections: dict[tuple[str, int], str] = {}
        self._changes = Changes()

    async def snapshot(self) -> Snapshot:
        """Return all that is kept now."""
        return Snapshot(
            applications=dict(self._applications),
            links=dict(self._links),
            models=dict(self._models),
            current=dict(self._current),
            replicas=dict(self._replicas),
            pipelines=dict(self._pipelines),
        )

    async def put_application(self, application: Application) -> None:
        """Keep an application."""
        self._applications[application.name] = application
        self._changes.tell()

    async def delete_application(self, name: str) -> None:
        """Forget an application, its links and the selection states of its users."""
        self._applications.pop(name, None)
        self._links.pop(name, None)
        for key in [key for key in self._selections if key[0] == name]:
            del self._selections[key]
        self._changes.tell()

    async def put_model(self, model: ModelVersion) -> None:
        """Keep a version of a model."""
        self._models[model.name, model.version] = model
        self._changes.tell()

    async def delete_model(self, name: str, version: str) -> None:
        """Forget a version of a model."""
        self._models.pop((name, version), None)
        self._changes.tell()

    async def set_current(self, name: str, version: str) -> None:
        """Make that version the current one of the model."""
        self._current[name] = version
        self._changes.tell()

    async def add_links(self, application: str, models: Collection[str]) -> None:
        """Link models to an application, beside those that are."""
        self._set_links(application, self._links.get(application, frozenset()) | set(models))

    async def remove_links(self, application: str, models: Collection[str]) -> None:
        """Take links of an application away."""
        self._set_links(application, self._links.get(application, frozenset()) - set(models))

    async def put_pipeline(self, pipeline: PipelineRecord) -> None:
        """Keep a pipeline."""
        self._pipelines[pipeline.name] = pipeline
        self._changes.tell()

    async def delete_pipeline(self, name: str) -> None:
        """Forget a pipeline."""
        self._pipelines.pop(name, None)
        self._changes.tell()

    async def put_replica(self, replica: ReplicaRecord) -> None:
        """Keep a replica."""
        self._replicas[replica.name, replica.version, replica.replica_id] = replica
        self._changes.tell()

    async def delete_replica(self, name: str, version: str, replica_id: int) -> None:
        """Forget a replica."""
        self._replicas.pop((name, version, replica_id), None)
        self._changes.tell()

    async def selection(self, application: str, uid: int) -> str | None:
        """Return what the selection policy of an application keeps for a user."""
        return self._selections.get((application, uid))

    async def put_selection(self, application: str, uid: int, text: str) -> None:
        """Keep what the selection policy of an application has to keep for a user."""
        self._selections[application, uid] = text

    def changes(self) -> AsyncIterator[None]:
        """Yield at first, and then after what was written through this object: nobody else can."""
        return self._changes.read()

    async def close(self) -> None:
        """End the readers of `changes`."""
        self._changes.close()

    def _set_links(self, application: str, models: frozenset[str]) -> None:
        if models:
            self._links[application] = models
        else:
            self._links.pop(application, None)
        self._changes.tell()
