"""Model containers on one side, the core on the other: who registered, under which number, for which version."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from serving_adapter.core.models import Models
from serving_adapter.core.world import ModelKey
from serving_adapter.rpc.router import Router
from serving_adapter.rpc.wire import DataType, NewContainer, PredictResponse
from serving_adapter.state import ModelVersion, ReplicaRecord

__all__ = ["Records", "Registrations"]

_log = logging.getLogger(__name__)


class Records(Protocol):
    """Where replicas are recorded; neither call waits."""

    def put_replica(self, replica: ReplicaRecord) -> None:
        """Record a replica."""

    def delete_replica(self, name: str, version: str, replica_id: int) -> None:
        """Forget a replica."""


class Registrations:
    """The core's transport and the router's listener.

    A container may register before its model does: it serves as soon as both have.

    Parameters
    ----------
    records
        Where replicas are recorded.
    make_router
        Makes the router that reports to this object.
    """

    models: Models

    def __init__(self, records: Records, make_router: Callable[[Registrations], Router]) -> None:
        self._records = records
        self.router = make_router(self)
        self._containers: dict[bytes, ReplicaRecord] = {}
        self._waiting: dict[bytes, ReplicaRecord] = {}
        self._refused: dict[bytes, DataType] = {}
        self._types: dict[ModelKey, DataType] = {}
        self._next_replica: dict[ModelKey, int] = defaultdict(int)
        self._next_connection = 0

    @property
    def all(self) -> Sequence[ReplicaRecord]:
        """Every container that is registered."""
        return tuple(self._containers.values())

    # What the core asks

    def send(self, identity: bytes, message_id: int, version: ModelKey, inputs: Sequence[bytes]) -> bool:
        """Send a batch to a container."""
        return self.router.send(identity, message_id, self._types[version], inputs)

    def forget(self, identity: bytes) -> None:
        """Treat a container as unknown until it registers again."""
        self.router.forget(identity)
        self._remove(identity)

    # What the router reports

    def registered(self, identity: bytes, container: NewContainer) -> None:
        """Give a container its number, record it, and let it serve if its model is registered."""
        key = (container.name, container.version)
        if any(mark in part for part in key for mark in ",:"):
            # No such model can be registered, and as a record it would pass for one of another model.
            _log.error("event=replica_refused model=%s:%s reason=its name or version has a ',' or ':'", *key)
            return
        replica = ReplicaRecord(
            name=container.name,
            version=container.version,
            replica_id=self._next_replica[key],
            connection_id=self._next_connection,
            input_type=container.data_type.readable,
        )
        self._next_replica[key] += 1
        self._next_connection += 1
        self._containers[identity] = replica
        self._records.put_replica(replica)
        _log.info("event=replica_registered model=%s:%s replica=%d", *key, replica.replica_id)
        self._waiting[identity] = replica
        self._introduce(identity)

    def answered(self, identity: bytes, response: PredictResponse) -> None:
        """Hand outputs on."""
        self.models.answered(identity, response.message_id, response.outputs)

    def gone(self, identity: bytes, reason: str) -> None:
        """Forget a container that has vanished."""
        self.models.gone(identity, reason)
        self._remove(identity)

    # Configuration

    def record_again(self, recorded: Collection[tuple[str, str, int]]) -> None:
        """Record those whose record has been lost, as when the store could not be reached."""
        for replica in self._containers.values():
            if (replica.name, replica.version, replica.replica_id) not in recorded:
                self._records.put_replica(replica)

    def serve(self, models: Mapping[ModelKey, ModelVersion], orphans: Sequence[bytes]) -> None:
        """Serve these versions from now on; ``orphans`` are containers of versions that are no more."""
        self._types = {key: DataType[model.input_type.upper()] for key, model in models.items()}
        for identity in orphans:
            self.forget(identity)
        for identity in list(self._waiting):
            self._introduce(identity)

    def _introduce(self, identity: bytes) -> None:
        replica = self._waiting[identity]
        key = (replica.name, replica.version)
        wanted = self._types.get(key)
        if wanted is None:
            return
        if wanted.readable != replica.input_type:
            if self._refused.get(identity) is not wanted:
                self._refused[identity] = wanted
                _log.error(
                    "event=replica_refused model=%s:%s replica=%d reason=it takes %s, its model says %s",
                    *key,
                    replica.replica_id,
                    replica.input_type,
                    wanted.readable,
                )
        elif self.models.add_replica(identity, key, replica.replica_id):
            del self._waiting[identity]

    def _remove(self, identity: bytes) -> None:
        self._waiting.pop(identity, None)
        self._refused.pop(identity, None)
        replica = self._containers.pop(identity, None)
        if replica is not None:
            self._records.delete_replica(replica.name, replica.version, replica.replica_id)
