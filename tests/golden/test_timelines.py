"""Timelines worked out by hand, for both engines: every rule for what happens at one instant, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import Network, Result, Station, simulate
from tests.simulator.outcomes import timeline

YES, NO = True, False

pytestmark = pytest.mark.parametrize("engine", ["kernel", "reference"])


def run(engine: str, arrivals: list[int], *stations: Station, **taken: list[bool]) -> Result:
    """Simulate; the edge from ``a`` to ``b`` is the keyword ``a_b``."""
    routes = {tuple(edge.split("_")): np.array(mask) for edge, mask in taken.items()}
    return simulate(Network(stations), np.array(arrivals, dtype=np.int64), routes, engine)


def test_one_replica_takes_what_has_gathered(engine):
    result = run(engine, [0, 5, 15, 18, 19], Station("x", (10, 10, 10)))
    assert timeline(result) == [
        (0, "x queues 0"),
        (0, "x starts 0"),
        (5, "x queues 1"),
        (10, "x finishes 0"),
        (10, "x starts 1"),
        (15, "x queues 2"),
        (18, "x queues 3"),
        (19, "x queues 4"),
        (20, "x finishes 1"),
        (20, "x starts 2 3 4"),
        (30, "x finishes 2 3 4"),
    ]
    assert result.latency_ns.tolist() == [10, 15, 15, 12, 11]


def test_a_second_replica_splits_that_batch_and_makes_the_slowest_query_slower(engine):
    result = run(engine, [0, 5, 15, 18, 19], Station("x", (10, 10, 10), 2))
    assert timeline(result) == [
        (0, "x queues 0"),
        (0, "x starts 0"),
        (5, "x queues 1"),
        (5, "x starts 1"),
        (10, "x finishes 0"),
        (15, "x finishes 1"),
        (15, "x queues 2"),
        (15, "x starts 2"),
        (18, "x queues 3"),
        (18, "x starts 3"),
        (19, "x queues 4"),
        (25, "x finishes 2"),
        (25, "x starts 4"),
        (28, "x finishes 3"),
        (35, "x finishes 4"),
    ]
    assert result.latency_ns.tolist() == [10, 10, 10, 10, 16]


def test_a_larger_maximum_batch_makes_the_slowest_query_slower(engine):
    arrivals = [0, 1, 7]
    alone = run(engine, arrivals, Station("x", (10,)))
    batched = run(engine, arrivals, Station("x", (10, 18)))  # 18 for two is less than 10 for each
    assert alone.latency_ns.tolist() == [10, 19, 23]
    assert batched.latency_ns.tolist() == [10, 27, 21]


def test_without_its_first_query_a_trace_is_slower(engine):
    station = Station("x", (10, 10, 10))
    assert run(engine, [0, 9, 10], station).latency_ns.tolist() == [10, 11, 10]
    assert run(engine, [9, 10], station).latency_ns.tolist() == [10, 19]


def test_a_query_that_arrives_when_a_replica_gets_free_is_in_the_next_batch(engine):
    result = run(engine, [0, 4, 10, 10, 11], Station("x", (10, 11, 12)))
    assert timeline(result) == [
        (0, "x queues 0"),
        (0, "x starts 0"),
        (4, "x queues 1"),
        (10, "x finishes 0"),
        (10, "x queues 2 3"),
        (10, "x starts 1 2 3"),
        (11, "x queues 4"),
        (22, "x finishes 1 2 3"),
        (22, "x starts 4"),
        (32, "x finishes 4"),
    ]


def test_simultaneous_arrivals_fill_one_replica_before_the_next(engine):
    result = run(engine, [3, 3, 3, 3, 3], Station("x", (10, 12), 2))
    assert timeline(result) == [
        (3, "x queues 0 1 2 3 4"),
        (3, "x starts 0 1 2 3"),
        (15, "x finishes 0 1 2 3"),
        (15, "x starts 4"),
        (25, "x finishes 4"),
    ]
    assert result.stations["x"].batches == 3
    assert result.stations["x"].each.replica_busy_ns.tolist() == [12 + 10, 12]


def test_a_finished_batch_reaches_the_next_station_as_a_whole(engine):
    result = run(engine, [0, 0, 1], Station("detect", (10, 12)), Station("ocr", (5, 6, 7), parents=("detect",)))
    assert timeline(result) == [
        (0, "detect queues 0 1"),
        (0, "detect starts 0 1"),
        (1, "detect queues 2"),
        (12, "detect finishes 0 1"),
        (12, "ocr queues 0 1"),
        (12, "detect starts 2"),
        (12, "ocr starts 0 1"),
        (18, "ocr finishes 0 1"),
        (22, "detect finishes 2"),
        (22, "ocr queues 2"),
        (22, "ocr starts 2"),
        (27, "ocr finishes 2"),
    ]


def test_a_delivery_at_the_instant_at_which_the_next_station_gets_free_is_in_its_batch(engine):
    result = run(engine, [0, 0, 5], Station("a", (5,)), Station("b", (10, 11), parents=("a",)))
    assert timeline(result) == [
        (0, "a queues 0 1"),
        (0, "a starts 0"),
        (5, "a finishes 0"),
        (5, "a queues 2"),
        (5, "b queues 0"),
        (5, "a starts 1"),
        (5, "b starts 0"),
        (10, "a finishes 1"),
        (10, "b queues 1"),
        (10, "a starts 2"),
        (15, "a finishes 2"),
        (15, "b finishes 0"),
        (15, "b queues 2"),
        (15, "b starts 1 2"),
        (26, "b finishes 1 2"),
    ]


def test_queries_that_overtake_each_other_are_served_in_their_new_order(engine):
    fast_alone = Station("a", (3, 9), 2)
    result = run(engine, [0, 0, 1], fast_alone, Station("b", (10,), parents=("a",)))
    assert timeline(result) == [
        (0, "a queues 0 1"),
        (0, "a starts 0 1"),
        (1, "a queues 2"),
        (1, "a starts 2"),
        (4, "a finishes 2"),
        (4, "b queues 2"),
        (4, "b starts 2"),
        (9, "a finishes 0 1"),
        (9, "b queues 0 1"),
        (14, "b finishes 2"),
        (14, "b starts 0"),
        (24, "b finishes 0"),
        (24, "b starts 1"),
        (34, "b finishes 1"),
    ]


def test_queries_of_two_batches_that_finish_at_one_instant_queue_by_id(engine):
    result = run(
        engine,
        [0, 0, 1],
        Station("a", (3, 9), 2),
        Station("b", (10, 5), 2, ("a",)),
        Station("c", (1, 2), 1, ("b",)),
    )
    assert timeline(result)[-10:] == [
        (4, "b starts 2"),
        (9, "a finishes 0 1"),
        (9, "b queues 0 1"),
        (9, "b starts 0 1"),
        (14, "b finishes 0 1 2"),
        (14, "c queues 0 1 2"),
        (14, "c starts 0 1"),
        (16, "c finishes 0 1"),
        (16, "c starts 2"),
        (17, "c finishes 2"),
    ]


def test_a_branch_is_taken_by_some_and_the_rest_are_done(engine):
    result = run(
        engine,
        [0, 1, 2],
        Station("detect", (4,)),
        Station("track", (6,), parents=("detect",)),
        detect_track=[YES, NO, YES],
    )
    assert timeline(result) == [
        (0, "detect queues 0"),
        (0, "detect starts 0"),
        (1, "detect queues 1"),
        (2, "detect queues 2"),
        (4, "detect finishes 0"),
        (4, "track queues 0"),
        (4, "detect starts 1"),
        (4, "track starts 0"),
        (8, "detect finishes 1"),
        (8, "detect starts 2"),
        (10, "track finishes 0"),
        (12, "detect finishes 2"),
        (12, "track queues 2"),
        (12, "track starts 2"),
        (18, "track finishes 2"),
    ]
    assert result.latency_ns.tolist() == [10, 7, 16]


def test_a_join_is_entered_once_when_the_last_taken_parent_is_done(engine):
    result = run(
        engine,
        [0, 20, 40],
        Station("entry", (1,)),
        Station("left", (2,), parents=("entry",)),
        Station("right", (5,), parents=("entry",)),
        Station("join", (3, 3), parents=("left", "right")),
        entry_left=[YES, YES, NO],
        entry_right=[YES, NO, NO],
    )
    assert [event for event in timeline(result) if "join" in event[1]] == [
        (6, "join queues 0"),
        (6, "join starts 0"),
        (9, "join finishes 0"),
        (23, "join queues 1"),
        (23, "join starts 1"),
        (26, "join finishes 1"),
    ]
    assert result.latency_ns.tolist() == [9, 6, 1]


def test_parents_that_finish_at_one_instant_deliver_once_and_in_the_order_of_ids(engine):
    result = run(
        engine,
        [0, 0, 1],
        Station("left", (4,), 3),
        Station("right", (9, 4), 1),
        Station("join", (7, 8, 9), parents=("left", "right")),
    )
    assert timeline(result) == [
        (0, "left queues 0 1"),
        (0, "right queues 0 1"),
        (0, "left starts 0 1"),
        (0, "right starts 0 1"),
        (1, "left queues 2"),
        (1, "right queues 2"),
        (1, "left starts 2"),
        (4, "left finishes 0 1"),
        (4, "right finishes 0 1"),
        (4, "join queues 0 1"),
        (4, "join starts 0 1"),
        (4, "right starts 2"),
        (5, "left finishes 2"),
        (12, "join finishes 0 1"),
        (13, "right finishes 2"),
        (13, "join queues 2"),
        (13, "join starts 2"),
        (20, "join finishes 2"),
    ]


def test_every_query_visits_every_entry_and_is_done_when_its_last_visit_is(engine):
    result = run(engine, [0, 2], Station("audio", (3,)), Station("video", (5, 6)))
    assert timeline(result) == [
        (0, "audio queues 0"),
        (0, "video queues 0"),
        (0, "audio starts 0"),
        (0, "video starts 0"),
        (2, "audio queues 1"),
        (2, "video queues 1"),
        (3, "audio finishes 0"),
        (3, "audio starts 1"),
        (5, "video finishes 0"),
        (5, "video starts 1"),
        (6, "audio finishes 1"),
        (10, "video finishes 1"),
    ]
    assert result.latency_ns.tolist() == [5, 8]


def test_the_replica_that_has_been_free_for_longest_serves_and_the_lower_index_among_equals(engine):
    # 0 and 1 go to replicas 0 and 1; both are free from 5 on. At 6 the lower index, 0, is taken and free again at
    # 11; at 12 replica 1, free since 5, comes before replica 0; at 13 only replica 0 is left.
    result = run(engine, [0, 0, 6, 12, 13], Station("x", (5,), 2))
    assert result.stations["x"].each.replica_busy_ns.tolist() == [15, 10]


def test_replicas_that_nobody_needs_are_never_busy(engine):
    result = run(engine, [0, 1], Station("x", (5,), 4))
    assert result.stations["x"].each.replica_busy_ns.tolist() == [5, 5, 0, 0]
    assert result.stations["x"].busy_ns == 10
