"""Bounds of a station that is being scaled, against the simulator with a schedule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.calculus import (
    Handover,
    Staircase,
    Uncertified,
    delay_bound_after_ns,
    max_arrivals,
    replicas_after,
)
from simulator import Network, Station
from simulator.cluster import Epoch, simulate_cluster

traces = st.binary(min_size=1, max_size=60).map(
    lambda text: np.cumsum([max(0, byte % 8 - 2) for byte in text], dtype=np.int64)
)
tables = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)
few = st.integers(1, 3)


def scaled(arrivals, table, serving, replicas, start):
    """Delay and waiting time of every query, when the number of replicas changes at an instant."""
    network = Network((Station("s", table, serving),))
    epoch = Epoch(start_ns=start, batch_latency_ns=table, replicas=replicas)
    result = simulate_cluster(network, {"s": (epoch,)}, arrivals)
    return result.latency_ns, result.stations["s"].wait_ns


def grid(arrivals, windows=(1, 2, 4, 8, 16, 32, 64, 128)):
    return Staircase.of_windows(windows, [max_arrivals(arrivals, window) for window in windows])


@settings(deadline=None, max_examples=400)
@given(traces, tables, few, st.integers(0, 5), st.integers(0, 60), st.integers(1, 40))
def test_who_arrives_after_the_start_is_within_the_bound(arrivals, table, serving, more, now, until_start):
    replicas = serving + more
    delay, wait = scaled(arrivals, table, serving, replicas, now + until_start)
    later = arrivals[arrivals > now]
    if later.size:
        backlog = int(((arrivals <= now) & (arrivals + wait > now)).sum())
        handover = Handover(backlog=backlog, start_ns=until_start, serving=serving)
        bound = delay_bound_after_ns(grid(later).refined(), table, replicas, handover)
        after = arrivals >= now + until_start
        assert max(delay[after], default=0) <= bound
        waiting = (arrivals + wait > now) & ~after
        assert max((arrivals + delay)[waiting], default=0) <= now + until_start + bound


@settings(deadline=None)
@given(traces, tables, few, st.integers(0, 30), st.integers(0, 60))
def test_a_later_start_and_a_longer_queue_are_no_better(arrivals, table, serving, backlog, start):
    curve, replicas = grid(arrivals), serving + 2

    def bound(**changed):
        given = {"backlog": backlog, "start_ns": start, "serving": 0}
        return delay_bound_after_ns(curve, table, replicas, Handover(**{**given, **changed}))

    assert bound() <= bound(start_ns=start + 7)
    assert bound() <= bound(backlog=backlog + 3)
    assert bound(serving=serving) <= bound()


@settings(deadline=None)
@given(traces, tables, few, st.integers(0, 20), st.integers(0, 30), st.integers(1, 60))
def test_the_least_number_whose_bound_is_within_the_budget(arrivals, table, serving, backlog, start, budget):
    curve, handover = grid(arrivals), Handover(backlog=backlog, start_ns=start, serving=serving)
    bounds = {c: delay_bound_after_ns(curve, table, c, handover) for c in range(serving, 120)}
    assert list(bounds.values()) == sorted(bounds.values(), reverse=True)
    within = [c for c, bound in bounds.items() if bound <= budget]
    answer = replicas_after(curve, table, budget, handover)
    if isinstance(answer, Uncertified):
        assert not within
        assert answer.least_budget_ns == 2 * max(table) > budget
    else:
        assert answer == within[0]


def test_with_nothing_to_hand_over_full_batches_are_what_counts():
    curve = Staircase((2, 3, 6), (5, 20, 40))
    for replicas in range(1, 5):
        bound = delay_bound_after_ns(curve, (10, 10), replicas, Handover())
        assert bound == 20 + curve.lag_ns(2 * replicas, 10)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="from 0 on"):
        Handover(backlog=-1)
    with pytest.raises(ValueError, match="from the 3 that serve now on"):
        delay_bound_after_ns(Staircase((1,), (10,)), (10,), 2, Handover(serving=3))
    assert delay_bound_after_ns(Staircase((1,), (5,)), (10,), 1, Handover()) == math.inf
