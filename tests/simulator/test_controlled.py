"""Networks under a controller, against `simulate`, against a schedule known beforehand, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.errors import InputError
from inferline.units import NANO
from simulator import Network, SampledTimes, Station
from simulator.cluster import simulate_cluster
from simulator.controlled import HISTORY_NS, simulate_controlled
from simulator.epochs import Epoch
from tests.simulator.random_networks import instances


def totals(result):
    return {name: (each.visits, each.batches, each.busy_ns) for name, each in result.stations.items()}


def last(arrival_ns) -> int:
    return int(arrival_ns[-1]) if len(arrival_ns) else 0


def nothing(*_):
    """Ask for nothing."""
    return {}


def epochs_of(station: Station, asked: list[tuple[int, int]], activation_ns: int) -> list[Epoch]:
    """Return the epochs that come of asking for replicas at instants, by a ledger of single replicas."""
    ready, starting, counts = station.replicas, [], {}

    def promote(before_ns):
        nonlocal ready
        while starting and starting[0] < before_ns:
            ready += 1
            counts[starting.pop(0)] = ready

    for now, replicas in asked:
        promote(now)
        while ready + len(starting) < replicas:
            starting.append(now + activation_ns)
        while ready + len(starting) > replicas:
            if starting:
                starting.pop()
            else:
                ready -= 1
                counts[now] = ready
    promote(2**40)
    return [
        Epoch(start_ns=start, batch_latency_ns=station.batch_latency_ns, replicas=counts[start])
        for start in sorted(counts)
    ]


@settings(max_examples=100, deadline=None)
@given(instances(), st.integers(1, 30), st.integers(0, 20))
def test_a_controller_that_changes_nothing_changes_nothing(instance, period_ns, activation_ns):
    names = [station.name for station in instance.network.stations]
    ticks = []
    result = simulate_controlled(
        instance.network,
        instance.arrival_ns,
        lambda now, seen: ticks.append(now) or {name: view.requested for name, view in seen.items()},
        period_ns=period_ns,
        activation_ns=dict.fromkeys(names, activation_ns),
        end_ns=last(instance.arrival_ns) + 40,
        taken=instance.taken,
    )
    plain = instance.run("reference")
    assert result.latency_ns.tolist() == plain.latency_ns.tolist()
    assert totals(result) == totals(plain)
    assert ticks == list(range(period_ns, last(instance.arrival_ns) + 40, period_ns))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_controller_with_a_schedule_is_the_schedule(data):
    instance = data.draw(instances(max_queries=30, max_stations=4))
    period_ns = data.draw(st.integers(1, 15))
    end_ns = last(instance.arrival_ns) + data.draw(st.integers(0, 40))
    ticks = range(period_ns, end_ns, period_ns)
    stations = instance.network.stations
    activation_ns = {station.name: data.draw(st.integers(0, 25)) for station in stations}
    plans = {station.name: data.draw(st.binary(min_size=len(ticks), max_size=len(ticks))) for station in stations}
    asked = {
        name: [(now, 1 + byte % 4) for now, byte in zip(ticks, text, strict=True)] for name, text in plans.items()
    }
    by_tick = {name: dict(each) for name, each in asked.items()}
    result = simulate_controlled(
        instance.network,
        instance.arrival_ns,
        lambda now, seen: {name: by_tick[name][now] for name in seen},
        period_ns=period_ns,
        activation_ns=activation_ns,
        end_ns=end_ns,
        taken=instance.taken,
    )
    schedule = {
        station.name: epochs_of(station, asked[station.name], activation_ns[station.name]) for station in stations
    }
    expected = simulate_cluster(instance.network, schedule, instance.arrival_ns, instance.taken)
    assert result.latency_ns.tolist() == expected.latency_ns.tolist()
    assert totals(result) == totals(expected)


@settings(max_examples=100, deadline=None)
@given(instances(), st.integers(1, 20))
def test_what_is_seen_is_what_came_before_the_tick(instance, period_ns):
    visits = {name: station.each for name, station in instance.run().stations.items()}
    seen_ns = {name: [0, 0] for name in visits}

    def watch(now, seen):
        for name, view in seen.items():
            each = visits[name]
            arrived = np.count_nonzero(each.arrival_ns < now)
            begun = np.count_nonzero(each.arrival_ns + each.wait_ns < now)
            done = np.count_nonzero(each.finish_ns < now)
            assert (view.queued, view.in_service) == (arrived - begun, begun - done)
            assert view.arrival_ns.tolist() == sorted(each.arrival_ns[each.arrival_ns < now].tolist())
            assert view.arrivals == np.count_nonzero((each.arrival_ns < now) & (each.arrival_ns >= now - period_ns))
            assert not view.arrival_ns.flags.writeable
            assert 0 <= view.busy_ns <= view.replica_ns == view.ready * period_ns
            seen_ns[name][0] += view.busy_ns
        return {}

    names = list(visits)
    end_ns = max([1, *(int(each.finish_ns.max()) for each in visits.values() if each.finish_ns.size)]) + 2 * period_ns
    result = simulate_controlled(
        instance.network,
        instance.arrival_ns,
        watch,
        period_ns=period_ns,
        activation_ns=dict.fromkeys(names, 0),
        end_ns=end_ns,
        taken=instance.taken,
    )
    # By the last tick everything is done: nothing that was busy has been overlooked or counted twice.
    assert {name: busy for name, (busy, _) in seen_ns.items()} == {
        name: station.busy_ns for name, station in result.stations.items()
    }


def run(asked, *, replicas=1, arrivals=(0, 0, 0, 0), activation_ns=5, period_ns=5, end_ns=30):
    """Run one station with L = 10; ``asked`` has what is asked for at some ticks."""
    return simulate_controlled(
        Network((Station("x", (10,), replicas),)),
        np.array(arrivals, dtype=np.int64),
        lambda now, _: {"x": asked[now]} if now in asked else {},
        period_ns=period_ns,
        activation_ns={"x": activation_ns},
        end_ns=end_ns,
    )


def timeline(result):
    each = result.replicas["x"]
    return list(zip(each.start_ns.tolist(), each.requested.tolist(), each.ready.tolist(), strict=True))


def test_a_replica_serves_when_its_activation_delay_has_passed():
    result = run({10: 2})
    assert result.latency_ns.tolist() == [10, 20, 25, 30]
    assert timeline(result) == [(0, 1, 1), (10, 2, 1), (15, 2, 2)]
    assert result.paid_ns == {"x": 10 + 2 * 20}  # from the request on


def test_without_delay_it_serves_in_the_instant_of_the_tick():
    result = run({5: 2}, activation_ns=0)
    assert result.latency_ns.tolist() == [10, 15, 20, 25]
    assert timeline(result) == [(0, 1, 1), (5, 2, 2)]


def test_a_replica_given_up_finishes_its_batch_and_takes_no_other():
    result = run({5: 1}, replicas=2)
    assert result.latency_ns.tolist() == [10, 10, 20, 30]
    assert timeline(result) == [(0, 2, 2), (5, 1, 1)]
    assert result.paid_ns == {"x": 2 * 10 + 1 * 20}  # until it has finished, at 10


def test_an_idle_replica_leaves_before_a_busy_one():
    result = run({5: 1}, replicas=2, arrivals=(0, 6))
    assert result.latency_ns.tolist() == [10, 14]  # the one that stays is busy until 10
    assert result.paid_ns == {"x": 2 * 5 + 25}


def test_of_two_busy_ones_the_one_that_is_done_first_leaves():
    result = run({5: 1}, replicas=2, arrivals=(0, 3, 4))
    assert result.latency_ns.tolist() == [10, 10, 19]  # 13 + 10 - 4: the one that was done at 10 has gone
    assert result.paid_ns == {"x": 2 * 5 + 5 + 25}


def test_what_starts_last_is_cancelled_first():
    result = run({4: 2, 8: 3, 12: 2}, activation_ns=10, period_ns=4)
    assert timeline(result) == [(0, 1, 1), (4, 2, 1), (8, 3, 1), (12, 2, 1), (14, 2, 2)]
    assert result.latency_ns.tolist() == [10, 20, 24, 30]
    assert result.paid_ns == {"x": 4 + 2 * 4 + 3 * 4 + 2 * 18}


def test_cancelling_and_draining_go_together():
    result = run({5: 3, 10: 1}, replicas=2, activation_ns=10, arrivals=(0, 0, 9, 9))
    assert timeline(result) == [(0, 2, 2), (5, 3, 2), (10, 1, 1)]
    assert result.latency_ns.tolist() == [10, 10, 11, 21]


def test_the_instant_of_a_tick_is_not_seen_by_it():
    seen = []

    def watch(now, stations):
        view = stations["x"]
        seen.append((now, view.arrival_ns.tolist(), view.arrivals, view.queued, view.in_service, view.busy_ns))
        return {}

    simulate_controlled(
        Network((Station("x", (10,)),)),
        np.array([0, 5, 10]),
        watch,
        period_ns=5,
        activation_ns={"x": 0},
        end_ns=21,
    )
    assert seen == [
        (5, [0], 1, 0, 1, 5),
        (10, [0, 5], 1, 1, 1, 5),
        (15, [0, 5, 10], 1, 1, 1, 5),
        (20, [0, 5, 10], 0, 1, 1, 5),
    ]


def test_arrivals_are_remembered_for_two_minutes():
    seen = {}
    simulate_controlled(
        Network((Station("x", (1,)),)),
        np.array([0, 1, 60 * NANO]),
        lambda now, stations: seen.update({now: stations["x"].arrival_ns.tolist()}) or {},
        period_ns=60 * NANO,
        activation_ns={"x": 0},
        end_ns=200 * NANO,
    )
    assert HISTORY_NS == 120 * NANO
    assert seen == {60 * NANO: [0, 1], 120 * NANO: [0, 1, 60 * NANO], 180 * NANO: [60 * NANO]}


def test_a_station_grows_to_hundreds_of_replicas_and_shrinks_again():
    arrivals = np.arange(4_000) // 2
    network = Network((Station("x", (700, 900, 1_000), 1),))
    asked = {500: 700, 1_000: 3, 1_500: 900}
    result = simulate_controlled(
        network, arrivals, lambda now, _: {"x": asked[now]}, period_ns=500, activation_ns={"x": 30}, end_ns=2_000
    )
    expected = simulate_cluster(network, {"x": epochs_of(network.stations[0], list(asked.items()), 30)}, arrivals)
    assert result.latency_ns.tolist() == expected.latency_ns.tolist()


def test_an_empty_trace_is_served_at_once():
    result = run({5: 2}, arrivals=())
    assert (result.latency_ns.size, result.stations["x"].visits) == (0, 0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"period_ns": 0}, "period_ns is 0"),
        ({"end_ns": 3}, r"end_ns is 3; it lies in \[4"),
        ({"end_ns": 2**62}, "end_ns"),
        ({"activation_ns": {}}, "station 'x': activation_ns"),
        ({"activation_ns": {"x": -1}}, "station 'x': activation_ns"),
        ({"arrival_ns": np.array([0.5])}, "arrival_ns must be int64"),
    ],
)
def test_what_cannot_be_is_refused(changed, message):
    given = {"arrival_ns": np.array([0, 4]), "period_ns": 1, "activation_ns": {"x": 0}, "end_ns": 5}
    given |= changed
    with pytest.raises(InputError, match=message):
        simulate_controlled(Network((Station("x", (10,)),)), controller=nothing, **given)


def test_drawn_service_times_are_refused():
    sampled = SampledTimes(np.array([[10]]), np.zeros(9, dtype=np.int32))
    with pytest.raises(InputError, match="drawn per batch"):
        simulate_controlled(
            Network((Station("x", (10,), sampled=sampled),)),
            np.array([0]),
            nothing,
            period_ns=1,
            activation_ns={"x": 0},
            end_ns=1,
        )


@pytest.mark.parametrize("asked", [{"x": 0}, {"y": 1}])
def test_a_controller_that_asks_for_what_cannot_be_is_wrong(asked):
    with pytest.raises(ValueError, match="the controller asks for"):
        simulate_controlled(
            Network((Station("x", (10,)),)),
            np.array([0]),
            lambda *_: asked,
            period_ns=1,
            activation_ns={"x": 0},
            end_ns=5,
        )
