"""A network under a controller that looks at it at each of its ticks and asks for replicas.

Stations are advanced in topological order up to each tick. What happens between two ticks is compiled, so that the
time it takes depends little on the number of queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Routes
from inferline.errors import InputError
from inferline.units import MAX_TIME_NS, NANO
from simulator.inlets import Inlet, lay_inlets
from simulator.kernel.flow import note_latency
from simulator.network import Network, check_arrivals, check_routes
from simulator.results import StationResult
from simulator.running import RunningStation

__all__ = ["HISTORY_NS", "ControlledResult", "Controller", "ReplicaTimeline", "StationView", "simulate_controlled"]

Instants = NDArray[np.int64]

HISTORY_NS = 120 * NANO
"""How far back a controller sees arrivals."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StationView:
    """What a controller sees of a station at one tick: what came before it, nothing of the instant itself.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing, read-only: when queries reached the queue, of the last `HISTORY_NS`.
    arrivals
        How many of them came since the tick before.
    queued, in_service
        Queries that wait, and that are in batches.
    requested
        Replicas asked for, those that still start included.
    ready
        Replicas that serve.
    busy_ns, replica_ns
        Since the tick before: time that replicas spent on batches, and time of serving replicas. A draining replica
        counts only for the first.
    """

    arrival_ns: Instants
    arrivals: int
    queued: int
    in_service: int
    requested: int
    ready: int
    busy_ns: int
    replica_ns: int


Controller = Callable[[int, Mapping[str, StationView]], Mapping[str, int]]
"""From the instant of a tick and what is seen of every station to the replicas that each should have; a station
without an entry keeps what it has."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplicaTimeline:
    """How many replicas a station had.

    Parameters
    ----------
    start_ns
        int64 (k,): from when on each row holds, ascending; the first is 0.
    requested, ready
        int64 (k,): replicas asked for, and those of them that serve.
    """

    start_ns: Instants
    requested: Instants
    ready: Instants


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlledResult:
    """Outcome of a simulation under a controller.

    Parameters
    ----------
    latency_ns
        int64 (n,): end-to-end latency of every query, by query id.
    stations
        Totals of each station, in topological order; visits are not recorded.
    replicas
        By station.
    paid_ns
        By station: requested replicas times time until the end that was given. A replica is paid from its request
        until it has finished its last batch.
    """

    latency_ns: Instants
    stations: Mapping[str, StationResult]
    replicas: Mapping[str, ReplicaTimeline]
    paid_ns: Mapping[str, int]


def simulate_controlled(
    network: Network,
    arrival_ns: Instants,
    controller: Controller,
    *,
    period_ns: int,
    activation_ns: Mapping[str, int],
    end_ns: int,
    taken: Routes | None = None,
) -> ControlledResult:
    """Simulate a network under a controller, from empty to empty.

    The rules are those of `simulator.cluster.simulate_cluster`. The controller sees what came before the instant of
    its tick, and what it decides holds from that instant on: before stations dispatch, as an epoch does. A replica
    asked for at t serves from t + activation on. Of fewer replicas, those that would be ready last are cancelled
    first; then serving ones drain, idle ones before busy ones.

    Parameters
    ----------
    network
        The stations as they are until the first tick; all their replicas serve.
    arrival_ns, taken
        As of `simulator.simulate`.
    controller
        Called at ``period_ns``, 2 ``period_ns`` ... before ``end_ns``, with stations in topological order.
    activation_ns
        By station, from asking for a replica to its first answer.
    end_ns
        When ticks, and what is paid, end; everything drains after it. Not before the last arrival.

    Raises
    ------
    InputError
        When arrivals, routes, period, end or activation delays cannot be, or times could pass 2**62 ns.
    ValueError
        When the controller asks for an unknown station, or for less than one replica.

    Notes
    -----
    As much as `simulate`, and some tens of microseconds per station and tick.

    Examples
    --------
    Two replicas are asked for at 10 and there at 15:

    >>> from simulator import Station
    >>> network = Network(stations=(Station("detect", batch_latency_ns=(10,), replicas=1),))
    >>> result = simulate_controlled(
    ...     network, np.array([0, 0, 0, 0]), lambda now, seen: {"detect": 2},
    ...     period_ns=10, activation_ns={"detect": 5}, end_ns=20,
    ... )
    >>> result.latency_ns.tolist(), result.paid_ns["detect"]
    ([10, 20, 25, 30], 30)
    """
    # Whatever the controller does, one replica is left.
    fewest = Network(tuple(replace(station, replicas=1) for station in network.stations))
    arrivals = check_arrivals(fewest, arrival_ns)
    routes = check_routes(network, taken, arrivals.size)
    _check_times(network, arrivals, period_ns, activation_ns, end_ns)
    running, inlets = lay_inlets(network, arrivals, routes)
    controlled = _Controlled(running, inlets)
    for now_ns in range(period_ns, end_ns, period_ns):
        controlled.advance(now_ns)
        asked = controller(now_ns, controlled.look(now_ns))
        for name, replicas in asked.items():
            if name not in running or replicas < 1:
                raise ValueError(f"the controller asks for {replicas} replicas of {name!r}")
            running[name].request(replicas, activation_ns[name])
    controlled.advance(end_ns)
    paid_ns = {name: station.paid_ns for name, station in running.items()}
    controlled.advance(MAX_TIME_NS + 1)
    return ControlledResult(
        latency_ns=_latency_ns(network, running, arrivals, routes),
        stations=MappingProxyType(
            {
                name: StationResult(station.departed, station.batches, station.busy_ns, None)
                for name, station in running.items()
            }
        ),
        replicas=MappingProxyType({name: _timeline(station, end_ns) for name, station in running.items()}),
        paid_ns=MappingProxyType(paid_ns),
    )


def _check_times(
    network: Network, arrivals: Instants, period_ns: int, activation_ns: Mapping[str, int], end_ns: int
) -> None:
    last_ns = int(arrivals[-1]) if arrivals.size else 0
    if period_ns < 1:
        raise InputError(f"period_ns is {period_ns}; a controller ticks every 1 ns or less often")
    if not last_ns <= end_ns <= MAX_TIME_NS // 2:
        raise InputError(f"end_ns is {end_ns}; it lies in [{last_ns} (the last arrival), 2**61]")
    for station in network.stations:
        if station.sampled is not None:
            raise InputError(f"station {station.name!r}: service times drawn per batch cannot run under a controller")
        delay_ns = activation_ns.get(station.name, -1)
        if not 0 <= delay_ns <= MAX_TIME_NS // 2:
            raise InputError(f"station {station.name!r}: activation_ns lies in [0, 2**61] for every station")


class _Controlled:
    """The stations of a network and what they had done at the tick before."""

    def __init__(self, running: Mapping[str, RunningStation], inlets: Mapping[str, Inlet]) -> None:
        self._running, self._inlets = running, inlets
        self._before = dict.fromkeys(running, (0, 0, 0))

    def advance(self, until_ns: int) -> None:
        """Simulate every station up to an instant, in topological order."""
        for name, station in self._running.items():
            if name in self._inlets:
                self._inlets[name].bring()
            station.advance(until_ns)

    def look(self, now_ns: int) -> dict[str, StationView]:
        """Return what is seen of every station at a tick."""
        seen = {}
        for name, station in self._running.items():
            arrived, taken = station.arrived, station.taken
            busy_ns, replica_ns = station.busy_ns, station.replica_ns
            arrivals_before, busy_before_ns, replica_before_ns = self._before[name]
            self._before[name] = arrived, busy_ns, replica_ns
            history_ns = station.in_ns[:arrived]
            history_ns = history_ns[history_ns.searchsorted(now_ns - HISTORY_NS) :]
            history_ns.flags.writeable = False
            seen[name] = StationView(
                arrival_ns=history_ns,
                arrivals=arrived - arrivals_before,
                queued=arrived - taken,
                in_service=taken - station.departed,
                requested=station.requested,
                ready=station.ready,
                busy_ns=busy_ns - busy_before_ns,
                replica_ns=replica_ns - replica_before_ns,
            )
        return seen


def _latency_ns(
    network: Network, running: Mapping[str, RunningStation], arrivals: Instants, routes: Routes
) -> Instants:
    """Return the end-to-end latencies; a query that goes on finishes later, so only ends of the pipeline count."""
    latency_ns = np.zeros(arrivals.size, dtype=np.int64)
    for name, children in network.children().items():
        if all((name, child) in routes for child in children):
            left = running[name].departures()
            note_latency(left.instant_ns, left.query_id, arrivals, latency_ns)
    return latency_ns


def _timeline(station: RunningStation, end_ns: int) -> ReplicaTimeline:
    rows = [row for row in station.changes if row[0] <= end_ns]
    start_ns, requested, ready = np.array(rows, dtype=np.int64).T.copy()
    return ReplicaTimeline(start_ns=start_ns, requested=requested, ready=ready)
