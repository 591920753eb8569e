"""The station's loop: stopped and resumed, with replicas coming and going, and giving up when too many are late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.kernel import station as kernel
from tests.simulator.random_networks import arrivals, tables

FIXED = settings(deadline=None, derandomize=True)
NONE_NS, NONE_ID = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
END = 2**62


class Resumed:
    """A station that is simulated in steps, and learns of arrivals only when their step comes."""

    def __init__(self, arrival_ns, table, *, capacity=1_000):
        self.arrival_ns = np.array(arrival_ns, dtype=np.int64)
        self.table = np.array(table, dtype=np.int64)
        self.state = np.zeros(kernel.STATE_SIZE, dtype=np.int64)
        self.free_ns, self.batch = np.empty((2, capacity), dtype=np.int64)
        self.out_ns = np.full(len(arrival_ns), -1, dtype=np.int64)
        self.out_id = np.full(len(arrival_ns), -1, dtype=np.int32)

    def advance(self, until_ns, replicas):
        known = int(np.searchsorted(self.arrival_ns, until_ns))
        kernel.advance_station(
            self.arrival_ns[:known], np.arange(known, dtype=np.int32), self.table, replicas, until_ns, self.state,
            self.free_ns, self.batch, self.out_ns, self.out_id, NONE_NS, 0, NONE_NS, NONE_ID,
        )  # fmt: skip
        return self.departures()

    def departures(self):
        done = self.state[kernel.EMITTED]
        return list(zip(self.out_ns[:done].tolist(), self.out_id[:done].tolist(), strict=True))


def nanosecond_by_nanosecond(arrival_ns, table, replicas_at, end_ns):
    """Return departures and batches by the rules of one instant, applied at every instant."""
    queue, in_service, departures, batches = [], [], [], 0
    for now in range(end_ns):
        departures += sorted((now, query) for done, batch in in_service if done == now for query in batch)
        in_service = [(done, batch) for done, batch in in_service if done > now]
        queue += [query for query, instant in enumerate(arrival_ns) if instant == now]
        while queue and len(in_service) < replicas_at(now):
            batch, queue = queue[: len(table)], queue[len(table) :]
            in_service.append((now + table[len(batch) - 1], batch))
            batches += 1
    return departures, batches


@settings(FIXED, max_examples=300)
@given(arrivals(), tables(), st.integers(1, 4), st.lists(st.integers(1, 30), max_size=12))
def test_stopping_at_any_instants_changes_nothing(arrival_ns, table, replicas, steps):
    at_once = Resumed(arrival_ns, table)
    expected = at_once.advance(END, replicas)
    assert len(expected) == len(arrival_ns)
    stepped = Resumed(arrival_ns, table)
    for until_ns in np.cumsum(steps).tolist():
        departures = stepped.advance(until_ns, replicas)
        assert departures == [departure for departure in expected if departure[0] < until_ns]
    assert stepped.advance(END, replicas) == expected
    for total in (kernel.BATCHES, kernel.BUSY_NS, kernel.TAKEN, kernel.LARGEST, kernel.SHORT):
        assert stepped.state[total] == at_once.state[total]


@settings(FIXED, max_examples=300)
@given(arrivals(), tables(), st.lists(st.tuples(st.integers(1, 30), st.integers(0, 4)), max_size=12))
def test_replicas_come_and_go_between_steps(arrival_ns, table, steps):
    ends = np.cumsum([length for length, _ in steps], dtype=np.int64).tolist()
    counts = [count for _, count in steps] + [2]

    def replicas_at(now):
        return counts[int(np.searchsorted(ends, now, side="right"))]

    departures, batches = nanosecond_by_nanosecond(arrival_ns.tolist(), table, replicas_at, end_ns=1_200)
    assert len(departures) == len(arrival_ns)
    resumed = Resumed(arrival_ns, table)
    for until_ns, replicas in zip([*ends, END], counts, strict=True):
        assert resumed.advance(until_ns, replicas) == [done for done in departures if done[0] < until_ns]
    assert resumed.state[kernel.BATCHES] == batches


def test_a_new_replica_takes_what_waits_at_the_instant_from_which_it_is_there():
    station = Resumed([0, 1, 2], table=(10,))
    assert station.advance(until_ns=7, replicas=1) == []
    assert station.advance(until_ns=END, replicas=2) == [(10, 0), (17, 1), (20, 2)]


def test_a_replica_that_is_taken_away_finishes_its_batch():
    station = Resumed([0, 0, 1], table=(10,))
    assert station.advance(until_ns=5, replicas=2) == []
    assert station.advance(until_ns=END, replicas=1) == [(10, 0), (10, 1), (20, 2)]


def test_without_replicas_batches_finish_and_queries_wait():
    station = Resumed([0, 1, 30], table=(10,))
    assert station.advance(until_ns=5, replicas=1) == []
    assert station.advance(until_ns=25, replicas=0) == [(10, 0)]
    assert station.advance(until_ns=END, replicas=1) == [(10, 0), (35, 1), (45, 2)]


def test_an_instant_belongs_to_the_step_that_begins_with_it():
    station = Resumed([0, 10], table=(10,))
    assert station.advance(until_ns=10, replicas=1) == []
    assert station.advance(until_ns=11, replicas=1) == [(10, 0)]
    assert station.advance(until_ns=END, replicas=1) == [(10, 0), (20, 1)]


def test_the_smallest_buffer_that_works_has_a_place_for_every_replica():
    instants = np.arange(200) // 3
    roomy, tight = Resumed(instants, (7, 3, 5)), Resumed(instants, (7, 3, 5), capacity=4)
    assert tight.advance(END, 4) == roomy.advance(END, 4)
    with pytest.raises(ValueError, match="shorter than"):
        Resumed(instants, (7, 3, 5), capacity=3).advance(END, 4)


def test_output_that_is_too_short_is_refused():
    station = Resumed([0, 0], (1, 1))
    station.out_ns = station.out_ns[:1]
    with pytest.raises(ValueError, match="shorter than"):
        station.advance(END, 1)


def serve_all(arrival_ns, query_id, table, replicas, *, unbatched):
    station = Resumed(arrival_ns, table)
    ids = np.array(query_id, dtype=np.int32)
    if unbatched:
        kernel.serve_unbatched(
            station.arrival_ns, ids, table[0], replicas, station.state, station.out_ns, station.out_id,
            NONE_NS, 0, NONE_NS, NONE_ID,
        )  # fmt: skip
    else:
        kernel.advance_station(
            station.arrival_ns, ids, station.table, replicas, END, station.state, station.free_ns, station.batch,
            station.out_ns, station.out_id, NONE_NS, 0, NONE_NS, NONE_ID,
        )  # fmt: skip
    return station


@settings(FIXED, max_examples=200)
@given(arrivals(), st.integers(1, 9), st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_recursion_for_single_queries_is_the_loop_with_batches_of_one(arrival_ns, service_ns, replicas, random):
    ids = list(range(len(arrival_ns)))
    random.shuffle(ids)
    order = np.lexsort((ids, arrival_ns))
    ids = np.array(ids, dtype=np.int32)[order]
    loop = serve_all(arrival_ns, ids, (service_ns,), replicas, unbatched=False)
    recursion = serve_all(arrival_ns, ids, (service_ns,), replicas, unbatched=True)
    assert recursion.departures() == loop.departures()
    for total in (kernel.BATCHES, kernel.BUSY_NS, kernel.TAKEN, kernel.LARGEST, kernel.SHORT):
        assert recursion.state[total] == loop.state[total]


@pytest.mark.parametrize("size", [2, 64, 65, 1_000])
@pytest.mark.parametrize("unbatched", [True, False])
def test_queries_that_leave_at_one_instant_leave_in_the_order_of_their_ids(size, unbatched):
    table, replicas = ((5,), size) if unbatched else ((5,) * size, 1)
    backwards = range(size - 1, -1, -1)
    station = serve_all([3] * size, backwards, table, replicas, unbatched=unbatched)
    assert station.departures() == [(8, query) for query in range(size)]
