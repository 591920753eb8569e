"""What is refused before anything is simulated, and the order that stations are kept in."""

from __future__ import annotations

import numpy as np
import pytest

from inferline.errors import InputError
from simulator import Network, Station, simulate

ONE = Network((Station("x", (10,)),))
TWO = Network((Station("a", (10,)), Station("b", (10,), parents=("a",))))
YEARS_NS = 2**61


def test_stations_are_kept_in_topological_order():
    stations = (Station("c", (1,), parents=("a", "b")), Station("b", (1,), parents=("a",)), Station("a", (1,)))
    network = Network(stations)
    assert [station.name for station in network.stations] == ["a", "b", "c"]
    assert dict(network.children()) == {"a": ("b", "c"), "b": ("c",), "c": ()}


def test_tables_and_counts_may_come_as_numpy_integers():
    station = Station("x", np.array([10, 12]), np.int64(2), ["a"])
    assert station == Station("x", (10, 12), 2, ("a",))
    assert station.max_batch == 2


@pytest.mark.parametrize(
    ("station", "message"),
    [
        ({"batch_latency_ns": ()}, "one per batch size"),
        ({"batch_latency_ns": (10, 0)}, r"lie in \[1, 2\*\*62\] ns"),
        ({"batch_latency_ns": (2**62 + 1,)}, r"lie in \[1, 2\*\*62\] ns"),
        ({"batch_latency_ns": (1.5,)}, "whole numbers"),
        ({"replicas": 0}, "0 replicas; 1 to 1,000,000"),
        ({"replicas": 1_000_001}, "1 to 1,000,000"),
        ({"replicas": 1.0}, "whole numbers"),
        ({"parents": "detect"}, "give a tuple of names"),
        ({"parents": ("a", "a")}, "a parent is named twice"),
    ],
)
def test_a_station_that_cannot_be_is_refused(station, message):
    with pytest.raises(InputError, match=f"station 'ocr'.*{message}"):
        Station(**{"name": "ocr", "batch_latency_ns": (10,), **station})


@pytest.mark.parametrize(
    ("stations", "message"),
    [
        ((), "at least one station"),
        ((Station("a", (1,)), Station("a", (2,))), "names used once"),
        ((Station("a", (1,), parents=("b",)),), "station 'a': no parent 'b'"),
        ((Station("a", (1,), parents=("b",)), Station("b", (1,), parents=("a",))), "cycle: . -> . -> ."),
        ((Station("a", (1,), parents=("a",)),), "cycle: a -> a"),
    ],
)
def test_a_network_that_cannot_be_is_refused(stations, message):
    with pytest.raises(InputError, match=message):
        Network(stations)


@pytest.mark.parametrize(
    ("arrival_ns", "message"),
    [
        (np.array([0.0, 1.0]), "must be int64"),
        (np.array([0, 1], dtype=np.int32), "must be int64"),
        (np.array([[0, 1]]), "must be int64"),
        (np.array([5, 4]), "must not decrease"),
        (np.array([-1, 4]), "must not be negative"),
        (np.array([2**62]), r"could pass 2\*\*62 ns"),
    ],
)
@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_arrivals_that_cannot_be_are_refused(engine, arrival_ns, message):
    with pytest.raises(InputError, match=message):
        simulate(ONE, arrival_ns, engine=engine)


def test_more_queries_than_ids_are_refused():
    endless = np.broadcast_to(np.array([0], dtype=np.int64), (2**31,))
    with pytest.raises(InputError, match="2147483648 queries; at most 2147483647"):
        simulate(ONE, endless)


def test_times_up_to_the_limit_are_simulated_and_later_ones_refused():
    fits = Network((Station("x", (YEARS_NS,)),))
    for engine in ("kernel", "reference"):
        assert simulate(fits, np.array([0]), engine=engine).latency_ns.tolist() == [YEARS_NS]
    with pytest.raises(InputError, match="could pass"):
        simulate(fits, np.array([0, 0]))
    with pytest.raises(InputError, match="station 'x' could be busy for more than"):
        simulate(Network((Station("x", (YEARS_NS,), 4),)), np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize(
    ("edge", "mask", "message"),
    [
        (("a", "c"), np.array([True, False]), "no such edge"),
        (("b", "a"), np.array([True, False]), "no such edge"),
        (("a", "b"), np.array([True]), r"must be bool \(2,\), not bool \(1,\)"),
        (("a", "b"), np.array([1, 0]), r"must be bool \(2,\), not int64"),
    ],
)
def test_routes_that_cannot_be_are_refused(edge, mask, message):
    with pytest.raises(InputError, match=message):
        simulate(TWO, np.array([0, 1]), {edge: mask})


def test_arrays_need_not_be_contiguous():
    arrival_ns, mask = np.arange(0, 40, 10)[::2], np.array([True, False, False, False])[::2]
    for engine in ("kernel", "reference"):
        assert simulate(TWO, arrival_ns, {("a", "b"): mask}, engine).latency_ns.tolist() == [20, 10]
