"""The compiled engine: stations in topological order, each fed by the sorted departures of its parents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Routes
from inferline.units import MAX_TIME_NS
from simulator.kernel.flow import join_streams, keep_taken, note_finish
from simulator.kernel.station import (
    ABORTED,
    BATCHES,
    BUSY_NS,
    EMITTED,
    STATE_SIZE,
    advance_station,
    replica_busy,
    serve_unbatched,
)
from simulator.network import Network, Station
from simulator.results import Result, StationResult, Visits

__all__ = ["Pool", "Served", "Stream", "enter", "feed", "serve", "simulate_kernel"]

_NO_NS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Queries that pass a point of the network, sorted by (instant, query id).

    Parameters
    ----------
    instant_ns
        int64 (m,).
    query_id
        int32 (m,).
    """

    instant_ns: NDArray[np.int64]
    query_id: NDArray[np.int32]

    def __len__(self) -> int:
        return int(self.instant_ns.size)

    @property
    def nbytes(self) -> int:
        """Memory that the stream holds."""
        return int(self.instant_ns.nbytes + self.query_id.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Departures of a station and how it was busy.

    Parameters
    ----------
    departures
        Sorted; what left before the abort when ``aborted``.
    batches, busy_ns
        Batches dispatched, and their service time summed.
    aborted
        Whether more departures than allowed were late, so that the rest was not simulated.
    dispatch_ns, first
        int64 and int32 (batches,): instant of every batch and position of its first query among the arrivals;
        empty unless asked for.
    """

    departures: Stream
    batches: int
    busy_ns: int
    aborted: bool
    dispatch_ns: NDArray[np.int64]
    first: NDArray[np.int32]


class Pool:
    """Buffers that streams are written into, used again once nobody reads them.

    Fresh memory costs a page fault per 4 KiB when it is first written: as much as simulating.

    Parameters
    ----------
    capacity
        Length of every buffer: the number of queries.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []

    def take(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return a buffer of instants and one of query ids, with any content."""
        if self._free:
            return self._free.pop()
        return np.empty(self._capacity, dtype=np.int64), np.empty(self._capacity, dtype=np.int32)

    def give_back(self, stream: Stream) -> None:
        """Take back the buffers of a stream that came from here and that nobody reads any more."""
        instant, query = stream.instant_ns.base, stream.query_id.base
        if isinstance(instant, np.ndarray) and isinstance(query, np.ndarray):
            self._free.append((instant, query))


def enter(arrival_ns: NDArray[np.int64]) -> Stream:
    """Return the stream of all queries at the entries of the network."""
    return Stream(arrival_ns, np.arange(arrival_ns.size, dtype=np.int32))


def feed(parents: Sequence[tuple[Stream, NDArray[np.bool_] | None]], pool: Pool) -> Stream:
    """Return the arrivals of a station from the departures of its parents.

    Parameters
    ----------
    parents
        Per parent, its departures and which queries take the edge (None: all).
    pool
        Where the result is written; buffers needed on the way are given back.

    Returns
    -------
    Stream
        The departures themselves, not a copy, when one parent sends everything on.
    """
    (first, taken), *others = parents
    joined = first if taken is None else _taken(first, taken, pool)
    for departures, taken in others:
        stream = departures if taken is None else _taken(departures, taken, pool)
        instant, query = pool.take()
        length = join_streams(joined.instant_ns, joined.query_id, stream.instant_ns, stream.query_id, instant, query)
        for read in (joined, stream):
            if all(read is not departures for departures, _ in parents):
                pool.give_back(read)
        joined = Stream(instant[:length], query[:length])
    return joined


def _taken(departures: Stream, taken: NDArray[np.bool_], pool: Pool) -> Stream:
    instant, query = pool.take()
    kept = keep_taken(departures.instant_ns, departures.query_id, taken, instant, query)
    return Stream(instant[:kept], query[:kept])


def serve(
    arrivals: Stream,
    latency_ns: NDArray[np.int64],
    replicas: int,
    pool: Pool,
    *,
    deadline_ns: NDArray[np.int64] | None = None,
    late_allowed: int = 0,
    log: bool = False,
) -> Served:
    """Simulate one station from empty to empty.

    Parameters
    ----------
    arrivals
        What comes in.
    latency_ns
        int64 (B,): L(1) ... L(B).
    replicas
        c.
    pool
        Where the departures are written.
    deadline_ns, late_allowed
        int64 (queries,): give up as soon as more than ``late_allowed`` departures come after their deadline. The
        count then proves that the configuration is infeasible, when no query can meet the SLO after its deadline.
    log
        Whether to keep the batches.
    """
    length = len(arrivals)
    instant, query = pool.take()
    dispatch_ns = np.empty(length if log else 0, dtype=np.int64)
    first = np.empty(length if log else 0, dtype=np.int32)
    deadlines = _NO_NS if deadline_ns is None else deadline_ns
    if latency_ns.size == 1:
        batches, aborted = serve_unbatched(
            arrivals.instant_ns, arrivals.query_id, latency_ns[0], replicas, instant, query,
            deadlines, late_allowed, dispatch_ns, first,
        )  # fmt: skip
        busy_ns, departed = batches * int(latency_ns[0]), batches
    else:
        state = np.zeros(STATE_SIZE, dtype=np.int64)
        capacity = max(64, 4 * min(replicas, length) + 4)
        advance_station(
            arrivals.instant_ns, arrivals.query_id, latency_ns, replicas, MAX_TIME_NS + 1,
            state, np.empty(capacity, dtype=np.int64), np.empty(capacity, dtype=np.int64), instant, query,
            deadlines, late_allowed, dispatch_ns, first,
        )  # fmt: skip
        batches, busy_ns = int(state[BATCHES]), int(state[BUSY_NS])
        aborted, departed = bool(state[ABORTED]), int(state[EMITTED])
    return Served(
        departures=Stream(instant[:departed], query[:departed]),
        batches=batches,
        busy_ns=busy_ns,
        aborted=aborted,
        dispatch_ns=dispatch_ns[:batches],
        first=first[:batches],
    )


def simulate_kernel(
    network: Network, arrival_ns: NDArray[np.int64], taken: Routes, *, record_visits: bool = True
) -> Result:
    """Simulate the network; the arguments have been checked by `simulator.simulate`."""
    pool = Pool(arrival_ns.size)
    children = network.children()
    unread = {name: len(names) for name, names in children.items()}
    finish_ns = arrival_ns.copy()
    departures: dict[str, Stream] = {}
    results: dict[str, StationResult] = {}
    entering = enter(arrival_ns)
    for station in network.stations:
        fed_by = [(departures[parent], taken.get((parent, station.name))) for parent in station.parents]
        arrivals = feed(fed_by, pool) if fed_by else entering
        latency_ns = np.array(station.batch_latency_ns, dtype=np.int64)
        served = serve(arrivals, latency_ns, station.replicas, pool, log=record_visits)
        visits = _visits(arrivals, served, latency_ns, station) if record_visits else None
        results[station.name] = StationResult(len(arrivals), served.batches, served.busy_ns, visits)
        departures[station.name] = served.departures
        # A query that goes on finishes later at the child, so only ends of the pipeline set the latency.
        if all((station.name, child) in taken for child in children[station.name]):
            note_finish(served.departures.instant_ns, served.departures.query_id, finish_ns)
        if fed_by and all(arrivals is not stream for stream, _ in fed_by):
            pool.give_back(arrivals)
        for parent in station.parents:
            unread[parent] -= 1
        for done in [name for name in departures if unread[name] == 0]:
            pool.give_back(departures.pop(done))
    finish_ns -= arrival_ns
    return Result(finish_ns, MappingProxyType(results))


def _visits(arrivals: Stream, served: Served, latency_ns: NDArray[np.int64], station: Station) -> Visits:
    """Spread the logged batches over their queries, and order the visits by query id."""
    size = np.diff(served.first, append=np.int32(len(arrivals)))
    service_ns = latency_ns[size - 1]
    order = np.argsort(arrivals.query_id, kind="stable")
    wait_ns = np.repeat(served.dispatch_ns, size) - arrivals.instant_ns
    return Visits(
        query_id=arrivals.query_id[order],
        arrival_ns=arrivals.instant_ns[order],
        wait_ns=wait_ns[order],
        service_ns=np.repeat(service_ns, size)[order],
        replica_busy_ns=replica_busy(served.dispatch_ns, service_ns, station.replicas),
    )
