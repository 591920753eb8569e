"""Branches, joins and the end of the pipeline, on streams written out by hand."""

from __future__ import annotations

import numpy as np

from simulator.kernel.flow import count_late, join_streams, keep_taken, note_latency


def stream(*departures: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return instants and query ids."""
    return (
        np.array([instant for instant, _ in departures], dtype=np.int64),
        np.array([query for _, query in departures], dtype=np.int32),
    )


def written(length: int, out: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, int]]:
    return list(zip(out[0][:length].tolist(), out[1][:length].tolist(), strict=True))


def room(queries: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(queries, -1, dtype=np.int64), np.full(queries, -1, dtype=np.int32)


def kept(departures: tuple[np.ndarray, np.ndarray], taken: list[bool]) -> list[tuple[int, int]]:
    out = room(departures[0].size)
    return written(keep_taken(*departures, np.array(taken, dtype=np.bool_), *out), out)


def joined(*streams: tuple[np.ndarray, np.ndarray], queries: int) -> list[tuple[int, int]]:
    out = room(queries)
    return written(join_streams(*streams[0], *streams[1], *out), out)


def test_a_branch_keeps_the_order_of_those_that_take_it():
    departures = stream((4, 2), (4, 3), (7, 0), (9, 1))
    assert kept(departures, [True, False, False, True]) == [(4, 3), (7, 0)]
    assert kept(departures, [True] * 4) == [(4, 2), (4, 3), (7, 0), (9, 1)]
    assert kept(departures, [False] * 4) == []
    assert kept(stream(), []) == []


def test_a_join_lets_a_query_of_both_parents_in_when_it_comes_the_second_time():
    left, right = stream((1, 0), (5, 1)), stream((3, 1), (9, 0))
    assert joined(left, right, queries=2) == [(5, 1), (9, 0)]


def test_a_join_lets_a_query_of_one_parent_in_when_that_one_is_done():
    assert joined(stream((1, 0)), stream((1, 2), (4, 1)), queries=3) == [(1, 0), (1, 2), (4, 1)]
    assert joined(stream(), stream((1, 2)), queries=3) == [(1, 2)]
    assert joined(stream((1, 2)), stream(), queries=3) == [(1, 2)]
    assert joined(stream(), stream(), queries=0) == []


def test_a_join_orders_one_instant_by_query_id():
    left, right = stream((5, 1), (5, 2), (5, 4)), stream((5, 0), (5, 2), (5, 3))
    assert joined(left, right, queries=5) == [(5, 0), (5, 1), (5, 2), (5, 3), (5, 4)]


def test_inputs_may_be_read_only():
    left, right = stream((1, 0)), stream((3, 0))
    for array in (*left, *right):
        array.flags.writeable = False
    assert joined(left, right, queries=1) == [(3, 0)]


def test_latency_is_that_of_the_latest_finish():
    arrival_ns, latency_ns = np.array([0, 2, 5]), np.zeros(3, dtype=np.int64)
    note_latency(*stream((4, 1), (6, 0)), arrival_ns, latency_ns)
    note_latency(*stream((3, 0), (9, 1), (9, 2)), arrival_ns, latency_ns)
    assert latency_ns.tolist() == [6, 7, 4]


def test_a_query_is_counted_as_late_once():
    deadline_ns, late = np.array([5, 5, 5]), np.zeros(3, dtype=np.bool_)
    assert count_late(*stream((5, 0), (6, 1)), deadline_ns, late) == 1
    assert count_late(*stream((7, 1), (7, 2)), deadline_ns, late) == 1
    assert late.tolist() == [False, True, True]
