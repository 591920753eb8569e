"""The compiled engine: stations in topological order, each fed by the sorted departures of its parents."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from inferline.domain import Routes
from inferline.units import MAX_TIME_NS
from simulator.kernel.arrays import Ids, Instants
from simulator.kernel.flow import note_latency
from simulator.kernel.station import (
    ABORTED,
    BATCHES,
    BUSY_NS,
    EMITTED,
    LARGEST,
    SHORT,
    STATE_SIZE,
    advance_sampled,
    serve_unbatched,
)
from simulator.kernel.streams import Pool, Stream, enter, feed
from simulator.kernel.visits import batch_times, order_visits, replica_busy
from simulator.network import Network
from simulator.results import Result, StationResult, Visits

__all__ = ["Pool", "Served", "Stream", "enter", "feed", "serve", "simulate_kernel"]

_NO_NS: Instants = np.empty(0, dtype=np.int64)
_NO_IDS: Ids = np.empty(0, dtype=np.int32)


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
    largest_batch
        The largest batch dispatched. Every maximum batch size from it up to B gives the same departures; so does
        every larger one when it is below B.
    short
        Whether a query ever found every replica busy: if not, more replicas give the same departures.
    dispatch_ns, first
        int64 and int32 (batches,): instant of every batch and position of its first query among the arrivals;
        empty unless asked for.
    """

    departures: Stream
    batches: int
    busy_ns: int
    aborted: bool
    largest_batch: int
    short: bool
    dispatch_ns: Instants
    first: Ids


def serve(
    arrivals: Stream,
    latency_ns: Instants,
    replicas: int,
    pool: Pool,
    *,
    row: Ids | None = None,
    deadline_ns: Instants | None = None,
    late_allowed: int = 0,
    log: bool = False,
) -> Served:
    """Simulate one station from empty to empty.

    Parameters
    ----------
    arrivals
        What comes in.
    latency_ns
        int64 (B,): L(1) ... L(B); or int64 (K, B), C-contiguous: that in each of K rows.
    replicas
        c.
    pool
        Where the departures are written.
    row
        int32 (at least as many as the arrivals): the k-th batch, in order of dispatch, takes its time from that row;
        each lies in [0, K). None for the first row throughout.
    deadline_ns, late_allowed
        int64 (queries,): give up as soon as more than ``late_allowed`` departures come after their deadline. The
        count then proves that the configuration is infeasible, when no query can meet the SLO after its deadline.
    log
        Whether to keep the batches.
    """
    instant, query = pool.take()
    dispatch_ns = np.empty(len(arrivals) if log else 0, dtype=np.int64)
    first = np.empty(len(arrivals) if log else 0, dtype=np.int32)
    deadlines = _NO_NS if deadline_ns is None else deadline_ns
    state = np.zeros(STATE_SIZE, dtype=np.int64)
    max_batch = latency_ns.shape[-1]
    if max_batch == 1 and row is None:
        serve_unbatched(
            arrivals.instant_ns, arrivals.query_id, latency_ns.item(0), replicas, state, instant, query,
            deadlines, late_allowed, dispatch_ns, first,
        )  # fmt: skip
    else:
        # Room to spare, so that the batches in service are seldom moved to the front of the buffer.
        capacity = max(64, 4 * min(replicas, len(arrivals)) + 4)
        advance_sampled(
            arrivals.instant_ns, arrivals.query_id, latency_ns.reshape(-1), max_batch,
            _NO_IDS if row is None else row, replicas, MAX_TIME_NS + 1,
            state, np.empty(capacity, dtype=np.int64), np.empty(capacity, dtype=np.int64), instant, query,
            deadlines, late_allowed, dispatch_ns, first,
        )  # fmt: skip
    departed, batches = int(state[EMITTED]), int(state[BATCHES])
    return Served(
        departures=Stream(instant[:departed], query[:departed]),
        batches=batches,
        busy_ns=int(state[BUSY_NS]),
        aborted=bool(state[ABORTED]),
        largest_batch=int(state[LARGEST]),
        short=bool(state[SHORT]),
        dispatch_ns=dispatch_ns[:batches],
        first=first[:batches],
    )


def simulate_kernel(network: Network, arrival_ns: Instants, taken: Routes, *, record_visits: bool = True) -> Result:
    """Simulate the network; the arguments have been checked by `simulator.simulate`."""
    pool = Pool(arrival_ns.size)
    children = network.children()
    unread = {name: len(names) for name, names in children.items()}
    departures: dict[str, Stream] = {}
    results: dict[str, StationResult] = {}
    latency_ns = _NO_NS
    for station in network.stations:
        fed_by = [(departures[parent], taken.get((parent, station.name))) for parent in station.parents]
        arrivals = feed(fed_by, pool) if fed_by else enter(arrival_ns)
        drawn = station.sampled
        table_ns = np.array(station.batch_latency_ns, dtype=np.int64) if drawn is None else drawn.rows_ns
        row = None if drawn is None else drawn.row
        served = serve(arrivals, table_ns, station.replicas, pool, row=row, log=record_visits)
        visits = (
            _visits(arrivals, served, table_ns, row, station.replicas, arrival_ns.size) if record_visits else None
        )
        results[station.name] = StationResult(len(arrivals), served.batches, served.busy_ns, visits)
        departures[station.name] = served.departures
        if fed_by and all(arrivals is not stream for stream, _ in fed_by):
            pool.give_back(arrivals)
        for parent in station.parents:
            unread[parent] -= 1
            if unread[parent] == 0:
                pool.give_back(departures.pop(parent))
        # A query that goes on finishes later at the child, so only ends of the pipeline set the latency.
        if all((station.name, child) in taken for child in children[station.name]):
            if latency_ns is _NO_NS:
                latency_ns, _ = pool.take()
                latency_ns.fill(0)
            note_latency(served.departures.instant_ns, served.departures.query_id, arrival_ns, latency_ns)
        if unread[station.name] == 0:
            pool.give_back(departures.pop(station.name))
    return Result(latency_ns, MappingProxyType(results))


def _visits(
    arrivals: Stream, served: Served, table_ns: Instants, row: Ids | None, replicas: int, queries: int
) -> Visits:
    """Spread the logged batches over their queries, by query id, and over the replicas."""
    visits = len(arrivals)
    rows = _NO_IDS if row is None else row
    batch_ns = batch_times(served.first, visits, table_ns.reshape(-1), table_ns.shape[-1], rows)
    query_id = np.empty(visits, dtype=np.int32)
    arrival_ns, wait_ns, service_ns = np.empty((3, visits), dtype=np.int64)
    order_visits(
        arrivals.instant_ns, arrivals.query_id, served.dispatch_ns, served.first, batch_ns,
        np.zeros(queries, dtype=np.int32), query_id, arrival_ns, wait_ns, service_ns,
    )  # fmt: skip
    busy_ns = replica_busy(served.dispatch_ns, batch_ns, replicas)
    return Visits(query_id, arrival_ns, wait_ns, service_ns, busy_ns)
