"""One version of a model as the core serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from serving_adapter.core.arrivals import ArrivalLog
from serving_adapter.core.batching import Aimd, BatchPolicy, ExploreThenFit, FixedBatch
from serving_adapter.core.queueing import Order, Queue, new_queue
from serving_adapter.core.scheduling import ModelSchedule
from serving_adapter.core.world import ModelKey, Timer

__all__ = ["ADAPTIVE", "Batching", "StageFigures", "Version", "VersionSpec"]

ADAPTIVE = -1
"""The batch size of a version whose replicas find out their maximum themselves."""

Batching = Literal["explore", "aimd"]
"""How they do: as Clipper's code, or as its paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSpec:
    """How one version of a model is served.

    Parameters
    ----------
    input_type
        Type of its inputs.
    batch_size
        Maximum batch size; `ADAPTIVE` for one that is found out.
    batching
        How it is found out.
    objective_ns
        What a batch may take, for ``aimd``.
    order
        Order of its queue.
    wait_ns
        Longest wait for a batch to fill.
    most_queued
        How many queries may wait.
    cached
        Whether outputs are kept, and identical inputs in flight predicted once.
    patient
        Whether inputs wait, until their deadlines, while there is no replica; those that are late are dropped.
    """

    input_type: str = "doubles"
    batch_size: int = ADAPTIVE
    batching: Batching = "explore"
    objective_ns: int = 100_000_000
    order: Order = "arrival"
    wait_ns: int = 0
    most_queued: int | None = None
    cached: bool = True
    patient: bool = False

    def batch_policy(self, rng: np.random.Generator) -> BatchPolicy:
        """Return the batch policy of a new replica.

        Exploring batches are not filled up with copies, as Clipper's are: until the size is found, that makes a
        replica as slow as the SLO allows, for answers that nobody asked for.
        """
        if self.batch_size > 0:
            return FixedBatch(self.batch_size)
        if self.batching == "aimd":
            return Aimd(self.objective_ns)
        return ExploreThenFit(rng, fill=False)

    def queue(self) -> Queue:
        """Return an empty queue.

        A policy that reads the batch size off the time left to the deadline must not see the late.
        """
        explores = self.batch_size <= 0 and self.batching == "explore"
        return new_queue(self.order, expire=explores or self.patient, most=self.most_queued)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFigures:
    """What scrapers are told of a version.

    Parameters
    ----------
    arrivals, busy_ns
        Since it was registered: queries that reached its queue, and the time that answered batches were at replicas.
    in_service
        Queries that are at replicas.
    recent_ns
        When the last queries came.
    """

    arrivals: int
    busy_ns: int
    in_service: int
    recent_ns: Sequence[int]


@dataclass(slots=True, eq=False)
class Version:
    """One version of a model: its schedule, the identities of its replicas by number, and what it has been through.

    ``busy_ns`` is the time that all batches were at replicas, of those that have been answered.
    """

    key: ModelKey
    spec: VersionSpec
    schedule: ModelSchedule
    identities: dict[int, bytes] = field(default_factory=dict)
    asked_to_dispatch: bool = False
    wake: Timer | None = None
    lookups: int = 0
    hits: int = 0
    arrivals: ArrivalLog = field(default_factory=ArrivalLog)
    busy_ns: int = 0

    @classmethod
    def of(cls, key: ModelKey, spec: VersionSpec) -> Version:
        """Return a version without replicas."""
        return cls(key, spec, ModelSchedule(spec.queue(), wait_ns=spec.wait_ns))

    def change(self, spec: VersionSpec, rng: np.random.Generator) -> None:
        """Go on in another way; nobody who waits is lost."""
        self.spec = spec
        self.schedule.change(spec.queue(), wait_ns=spec.wait_ns)
        for replica in self.identities:
            self.schedule.set_policy(replica, spec.batch_policy(rng))

    def quiet(self) -> None:
        """Take back the call for a batch that had to fill."""
        if self.wake is not None:
            self.wake.cancel()
            self.wake = None
