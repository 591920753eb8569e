"""Discrete-event simulation of batched inference pipelines, in two engines that agree to the nanosecond.

`simulate` runs a `Network` on a trace; ``engine="kernel"`` is compiled, ``engine="reference"`` is a SimPy model of
the same rules. Neither engine's library is imported before it is needed.
"""

from __future__ import annotations

import importlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Routes
from simulator.network import Network, SampledTimes, Station, check_arrivals, check_routes
from simulator.results import Result, StationResult, Visits

__all__ = ["Network", "Result", "SampledTimes", "Station", "StationResult", "Visits", "simulate"]

_ENGINES = {
    "kernel": ("simulator.kernel.engine", "simulate_kernel"),
    "reference": ("simulator.reference", "simulate_reference"),
}


def simulate(
    network: Network,
    arrival_ns: NDArray[np.int64],
    taken: Routes | None = None,
    engine: Literal["kernel", "reference"] = "kernel",
    *,
    record_visits: bool = True,
) -> Result:
    """Simulate a network on a trace, from empty to empty.

    Parameters
    ----------
    network
        Stations and how they feed each other.
    arrival_ns
        int64 (n,), non-decreasing: instants at which queries arrive at the entries. Query ids are positions.
    taken
        ``taken[parent, child]``: bool (n,), which queries take that edge. An edge without an entry is always taken.
    engine
        ``kernel`` (compiled) or ``reference`` (SimPy): the same result, to the nanosecond.
    record_visits
        Whether to keep waiting and service time of every visit; without, memory and time are about half.

    Raises
    ------
    InputError
        When arrivals or routes have the wrong type, length or order, or times could pass 2**62 ns.

    Examples
    --------
    Three queries find one replica that takes up to two at once:

    >>> import numpy as np
    >>> network = Network(stations=(Station("detect", batch_latency_ns=(10, 12), replicas=1),))
    >>> simulate(network, np.array([0, 1, 2])).latency_ns.tolist()
    [10, 21, 20]
    """
    if engine not in _ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; use 'kernel' or 'reference'")
    arrivals = check_arrivals(network, arrival_ns)
    routes = check_routes(network, taken, arrivals.size)
    module, function = _ENGINES[engine]
    run = getattr(importlib.import_module(module), function)
    result: Result = run(network, arrivals, routes, record_visits=record_visits)
    return result
