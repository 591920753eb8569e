"""Service times drawn per batch: both engines take the same row for the same batch, to the nanosecond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.errors import InputError
from simulator import Network, SampledTimes, Station, simulate
from simulator.cluster import simulate_cluster
from tests.simulator.outcomes import assert_same
from tests.simulator.random_networks import Instance, chains, instances

FIXED = settings(deadline=None, derandomize=True)


@st.composite
def sampled(draw: st.DrawFn, given_instances: st.SearchStrategy[Instance]) -> Instance:
    """Give some stations of an instance up to four rows of service times, in no order."""
    instance = draw(given_instances)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Instance(
        Network(
            tuple(with_rows(rng, each, instance.arrival_ns.size, share=0.8) for each in instance.network.stations)
        ),
        instance.arrival_ns,
        instance.taken,
    )


def with_rows(
    rng: np.random.Generator, station: Station, queries: int, *, share: float = 1.0, longest: int = 9
) -> Station:
    if rng.random() > share:
        return station
    count = int(rng.integers(1, 5))
    return replace(
        station,
        sampled=SampledTimes(
            rows_ns=rng.integers(1, longest + 1, (count, station.max_batch)),
            row=rng.integers(0, count, queries, dtype=np.int32),
        ),
    )


@settings(FIXED, max_examples=1_500)
@given(sampled(instances()))
def test_the_engines_agree_on_random_networks(instance):
    assert_same(instance.run("kernel"), instance.run("reference"))


@settings(FIXED, max_examples=500)
@given(sampled(chains(max_batch=10)))
def test_the_engines_agree_on_chains(instance):
    assert_same(instance.run("kernel"), instance.run("reference"))


@pytest.mark.parametrize("seed", range(12))
def test_the_engines_agree_on_longer_traces(seed):
    rng = np.random.default_rng(seed)
    queries = 1_500
    stations = []
    for place in range(3):
        table = (1,) * int(rng.choice([1, 2, 8, 40]))
        parents = (f"s{place - 1}",) if place else ()
        station = Station(f"s{place}", table, int(rng.choice([1, 3, 20])), parents)
        stations.append(with_rows(rng, station, queries, longest=200))
    arrival_ns = np.cumsum(rng.integers(0, rng.choice([4, 20]), queries))
    instance = Instance(Network(tuple(stations)), arrival_ns, {})
    assert_same(instance.run("kernel"), instance.run("reference"))


@settings(FIXED, max_examples=200)
@given(chains())
def test_rows_that_all_say_the_same_change_nothing(instance):
    rows = [
        replace(
            each,
            sampled=SampledTimes(
                rows_ns=np.array([each.batch_latency_ns] * 3),
                row=np.arange(instance.arrival_ns.size, dtype=np.int32) % 3,
            ),
        )
        for each in instance.network.stations
    ]
    assert_same(Instance(Network(tuple(rows)), instance.arrival_ns, {}).run(), instance.run())


def test_the_kth_batch_takes_the_kth_row():
    times = SampledTimes(rows_ns=np.array([[10], [20], [35]]), row=np.array([2, 0, 1], dtype=np.int32))
    station = Station("x", (1,), replicas=2, sampled=times)
    for engine in ("kernel", "reference"):
        result = simulate(Network((station,)), np.array([0, 1, 2]), engine=engine)
        # The second replica overtakes the first, which one row for all could not do with B = 1.
        assert result.stations["x"].service_ns.tolist() == [35, 10, 20]
        assert result.latency_ns.tolist() == [35, 10, 29]
        assert result.stations["x"].each.replica_busy_ns.tolist() == [35, 30]


@pytest.mark.parametrize(
    ("rows_ns", "row"),
    [
        (np.array([1, 2]), np.zeros(3, dtype=np.int32)),
        (np.array([[1.0]]), np.zeros(3, dtype=np.int32)),
        (np.array([[0]]), np.zeros(3, dtype=np.int32)),
        (np.array([[1]]), np.ones(3, dtype=np.int32)),
        (np.array([[1]]), np.zeros(3, dtype=np.int64)),
    ],
)
def test_wrong_samples_are_refused(rows_ns, row):
    with pytest.raises(InputError):
        SampledTimes(rows_ns=rows_ns, row=row)


def test_samples_must_fit_the_station_and_the_trace():
    times = SampledTimes(rows_ns=np.array([[1, 2]]), row=np.zeros(2, dtype=np.int32))
    with pytest.raises(InputError, match="one column for each batch size"):
        Station("x", (1,), sampled=times)
    with pytest.raises(InputError, match="rows for 2 batches"):
        simulate(Network((Station("x", (1, 1), sampled=times),)), np.array([0, 1, 2]))


def test_a_cluster_refuses_what_it_would_not_draw():
    times = SampledTimes(rows_ns=np.array([[1], [2]]), row=np.zeros(1, dtype=np.int32))
    with pytest.raises(InputError, match="cannot run under a schedule"):
        simulate_cluster(Network((Station("x", (1,), sampled=times),)), {}, np.array([0]))
