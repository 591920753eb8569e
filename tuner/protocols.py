"""What the tuner asks of the world: what arrives, what is asked for at the target, and who may change it.

Every call may raise OutsideError when its part of the world cannot be reached; it may also hang: the daemon makes
each in a thread with a time limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrivals", "ArrivalsSeen", "Lease", "Replicas", "StageArrivals"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageArrivals:
    """What is seen of one stage.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing: when queries reached its queue, of the last 120 s, on the clock of
        `ArrivalsSeen.now_ns`.
    queued, in_service
        Queries that wait, and that are in batches at replicas.
    ready
        Replicas that serve.
    utilisation
        Busy time over replica time since the look before, in [0, 1].
    """

    arrival_ns: NDArray[np.int64]
    queued: int
    in_service: int
    ready: int
    utilisation: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrivalsSeen:
    """What is seen of a pipeline's queries.

    Parameters
    ----------
    source
        Tells the server's process from others: clocks and counts begin anew in each.
    now_ns
        Monotonic clock of the source, at the instant that this is about.
    age_ns
        How long ago that was when the look ended: the time since a scrape.
    stages
        By stage, every one of the pipeline.
    """

    source: str
    now_ns: int
    age_ns: int
    stages: Mapping[str, StageArrivals]


class Arrivals(Protocol):
    """Where arrivals are read."""

    def look(self) -> ArrivalsSeen:
        """Return what is to be seen now."""
        ...

    def close(self) -> None:
        """Let go of connections."""


class Replicas(Protocol):
    """Where replicas are asked for."""

    def requested(self) -> Mapping[str, int]:
        """Return how many replicas of each stage are asked for, whoever asked for them."""
        ...

    def ask(self, stage: str, replicas: int) -> None:
        """Have a stage have so many replicas from now on; asking for the same again changes nothing."""

    def close(self) -> None:
        """Let go of connections."""


class Lease(Protocol):
    """Who of several daemons may change things."""

    def hold(self) -> int | None:
        """Take the lease or renew it.

        Return until when it is ours, on this machine's monotonic clock in nanoseconds; None when it is another's.
        """
        ...

    def release(self) -> None:
        """Give it back, if it is ours."""
