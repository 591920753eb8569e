"""What the serving core asks of the world: a clock, a way to the replicas, and somebody who counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

__all__ = ["ModelKey", "Observer", "Timer", "Timers", "Transport"]

ModelKey = tuple[str, str]
"""(model, version)"""


class Timer(Protocol):
    """Something that will happen unless it is cancelled."""

    def cancel(self) -> None:
        """Let it not happen."""


class Timers(Protocol):
    """The clock, as far as the core needs one."""

    def now_ns(self) -> int:
        """Return monotonic nanoseconds."""

    def call_at(self, when_ns: int, callback: Callable[..., None], *arguments: Any) -> Timer:  # noqa: ANN401
        """Call back at that time."""

    def soon(self, callback: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
        """Call back once what is at hand is done."""


class Transport(Protocol):
    """The way to the replicas."""

    def send(self, identity: bytes, message_id: int, version: ModelKey, inputs: Sequence[bytes]) -> bool:
        """Send a batch; False when the replica is gone, which has then been reported to the core."""

    def forget(self, identity: bytes) -> None:
        """Treat a replica as unknown until it registers again."""


class Observer(Protocol):
    """Who counts."""

    def predicted(self, application: str, latency_ns: int, *, default: bool) -> None:
        """Count one query."""

    def batch_answered(self, version: ModelKey, size: int, latency_ns: int, waited_ns: Sequence[int]) -> None:
        """Count one batch: from sending to the answer, and how long each query had waited before."""

    def dropped(self, version: ModelKey, count: int, reason: str) -> None:
        """Count queries that were given up: ``late``, ``lost`` or ``full``."""
