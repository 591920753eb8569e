"""From a present state on: against simulations from empty, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.errors import InputError
from simulator import Network, Station
from simulator.cluster import simulate_cluster
from simulator.epochs import Epoch
from simulator.onwards import simulate_onwards
from tests.simulator.random_networks import instances

YES, NO = True, False


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_queries_that_begin_at_all_entries_are_a_plain_simulation(data):
    instance = data.draw(instances())
    everyone = np.ones(instance.arrival_ns.size, dtype=np.bool_)
    steps, schedule, begins = {}, {}, {}
    for station in instance.network.stations:
        starts = [0, *sorted(set(data.draw(st.lists(st.integers(1, 60), max_size=3))))]
        counts = [*data.draw(st.lists(st.integers(0, 3), min_size=len(starts) - 1, max_size=len(starts) - 1)), 2]
        steps[station.name] = tuple(zip(starts, counts, strict=True))
        schedule[station.name] = [
            Epoch(start_ns=start, batch_latency_ns=station.batch_latency_ns, replicas=count)
            for start, count in steps[station.name]
        ]
        if not station.parents:
            begins[station.name] = everyone
    expected = simulate_cluster(instance.network, schedule, instance.arrival_ns, instance.taken)
    found = simulate_onwards(instance.network, instance.arrival_ns, begins, steps, instance.taken)
    assert found.tolist() == expected.latency_ns.tolist()


@settings(max_examples=200, deadline=None)
@given(instances(), st.data())
def test_beginning_at_a_station_is_coming_there_by_an_edge_of_its_own(instance, data):
    # Before every station stands a source that takes no time worth speaking of: 1 ns, and all at once.
    queries = instance.arrival_ns.size
    names = [station.name for station in instance.network.stations]
    place = st.integers(0, len(names) - 1)
    where = np.array(data.draw(st.lists(place, min_size=queries, max_size=queries)), dtype=int)
    begins = {name: where == place for place, name in enumerate(names)}
    one = {name: [(0, 1)] for name in names}
    found = simulate_onwards(instance.network, instance.arrival_ns + 1, begins, one, instance.taken)
    stations, taken = [Station("source", (1,) * 50, 50)], dict(instance.taken)
    for station in instance.network.stations:
        parents = ("source", *station.parents)
        stations.append(Station(station.name, station.batch_latency_ns, 1, parents))
        taken["source", station.name] = begins[station.name]
    expected = simulate_cluster(Network(tuple(stations)), {}, instance.arrival_ns, taken).latency_ns
    assert (found + 1).tolist() == expected.tolist()


def chain(*tables):
    names = [f"s{place}" for place in range(len(tables))]
    above = [(), *((name,) for name in names[:-1])]
    return Network(tuple(Station(*each[:2], 1, each[2]) for each in zip(names, tables, above, strict=True)))


def test_what_waits_at_the_second_stage_goes_before_what_comes_from_the_first():
    begins = {"s0": np.array([YES, NO, YES]), "s1": np.array([NO, YES, NO])}
    found = simulate_onwards(chain((10,), (4,)), np.array([0, 0, 8]), begins, {"s0": [(0, 1)], "s1": [(0, 1)]})
    assert found.tolist() == [14, 4, 16]


def test_replicas_that_are_ready_later_serve_later():
    begins = {"s0": np.ones(4, dtype=np.bool_)}
    steps = {"s0": [(0, 1), (15, 2), (20, 4)]}
    assert simulate_onwards(chain((10,)), np.zeros(4, dtype=np.int64), begins, steps).tolist() == [10, 20, 25, 30]


def test_a_query_that_begins_nowhere_is_nowhere():
    begins = {"s0": np.array([NO, YES])}
    assert simulate_onwards(chain((10,)), np.array([0, 0]), begins, {"s0": [(0, 1)]}).tolist() == [0, 10]


def test_no_queries_take_no_time():
    found = simulate_onwards(chain((10,), (4,)), np.empty(0, dtype=np.int64), {}, {"s0": [(0, 1)], "s1": [(0, 1)]})
    assert found.size == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"begins": {"s1": np.array([YES])}}, r"begins\['s1'\] must be bool \(1,\) at a station"),
        ({"begins": {"s0": np.array([YES, NO])}}, r"begins\['s0'\]"),
        ({"begins": {"s0": np.array([1])}}, r"begins\['s0'\]"),
        ({"replicas": {}}, "replicas of 's0'"),
        ({"replicas": {"s0": [(5, 1)]}}, "from 0 on"),
        ({"replicas": {"s0": [(0, 1), (0, 2)]}}, "each later than"),
        ({"replicas": {"s0": [(0, 1), (5, 0)]}}, "at least one replica"),
        ({"replicas": {"s0": [(0, -1), (5, 1)]}}, "replicas of 's0'"),
        ({"replicas": {"s0": [(0, 1), (2**62, 1)]}}, "look less far ahead"),
        ({"arrival_ns": np.array([-1])}, "must not be negative"),
    ],
)
def test_what_cannot_be_is_refused(changed, message):
    given = {"arrival_ns": np.array([0]), "begins": {"s0": np.array([YES])}, "replicas": {"s0": [(0, 1)]}}
    with pytest.raises(InputError, match=message):
        simulate_onwards(chain((10,)), **{**given, **changed})
