"""The reference engine: the same rules as a SimPy model, written to be read.

At one instant completions free replicas and deliver their queries, external arrivals join, and only then does each
station dispatch, once: deliveries are events of SimPy's normal priority and a dispatch is an event of a lower one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator
from functools import partial
from types import MappingProxyType

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import NORMAL, EventPriority

from inferline.domain import Routes, batch_to_take
from simulator.network import Network, Station
from simulator.results import Result, StationResult, Visits

__all__ = ["simulate_reference"]

_AFTER_DELIVERIES = EventPriority(NORMAL + 1)
"""Priority of dispatches: SimPy takes events of one instant in the order of this number."""


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
        self.stations: dict[str, _StationModel] = {}
        everyone = [True] * len(self.arrival_ns)
        for station in network.stations:
            model = _StationModel(self, station)
            for parent in (self.stations[name] for name in station.parents):
                mask = taken.get((parent.station.name, station.name))
                takes = everyone if mask is None else mask.tolist()
                goes = [visits and takes_it for visits, takes_it in zip(parent.visited, takes, strict=True)]
                parent.children.append((model, goes))
                model.awaited = [count + comes for count, comes in zip(model.awaited, goes, strict=True)]
            model.visited = [count > 0 for count in model.awaited] if station.parents else everyone
            self.stations[station.name] = model
        self.entries = [model for model in self.stations.values() if not model.station.parents]

    def arrive(self) -> Generator[simpy.Event, None, None]:
        """Deliver every query to the entries at its instant."""
        now = 0
        for query, instant in enumerate(self.arrival_ns):
            if instant > now:
                yield self.environment.timeout(instant - now)
                now = instant
            for entry in self.entries:
                entry.deliver(query, now)


class _StationModel:
    """One station: a queue, free replicas and batches in service."""

    def __init__(self, run: _Run, station: Station) -> None:
        queries = len(run.arrival_ns)
        self.run, self.station = run, station
        self.children: list[tuple[_StationModel, list[bool]]] = []
        self.visited: list[bool] = []
        self.awaited = [0] * queries
        self.queue: deque[int] = deque()
        self.delivered: list[int] = []
        # Replicas are taken by (free since, index), so those beyond the number of queries never are.
        self.free: list[tuple[int, int]] = [(0, replica) for replica in range(min(station.replicas, queries))]
        self.dispatch_due = False
        self.batches = 0
        self.busy_ns = [0] * len(self.free)
        self.arrival_ns = [0] * queries
        self.wait_ns = [0] * queries
        self.service_ns = [0] * queries

    def deliver(self, query: int, now: int) -> None:
        """Take in a query from outside or from a parent, unless other parents of it are still to finish."""
        self.awaited[query] -= 1
        if self.awaited[query] <= 0:
            self.arrival_ns[query] = now
            self.delivered.append(query)
            self._dispatch_soon()

    def _dispatch_soon(self) -> None:
        """Have `_dispatch` called once this instant's completions and deliveries are over."""
        if not self.dispatch_due:
            self.dispatch_due = True
            event = simpy.Event(self.run.environment)
            event._ok, event._value = True, None  # what Event.succeed does, which schedules at normal priority
            event.callbacks.append(self._dispatch)
            self.run.environment.schedule(event, priority=_AFTER_DELIVERIES)

    def _dispatch(self, _due: simpy.Event) -> None:
        """Start batches while queries wait and replicas are free."""
        self.dispatch_due = False
        self.queue.extend(sorted(self.delivered))
        self.delivered.clear()
        now = int(self.run.environment.now)
        while self.queue and self.free:
            size = batch_to_take(len(self.queue), self.station.max_batch)
            batch = [self.queue.popleft() for _ in range(size)]
            _, replica = heapq.heappop(self.free)
            service_ns = self.station.service_ns(size, self.batches)
            self.batches += 1
            self.busy_ns[replica] += service_ns
            for query in batch:
                self.wait_ns[query] = now - self.arrival_ns[query]
                self.service_ns[query] = service_ns
            done = self.run.environment.timeout(service_ns)
            done.callbacks.append(partial(self._complete, replica, batch))

    def _complete(self, replica: int, batch: list[int], _done: simpy.Event) -> None:
        """Free the replica and pass the finished batch on."""
        now = int(self.run.environment.now)
        heapq.heappush(self.free, (now, replica))
        for query in batch:
            self.run.finish_ns[query] = max(self.run.finish_ns[query], now)
            for child, goes in self.children:
                if goes[query]:
                    child.deliver(query, now)
        if self.queue:
            self._dispatch_soon()

    def result(self, record_visits: bool) -> StationResult:
        """Return the totals, and the visits by query id."""
        query_id = np.flatnonzero(self.visited).astype(np.int32)
        busy_ns = np.zeros(self.station.replicas, dtype=np.int64)
        busy_ns[: len(self.busy_ns)] = self.busy_ns
        visits = Visits(
            query_id=query_id,
            arrival_ns=np.array(self.arrival_ns, dtype=np.int64)[query_id],
            wait_ns=np.array(self.wait_ns, dtype=np.int64)[query_id],
            service_ns=np.array(self.service_ns, dtype=np.int64)[query_id],
            replica_busy_ns=busy_ns,
        )
        return StationResult(query_id.size, self.batches, sum(self.busy_ns), visits if record_visits else None)
