"""What may change without changing the latencies, and what must change with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Network, Station
from tests.simulator.outcomes import assert_same
from tests.simulator.random_networks import Instance, chains, instances

FIXED = settings(deadline=None, derandomize=True)


def renamed(instance: Instance, names: dict[str, str], order: list[int]) -> Instance:
    """Return the instance with other names, and its stations given in another order."""
    stations = [
        Station(
            names[station.name],
            station.batch_latency_ns,
            station.replicas,
            tuple(names[parent] for parent in reversed(station.parents)),
        )
        for station in instance.network.stations
    ]
    taken = {(names[parent], names[child]): mask for (parent, child), mask in instance.taken.items()}
    return Instance(Network(tuple(stations[place] for place in order)), instance.arrival_ns, taken)


@settings(FIXED, max_examples=300)
@given(instances(), st.randoms(use_true_random=False))
def test_names_and_the_order_of_stations_and_parents_do_not_matter(instance, random):
    names = [station.name for station in instance.network.stations]
    others = [f"other{k}" for k in range(len(names))]
    random.shuffle(others)
    order = list(range(len(names)))
    random.shuffle(order)
    renaming = dict(zip(names, others, strict=True))
    before, after = instance.run(), renamed(instance, renaming, order).run()
    assert after.latency_ns.tolist() == before.latency_ns.tolist()
    for name, station in before.stations.items():
        other = after.stations[renaming[name]]
        assert other.each.query_id.tolist() == station.each.query_id.tolist()
        assert other.each.finish_ns.tolist() == station.each.finish_ns.tolist()
        assert other.each.replica_busy_ns.tolist() == station.each.replica_busy_ns.tolist()


@settings(FIXED, max_examples=300)
@given(instances(), st.integers(1, 10**9))
def test_scaling_every_time_scales_every_latency_exactly(instance, factor):
    stations = tuple(
        Station(
            station.name,
            [latency * factor for latency in station.batch_latency_ns],
            station.replicas,
            station.parents,
        )
        for station in instance.network.stations
    )
    scaled = Instance(Network(stations), instance.arrival_ns * factor, instance.taken)
    assert scaled.run().latency_ns.tolist() == (instance.run().latency_ns * factor).tolist()


@settings(FIXED, max_examples=300)
@given(instances(max_stations=4), st.data())
def test_a_branch_that_nobody_takes_changes_nothing_for_the_others(instance, data):
    nobody = np.zeros(instance.arrival_ns.size, dtype=np.bool_)
    names = [station.name for station in instance.network.stations]
    parent = data.draw(st.sampled_from(names))
    # The new station also feeds an old one, which so becomes a join of one parent more (and was no entry).
    stations = []
    taken = dict(instance.taken) | {(parent, "unvisited"): nobody}
    for station in instance.network.stations:
        parents = tuple(station.parents)
        if parents and names.index(station.name) > names.index(parent) and data.draw(st.booleans()):
            parents = (*parents, "unvisited")
        stations.append(Station(station.name, station.batch_latency_ns, station.replicas, parents))
    stations.append(Station("unvisited", (7,), 1, (parent,)))
    before, after = instance.run(), Instance(Network(tuple(stations)), instance.arrival_ns, taken).run()
    assert after.stations["unvisited"].visits == 0
    assert after.latency_ns.tolist() == before.latency_ns.tolist()
    for name, station in before.stations.items():
        assert after.stations[name].each.finish_ns.tolist() == station.each.finish_ns.tolist()
        assert after.stations[name].each.replica_busy_ns.tolist() == station.each.replica_busy_ns.tolist()


@settings(FIXED, max_examples=300)
@given(instances(), st.integers(0, 100))
def test_the_future_does_not_reach_back(instance, cut_ns):
    kept = int(np.searchsorted(instance.arrival_ns, cut_ns, side="right"))
    taken = {edge: mask[:kept] for edge, mask in instance.taken.items()}
    truncated = Instance(instance.network, instance.arrival_ns[:kept], taken).run()
    whole = instance.run()
    done = np.flatnonzero(instance.arrival_ns[:kept] + whole.latency_ns[:kept] <= cut_ns)
    assert truncated.latency_ns[done].tolist() == whole.latency_ns[done].tolist()


@settings(FIXED, max_examples=300)
@given(chains(max_batch=1), st.integers(1, 5), st.integers(0, 3))
def test_without_batches_more_replicas_never_hurt(instance, more, place):
    # Only so: the golden timelines have the counter-example with batches.
    stations = list(instance.network.stations)
    grown = stations[place % len(stations)]
    stations[place % len(stations)] = Station(
        grown.name, grown.batch_latency_ns, grown.replicas + more, grown.parents
    )
    larger = Instance(Network(tuple(stations)), instance.arrival_ns, {})
    assert np.all(larger.run().latency_ns <= instance.run().latency_ns)


@settings(FIXED, max_examples=200)
@given(instances())
def test_work_is_conserved(instance):
    result = instance.run()
    for station in instance.network.stations:
        found = result.stations[station.name]
        assert found.each.replica_busy_ns.sum() == found.busy_ns
        assert np.all(found.each.wait_ns >= 0)
        assert set(found.each.service_ns.tolist()) <= set(station.batch_latency_ns)
        assert found.visits <= found.batches * station.max_batch
    if not any(station.parents for station in instance.network.stations):
        assert all(found.visits == instance.arrival_ns.size for found in result.stations.values())


@pytest.mark.parametrize("engine", ["kernel", "reference"])
@settings(FIXED, max_examples=50)
@given(instances())
def test_a_simulation_can_be_repeated(engine, instance):
    assert_same(instance.run(engine), instance.run(engine))
