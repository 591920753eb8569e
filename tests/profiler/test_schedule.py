"""Which batch size comes next, and when a row is done, as timelines."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.results import Limits
from profiler.schedule import (
    MAX_BATCH,
    Evidence,
    block_size,
    draw,
    next_step,
    round_order,
    seconds_left,
    verdict,
)

CONSTANT = dict.fromkeys([6, *(2**i for i in range(11))], 1.0).get  # one second whatever the batch size
LIMITS = Limits(precision=0.02, tail_precision=0.1, budget_s=10.0)


def ramp(latency_s, max_batch=None):
    tried = {}
    while (step := next_step(tried, max_batch)).size is not None:
        tried[step.size] = latency_s(step.size)
    return list(tried), step.ended


@pytest.mark.parametrize(
    ("latency_s", "max_batch", "sizes", "ended"),
    [
        # Throughput 1.0, 1.0, 1.0: two sizes that bring nothing are enough to see it.
        (lambda n: n, None, [1, 2, 4], "throughput"),
        # It rises by 5 % and more until 32, by 3 % and 2 % after that.
        (lambda n: 2 + n, None, [1, 2, 4, 8, 16, 32, 64, 128], "throughput"),
        (CONSTANT, None, [2**i for i in range(11)], "max_batch"),
        (CONSTANT, 5000, [2**i for i in range(11)], "max_batch"),
        (CONSTANT, 6, [1, 2, 4, 6], "max_batch"),
        (CONSTANT, 1, [1], "max_batch"),
        (lambda n: n, 2, [1, 2], "max_batch"),
        # A routine for vectors at 1, one for matrices from 2 on: down, then up again.
        (lambda n: 2.0 if n == 1 else 7.0 + 0.2 * n, 16, [1, 2, 4, 8, 16], "max_batch"),
        (lambda n: n**1.5, None, [1, 2, 4], "throughput"),
    ],
)
def test_the_ramp_goes_on_as_long_as_throughput_rises(latency_s, max_batch, sizes, ended):
    assert ramp(latency_s, max_batch) == (sizes, ended)


@given(st.lists(st.floats(1e-6, 1e3), min_size=12, max_size=12), st.none() | st.integers(1, 3000))
def test_every_ramp_ends_and_no_size_is_tried_twice_or_beyond_the_cap(latencies, max_batch):
    sizes, ended = ramp(lambda n: latencies[n.bit_length()], max_batch)
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 1
    assert sizes[-1] <= min(MAX_BATCH, max_batch or MAX_BATCH)
    assert ended in {"throughput", "max_batch"}


@pytest.mark.parametrize(
    ("evidence", "stopped"),
    [
        (Evidence(400, 5, 1.0, 0.02, 0.1), "precise"),
        (Evidence(400, 4, 1.0, 0.02, 0.1), "unfinished"),  # four rounds have not seen enough of the machine
        (Evidence(400, 5, 1.0, 0.021, 0.1), "unfinished"),
        (Evidence(400, 5, 1.0, 0.02, 0.11), "unfinished"),
        (Evidence(20, 20, 9.9, 0.001, math.nan), "unfinished"),  # no interval of the P99 yet
        (Evidence(20, 20, 10.0, 0.001, math.nan), "budget"),
        (Evidence(2, 2, 60.0, 0.001, math.nan), "unfinished"),  # three samples whatever they take
        (Evidence(3, 3, 60.0, math.nan, math.nan), "budget"),
    ],
)
def test_a_row_is_done_when_it_is_precise_or_its_budget_is_spent(evidence, stopped):
    assert verdict(evidence, LIMITS) == stopped


def test_rows_take_turns_until_each_is_done():
    # A fake clock: batches of size n take n tenths of a second, and the row of size 1 is precise from five rounds on.
    now, rounds, log = 0.0, Counter(), []
    open_sizes = [1, 2, 20]
    for number in range(12):
        for size in round_order(open_sizes, number, seed=0):
            count = block_size(0.1 * size)
            now += 0.1 * size * count
            rounds[size] += 1
            spent_s = 0.1 * size * rounds[size]
            evidence = Evidence(rounds[size], rounds[size], spent_s, 0.01, 0.05 if size == 1 else math.nan)
            stopped = verdict(evidence, Limits(budget_s=1.0))
            if stopped != "unfinished":
                log.append((round(now, 1), size, rounds[size], stopped))
        open_sizes = [size for size in open_sizes if size not in {done for _, done, _, _ in log}]
    assert log == [(6.6, 20, 3, "budget"), (7.3, 1, 5, "precise"), (7.5, 2, 5, "budget")]


def test_the_order_differs_from_round_to_round_and_is_the_same_for_a_seed():
    sizes = [1, 2, 4, 8]
    orders = [tuple(round_order(sizes, number, seed=1)) for number in range(50)]
    assert all(sorted(order) == sizes for order in orders)
    assert orders == [tuple(round_order(sizes, number, seed=1)) for number in range(50)]
    after = Counter(pair for order in orders for pair in pairwise(order))
    assert len(after) == 12  # each row comes right after each other one at some time


@pytest.mark.parametrize(("hop_s", "count"), [(0.0003, 250), (0.01, 8), (0.04, 2), (0.2, 1), (30.0, 1), (0.0, 1)])
def test_a_block_takes_some_75_ms(hop_s, count):
    assert block_size(hop_s) == count


@given(st.integers(1, 20), st.integers(1, 64), st.integers(0, 3))
def test_every_input_is_drawn_equally_often(pool, size, seed):
    frames = [bytes([i]) for i in range(pool)]
    batches = list(islice(draw(frames, size, seed), pool))
    assert {len(batch) for batch in batches} == {size}
    assert Counter(frame for batch in batches for frame in batch) == dict.fromkeys(frames, size)
    assert batches == list(islice(draw(frames, size, seed), pool))


@given(
    st.integers(0, 1000), st.integers(0, 50), st.floats(0, 30), st.floats(0, 1), st.floats(0, 1) | st.just(math.nan)
)
def test_what_is_left_lies_within_the_budget_and_is_nothing_in_the_end(samples, rounds, spent_s, mean, tail):
    evidence = Evidence(samples, rounds, spent_s, mean, tail)
    left_s = seconds_left(evidence, LIMITS)
    assert 0 <= left_s <= max(0.0, LIMITS.budget_s - spent_s)
    if verdict(evidence, LIMITS) == "precise":
        assert left_s == 0
