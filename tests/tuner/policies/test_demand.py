"""What every stage has to be ready for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tuner.policies.demand import demand, shares_seen, window_qps

S = 1_000_000_000


def even(rate, start, end):
    return np.rint((start + np.arange(round((end - start) * rate)) / rate) * S).astype(np.int64)


def test_a_rise_counts_within_five_seconds_and_a_fall_after_a_minute():
    arrivals = np.concatenate([even(10, 0, 60), even(50, 60, 120), even(10, 120, 200)])
    rates = {t: window_qps(arrivals[: arrivals.searchsorted(t * S)], t * S) for t in (60, 62, 65, 120, 130, 150, 180)}
    assert rates == {
        60: pytest.approx(10, rel=0.02),
        62: pytest.approx(26, rel=0.02),
        65: pytest.approx(50, rel=0.02),
        120: pytest.approx(50, rel=0.02),
        130: pytest.approx(43.3, abs=0.1),
        150: pytest.approx(30, rel=0.02),
        180: pytest.approx(10, rel=0.02),
    }


def test_growth_is_insured_until_what_is_asked_for_now_serves(situation, at):
    uneven = replace(situation(), activation_ns={"detect": 5 * S, "read": 30 * S})
    expected = demand(uneven, at(60), growth_per_s=0.06, period_ns=S)
    # One period, half of a short window, and the activation delay.
    assert expected.growth == {"detect": pytest.approx(1.51), "read": pytest.approx(3.01)}
    assert demand(uneven, at(60), growth_per_s=0.0, period_ns=S).growth == {"detect": 1.0, "read": 1.0}
    assert expected.rate_qps == {"detect": 0.0, "read": 0.0}


def test_a_stage_expects_its_share_of_what_its_parents_expect(situation, at, seen):
    risen = np.concatenate([even(20, 0, 55), even(120, 55, 60)])
    observation = at(60, detect=seen(arrival_ns=risen), read=seen(arrival_ns=even(10, 0, 60)))
    expected = demand(situation(), observation, growth_per_s=0.06, period_ns=S)
    share = 600 / 1700
    assert expected.shares == {("detect", "read"): pytest.approx(share, rel=0.01)}
    assert expected.rate_qps == {"detect": pytest.approx(120, rel=0.01), "read": pytest.approx(120 * share, rel=0.01)}


def test_a_branch_that_turns_hot_is_seen_at_its_own_queue_and_soon_in_its_share(situation, at, seen):
    hot = np.concatenate([even(1, 0, 55), even(20, 55, 60) + 1])
    observation = at(60, detect=seen(arrival_ns=even(20, 0, 60)), read=seen(arrival_ns=hot))
    assert demand(situation(), observation, growth_per_s=0.0, period_ns=S).rate_qps["read"] == pytest.approx(20)
    assert shares_seen(situation(), observation)["detect", "read"] == 1.0  # all of the last 5 s; 155 of 1,200 before


def test_a_share_of_few_queries_is_taken_for_chance(situation, at, seen):
    parent, child = even(1, 0, 60) + 1, even(1, 57, 60) + 1
    few = at(60, detect=seen(arrival_ns=parent), read=seen(arrival_ns=child))
    assert shares_seen(situation(), few)["detect", "read"] == pytest.approx(3 / 60)  # 3 of 5 may be chance
    assert shares_seen(situation(), at(60))["detect", "read"] == 0.0
