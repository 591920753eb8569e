"""Visits by query id, and which replica served which batch."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.kernel.visits import order_visits, replica_busy


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def test_visits_are_written_by_query_id():
    # Queries 5, 2 and 3 of six come in that order; 5 alone is the first batch, 2 and 3 the second.
    query_id, (arrival_ns, wait_ns, service_ns) = ids(0, 0, 0), np.zeros((3, 3), dtype=np.int64)
    place = np.zeros(6, dtype=np.int32)
    arrivals = np.array([1, 4, 9]), ids(5, 2, 3)
    batches = np.array([1, 11]), ids(0, 1)
    order_visits(*arrivals, *batches, np.array([10, 15]), place, query_id, arrival_ns, wait_ns, service_ns)
    assert query_id.tolist() == [2, 3, 5]
    assert arrival_ns.tolist() == [4, 9, 1]
    assert wait_ns.tolist() == [7, 2, 0]
    assert service_ns.tolist() == [15, 15, 10]


def test_equal_replicas_take_turns_by_the_time_they_have_been_free():
    # Two replicas, 5 ns a batch: 0 and 1 start at 0; at 6 both have been free since 5 and 0 is taken; at 12 it is 1.
    dispatch_ns, batch_ns = np.array([0, 0, 6, 12]), np.array([5, 5, 5, 5])
    assert replica_busy(dispatch_ns, batch_ns, 2).tolist() == [10, 10]
    assert replica_busy(dispatch_ns[:3], batch_ns[:3], 2).tolist() == [10, 5]


def test_nobody_served_nobody_busy():
    assert replica_busy(np.empty(0, np.int64), np.empty(0, np.int64), 3).tolist() == [0, 0, 0]


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=40), st.integers(1, 6))
def test_the_ring_of_replicas_is_a_heap_by_instant_and_index(batches, replicas):
    free = [(0, replica) for replica in range(replicas)]
    expected = [0] * replicas
    dispatch_ns, service_ns, now = [], [], 0
    for gap, service in batches:
        now = max(now + gap, free[0][0])
        _, replica = heapq.heappop(free)
        heapq.heappush(free, (now + service, replica))
        expected[replica] += service
        dispatch_ns.append(now)
        service_ns.append(service)
    found = replica_busy(np.array(dispatch_ns, np.int64), np.array(service_ns, np.int64), replicas)
    assert found.tolist() == expected
