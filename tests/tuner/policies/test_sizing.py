"""The cheapest counts within latency budgets, against all counts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.policies.sizing import LatencyPath, latency_paths, size

MS = 1_000_000

works = st.fixed_dictionaries({"a": st.integers(1, 200), "b": st.integers(1, 200), "c": st.integers(1, 200)})
prices = st.fixed_dictionaries({"a": st.integers(1, 5), "b": st.integers(1, 5), "c": st.integers(1, 5)})
starts = st.fixed_dictionaries({"a": st.integers(1, 12), "b": st.integers(1, 12), "c": st.integers(1, 12)})
BOUNDS = {"a": (1, 12), "b": (1, 12), "c": (1, 12)}
PATHS = (LatencyPath(stages=("a", "b"), budget_ns=100.0), LatencyPath(stages=("a", "c"), budget_ns=60.0))


def delay_of(work):
    return lambda name, count: work[name] / count


@given(works, prices, starts)
def test_budgets_are_kept_and_no_single_replica_is_too_many(work, price, start):
    counts, used = size(PATHS, delay_of(work), start, BOUNDS, price)
    within = {
        name: sum(work[n] / counts[n] for n in path.stages) <= path.budget_ns
        for path in PATHS
        for name in path.stages
    }
    assert used == max(sum(work[n] / counts[n] for n in path.stages) / path.budget_ns for path in PATHS)
    if used > 1.0:
        # Only what cannot be helped is late: the stages of the late path are at their most.
        late = [path for path in PATHS if sum(work[n] / counts[n] for n in path.stages) > path.budget_ns]
        assert all(counts[name] == 12 for path in late for name in path.stages)
    elif all(within.values()):
        for name in counts:
            if counts[name] > 1:
                fewer = {**counts, name: counts[name] - 1}
                assert any(sum(work[n] / fewer[n] for n in path.stages) > 0.92 * path.budget_ns for path in PATHS)


@given(works, prices)
def test_the_cost_is_near_the_least(work, price):
    def cost(counts):
        return sum(price[name] * counts[name] for name in counts)

    counts, used = size(PATHS, delay_of(work), dict.fromkeys("abc", 1), BOUNDS, price)
    if used > 1.0:
        return
    able = (
        dict(zip("abc", each, strict=True))
        for each in itertools.product(range(1, 13), repeat=3)
        if all(sum(work[n] / dict(zip("abc", each, strict=True))[n] for n in p.stages) <= p.budget_ns for p in PATHS)
    )
    assert cost(counts) <= 2 * min(cost(each) for each in able)


def test_the_paths_end_where_queries_may_end(situation):
    paths = latency_paths(situation().pipeline, situation().plan)
    assert [path.stages for path in paths] == [("detect", "read"), ("detect",)]
    # The plan's P99 is half the SLO, so twice the delays of its evidence are fine: 2 x (150 + 100) ms.
    assert [path.budget_ns for path in paths] == [pytest.approx(500 * MS)] * 2


def test_counts_start_within_their_bounds():
    counts, _ = size(
        PATHS, delay_of({"a": 1, "b": 1, "c": 1}), {"a": 50, "b": 0, "c": 3}, BOUNDS, dict.fromkeys("abc", 1)
    )
    assert counts == {"a": 1, "b": 1, "c": 1}
