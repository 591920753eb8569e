"""What a simulation gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Result", "StationResult", "Visits"]


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Every visit to one station, ordered by query id.

    Parameters
    ----------
    query_id
        int32 (v,), ascending.
    arrival_ns, wait_ns, service_ns
        int64 (v,): instant of arrival at the station, time in its queue, time in service.
    replica_busy_ns
        int64 (c,): busy time of each replica, when a query goes to the free replica with the smallest
        (free since, index).
    """

    query_id: NDArray[np.int32]
    arrival_ns: NDArray[np.int64]
    wait_ns: NDArray[np.int64]
    service_ns: NDArray[np.int64]
    replica_busy_ns: NDArray[np.int64]

    @property
    def finish_ns(self) -> NDArray[np.int64]:
        """Instant at which each visit ends; int64 (v,)."""
        return self.arrival_ns + self.wait_ns + self.service_ns


@dataclass(frozen=True, slots=True, eq=False)
class StationResult:
    """Totals of one station, and its visits when they were recorded.

    Parameters
    ----------
    visits, batches
        Queries served, and batches that served them.
    busy_ns
        Busy time summed over replicas.
    recorded
        Every visit; None when ``simulate`` was told not to record them.
    """

    visits: int
    batches: int
    busy_ns: int
    recorded: Visits | None

    @property
    def each(self) -> Visits:
        """Every visit.

        Raises
        ------
        ValueError
            When the visits were not recorded.
        """
        if self.recorded is None:
            raise ValueError("visits were not recorded: call simulate(..., record_visits=True)")
        return self.recorded

    @property
    def wait_ns(self) -> NDArray[np.int64]:
        """Waiting time of each visit; int64 (visits,), by query id."""
        return self.each.wait_ns

    @property
    def service_ns(self) -> NDArray[np.int64]:
        """Service time of each visit; int64 (visits,), by query id."""
        return self.each.service_ns


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Outcome of a simulation.

    Parameters
    ----------
    latency_ns
        int64 (n,): end-to-end latency of every query, by query id.
    stations
        Per station, in topological order.
    """

    latency_ns: NDArray[np.int64]
    stations: Mapping[str, StationResult]
