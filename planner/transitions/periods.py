"""What the queries see that arrive in one stretch of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Slo
from inferline.domain.slo import nearest_rank
from planner.problem import Problem
from planner.transitions.timetable import Slot
from simulator import Result, StationResult

__all__ = ["Period", "Seen", "arriving", "period", "seen"]

Instants = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What some queries see.

    Parameters
    ----------
    queries
        How many they are.
    latency_ns
        Nearest-rank latency at the SLO's percentile; None when there are no queries.
    late
        Queries with a latency above the SLO's.
    slo_met
        Whether as many are in time as the SLO's percentile asks for.
    """

    queries: int
    latency_ns: int | None
    late: int
    slo_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A stretch of time and the queries that arrive in it.

    Parameters
    ----------
    slot
        The time: arrivals at its beginning belong to it, those at its end to the next.
    seen
        What they see.
    with_old, with_new
        What the same queries would see if the pipeline always ran the old, or the new, configuration.
    longest_wait
        The stage at which they wait longest, and how long in nanoseconds, at the SLO's percentile of their visits;
        None when none waits.
    """

    slot: Slot
    seen: Seen
    with_old: Seen
    with_new: Seen
    longest_wait: tuple[str, int] | None


def period(problem: Problem, slot: Slot, result: Result, with_old: Instants, with_new: Instants) -> Period:
    """Return what the queries see that arrive in a slot.

    Parameters
    ----------
    problem, slot
        Whose queries, and when.
    result
        The simulation of all queries, with its visits.
    with_old, with_new
        int64 (queries,): latency of every query with the old and with the new configuration alone.
    """
    slo = problem.pipeline.slo
    queries = arriving(problem, slot)
    return Period(
        slot=slot,
        seen=seen(slo, result.latency_ns[queries]),
        with_old=seen(slo, with_old[queries]),
        with_new=seen(slo, with_new[queries]),
        longest_wait=_longest_wait(slo, result.stations, queries),
    )


def arriving(problem: Problem, slot: Slot) -> slice:
    """Return the ids of the queries that arrive in a slot."""
    first, end = np.searchsorted(problem.trace.arrival_ns, [slot.begin_ns, slot.end_ns], side="left")
    return slice(int(first), int(end))


def seen(slo: Slo, latency: Instants) -> Seen:
    """Return what queries with these latencies see; int64 (queries,) in nanoseconds."""
    late = int(np.count_nonzero(latency > slo.latency_ns))
    at = _at_percentile(slo, latency) if latency.size else None
    return Seen(queries=latency.size, latency_ns=at, late=late, slo_met=at is None or at <= slo.latency_ns)


def _at_percentile(slo: Slo, times_ns: Instants) -> int:
    rank = nearest_rank(slo.percentile, times_ns.size)
    return int(np.partition(times_ns, rank - 1)[rank - 1])


def _longest_wait(slo: Slo, stations: Mapping[str, StationResult], queries: slice) -> tuple[str, int] | None:
    waits: dict[str, int] = {}
    for name, station in stations.items():
        first, end = np.searchsorted(station.each.query_id, [queries.start, queries.stop], side="left")
        if first < end:
            waits[name] = _at_percentile(slo, station.wait_ns[first:end])
    longest = max(waits, key=lambda name: waits[name], default=None)
    return (longest, waits[longest]) if longest is not None and waits[longest] else None
