"""Networks that change while they run, against `simulate` and against a plain event loop."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.errors import InputError
from simulator import Network, Station
from simulator.cluster import simulate_cluster
from simulator.epochs import Epoch
from tests.simulator.random_networks import Instance, instances, tables


def event_loop(instance, schedule):  # noqa: PLR0912 - one plain loop, to be read from top to bottom
    """Return latencies, and per station {query: (arrival, start, service)}, instant by instant, as the rules read."""
    network, arrivals, taken = instance.network, instance.arrival_ns.tolist(), instance.taken
    stations = {station.name: station for station in network.stations}
    table = {name: station.batch_latency_ns for name, station in stations.items()}
    replicas = {name: station.replicas for name, station in stations.items()}
    generation = dict.fromkeys(stations, 0)
    queue = {name: [] for name in stations}
    in_service = {name: [] for name in stations}  # (finish, generation, queries)
    visits = {name: {} for name in stations}
    awaited = {name: defaultdict(int) for name in stations}
    finish = list(arrivals)

    def goes(parent, child, query):
        mask = taken.get((parent, child))
        return mask is None or bool(mask[query])

    visited = defaultdict(set)
    for name, station in stations.items():
        for query in range(len(arrivals)):
            awaited[name][query] = sum(query in visited[p] and goes(p, name, query) for p in station.parents)
            if not station.parents or awaited[name][query]:
                visited[name].add(query)

    instants = set(arrivals) | {epoch.start_ns for epochs in schedule.values() for epoch in epochs}
    done = set()
    while instants - done:
        now = min(instants - done)
        done.add(now)
        delivered = {name: [] for name in stations}
        for name, station in stations.items():
            if not station.parents:
                delivered[name] += [query for query, instant in enumerate(arrivals) if instant == now]
        for name in stations:
            for batch in [each for each in in_service[name] if each[0] == now]:
                in_service[name].remove(batch)
                for query in batch[2]:
                    finish[query] = max(finish[query], now)
                    for child in network.children()[name]:
                        if goes(name, child, query):
                            awaited[child][query] -= 1
                            if awaited[child][query] == 0:
                                delivered[child].append(query)
        for name in stations:
            queue[name] += [(query, now) for query in sorted(delivered[name])]
            for epoch in schedule.get(name, ()):
                if epoch.start_ns == now:
                    table[name], replicas[name] = epoch.batch_latency_ns, epoch.replicas
                    generation[name] += epoch.new_hardware
            while queue[name] and sum(g == generation[name] for _, g, _ in in_service[name]) < replicas[name]:
                size = min(len(queue[name]), len(table[name]))
                batch, queue[name] = queue[name][:size], queue[name][size:]
                service = table[name][size - 1]
                in_service[name].append((now + service, generation[name], [query for query, _ in batch]))
                instants.add(now + service)
                for query, came in batch:
                    visits[name][query] = (came, now, service)
    return [end - start for start, end in zip(arrivals, finish, strict=True)], visits


def seen(result):
    """Return a result in the shape of `event_loop`."""
    each = {
        name: {
            query: (came, came + wait, service)
            for query, came, wait, service in zip(
                station.each.query_id.tolist(),
                station.each.arrival_ns.tolist(),
                station.wait_ns.tolist(),
                station.service_ns.tolist(),
                strict=True,
            )
        }
        for name, station in result.stations.items()
    }
    return result.latency_ns.tolist(), each


@st.composite
def schedules(draw, instance: Instance) -> dict[str, tuple[Epoch, ...]]:
    """Up to four epochs per station, on the instants at which everything else happens."""
    schedule = {}
    for station in instance.network.stations:
        starts = sorted(set(draw(st.lists(st.integers(0, 60), max_size=4))))
        schedule[station.name] = tuple(
            Epoch(
                start_ns=start,
                batch_latency_ns=draw(tables()),
                replicas=draw(st.integers(int(start == starts[-1]), 3)),
                new_hardware=draw(st.booleans()),
            )
            for start in starts
        )
    return schedule


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_a_changing_network_follows_the_rules(data):
    instance = data.draw(instances(max_queries=25, max_stations=4))
    schedule = data.draw(schedules(instance))
    result = simulate_cluster(instance.network, schedule, instance.arrival_ns, instance.taken)
    assert seen(result) == event_loop(instance, schedule)
    for station in result.stations.values():
        finish_ns, wait_ns = station.each.finish_ns, station.wait_ns
        batches = set(zip((finish_ns - station.service_ns).tolist(), station.service_ns.tolist(), strict=True))
        assert len(batches) <= station.batches <= station.visits
        assert (wait_ns >= 0).all()
    bare = simulate_cluster(instance.network, schedule, instance.arrival_ns, instance.taken, record_visits=False)
    assert bare.latency_ns.tolist() == result.latency_ns.tolist()
    assert [s.busy_ns for s in bare.stations.values()] == [s.busy_ns for s in result.stations.values()]


@settings(max_examples=150, deadline=None)
@given(instances(), st.lists(st.integers(0, 80), max_size=5, unique=True).map(sorted))
def test_a_schedule_that_changes_nothing_is_a_plain_simulation(instance, starts):
    schedule = {
        station.name: [
            Epoch(start_ns=start, batch_latency_ns=station.batch_latency_ns, replicas=station.replicas)
            for start in starts
        ]
        for station in instance.network.stations
    }
    result = simulate_cluster(instance.network, schedule, instance.arrival_ns, instance.taken)
    plain = instance.run("reference")
    assert seen(result) == seen(plain)
    for name, station in result.stations.items():
        assert (station.batches, station.busy_ns) == (plain.stations[name].batches, plain.stations[name].busy_ns)


def one(*table: int, replicas: int = 1) -> Network:
    return Network((Station("a", table, replicas),))


def starts(network: Network, epochs: list[Epoch], *arrivals: int) -> list[int]:
    """Return when each query's service begins."""
    result = simulate_cluster(network, {"a": epochs}, np.array(arrivals))
    return (result.stations["a"].each.arrival_ns + result.stations["a"].wait_ns).tolist()


def test_a_replica_serves_from_its_epochs_first_instant_on():
    assert starts(one(10), [Epoch(start_ns=5, batch_latency_ns=(10,), replicas=2)], 0, 0, 0) == [0, 5, 10]


def test_a_replica_taken_away_finishes_its_batch():
    fewer = Epoch(start_ns=5, batch_latency_ns=(10,), replicas=1)
    assert starts(one(10, replicas=2), [fewer], 0, 1, 2, 3) == [0, 1, 11, 21]


def test_what_gets_free_in_the_instant_of_the_change_may_be_taken_away_or_stay():
    fewer = Epoch(start_ns=10, batch_latency_ns=(10,), replicas=1)
    assert starts(one(10, replicas=2), [fewer], 0, 0, 2, 3) == [0, 0, 10, 20]


def test_a_larger_batch_holds_from_the_instant_on_for_queries_that_wait_already():
    larger = Epoch(start_ns=10, batch_latency_ns=(10, 11, 12), replicas=1)
    result = simulate_cluster(one(10), {"a": (larger,)}, np.array([0, 1, 2, 10, 11]))
    assert result.latency_ns.tolist() == [10, 21, 20, 12, 21]


def test_new_hardware_takes_the_queue_while_the_old_finishes():
    switch = Epoch(start_ns=5, batch_latency_ns=(3,), replicas=1, new_hardware=True)
    result = simulate_cluster(one(10, replicas=2), {"a": (switch,)}, np.array([0, 1, 2, 3]))
    assert result.latency_ns.tolist() == [10, 10, 6, 8]  # served from 0, 1, 5 and 8 on


def test_without_replicas_the_queue_waits():
    gap = [
        Epoch(start_ns=5, batch_latency_ns=(10,), replicas=0),
        Epoch(start_ns=50, batch_latency_ns=(10,), replicas=1),
    ]
    assert starts(one(10), gap, 0, 6, 7) == [0, 50, 60]


def test_an_empty_trace_is_served_at_once():
    epochs = [Epoch(start_ns=5, batch_latency_ns=(10,), replicas=2, new_hardware=True)]
    result = simulate_cluster(one(10), {"a": epochs}, np.empty(0, dtype=np.int64))
    assert (result.latency_ns.size, result.stations["a"].visits) == (0, 0)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"b": []}, "no station 'b'"),
        ({"a": [Epoch(start_ns=0, batch_latency_ns=(1,), replicas=0)]}, "wait for ever"),
        ({"a": [Epoch(start_ns=5, batch_latency_ns=(1,), replicas=1)] * 2}, "must begin after"),
        ({"a": [Epoch(start_ns=0, batch_latency_ns=(2**62,), replicas=1)]}, "2\\*\\*62"),
    ],
)
def test_schedules_that_cannot_be_are_refused(schedule, message):
    with pytest.raises(InputError, match=message):
        simulate_cluster(one(10), schedule, np.array([0]))


def test_epochs_that_cannot_be_are_refused():
    for wrong in ({"batch_latency_ns": ()}, {"batch_latency_ns": (0,)}, {"start_ns": -1}, {"replicas": -1}):
        with pytest.raises(InputError, match="epoch"):
            Epoch(**{"start_ns": 0, "batch_latency_ns": (1,), "replicas": 1, **wrong})
