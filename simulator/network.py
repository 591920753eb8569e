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

__all__ = ["Network", "SampledTimes", "Station", "check_arrivals", "check_routes"]

MAX_QUERIES = 2**31 - 1
"""Query ids are 32-bit."""

MAX_REPLICAS = 1_000_000
"""Every replica's busy time is reported: more of them are a mistake rather than a station."""


@dataclass(frozen=True, slots=True, eq=False)
class SampledTimes:
    """Service times that differ from batch to batch, drawn before the simulation.

    The k-th batch that a station dispatches takes its time from row ``row[k]``, whatever its size and whatever the
    station runs with: so configurations are compared on the same luck.

    Parameters
    ----------
    rows_ns
        int64 (K, B): L(1) ... L(B) in each of K rows, each at least 1; kept as a read-only copy.
    row
        int32 (m,), each in [0, K): of the batches in order of dispatch. At least one for every query.
    """

    rows_ns: NDArray[np.int64]
    row: NDArray[np.int32]

    def __post_init__(self) -> None:
        rows_ns = np.array(self.rows_ns, order="C")
        row = np.ascontiguousarray(self.row)
        if rows_ns.dtype != np.int64 or rows_ns.ndim != 2 or not rows_ns.size:
            raise InputError(f"rows_ns must be int64 (K, B), not {rows_ns.dtype} {rows_ns.shape}")
        if rows_ns.min() < 1 or rows_ns.max() > MAX_TIME_NS:
            raise InputError("sampled service times must lie in [1, 2**62] ns")
        if row.dtype != np.int32 or row.ndim != 1 or (row.size and not 0 <= row.min() <= row.max() < len(rows_ns)):
            raise InputError(f"row must be int32 (m,) in [0, {len(rows_ns)}), not {row.dtype} {row.shape}")
        rows_ns.flags.writeable = False
        object.__setattr__(self, "rows_ns", rows_ns)
        object.__setattr__(self, "row", row)


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
        Number of replicas c, from 1 to 1,000,000.
    parents
        Names of the parent stations; none for an entry, several for a join.
    sampled
        Service times drawn per batch, instead of ``batch_latency_ns``, which keeps the same B and has no other part.
    """

    name: str
    batch_latency_ns: Sequence[int]
    replicas: int = 1
    parents: Sequence[str] = ()
    sampled: SampledTimes | None = None

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
        if self.sampled is not None and self.sampled.rows_ns.shape[1] != len(table):
            raise InputError(f"station {self.name!r}: sampled service times need one column for each batch size")

    @property
    def max_batch(self) -> int:
        """The maximum batch size B."""
        return len(self.batch_latency_ns)

    @property
    def longest_ns(self) -> int:
        """The longest time that any batch may take."""
        return max(self.batch_latency_ns) if self.sampled is None else int(self.sampled.rows_ns.max())

    def service_ns(self, size: int, batch: int) -> int:
        """Return how long the batch of that number, counted from 0, is in service when it has that size."""
        if self.sampled is None:
            return self.batch_latency_ns[size - 1]
        return int(self.sampled.rows_ns[self.sampled.row[batch], size - 1])


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
    arrivals = np.asarray(arrival_ns)
    if arrivals.dtype != np.int64 or arrivals.ndim != 1:
        raise InputError(f"arrival_ns must be int64 (n,), not {arrivals.dtype} {arrivals.shape}")
    if arrivals.size > MAX_QUERIES:
        raise InputError(f"{arrivals.size} queries; at most {MAX_QUERIES} can be simulated")
    arrivals = np.ascontiguousarray(arrivals)
    if arrivals.size == 0:
        return arrivals
    if arrivals[0] < 0 or np.any(arrivals[1:] < arrivals[:-1]):
        raise InputError("arrival_ns must not be negative and must not decrease")
    end = int(arrivals[-1])
    for station in network.stations:
        if station.sampled is not None and station.sampled.row.size < arrivals.size:
            raise InputError(
                f"station {station.name!r}: sampled rows for {station.sampled.row.size} batches; "
                f"{arrivals.size} queries may need as many"
            )
        longest = station.longest_ns
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
