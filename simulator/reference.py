"""The reference engine: the same rules as a SimPy model, written to be read.

At one instant completions free replicas and deliver their queries, external arrivals join, and only then does each
station dispatch, once: deliveries are events of SimPy's normal priority and a dispatch is an event of a lower one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator
from types import MappingProxyType

import numpy as np
import simpy
from numpy.typing import NDArray

from inferline.domain import Routes, batch_to_take
from simulator.network import Network, Station
from simulator.results import Result, StationResult, Visits

__all__ = ["simulate_reference"]

_AFTER_DELIVERIES = 2
"""Priority of dispatches; SimPy's own events have 0 (urgent) and 1 (normal)."""


def simulate_reference(
    network: Network, arrival_ns: NDArray[np.int64], taken: Routes, *, record_visits: bool = True
) -> Result:
    """Simulate the network with SimPy; the arguments have been checked by `simulator.simulate`."""
    environment = simpy.Environment()
    run = _Run(environment, network, arrival_ns, taken)
    environment.process(run.arrive())
    environment.run()
    latency_ns = np.array(run.finish_ns, dtype=np.int64) - arrival_ns
    results = {station.name: run.stations[station.name].result(record_visits) for station in network.stations}
    return Result(latency_ns, MappingProxyType(results))


class _Run:
    """One simulation: the stations, and where each query has got to."""

    def __init__(
        self, environment: simpy.Environment, network: Network, arrival_ns: NDArray[np.int64], taken: Routes
    ) -> None:
        self.environment = environment
        self.arrival_ns: list[int] = arrival_ns.tolist()
        self.finish_ns = list(self.arrival_ns)
        self.stations = {station.name: _StationModel(self, station) for station in network.stations}
        self.entries = [model for model in self.stations.values() if not model.station.parents]
        for station in network.stations:
            awaited = [0] * len(self.arrival_ns)
            for parent in station.parents:
                mask = taken.get((parent, station.name))
                goes = [True] * len(self.arrival_ns) if mask is None else mask.tolist()
                visited = self.stations[parent].visited
                goes = [here and there for here, there in zip(goes, visited, strict=True)]
                self.stations[parent].children.append((self.stations[station.name], goes))
                awaited = [count + here for count, here in zip(awaited, goes, strict=True)]
            self.stations[station.name].expect(awaited)

    def arrive(self) -> Generator[simpy.Event]:
        """Deliver every query to the entries at its instant."""
        for query, instant in enumerate(self.arrival_ns):
            if instant > self.environment.now:
                yield self.environment.timeout(instant - self.environment.now)
            for entry in self.entries:
                entry.deliver(query)


class _StationModel:
    """One station: a queue, free replicas and batches in service."""

    def __init__(self, run: _Run, station: Station) -> None:
        self.run, self.station = run, station
        self.children: list[tuple[_StationModel, list[bool]]] = []
        self.queue: deque[int] = deque()
        self.delivered: list[int] = []
        self.free: list[tuple[int, int]] = [(0, replica) for replica in range(station.replicas)]
        self.dispatch_due = False
        self.batches = 0
        self.replica_busy_ns = [0] * station.replicas

    @property
    def visited(self) -> list[bool]:
        return [arrival >= 0 for arrival in self.expected]

    def expect(self, awaited: list[int]) -> None:
        """Note how many taken parents of each query must be done before it comes here."""
        entry = not self.station.parents
        self.awaited = awaited
        self.expected = [0 if entry or count > 0 else -1 for count in awaited]
        self.arrival_ns = [-1] * len(awaited)
        self.wait_ns = [0] * len(awaited)
        self.service_ns = [0] * len(awaited)

    def deliver(self, query: int) -> None:
        """Take in a query from a parent or from outside; dispatch once the instant's deliveries are over."""
        self.awaited[query] -= 1
        if self.awaited[query] > 0:
            return
        environment = self.run.environment
        self.arrival_ns[query] = environment.now
        self.delivered.append(query)
        self._dispatch_soon()

    def _dispatch_soon(self) -> None:
        if not self.dispatch_due:
            self.dispatch_due = True
            event = simpy.Event(self.run.environment)
            event._ok, event._value = True, None  # what Event.succeed does, which schedules at normal priority
            event.callbacks.append(self._dispatch)
            self.run.environment.schedule(event, priority=_AFTER_DELIVERIES)

    def _dispatch(self, _: simpy.Event) -> None:
        """Start batches while queries wait and replicas are free."""
        self.dispatch_due = False
        self.queue.extend(sorted(self.delivered))
        self.delivered.clear()
        environment = self.run.environment
        while self.queue and self.free:
            size = batch_to_take(len(self.queue), self.station.max_batch)
            batch = [self.queue.popleft() for _ in range(size)]
            replica = heapq.heappop(self.free)[1]
            service_ns = self.station.batch_latency_ns[size - 1]
            self.batches += 1
            self.replica_busy_ns[replica] += service_ns
            for query in batch:
                self.wait_ns[query] = environment.now - self.arrival_ns[query]
                self.service_ns[query] = service_ns
            done = environment.timeout(service_ns, (replica, batch))
            done.callbacks.append(self._complete)

    def _complete(self, done: simpy.Event) -> None:
        """Free the replica and pass the finished batch on."""
        replica, batch = done.value
        now = self.run.environment.now
        heapq.heappush(self.free, (now, replica))
        for query in batch:
            self.run.finish_ns[query] = max(self.run.finish_ns[query], now)
            for child, goes in self.children:
                if goes[query]:
                    child.deliver(query)
        if self.queue:
            self._dispatch_soon()

    def result(self, record_visits: bool) -> StationResult:
        """Return the totals, and the visits by query id."""
        query_id = np.flatnonzero(np.array(self.arrival_ns, dtype=np.int64) >= 0).astype(np.int32)
        busy = np.array(self.replica_busy_ns, dtype=np.int64)
        visits = Visits(
            query_id=query_id,
            arrival_ns=np.array(self.arrival_ns, dtype=np.int64)[query_id],
            wait_ns=np.array(self.wait_ns, dtype=np.int64)[query_id],
            service_ns=np.array(self.service_ns, dtype=np.int64)[query_id],
            replica_busy_ns=busy,
        )
        return StationResult(query_id.size, self.batches, int(busy.sum()), visits if record_visits else None)
