"""What the plan has shown: its envelope, and its counts for what is within."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tuner.policies.evidence import exceeded, excess, planned_bounds

S = 1_000_000_000


def even(rate, start, end):
    return np.rint((start + np.arange(round((end - start) * rate)) / rate) * S).astype(np.int64)


def test_planned_traffic_is_within_its_envelope(situation):
    plan = situation().plan
    assert exceeded(plan, even(20, 0, 60), 0) is None
    assert excess(plan, even(20, 0, 60), 0) == 1.0


def test_the_fullest_window_says_by_how_much(situation):
    plan = situation().plan
    burst = np.sort(np.concatenate([even(20, 0, 60), np.full(6, 30 * S)]))
    # 10 arrivals in 160 ms, 4 planned: 62.5/s instead of 25/s.
    assert excess(plan, burst, 29 * S) == 2.5
    above = exceeded(plan, burst, 29 * S)
    assert (above.window_ns, above.measured, above.threshold) == (160_000_000, pytest.approx(62.5), pytest.approx(25))
    assert exceeded(plan, burst, 31 * S) is not None  # in windows of some seconds it still is one
    assert exceeded(plan, even(20, 0, 60), 60 * S) is None  # nothing has come since


def bounds(plan, arrival_ns, expected, *, stage="detect", now=60, times=1.0):
    return planned_bounds(
        plan, stage, arrival_ns, now * S, hold_ns=15 * S, keep_ns=120 * S, rate_qps=expected, times=times
    )


def test_within_the_envelope_the_plan_is_enough_and_its_share_is_needed(situation):
    plan = situation().plan
    assert bounds(plan, even(20, 0, 60), 20) == (4, 4)
    assert bounds(plan, even(9, 0, 60), 9) == (2, 4)
    assert bounds(plan, even(20, 0, 60), 60) == (4, 4)  # what is to come is not here yet


def test_what_was_needed_in_the_last_two_minutes_is_kept_up_to_the_plan(situation):
    falling = np.concatenate([even(40, 0, 60), even(5, 60, 200)])
    assert bounds(situation().plan, falling, 5, now=150) == (4, 4)
    assert bounds(situation().plan, falling, 5, now=190) == (2, 4)


def test_so_many_times_the_envelope_are_served_by_so_many_times_the_plan(situation):
    plan = situation().plan
    assert bounds(plan, even(30, 0, 60), 30, times=1.5) == (4, 6)
    assert bounds(plan, even(30, 0, 60), 30) == (4, None)


def test_a_stage_that_the_plan_has_not_seen_visited_is_not_spoken_for(situation):
    plan = situation().plan
    unseen = replace(plan.predicted.stages["read"], visits=0)
    plan = replace(plan, predicted=replace(plan.predicted, stages={"read": unseen}))
    assert bounds(plan, even(5, 0, 60), 5.0, stage="read") == (1, None)
