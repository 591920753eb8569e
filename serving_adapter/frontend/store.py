"""The stored state as the server uses it: changes that are waited for, and records that are written in passing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

from inferline.errors import OutsideError
from serving_adapter.state import ReplicaRecord, Snapshot, State

__all__ = ["Store"]

_MOST_BEHIND = 100_000
_RETRY_S = 1.0
"""How long nothing is read for a query after the store could not be reached: others need not wait for that too."""

_log = logging.getLogger(__name__)


class Store:
    """A state with a queue of records in front of it, written one after the other.

    What containers and policies have to record must never hold a query up, and must keep its order; when the store
    cannot be reached it is logged and lost. Nothing else is written while a record is.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._turn = asyncio.Lock()
        self._records: asyncio.Queue[tuple[str, tuple[Any, ...]] | None] = asyncio.Queue()
        self._learnt: dict[tuple[str, int], str] = {}
        self._read_again_at = 0.0
        self._writing = asyncio.create_task(self._write_all())

    async def snapshot(self) -> Snapshot:
        """Return all that is kept."""
        return await self._state.snapshot()

    async def write(self, method: str, *arguments: Any) -> None:  # noqa: ANN401 - as the method takes them
        """Change the state, and return when that has happened."""
        if method == "delete_application":  # what it has learnt and is not written yet goes with it
            for key in [key for key in self._learnt if key[0] == arguments[0]]:
                del self._learnt[key]
        async with self._turn:
            await getattr(self._state, method)(*arguments)

    async def selection(self, application: str, uid: int) -> str | None:
        """Return what a policy has kept for a user; None when that is nothing.

        Raises
        ------
        OutsideError
            When the store cannot be reached, or could not be just now.
        """
        waiting = self._learnt.get((application, uid))
        if waiting is not None:
            return waiting
        if monotonic() < self._read_again_at:
            raise OutsideError("the store could not be reached just now")
        try:
            return await self._state.selection(application, uid)
        except OutsideError:
            self._read_again_at = monotonic() + _RETRY_S
            raise

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
        """Keep what a policy has learnt, soon; of what it learns until then, the last counts."""
        key = (application, uid)
        if key in self._learnt or self._later("put_selection", application, uid):
            self._learnt[key] = text

    async def close(self, patience_s: float) -> None:
        """Write what is left, as far as there is time, and let go."""
        self._records.put_nowait(None)
        try:
            await asyncio.wait_for(self._writing, patience_s)
        except TimeoutError:
            _log.warning("event=records_lost count=%d reason=the store is too slow", self._records.qsize())
        await self._state.close()

    def _later(self, method: str, *arguments: Any) -> bool:  # noqa: ANN401 - as the method takes them
        if self._records.qsize() >= _MOST_BEHIND:
            _log.warning("event=record_lost record=%s reason=the store is too far behind", method)
            return False
        self._records.put_nowait((method, arguments))
        return True

    async def _write_all(self) -> None:
        while (record := await self._records.get()) is not None:
            method, arguments = record
            async with self._turn:
                if method == "put_selection":
                    text = self._learnt.pop(arguments, None)
                    if text is None:
                        continue
                    arguments = (*arguments, text)
                await self._write_one(method, arguments)

    async def _write_one(self, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            await getattr(self._state, method)(*arguments)
        except OutsideError as error:
            _log.warning("event=record_lost record=%s reason=%s", method, error)
        except Exception:  # the next one may be fine, and nobody else writes them
            _log.exception("event=record_lost record=%s", method)
