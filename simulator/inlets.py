"""What parents send on into a station's queue, a piece at a time: the branches and joins of a running network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Routes
from simulator.kernel.flow import keep_taken
from simulator.network import Network, Station
from simulator.running import RunningStation

__all__ = ["Inlet", "lay_inlets"]

Instants = NDArray[np.int64]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int8]


class Inlet:
    """Brings queries from parents to a station.

    Parameters
    ----------
    station
        Where they go.
    parents
        Each with the queries that take its edge, bool (queries,); None for all.
    awaited
        int8 (queries,): of how many parents each query has still to come; changed in place.
    """

    def __init__(
        self, station: RunningStation, parents: Sequence[tuple[RunningStation, Mask | None]], awaited: Counts
    ) -> None:
        self._station, self._parents, self._awaited = station, parents, awaited
        self._read = [0] * len(parents)
        self._latest_ns = np.zeros(awaited.size if len(parents) > 1 else 0, dtype=np.int64)

    def bring(self) -> None:
        """Bring what has left the parents since the last time."""
        into = self._station
        kept = self._join() if len(self._parents) > 1 else self._branch()
        into.known += kept

    def _branch(self) -> int:
        """Write what the one parent sends on behind the arrivals; return how many."""
        (_, taken), into = self._parents[0], self._station
        instant_ns, query_id = self._news(0)
        if taken is not None:
            return keep_taken(instant_ns, query_id, taken, into.in_ns[into.known :], into.in_id[into.known :])
        end = into.known + query_id.size
        into.in_ns[into.known : end], into.in_id[into.known : end] = instant_ns, query_id
        return query_id.size

    def _join(self) -> int:
        """Write the queries behind the arrivals whose last parent is done now; return how many."""
        complete = []
        for place, (_, taken) in enumerate(self._parents):
            instant_ns, query_id = self._news(place)
            if taken is not None:
                goes = taken[query_id]
                instant_ns, query_id = instant_ns[goes], query_id[goes]
            # A query leaves a parent once, so that no id comes twice here.
            self._awaited[query_id] -= 1
            self._latest_ns[query_id] = np.maximum(self._latest_ns[query_id], instant_ns)
            complete.append(query_id[self._awaited[query_id] == 0])
        query_id = np.concatenate(complete)
        instant_ns = self._latest_ns[query_id]
        order = np.lexsort((query_id, instant_ns))
        into = self._station
        end = into.known + query_id.size
        into.in_ns[into.known : end], into.in_id[into.known : end] = instant_ns[order], query_id[order]
        return query_id.size

    def _news(self, place: int) -> tuple[Instants, NDArray[np.int32]]:
        """Return what has left a parent since the last time."""
        parent, _ = self._parents[place]
        start, end = self._read[place], parent.departed
        self._read[place] = end
        return parent.out_ns[start:end], parent.out_id[start:end]


def lay_inlets(
    network: Network, arrivals: Instants, routes: Routes
) -> tuple[dict[str, RunningStation], dict[str, Inlet]]:
    """Return the stations of a network, ready to run, and the inlets of those that are fed by others.

    Parameters
    ----------
    network
        In topological order, as ever.
    arrivals
        int64 (queries,): at the entries.
    routes
        What `simulator.network.check_routes` returned.
    """
    everyone = np.arange(arrivals.size, dtype=np.int32)
    visited: dict[str, Mask] = {}
    running: dict[str, RunningStation] = {}
    inlets: dict[str, Inlet] = {}
    for station in network.stations:
        table_ns = np.array(station.batch_latency_ns, dtype=np.int64)
        if not station.parents:
            visited[station.name] = np.ones(arrivals.size, dtype=np.bool_)
            running[station.name] = RunningStation(
                table_ns, arrivals, everyone, known=arrivals.size, replicas=station.replicas
            )
            continue
        awaited = _awaited(station, visited, routes, arrivals.size)
        visited[station.name] = awaited > 0
        # One more than visits: what a branch writes after the last query that it keeps means nothing.
        room = int(np.count_nonzero(awaited)) + 1
        running[station.name] = RunningStation(
            table_ns,
            np.empty(room, dtype=np.int64),
            np.empty(room, dtype=np.int32),
            known=0,
            replicas=station.replicas,
        )
        parents = [(running[parent], routes.get((parent, station.name))) for parent in station.parents]
        inlets[station.name] = Inlet(running[station.name], parents, awaited)
    return running, inlets


def _awaited(station: Station, visited: dict[str, Mask], routes: Routes, queries: int) -> Counts:
    """Return from how many parents each query comes."""
    awaited = np.zeros(queries, dtype=np.int8)
    for parent in station.parents:
        mask = routes.get((parent, station.name))
        awaited += visited[parent] if mask is None else visited[parent] & mask
    return awaited
