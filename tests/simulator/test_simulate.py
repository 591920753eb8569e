"""The one function that users call."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from simulator import Network, Station, simulate

NETWORK = Network((Station("a", (4,), 2), Station("b", (6, 7), 1, ("a",))))


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="'simpy' is unknown; use 'kernel' or 'reference'"):
        simulate(NETWORK, np.array([0]), engine="simpy")


@pytest.mark.parametrize("engine", ["kernel", "reference"])
@pytest.mark.parametrize("record_visits", [True, False])
def test_no_query_at_all(engine, record_visits):
    arrival_ns = np.empty(0, dtype=np.int64)
    taken = {("a", "b"): np.empty(0, dtype=np.bool_)}
    result = simulate(NETWORK, arrival_ns, taken, engine, record_visits=record_visits)
    assert result.latency_ns.dtype == np.int64
    assert result.latency_ns.size == 0
    for station in result.stations.values():
        assert (station.visits, station.batches, station.busy_ns) == (0, 0, 0)
        if record_visits:
            assert station.wait_ns.size == 0
    if record_visits:
        assert result.stations["a"].each.replica_busy_ns.tolist() == [0, 0]


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_one_query(engine):
    result = simulate(NETWORK, np.array([7]), engine=engine)
    assert result.latency_ns.tolist() == [10]
    assert result.stations["b"].each.arrival_ns.tolist() == [11]


def test_neither_engine_is_imported_before_it_is_needed():
    code = "import sys, simulator; print(sorted({'numba', 'simpy', 'scipy', 'pandas'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"
