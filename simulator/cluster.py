"""A network whose stations change while it runs: replicas, batch latencies and hardware by a given schedule.

The schedule is given before the simulation, so stations are still taken in topological order, each to its end; a
controller that decides from what it sees has to stop every station at each of its ticks instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Routes
from inferline.units import MAX_TIME_NS
from simulator.epochs import Epoch, Schedule, check_schedule
from simulator.kernel.flow import join_streams, note_latency
from simulator.kernel.station import BATCHES, BUSY_NS, CLOCK_NS, EMITTED, STATE_SIZE, TAKEN, advance_station
from simulator.kernel.streams import Pool, Stream, enter, feed
from simulator.network import Network, check_arrivals, check_routes
from simulator.results import Result, StationResult, Visits

__all__ = ["Epoch", "Schedule", "simulate_cluster"]

Instants = NDArray[np.int64]
Ids = NDArray[np.int32]

_NO_NS: Instants = np.empty(0, dtype=np.int64)
_NO_IDS: Ids = np.empty(0, dtype=np.int32)


def simulate_cluster(
    network: Network,
    schedule: Schedule,
    arrival_ns: Instants,
    taken: Routes | None = None,
    *,
    record_visits: bool = True,
) -> Result:
    """Simulate a network that changes by a schedule, from empty to empty.

    The rules are those of `simulator.simulate`. At one instant (a) completions free replicas, (b) deliveries join
    queues, (c) the epoch that begins then comes into force, and only then (d) stations dispatch. So a query that
    arrives when an epoch begins is served by the new epoch's rules, and a batch that was dispatched before it keeps
    its service time.

    A station dispatches while its queue is not empty and fewer than ``replicas`` batches are in service on its
    present hardware. That is draining: a replica taken away finishes its batch and takes no other. Idle replicas
    leave first, then those that get free first. What stays are the replicas that are busy longest: of all choices of
    who leaves, the one that lets the queue wait longest, by one batch at most. After a change of hardware the new
    replicas take over the queue at once, and the batches in service on the old one do not count against them.

    Parameters
    ----------
    network
        The stations as they are until their first epoch.
    schedule
        Changes by station; a station without an entry does not change.
    arrival_ns, taken
        As of `simulator.simulate`.
    record_visits
        Whether to keep the visits. They say nothing of single replicas (``replica_busy_ns`` is empty), since those
        come and go.

    Raises
    ------
    InputError
        When the schedule names no station, does not go forward in time or leaves a station without replicas for good,
        when arrivals or routes are wrong, or when times could pass 2**62 ns.

    Notes
    -----
    Per station as much as `advance_station`: O(N) while service times differ little; O(N) more for every change of
    hardware.

    Examples
    --------
    A second replica is there from 15 on. At 30 one is taken away: the one that is idle then, not the one that is busy
    until 35.

    >>> from simulator import Station
    >>> network = Network(stations=(Station("detect", batch_latency_ns=(10,), replicas=1),))
    >>> more = Epoch(start_ns=15, batch_latency_ns=(10,), replicas=2)
    >>> fewer = Epoch(start_ns=30, batch_latency_ns=(10,), replicas=1)
    >>> simulate_cluster(network, {"detect": (more, fewer)}, np.array([0, 0, 0, 0, 0, 0])).latency_ns.tolist()
    [10, 20, 25, 30, 35, 45]
    """
    arrivals = check_arrivals(network, arrival_ns)
    routes = check_routes(network, taken, arrivals.size)
    check_schedule(network, schedule, arrivals)
    pool = Pool(arrivals.size)
    children = network.children()
    latency_ns = np.zeros(arrivals.size, dtype=np.int64)
    departures: dict[str, Stream] = {}
    results: dict[str, StationResult] = {}
    for station in network.stations:
        fed_by = [(departures[parent], routes.get((parent, station.name))) for parent in station.parents]
        stream = feed(fed_by, pool) if fed_by else enter(arrivals)
        first_epoch = Epoch(start_ns=0, batch_latency_ns=station.batch_latency_ns, replicas=station.replicas)
        epochs = (first_epoch, *schedule.get(station.name, ()))
        departures[station.name], results[station.name] = _serve(stream, epochs, pool, record_visits=record_visits)
        # A query that goes on finishes later at the child, so only ends of the pipeline set the latency.
        if all((station.name, child) in routes for child in children[station.name]):
            left = departures[station.name]
            note_latency(left.instant_ns, left.query_id, arrivals, latency_ns)
    return Result(latency_ns, MappingProxyType(results))


class _Replicas:
    """The replicas of one hardware: where the kernel stopped simulating them, and the departures so far.

    Parameters
    ----------
    arrivals
        All arrivals at the station.
    most
        Most replicas at any time.
    pool
        Where the departures are written.
    """

    def __init__(self, arrivals: Stream, most: int, pool: Pool) -> None:
        capacity = max(64, 4 * min(most, len(arrivals)) + 4)
        self.state: Instants = np.zeros(STATE_SIZE, dtype=np.int64)
        self._arrivals = arrivals
        self._free_ns = np.empty(capacity, dtype=np.int64)
        self._batch = np.empty(capacity, dtype=np.int64)
        self._instant, self._query = pool.take()

    def take_over(self, before: _Replicas, start_ns: int) -> None:
        """Start, all free, with the queue that other replicas leave."""
        self.state[TAKEN], self.state[BATCHES] = before.state[TAKEN], before.state[BATCHES]
        self.state[CLOCK_NS] = start_ns

    def advance(self, table_ns: Instants, replicas: int, until_ns: int, dispatch_ns: Instants, first: Ids) -> None:
        """Simulate up to, and not including, ``until_ns``; note the batches."""
        advance_station(
            self._arrivals.instant_ns, self._arrivals.query_id, table_ns, replicas, until_ns, self.state,
            self._free_ns, self._batch, self._instant, self._query, _NO_NS, 0, dispatch_ns, first,
        )  # fmt: skip

    def departures(self) -> Stream:
        """Return what has left so far."""
        departed = int(self.state[EMITTED])
        return Stream(self._instant[:departed], self._query[:departed])


def _serve(
    arrivals: Stream, epochs: Sequence[Epoch], pool: Pool, *, record_visits: bool
) -> tuple[Stream, StationResult]:
    """Simulate one station through its epochs; return its departures, sorted, and its totals."""
    most = max(epoch.replicas for epoch in epochs)
    tables = [np.array(epoch.batch_latency_ns, dtype=np.int64) for epoch in epochs]
    dispatch_ns = np.empty(len(arrivals), dtype=np.int64) if record_visits else _NO_NS
    first = np.empty(len(arrivals), dtype=np.int32) if record_visits else _NO_IDS
    replicas = _Replicas(arrivals, most, pool)
    departures: Stream | None = None
    busy_ns = 0
    ends = [*(epoch.start_ns for epoch in epochs[1:]), MAX_TIME_NS + 1]
    for epoch, table_ns, until_ns in zip(epochs, tables, ends, strict=True):
        if epoch.new_hardware:
            old, replicas = replicas, _Replicas(arrivals, most, pool)
            replicas.take_over(old, epoch.start_ns)
            old.advance(table_ns, 0, MAX_TIME_NS + 1, dispatch_ns, first)
            busy_ns += int(old.state[BUSY_NS])
            departures = _merge(departures, old.departures(), pool)
        replicas.advance(table_ns, epoch.replicas, until_ns, dispatch_ns, first)
    departures = _merge(departures, replicas.departures(), pool)
    batches = int(replicas.state[BATCHES])
    visits = _visits(arrivals, epochs, tables, dispatch_ns[:batches], first[:batches]) if record_visits else None
    return departures, StationResult(len(arrivals), batches, busy_ns + int(replicas.state[BUSY_NS]), visits)


def _merge(before: Stream | None, after: Stream, pool: Pool) -> Stream:
    """Return the departures of two kinds of hardware as one sorted stream."""
    if before is None:
        return after
    instant, query = pool.take()
    length = join_streams(before.instant_ns, before.query_id, after.instant_ns, after.query_id, instant, query)
    for read in (before, after):
        pool.give_back(read)
    return Stream(instant[:length], query[:length])


def _visits(
    arrivals: Stream, epochs: Sequence[Epoch], tables: Sequence[Instants], dispatch_ns: Instants, first: Ids
) -> Visits:
    """Spread the batches over their queries, by query id; the epoch of its dispatch says how long a batch takes."""
    size = np.diff(first, append=len(arrivals))
    starts = [epoch.start_ns for epoch in epochs[1:]]
    epoch_of = np.searchsorted(np.array(starts, dtype=np.int64), dispatch_ns, side="right")
    service_ns = np.empty(dispatch_ns.size, dtype=np.int64)
    for number, table_ns in enumerate(tables):
        here = epoch_of == number
        service_ns[here] = table_ns[size[here] - 1]
    order = np.argsort(arrivals.query_id)
    return Visits(
        query_id=arrivals.query_id[order],
        arrival_ns=arrivals.instant_ns[order],
        wait_ns=(np.repeat(dispatch_ns, size) - arrivals.instant_ns)[order],
        service_ns=np.repeat(service_ns, size)[order],
        replica_busy_ns=_NO_NS,
    )
