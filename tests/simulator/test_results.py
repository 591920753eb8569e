"""What a result says about its visits."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import Network, Station, simulate

NETWORK = Network((Station("a", (4,)), Station("b", (6, 7), parents=("a",))))
TAKEN = {("a", "b"): np.array([True, False, True])}


def test_visits_add_up():
    result = simulate(NETWORK, np.array([0, 1, 2]), TAKEN)
    a, b = result.stations["a"], result.stations["b"]
    assert a.each.query_id.tolist() == [0, 1, 2]
    assert a.each.finish_ns.tolist() == [4, 8, 12]
    assert b.each.query_id.tolist() == [0, 2]
    assert b.each.arrival_ns.tolist() == [4, 12]
    assert (b.wait_ns.tolist(), b.service_ns.tolist()) == ([0, 0], [6, 6])
    assert (b.visits, b.batches, b.busy_ns) == (2, 2, 12)


def test_visits_that_were_not_recorded_are_not_there():
    station = simulate(NETWORK, np.array([0, 1, 2]), TAKEN, record_visits=False).stations["a"]
    assert station.visits == 3
    with pytest.raises(ValueError, match="record_visits=True"):
        _ = station.wait_ns
