"""The store in Redis: one client for each of the schema's databases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from serving_adapter.cancelling import end
from serving_adapter.state.changes import Changes
from serving_adapter.state.records import Application, ModelVersion, PipelineRecord, ReplicaRecord, Snapshot
from serving_adapter.state.redis import schema
from serving_adapter.state.redis.connection import Server
from serving_adapter.state.redis.listening import listen

__all__ = ["RedisState"]

_SCAN_COUNT = 1000

_Record = TypeVar("_Record")
_log = logging.getLogger(__name__)


class RedisState:
    """Connections are made when they are needed, and again when they broke.

    Parameters
    ----------
    server
        Where Redis is.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        # The second attempt is for connections that broke just now; every write can be repeated.
        self._selections = server.client(schema.SELECTIONS, attempts=2)
        self._models = server.client(schema.MODELS, attempts=2)
        self._replicas = server.client(schema.REPLICAS, attempts=2)
        self._applications = server.client(schema.APPLICATIONS, attempts=2)
        self._current = server.client(schema.CURRENT, attempts=2)
        self._links = server.client(schema.LINKS, attempts=2)
        self._pipelines = server.client(schema.PIPELINES, attempts=2)
        self._changes = Changes()
        self._listener: asyncio.Task[None] | None = None
        self._skipped: frozenset[tuple[str, bytes, str]] = frozenset()

    async def snapshot(self) -> Snapshot:
        """Return all that is kept now; what is not of Clipper's schema is left out and logged once."""
        skipped: set[tuple[str, bytes, str]] = set()
        async with self._server.asked():
            applications = await _entries(self._applications, "HGETALL")
            models = await _entries(self._models, "HGETALL")
            replicas = await _entries(self._replicas, "HGETALL")
            current = await _entries(self._current, "GET", schema.CURRENT_PREFIX + "*")
            links = await _entries(self._links, "SMEMBERS")
            pipelines = await _entries(self._pipelines, "HGETALL")
        snapshot = Snapshot(
            applications={
                application.name: application
                for application in _read(applications, schema.read_application, "applications", skipped)
            },
            links=dict(_read(links, schema.read_links, "links", skipped)),
            models={
                (model.name, model.version): model for model in _read(models, schema.read_model, "models", skipped)
            },
            current=dict(_read(current, schema.read_current, "current", skipped)),
            replicas={
                (replica.name, replica.version, replica.replica_id): replica
                for replica in _read(replicas, schema.read_replica, "replicas", skipped)
            },
            pipelines={
                pipeline.name: pipeline for pipeline in _read(pipelines, schema.read_pipeline, "pipelines", skipped)
            },
        )
        for kind, key, reason in sorted(skipped - self._skipped):
            _log.warning("event=redis_entry_skipped kind=%s key=%r reason=%r", kind, key, reason)
        self._skipped = frozenset(skipped)
        return snapshot

    async def put_application(self, application: Application) -> None:
        """Keep an application."""
        await self._put(self._applications, application.name, schema.application_fields(application))

    async def delete_application(self, name: str) -> None:
        """Forget an application, its links and the selection states of its users.

        The application goes last, so that a deletion that was broken off can be repeated.
        """
        async with self._server.asked():
            await self._links.delete(name)
        await self._delete_selections(name)
        async with self._server.asked(), self._applications.pipeline(transaction=True) as pipe:
            pipe.hdel(name, *schema.APPLICATION_FIELDS)
            pipe.delete(name)  # what else somebody may have put there
            await pipe.execute()

    async def put_model(self, model: ModelVersion) -> None:
        """Keep a version of a model."""
        await self._put(self._models, schema.model_key(model.name, model.version), schema.model_fields(model))

    async def delete_model(self, name: str, version: str) -> None:
        """Forget a version of a model."""
        key = schema.model_key(name, version)
        async with self._server.asked(), self._models.pipeline(transaction=True) as pipe:
            pipe.hdel(key, schema.VALID)
            pipe.delete(key)
            await pipe.execute()

    async def set_current(self, name: str, version: str) -> None:
        """Make that version the current one of the model."""
        async with self._server.asked():
            await self._current.set(schema.CURRENT_PREFIX + name, version)

    async def add_links(self, application: str, models: Collection[str]) -> None:
        """Link models to an application, beside those that are."""
        if models:
            async with self._server.asked():
                await self._links.sadd(application, *models)

    async def remove_links(self, application: str, models: Collection[str]) -> None:
        """Take links of an application away."""
        if models:
            async with self._server.asked():
                await self._links.srem(application, *models)

    async def put_pipeline(self, pipeline: PipelineRecord) -> None:
        """Keep a pipeline."""
        await self._put(self._pipelines, pipeline.name, schema.pipeline_fields(pipeline))

    async def delete_pipeline(self, name: str) -> None:
        """Forget a pipeline."""
        async with self._server.asked():
            await self._pipelines.delete(name)

    async def put_replica(self, replica: ReplicaRecord) -> None:
        """Keep a replica."""
        key = schema.replica_key(replica.name, replica.version, replica.replica_id)
        await self._put(self._replicas, key, schema.replica_fields(replica))

    async def delete_replica(self, name: str, version: str, replica_id: int) -> None:
        """Forget a replica."""
        async with self._server.asked():
            await self._replicas.delete(schema.replica_key(name, version, replica_id))

    async def selection(self, application: str, uid: int) -> str | None:
        """Return what the selection policy of an application keeps for a user."""
        async with self._server.asked():
            value: Any = await self._selections.get(schema.selection_key(application, uid))
        return None if value is None else value.decode(errors="replace")

    async def put_selection(self, application: str, uid: int, text: str) -> None:
        """Keep what the selection policy of an application has to keep for a user."""
        async with self._server.asked():
            await self._selections.set(schema.selection_key(application, uid), text)

    def changes(self) -> AsyncIterator[None]:
        """Yield at first, and then whenever Redis notifies of a change, and when one may have been missed."""
        if self._listener is None:
            self._listener = asyncio.create_task(listen(self._server, self._changes, self.snapshot))
        return self._changes.read()

    async def close(self) -> None:
        """Close all connections, and end the readers of `changes`."""
        if self._listener is not None:
            await end(self._listener)
        self._changes.close()
        kept = (self._selections, self._models, self._replicas, self._applications, self._current, self._links)
        for client in (*kept, self._pipelines):
            await client.aclose()

    async def _put(self, client: Redis, key: str, fields: Mapping[str, str]) -> None:
        async with self._server.asked():
            await client.hset(key, items=[text for field in fields.items() for text in field])

    async def _delete_selections(self, application: str) -> None:
        """Delete in steps, each within the time limit: there may be one for every user."""
        pattern, exact = schema.selection_pattern(application)
        cursor: int | None = None
        while cursor != 0:
            async with self._server.asked():
                answer: Any = await self._selections.scan(cursor or 0, match=pattern, count=_SCAN_COUNT)
                cursor, found = answer
                if keys := [key for key in found if exact.fullmatch(key)]:
                    await self._selections.delete(*keys)


async def _entries(client: Redis, command: str, pattern: str = "*") -> list[tuple[bytes, Any]]:
    """Return keys and values of a database; a value of another type is the error that Redis answers."""
    keys: list[Any] = await client.keys(pattern)
    async with client.pipeline(transaction=True) as pipe:
        for key in keys:
            pipe.execute_command(command, key)
        return list(zip(keys, await pipe.execute(raise_on_error=False), strict=True))


def _read(
    entries: Iterable[tuple[bytes, Any]],
    read: Callable[[bytes, Any], _Record],
    kind: str,
    skipped: set[tuple[str, bytes, str]],
) -> list[_Record]:
    records = []
    for key, value in entries:
        if not value:  # deleted since the keys were listed
            continue
        try:
            if isinstance(value, ResponseError):
                raise schema.NotInSchemaError(str(value))
            records.append(read(key, value))
        except schema.NotInSchemaError as error:
            skipped.add((kind, key, str(error)))
    return records
