"""What comes of a present state: queries that begin at any station, and replicas that get ready later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Routes
from inferline.errors import InputError
from inferline.units import MAX_TIME_NS
from simulator.kernel.flow import note_latency
from simulator.kernel.station import EMITTED, STATE_SIZE, advance_station
from simulator.kernel.streams import Pool, Stream, feed
from simulator.network import Network, check_arrivals, check_routes

__all__ = ["simulate_onwards"]

Instants = NDArray[np.int64]
Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]
Steps = Sequence[tuple[int, int]]

_NO_NS: Instants = np.empty(0, dtype=np.int64)
_NO_IDS: Ids = np.empty(0, dtype=np.int32)
_NOTHING = Stream(_NO_NS, _NO_IDS)


def simulate_onwards(
    network: Network,
    arrival_ns: Instants,
    begins: Mapping[str, Mask],
    replicas: Mapping[str, Steps],
    taken: Routes | None = None,
) -> Instants:
    """Simulate queries that begin at stations of a network, until all of them are done.

    The rules are those of `simulator.cluster.simulate_cluster`.

    Parameters
    ----------
    network
        Stations with their batch latencies; their own numbers of replicas mean nothing here.
    arrival_ns
        int64 (n,), non-decreasing: when each query begins. What is in the network already begins at 0.
    begins
        By station, bool (n,): which queries begin there. One may begin at several stations, of which none leads to
        another; at a station without an entry none does.
    replicas
        By station, every one of the network: (from when, how many) serve, in the order of time. The first is from 0
        on, the last has at least one replica.
    taken
        As of `simulator.simulate`.

    Returns
    -------
    ndarray
        int64 (n,): from the arrival of each query until it leaves its last station; 0 for one that begins nowhere.

    Raises
    ------
    InputError
        When arrivals, beginnings, replicas or routes cannot be, or times could pass 2**62 ns.

    Examples
    --------
    Three queries wait at 0, one is to come, and a second replica serves from 10 on:

    >>> from simulator import Station
    >>> network = Network(stations=(Station("detect", batch_latency_ns=(10,), replicas=1),))
    >>> everyone = {"detect": np.ones(4, dtype=np.bool_)}
    >>> simulate_onwards(network, np.array([0, 0, 0, 5]), everyone, {"detect": [(0, 1), (10, 2)]}).tolist()
    [10, 20, 20, 25]
    """
    arrivals = check_arrivals(network, arrival_ns)
    routes = check_routes(network, taken, arrivals.size)
    _check(network, arrivals, begins, replicas)
    pool = Pool(arrivals.size)
    latency_ns = np.zeros(arrivals.size, dtype=np.int64)
    departures: dict[str, Stream] = {}
    children = network.children()
    for station in network.stations:
        fed_by: list[tuple[Stream, Mask | None]] = [
            (departures[parent], routes.get((parent, station.name))) for parent in station.parents
        ]
        if station.name in begins:
            fed_by.append((_beginning(arrivals, begins[station.name]), None))
        table_ns = np.array(station.batch_latency_ns, dtype=np.int64)
        coming = feed(fed_by, pool) if fed_by else _NOTHING
        departures[station.name] = _serve(coming, table_ns, replicas[station.name])
        # A query that goes on finishes later at the child, so only ends of the pipeline set the latency.
        if all((station.name, child) in routes for child in children[station.name]):
            left = departures[station.name]
            note_latency(left.instant_ns, left.query_id, arrivals, latency_ns)
    return latency_ns


def _beginning(arrivals: Instants, here: Mask) -> Stream:
    ids = np.flatnonzero(here)
    return Stream(arrivals[ids], ids.astype(np.int32))


def _serve(arrivals: Stream, table_ns: Instants, steps: Steps) -> Stream:
    """Simulate one station from empty to empty; return its departures, sorted."""
    capacity = max(64, 4 * min(max(count for _, count in steps), len(arrivals)) + 4)
    state = np.zeros(STATE_SIZE, dtype=np.int64)
    free_ns, batch = np.empty((2, capacity), dtype=np.int64)
    out_ns, out_id = np.empty(len(arrivals), dtype=np.int64), np.empty(len(arrivals), dtype=np.int32)
    for (_, count), (until_ns, _) in pairwise([*steps, (MAX_TIME_NS + 1, 0)]):
        advance_station(
            arrivals.instant_ns, arrivals.query_id, table_ns, count, until_ns, state, free_ns, batch, out_ns, out_id,
            _NO_NS, 0, _NO_NS, _NO_IDS,
        )  # fmt: skip
    departed = state[EMITTED]
    return Stream(out_ns[:departed], out_id[:departed])


def _check(network: Network, arrivals: Instants, begins: Mapping[str, Mask], replicas: Mapping[str, Steps]) -> None:
    names = {station.name for station in network.stations}
    for name, here in begins.items():
        if name not in names or here.dtype != np.bool_ or here.shape != arrivals.shape:
            raise InputError(f"begins[{name!r}] must be bool ({arrivals.size},) at a station of the network")
    end_ns = int(arrivals[-1]) if arrivals.size else 0
    for station in network.stations:
        steps = replicas.get(station.name, ())
        starts = [start_ns for start_ns, _ in steps]
        if (
            starts[:1] != [0]
            or any(after <= before for before, after in pairwise(starts))
            or min(count for _, count in steps) < 0
            or steps[-1][1] < 1
        ):
            raise InputError(
                f"replicas of {station.name!r}: {list(steps)}; give (from when, how many) from 0 on, each later than "
                "the one before, the last with at least one replica"
            )
        end_ns = max(end_ns, starts[-1]) + (arrivals.size + 2) * station.longest_ns
    if end_ns > MAX_TIME_NS:
        raise InputError(f"the simulation could pass 2**62 ns (it may last until {end_ns} ns); look less far ahead")
