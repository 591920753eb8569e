"""One version of a model as the core serves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from serving_adapter.core.batching import BatchPolicy
from serving_adapter.core.queueing import Order
from serving_adapter.core.scheduling import ModelSchedule
from serving_adapter.core.world import ModelKey, Timer

__all__ = ["Version", "VersionSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSpec:
    """How one version of a model is served.

    Parameters
    ----------
    batching
        Makes the batch policy of a new replica.
    order
        Order of its queue.
    wait_ns
        Longest wait for a batch to fill.
    most_queued
        How many queries may wait.
    """

    batching: Callable[[], BatchPolicy]
    order: Order = "arrival"
    wait_ns: int = 0
    most_queued: int | None = None


@dataclass(slots=True, eq=False)
class Version:
    """One version of a model: its schedule, and the identities of its replicas by number."""

    key: ModelKey
    spec: VersionSpec
    schedule: ModelSchedule
    identities: dict[int, bytes] = field(default_factory=dict)
    asked_to_dispatch: bool = False
    wake: Timer | None = None
