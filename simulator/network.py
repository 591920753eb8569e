"""The network that is simulated: stations, their parents, and the checks that both engines rely on."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Routes
from inferline.domain.pipeline import find_cycle
from inferline.errors import InputError
from inferline.units import MAX_TIME_NS

__all__ = ["Network", "Station", "check_arrivals", "check_routes"]

MAX_QUERIES = 2**31 - 1
"""Query ids are 32-bit."""

MAX_REPLICAS = 1_000_000
"""Every replica's busy time is reported: more of them are a mistake rather than a station."""


@dataclass(frozen=True, slots=True)
class Station:
    """A stage as the simulator sees it: one FIFO queue, ``replicas`` identical replicas, greedy batches.

    Parameters
    ----------
    name
        Name, unique in the network.
    batch_latency_ns
        L(1) ... L(B): nanoseconds that a batch of each size is in service, each at least 1. Its length is the
        maximum batch size B.
    replicas
        Number of replicas c, at least 1.
    parents
        Names of the parent stations; none for an entry, several for a join.
    """

    name: str
    batch_latency_ns: Sequence[int]
    replicas: int = 1
    parents: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.parents, str):
            raise InputError(f"station {self.name!r}: parents is the text {self.parents!r}; give a tuple of names")
        try:
            table = tuple(operator.index(latency) for latency in self.batch_latency_ns)
            replicas = operator.index(self.replicas)
        except TypeError as error:
            raise InputError(f"station {self.name!r}: latencies and replicas are whole numbers: {error}") from None
        object.__setattr__(self, "batch_latency_ns", table)
        object.__setattr__(self, "replicas", replicas)
        object.__setattr__(self, "parents", tuple(self.parents))
        if not table or min(table) < 1 or max(table) > MAX_TIME_NS:
            raise InputError(f"station {self.name!r}: batch latencies must lie in [1, 2**62] ns, one per batch size")
        if not 1 <= replicas <= MAX_REPLICAS:
            raise InputError(f"station {self.name!r}: {replicas} replicas; 1 to {MAX_REPLICAS:,} can be simulated")
        if len(set(self.parents)) != len(self.parents):
            raise InputError(f"station {self.name!r}: a parent is named twice")

    @property
    def max_batch(self) -> int:
        """The maximum batch size B."""
        return len(self.batch_latency_ns)


@dataclass(frozen=True, slots=True)
class Network:
    """Stations that feed each other forward; kept in topological order, whatever order they are given in.

    Raises
    ------
    InputError
        When names repeat, a parent is unknown or the stations form a cycle.
    """

    stations: tuple[Station, ...]

    def __post_init__(self) -> None:
        by_name = {station.name: station for station in self.stations}
        if not by_name or len(by_name) != len(self.stations):
            raise InputError("a network needs at least one station, and names used once")
        parents = {station.name: station.parents for station in self.stations}
        for station in self.stations:
            for parent in station.parents:
                if parent not in by_name:
                    raise InputError(f"station {station.name!r}: no parent {parent!r} in the network")
        if cycle := find_cycle(parents):
            raise InputError("stations form a cycle: " + " -> ".join(cycle))
        order = TopologicalSorter(parents).static_order()
        object.__setattr__(self, "stations", tuple(by_name[name] for name in order))

    def children(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of the children of every station."""
        below: dict[str, list[str]] = {station.name: [] for station in self.stations}
        for station in self.stations:
            for parent in station.parents:
                below[parent].append(station.name)
        return MappingProxyType({name: tuple(names) for name, names in below.items()})


def check_arrivals(network: Network, arrival_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the arrivals as a contiguous int64 array, after checking that no time can pass 2**62 ns.

    A station is never idle while queries wait, so it ends at most (visits / replicas + 1) x max L after its last
    arrival; the sum of that over all stations bounds every time. Busy time summed over replicas is a time, too.
    """
    arrivals = np.ascontiguousarray(arrival_ns)
    if arrivals.dtype != np.int64 or arrivals.ndim != 1:
        raise InputError(f"arrival_ns must be int64 (n,), not {arrivals.dtype} {arrivals.shape}")
    if arrivals.size > MAX_QUERIES:
        raise InputError(f"{arrivals.size} queries; at most {MAX_QUERIES} can be simulated")
    if arrivals.size == 0:
        return arrivals
    if arrivals[0] < 0 or np.any(arrivals[1:] < arrivals[:-1]):
        raise InputError("arrival_ns must not be negative and must not decrease")
    end = int(arrivals[-1])
    for station in network.stations:
        longest = max(station.batch_latency_ns)
        end += (arrivals.size // station.replicas + 1) * longest
        if arrivals.size * longest > MAX_TIME_NS:
            raise InputError(f"station {station.name!r} could be busy for more than 2**62 ns; shorten the trace")
    if end > MAX_TIME_NS:
        raise InputError(f"the simulation could pass 2**62 ns (it may last until {end} ns); shorten the trace")
    return arrivals


def check_routes(network: Network, taken: Routes | None, queries: int) -> Routes:
    """Return the routes, contiguous, after checking that every mask is bool (queries,) on an edge of the network."""
    routes = {} if taken is None else dict(taken)
    edges = {(parent, station.name) for station in network.stations for parent in station.parents}
    for edge, given in routes.items():
        if edge not in edges:
            raise InputError(f"taken[{edge!r}]: no such edge in the network")
        mask = np.ascontiguousarray(given)
        routes[edge] = mask
        if mask.dtype != np.bool_ or mask.shape != (queries,):
            raise InputError(f"taken[{edge!r}] must be bool ({queries},), not {mask.dtype} {mask.shape}")
    return MappingProxyType(routes)
