"""Serving a station for planners: giving up, what its totals prove, and streams that are kept between simulations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Network, Station, simulate
from simulator.kernel.engine import Pool, enter, feed, serve
from tests.simulator.random_networks import arrivals, instances, tables

FIXED = settings(deadline=None, derandomize=True)


def table(*latencies: int) -> np.ndarray:
    return np.array(latencies, dtype=np.int64)


def poisson(queries: int, mean_gap_ns: float, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).exponential(mean_gap_ns, queries)).astype(np.int64)


@settings(FIXED, max_examples=400)
@given(arrivals(), tables(), st.integers(1, 4), st.integers(0, 25), st.integers(0, 41))
def test_it_gives_up_exactly_when_more_are_late_than_allowed(arrival_ns, latencies, replicas, patience_ns, allowed):
    pool = Pool(arrival_ns.size)
    entering, deadline_ns = enter(arrival_ns), arrival_ns + patience_ns
    whole = serve(entering, table(*latencies), replicas, pool).departures
    late = int(np.count_nonzero(whole.instant_ns > deadline_ns[whole.query_id]))
    served = serve(entering, table(*latencies), replicas, pool, deadline_ns=deadline_ns, late_allowed=allowed)
    assert served.aborted == (late > allowed)
    departed = len(served.departures)
    assert served.departures.instant_ns.tolist() == whole.instant_ns[:departed].tolist()
    if not served.aborted:
        assert served.departures.query_id.tolist() == whole.query_id.tolist()


def test_giving_up_stops_soon():
    pool = Pool(10_000)
    arrival_ns = np.arange(10_000)
    for latencies in (table(10), table(10, 10)):
        served = serve(enter(arrival_ns), latencies, 1, pool, deadline_ns=arrival_ns + 50, late_allowed=100)
        assert served.aborted
        assert len(served.departures) < 300


@settings(FIXED, max_examples=300)
@given(arrivals(), tables(), st.integers(1, 4))
def test_what_was_never_needed_can_be_left_out(arrival_ns, latencies, replicas):
    pool, entering, largest = Pool(arrival_ns.size), enter(arrival_ns), len(latencies)
    served = serve(entering, table(*latencies), replicas, pool, log=True)
    sizes = np.diff(served.first, append=len(entering))
    assert served.largest_batch == max(sizes.tolist(), default=0)
    waited = np.repeat(served.dispatch_ns, sizes) > entering.instant_ns
    assert served.short == bool(waited.any())
    same_departures = []
    if served.largest_batch < largest:  # no batch was cut off at the maximum
        same_departures += [(latencies[:size], replicas) for size in range(max(1, served.largest_batch), largest)]
        same_departures += [((*latencies, 1, 1), replicas)]
    if not served.short:
        same_departures += [(latencies, replicas + 1), (latencies, replicas + 5)]
    for others, count in same_departures:
        other = serve(entering, table(*others), count, pool).departures
        assert other.instant_ns.tolist() == served.departures.instant_ns.tolist()
        assert other.query_id.tolist() == served.departures.query_id.tolist()


def test_kept_departures_survive_other_simulations_from_the_same_pool():
    # What a planner does: keep the departures of a prefix, try many children on them, give buffers back, give up.
    arrival_ns = poisson(3_000, 1_000.0)
    pool = Pool(arrival_ns.size)
    taken = np.random.default_rng(1).random(arrival_ns.size) < 0.5
    detect = serve(enter(arrival_ns), table(1_500, 2_000, 2_400), 2, pool).departures
    before = detect.instant_ns.copy(), detect.query_id.copy()
    deadline_ns = arrival_ns + 9_000
    outcomes = []
    for _ in range(3):
        for replicas in (1, 2, 3):
            whole = feed([(detect, None)], pool)
            assert whole is detect
            first = serve(whole, table(2_000, 3_000), replicas, pool, deadline_ns=deadline_ns, late_allowed=50)
            part = feed([(detect, taken)], pool)
            second = serve(part, table(1_000), replicas, pool, deadline_ns=deadline_ns, late_allowed=50)
            pool.give_back(part)
            join = feed([(first.departures, None), (second.departures, None)], pool)
            outcomes.append((replicas, first.aborted, second.aborted, join.instant_ns.tolist()))
            for stream in (join, first.departures, second.departures):
                pool.give_back(stream)
    assert outcomes[:3] == outcomes[3:6] == outcomes[6:]
    assert {aborted for _, aborted, _, _ in outcomes} == {True, False}
    assert detect.instant_ns.tolist() == before[0].tolist()
    assert detect.query_id.tolist() == before[1].tolist()


def test_several_children_read_one_parent_that_a_later_station_reads_too():
    # The first child and the join read the departures of the entry uncopied, before and after other stations.
    shared = ("entry",)
    network = Network(
        (
            Station("entry", (3, 4), 2),
            *(Station(f"child{k}", (5, 6 + k), 2, shared) for k in range(4)),
            Station("late", (2,), 1, ("child0", "entry")),
            Station("later", (2, 2, 2), 1, ("late", "entry", "child3")),
        )
    )
    arrival_ns = poisson(500, 4.0)
    kernel, reference = (simulate(network, arrival_ns, engine=engine) for engine in ("kernel", "reference"))
    for name, station in kernel.stations.items():
        assert station.each.finish_ns.tolist() == reference.stations[name].each.finish_ns.tolist()


@settings(FIXED, max_examples=50)
@given(instances())
def test_arguments_are_not_written_to_and_need_not_be_writable(instance):
    before = instance.arrival_ns.copy()
    first = instance.run()
    for array in (instance.arrival_ns, *instance.taken.values()):
        array.flags.writeable = False
    second = instance.run()
    assert first.latency_ns.tolist() == second.latency_ns.tolist()
    assert instance.arrival_ns.tolist() == before.tolist()
    assert not np.shares_memory(second.latency_ns, instance.arrival_ns)


def test_simulations_in_two_threads_do_not_meet():
    network = Network((Station("a", (1_000, 1_500), 2), Station("b", (900,), 2, ("a",))))
    traces = [poisson(20_000, 700.0, seed) for seed in range(8)]
    expected = [simulate(network, trace).latency_ns.tolist() for trace in traces]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda trace: simulate(network, trace).latency_ns.tolist(), traces))
    assert found == expected


@pytest.mark.parametrize("replicas", [1, 7, 500, 100_000])
@pytest.mark.parametrize("size", [1, 3, 700])
def test_more_replicas_or_larger_batches_than_queries(replicas, size):
    network = Network((Station("x", range(10, 10 + size), replicas),))
    arrival_ns = np.array([0, 0, 0, 4, 4, 30])
    kernel, reference = (simulate(network, arrival_ns, engine=engine) for engine in ("kernel", "reference"))
    assert kernel.latency_ns.tolist() == reference.latency_ns.tolist()
    assert kernel.stations["x"].each.replica_busy_ns.size == replicas
    assert np.array_equal(kernel.stations["x"].each.replica_busy_ns, reference.stations["x"].each.replica_busy_ns)


def test_a_million_queries_can_share_one_batch():
    queries = 1_200_000  # more than 2**20
    station = Station("x", np.ones(queries, dtype=np.int64))
    result = simulate(Network((station,)), np.zeros(queries, dtype=np.int64), record_visits=False)
    assert result.stations["x"].batches == 1
    assert result.latency_ns.tolist() == [1] * queries
