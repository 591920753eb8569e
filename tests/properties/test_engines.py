"""The two engines agree on everything, to the nanosecond, on thousands of networks full of simultaneous events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Network, Station
from tests.simulator.outcomes import assert_same
from tests.simulator.random_networks import Instance, chains, diamonds, instances

FIXED = settings(deadline=None, derandomize=True)


@settings(FIXED, max_examples=3_000)
@given(instances())
def test_the_engines_agree_on_random_networks(instance):
    assert_same(instance.run("kernel"), instance.run("reference"))


@settings(FIXED, max_examples=800)
@given(diamonds())
def test_the_engines_agree_on_branches_and_joins(instance):
    assert_same(instance.run("kernel"), instance.run("reference"))


@settings(FIXED, max_examples=600)
@given(chains(max_batch=10))
def test_the_engines_agree_on_chains(instance):
    assert_same(instance.run("kernel"), instance.run("reference"))


def long_instance(seed: int) -> Instance:
    """Return a network with a trace of 2,000 queries, at a load of about one half to one and a half."""
    rng = np.random.default_rng(seed)
    queries = 2_000
    stations, taken = [], {}
    for place in range(int(rng.integers(2, 7))):
        parents = [f"s{k}" for k in rng.permutation(place)[: rng.integers(0, 4)]]
        largest = int(rng.choice([1, 2, 8, 40, 300]))
        table = rng.integers(1, 60, largest).tolist()
        stations.append(Station(f"s{place}", table, int(rng.choice([1, 2, 5, 20, 80])), tuple(parents)))
        taken |= {
            (parent, f"s{place}"): rng.random(queries) < rng.choice([0.0, 0.3, 0.9])
            for parent in parents
            if rng.random() < 0.5
        }
    gaps = rng.integers(0, rng.choice([2, 4, 30]), queries)
    return Instance(Network(tuple(stations)), np.cumsum(gaps), taken)


@pytest.mark.parametrize("seed", range(40))
def test_the_engines_agree_on_longer_traces_and_larger_stations(seed):
    instance = long_instance(seed)
    assert_same(instance.run("kernel"), instance.run("reference"))


@settings(FIXED, max_examples=200)
@given(instances(), st.sampled_from(["kernel", "reference"]))
def test_totals_and_latencies_do_not_depend_on_recording_visits(instance, engine):
    recorded, bare = instance.run(engine), instance.run(engine, record_visits=False)
    assert bare.latency_ns.tolist() == recorded.latency_ns.tolist()
    for name, station in bare.stations.items():
        other = recorded.stations[name]
        assert (station.visits, station.batches, station.busy_ns) == (other.visits, other.batches, other.busy_ns)
        assert station.recorded is None
