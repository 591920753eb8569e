"""The stored state as the server uses it: changes that are waited for, and records that are written in passing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from inferline.errors import OutsideError
from serving_adapter.state import ReplicaRecord, Snapshot, State

__all__ = ["Store"]

_MOST_BEHIND = 100_000

_log = logging.getLogger(__name__)


class Store:
    """A state with a queue of records in front of it, written one after the other.

    What containers and policies have to record must never hold a query up, and must keep its order; when the store
    cannot be reached it is logged and lost, since the next registration writes it again.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._records: asyncio.Queue[tuple[str, tuple[Any, ...]] | None] = asyncio.Queue(_MOST_BEHIND)
        self._writing = asyncio.create_task(self._write_all())

    async def snapshot(self) -> Snapshot:
        """Return all that is kept."""
        return await self._state.snapshot()

    async def write(self, method: str, *arguments: Any) -> None:  # noqa: ANN401 - as the method takes them
        """Change the state, and return when that has happened."""
        await getattr(self._state, method)(*arguments)

    async def selection(self, application: str, uid: int) -> str | None:
        """Return what a policy has kept; nothing when the store cannot be reached."""
        try:
            return await self._state.selection(application, uid)
        except OutsideError as error:
            _log.warning("event=state_unreachable application=%s uid=%d reason=%s", application, uid, error)
            return None

    def changes(self) -> AsyncIterator[None]:
        """Yield whenever something may have changed."""
        return self._state.changes()

    def put_replica(self, replica: ReplicaRecord) -> None:
        """Record a replica, soon."""
        self._later("put_replica", replica)

    def delete_replica(self, name: str, version: str, replica_id: int) -> None:
        """Forget a replica, soon."""
        self._later("delete_replica", name, version, replica_id)

    def put_selection(self, application: str, uid: int, text: str) -> None:
        """Keep what a policy has learnt, soon."""
        self._later("put_selection", application, uid, text)

    async def close(self) -> None:
        """Write what is left, and let go."""
        self._later("")
        await self._writing
        await self._state.close()

    def _later(self, method: str, *arguments: Any) -> None:  # noqa: ANN401 - as the method takes them
        try:
            self._records.put_nowait((method, arguments) if method else None)
        except asyncio.QueueFull:
            _log.warning("event=record_lost record=%s reason=the store is too far behind", method)

    async def _write_all(self) -> None:
        while (record := await self._records.get()) is not None:
            method, arguments = record
            try:
                await getattr(self._state, method)(*arguments)
            except OutsideError as error:
                _log.warning("event=record_lost record=%s reason=%s", method, error)
