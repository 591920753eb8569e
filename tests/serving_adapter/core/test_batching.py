"""Maximum batch sizes: fixed, additive increase with multiplicative decrease, and Clipper's explore-then-fit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferline.domain import batch_to_take
from serving_adapter.core.batching import Aimd, ExploreThenFit, FixedBatch, when_to_cut

MS = 1_000_000


def explorer(seed: int = 0, **options) -> ExploreThenFit:
    return ExploreThenFit(np.random.default_rng(seed), **options)


def test_a_batch_leaves_when_it_is_full_or_its_oldest_query_has_waited_long_enough():
    assert [when_to_cut(queued, 3, 100, 130, 50) for queued in (1, 2, 3, 4)] == [20, 20, 0, 0]
    assert [when_to_cut(1, 3, 100, now_ns, 50) for now_ns in (100, 149, 150, 151)] == [50, 1, 0, 0]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 50), st.integers(0, 50))
def test_without_a_wait_it_is_greedy_batching(queued, max_batch, arrived_ns, later_ns):
    assert when_to_cut(queued, max_batch, arrived_ns, arrived_ns + later_ns, 0) == 0


def test_a_full_batch_is_what_the_batching_rule_calls_full(monkeypatch):
    asked = []

    def never_full(queue_length: int, max_batch: int) -> int:
        asked.append((queue_length, max_batch))
        return batch_to_take(queue_length, max_batch) - 1

    monkeypatch.setattr("serving_adapter.core.batching.batch_to_take", never_full)
    assert when_to_cut(9, 3, 100, 130, 50) == 20
    assert asked == [(9, 3)]


def test_a_fixed_batch_stays_what_it_is():
    policy = FixedBatch(9)
    policy.observe(9, 10**12)
    assert (policy.max_batch(0, 5), policy.max_batch(0, None), policy.fills) == (9, 9, False)


def test_aimd_adds_one_for_each_full_batch_in_time_and_keeps_nine_tenths_after_a_slow_one():
    policy = Aimd(20 * MS)
    sizes = []
    for _ in range(40):
        size = policy.max_batch(0, None)
        sizes.append(size)
        policy.observe(size, size * MS)
    assert sizes[:21] == list(range(1, 22))
    assert sizes[21:29] == [18, 19, 20, 21, 18, 19, 20, 21]


def test_aimd_learns_nothing_good_from_a_batch_that_was_not_full():
    policy = Aimd(20 * MS, increase=4, most=7)
    policy.observe(1, MS)
    assert policy.max_batch(0, None) == 5
    policy.observe(4, MS)
    assert policy.max_batch(0, None) == 5
    policy.observe(5, 20 * MS)
    assert policy.max_batch(0, None) == 7
    policy.observe(2, 21 * MS)
    assert policy.max_batch(0, None) == 6
    for _ in range(20):
        policy.observe(1, 21 * MS)
    assert policy.max_batch(0, None) == 1


def test_exploring_takes_five_samples_of_each_size_up_to_ten_and_then_grows_by_a_tenth_or_so():
    policy = explorer()
    sizes = []
    for _ in range(60 * 5):
        sizes.append(policy.max_batch(0, 10_000 * MS))
        assert policy.fills
        policy.observe(sizes[-1], 5 * MS)
    assert sizes[:50] == [size for size in range(1, 11) for _ in range(5)]
    tried = sorted(set(sizes[50:]))
    assert all(sizes.count(size) >= 5 for size in tried[:-1])
    assert all(left < right <= 1.3 * left for left, right in pairwise(tried))
    assert 1.05 < (tried[-1] / tried[0]) ** (1 / (len(tried) - 1)) < 1.15


def test_the_growth_is_never_down_and_rounded_down():
    class Draws:
        def normal(self, mean: float, deviation: float) -> float:
            assert (mean, deviation) == (0.1, 0.05)
            return draws.pop(0)

    draws = [0.19, -0.3, 0.2]
    policy = ExploreThenFit(Draws())
    sizes = []
    for _ in range(9):
        for _ in range(5):
            policy.observe(policy.max_batch(0, 1000 * MS), MS)
    for _ in range(5):
        policy.observe(policy.max_batch(0, 1000 * MS), MS)
    while draws:
        sizes.append(policy.max_batch(0, 1000 * MS))
        for _ in range(5):
            policy.observe(sizes[-1], MS)
    assert sizes == [11, 11, 13]


def test_it_explores_only_while_the_budget_exceeds_the_longest_latency_seen():
    policy = explorer()
    for _ in range(5):
        policy.observe(policy.max_batch(0, 100 * MS), 92 * MS // 10)
    assert policy.max_batch(0, 10 * MS) == 1  # 0.92 * 10 ms is just what was seen
    assert not policy.fills
    assert policy.max_batch(0, 10 * MS + 2) == 2
    assert policy.fills


def test_the_largest_size_within_the_budget_is_read_off_the_line():
    policy = explorer()
    for size in range(1, 11):
        for _ in range(5):
            policy.observe(size, (2 + size) * MS)
    budgets = {0.5: 1, 2: 1, 5.5: 3, 9.5: 7, 11.9: 9}
    found = {budget: policy.max_batch(0, round(budget / 0.92 * MS)) for budget in budgets}
    assert found == budgets
    assert policy.max_batch(0, -50 * MS) == 1
    for size in range(1, 11):
        for _ in range(5):
            policy.observe(size, size * MS)  # it became faster, and varies now
    assert policy.max_batch(0, round(11.5 / 0.92 * MS)) == 7


def test_the_point_of_a_size_is_its_mean_plus_three_deviations_pooled_over_what_was_seen_often():
    policy = explorer()
    spread = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # variance 0.625
    for size in (10, 20):
        for off in spread:
            policy.observe(size, round((size + off) * MS))
    policy.observe(30, 30 * MS)
    policy.observe(30, 34 * MS)  # too few to enter the pooled deviation; a point all the same, at 32 ms
    x = np.array([10.0, 20.0, 32.0]) + 3 * np.sqrt(0.625)
    y = np.array([10.0, 20.0, 30.0])
    slope = np.sum((x - x.mean()) * (y - y.mean())) / (np.sum((x - x.mean()) ** 2) + 1e-6)
    for budget in np.arange(1.0, 34.0, 0.37):
        expected = max(1, int(np.floor(slope * (budget - x.mean()) + y.mean())))
        assert policy.max_batch(0, round(budget / 0.92 * MS)) == expected


def test_latencies_that_do_not_depend_on_the_size_give_a_finite_line():
    policy = explorer()
    for size in (1, 2, 3):
        for _ in range(5):
            policy.observe(size, 10 * MS)
    assert policy.max_batch(0, 10 * MS) == 2


def test_on_a_replica_that_is_linear_the_batches_end_just_within_the_deadline():
    policy = explorer(3)
    slo_ns, latencies = 20 * MS, []
    rng = np.random.default_rng(4)
    for _ in range(600):
        size = policy.max_batch(0, slo_ns)
        latency_ns = round((1 + 0.1 * size) * MS * rng.uniform(0.98, 1.02))
        policy.observe(size, latency_ns)
        latencies.append(latency_ns)
    settled = np.array(latencies[300:])
    assert settled.max() < slo_ns
    assert settled.mean() > 0.8 * slo_ns


def test_without_a_deadline_or_beyond_a_cap_nothing_is_explored():
    policy = explorer()
    for _ in range(5):
        policy.observe(1, MS)
    assert (policy.max_batch(0, None), policy.fills) == (1, False)
    capped = explorer(most=3, fill=False)
    for _ in range(50):
        capped.observe(capped.max_batch(0, 10_000 * MS), MS)
    assert (capped.max_batch(0, 10_000 * MS), capped.fills) == (3, False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FixedBatch(0), "maximum batch size 0: expected at least 1"),
        (lambda: Aimd(0), r"latency objective \(ns\) 0: expected at least 1"),
        (lambda: Aimd(5, increase=0), "increase 0: expected at least 1"),
        (lambda: Aimd(5, backoff=1.0), "backoff 1.0: expected a number between 0 and 1"),
        (lambda: explorer(most=0), "largest maximum 0: expected at least 1"),
    ],
)
def test_parameters_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
