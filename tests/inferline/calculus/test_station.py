"""Bounds of a station against what the simulator says of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calculus import KNOWN, measured, random_case
from inferline.calculus import (
    Staircase,
    Uncertified,
    WholeTrace,
    backlog_bound,
    certified_replicas,
    certifying_windows_ns,
    delay_bound_ns,
    from_staircase,
    horizontal_deviation,
    max_arrivals,
    service_curve,
    shortest_span,
)
from simulator import Network, Station, simulate

# Nearly everything happens at the same instants: gaps of 0 to 5, more than a third of them 0.
traces = st.binary(min_size=1, max_size=40).map(
    lambda text: np.cumsum([max(0, byte % 8 - 2) for byte in text], dtype=np.int64)
)
tables = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)
few = st.integers(1, 4)


def served(arrivals, table, replicas):
    """The longest delay, and the most that wait at any instant after its dispatches."""
    result = simulate(Network((Station("s", table, replicas),)), arrivals)
    begin = np.sort(arrivals + result.stations["s"].wait_ns)
    instants = np.unique(np.concatenate([arrivals, begin]))
    waiting = np.searchsorted(arrivals, instants, "right") - np.searchsorted(begin, instants, "right")
    return int(result.latency_ns.max()), int(waiting.max())


def grid(arrivals, windows=(1, 2, 4, 8, 16, 32, 64, 128)):
    return Staircase.of_windows(windows, [max_arrivals(arrivals, window) for window in windows])


@settings(deadline=None, max_examples=500)
@given(traces, tables, few)
def test_no_query_is_later_than_the_bound_and_no_more_wait(arrivals, table, replicas):
    delay, waiting = served(arrivals, table, replicas)
    for curve in (WholeTrace(arrivals), grid(arrivals).refined(), grid(arrivals)):
        assert delay <= delay_bound_ns(curve, table, replicas)
        assert waiting <= backlog_bound(curve, table, replicas)


@settings(deadline=None)
@given(traces, st.integers(1, 9), few)
def test_without_batches_the_bound_is_the_longest_delay(arrivals, latency, replicas):
    assert delay_bound_ns(WholeTrace(arrivals), (latency,), replicas) == served(arrivals, (latency,), replicas)[0]


@settings(deadline=None)
@given(traces, tables)
def test_the_bound_does_not_grow_with_replicas(arrivals, table):
    for curve in (WholeTrace(arrivals), grid(arrivals)):
        bounds = [delay_bound_ns(curve, table, replicas) for replicas in range(1, 12)]
        assert bounds == sorted(bounds, reverse=True)


@settings(deadline=None)
@given(traces, tables, st.integers(1, 60))
def test_the_certified_number_is_the_least_whose_bound_is_within_the_budget(arrivals, table, budget):
    for curve in (WholeTrace(arrivals), grid(arrivals)):
        within = [c for c in range(1, arrivals.size + 2) if delay_bound_ns(curve, table, c) <= budget]
        answer = certified_replicas(curve, table, budget)
        if isinstance(answer, Uncertified):
            assert not within
            assert answer.least_budget_ns > budget
            if answer.least_budget_ns < math.inf:
                assert isinstance(certified_replicas(curve, table, int(answer.least_budget_ns)), int)
        else:
            assert answer == within[0]
            assert served(arrivals, table, answer)[0] <= budget


@settings(deadline=None)
@given(traces, st.integers(1, 9), st.integers(1, 4), st.integers(0, 40))
def test_full_batches_certify_the_closed_form(arrivals, latency, max_batch, more):
    budget = 2 * latency + more
    spans = [shortest_span(arrivals, k) for k in range(arrivals.size)]
    # alpha just above a span is k + 1, and the window is the span.
    closed = max(-(-(k + 1) // (max_batch * ((budget + span) // latency - 1))) for k, span in enumerate(spans))
    by_windows = [
        -(-max_arrivals(arrivals, span + 1) // (max_batch * ((budget + span) // latency - 1))) for span in spans
    ]
    assert closed == max(by_windows)
    answer = certified_replicas(WholeTrace(arrivals), (latency,) * max_batch, budget)
    assert answer <= closed
    for replicas in range(1, closed + 1):
        full = 2 * latency + WholeTrace(arrivals).lag_ns(replicas * max_batch, latency)
        assert (full <= budget) == (replicas >= closed)


@settings(deadline=None, max_examples=50)
@given(traces, tables, few)
def test_the_service_curve_gives_no_shorter_delay(arrivals, table, replicas):
    curve, full = grid(arrivals), replicas * len(table)
    deviation = horizontal_deviation(from_staircase(curve), service_curve(table, replicas, turns=40))
    if curve.settled(full, table[-1]) is not None:  # else the curve goes on as a line, which may still catch up
        assert max(table) + curve.lag_ns(full, table[-1]) <= deviation


def test_the_service_curve_gives_the_delay_of_full_batches():
    curve, table = Staircase((2, 3, 6), (5, 20, 40)), (10, 10)
    for replicas, lag in ((1, 5), (2, 0)):
        assert curve.lag_ns(2 * replicas, 10) == lag
        assert horizontal_deviation(from_staircase(curve), service_curve(table, replicas, turns=10)) == 10 + lag


def test_a_timeline():
    """Two replicas of up to 2, 10 ns a batch: six at once, then one each 5 ns."""
    arrivals = np.array([0, 0, 0, 0, 0, 0, 5, 10, 15])
    result = simulate(Network((Station("s", (10, 10), 2),)), arrivals)
    assert result.latency_ns.tolist() == [10, 10, 10, 10, 20, 20, 15, 10, 15]
    assert delay_bound_ns(WholeTrace(arrivals), (10, 10), 2) == 30


def test_the_worst_arrivals_meet_the_bound():
    """The replica has just begun when three come, of which it can take two at once: three services, less 1 ns."""
    arrivals = np.array([0, 1, 1, 1])
    assert served(arrivals, (10, 10), 1) == (29, 3)
    assert delay_bound_ns(WholeTrace(arrivals), (10, 10), 1) == 30


def test_nobody_waits_where_no_more_arrive_in_a_service_time_than_there_are_replicas():
    arrivals = np.arange(100, dtype=np.int64) * 5
    assert [delay_bound_ns(WholeTrace(arrivals), (10, 10), replicas) for replicas in (1, 2)] == [20, 10]
    assert [backlog_bound(WholeTrace(arrivals), (10, 10), replicas) for replicas in (1, 2)] == [2, 0]


def test_a_maximum_batch_that_is_never_reached_does_not_count():
    """Two arrive in 10 ns, so that two replicas never see a batch of 64, which would take 640 ns."""
    arrivals = np.arange(100, dtype=np.int64) * 5
    table = tuple(10 + 10 * size for size in range(64))
    assert delay_bound_ns(WholeTrace(arrivals), table[:2], 3) == delay_bound_ns(WholeTrace(arrivals), table, 3)
    assert certified_replicas(WholeTrace(arrivals), table, 40) == 2


def test_below_the_time_of_a_batch_nothing_is_certified():
    answer = certified_replicas(WholeTrace(np.array([0, 5])), (10, 12), 9)
    assert answer == Uncertified(
        reason="a delay of 9 ns is not certified for any number of replicas; 10 ns is", least_budget_ns=10
    )
    short = certified_replicas(Staircase((1,), (4,)), (10,), 1000)
    assert short == Uncertified(
        reason="a delay of 1000 ns is not certified for any number of replicas; none is: the windows are too short",
        least_budget_ns=math.inf,
    )


@pytest.mark.parametrize("replicas", [0, -1])
def test_stations_that_do_not_exist_are_refused(replicas):
    curve = WholeTrace(np.array([0]))
    for bound in (delay_bound_ns, backlog_bound):
        with pytest.raises(ValueError, match=f"replicas {replicas}: 1 or more"):
            bound(curve, (10,), replicas)
        for table in ((), (10, 0)):
            with pytest.raises(ValueError, match="one latency per batch size, from 1"):
                bound(curve, table, 1)


@settings(deadline=None)
@given(traces, st.integers(1, 9), st.integers(1, 4), st.integers(0, 30))
def test_the_windows_for_a_budget_say_what_full_batches_need(arrivals, latency, max_batch, more):
    budget = 2 * latency + more
    windows = certifying_windows_ns((latency,) * max_batch, budget)
    curve, longest = WholeTrace(arrivals), arrivals[-1] - arrivals[0]
    for replicas in range(1, 12):
        turns = [(window + more) // latency for window in windows]
        kept = all(
            curve.max_arrivals(window) <= turn * replicas * max_batch
            for window, turn in zip(windows, turns, strict=True)
        )
        within = 2 * latency + curve.lag_ns(replicas * max_batch, latency) <= budget
        assert kept or not within
        if windows[6] > longest:  # the first seven leave none out
            assert kept == within


def test_random_stations_keep_their_bounds_and_certified_numbers_are_close_to_the_least():
    rows = [measured(random_case(number, seed=7)) for number in range(200)]
    assert [row.violations for row in rows] == [(0,) * len(KNOWN)] * 200
    for place, most in enumerate((1.1, 1.4, 1.25)):
        assert np.median([row.ratio(place) for row in rows if row.budget >= 2]) <= most
    assert np.median([row.bound_ratios[0] for row in rows]) <= 1.3


def test_a_case_is_drawn_the_same_again():
    one, other = random_case(3), random_case(3)
    assert np.array_equal(one.arrival_ns, other.arrival_ns)
    assert (one.batch_latency_ns, one.replicas, one.budget_ns) == (
        other.batch_latency_ns, other.replicas, other.budget_ns,
    )  # fmt: skip
