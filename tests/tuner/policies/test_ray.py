"""Ray Serve's autoscaling, second by second."""

from __future__ import annotations

import pytest

from tuner.policies.ray import ray


@pytest.fixture
def ticked(situation, at):
    """Return a function that calls the policy every second and acts at once; it collects (second, replicas)."""

    def of(ongoing, replicas, seen, options=None):
        log, note = [], None
        for second, here in enumerate(ongoing):
            stage = seen(replicas=replicas, queued=here)
            decision, note = ray(situation(options=options), at(second, detect=stage), note)
            if decision.replicas["detect"] != replicas:
                replicas = decision.replicas["detect"]
                log.append((second, replicas))
        return log

    return of


def test_it_scales_up_when_more_was_wanted_for_thirty_seconds(ticked, seen):
    # The first average is there at second 10; more than 30 s later it counts.
    assert ticked([8] * 60, 2, seen) == [(41, 4)]


def test_it_scales_down_when_less_was_wanted_for_ten_minutes(ticked, seen):
    assert ticked([4] * 700, 5, seen) == [(611, 2)]


def test_a_break_starts_the_delay_anew(ticked, seen):
    options = {"look_back_period_s": 1, "metrics_interval_s": 1}
    assert ticked([8] * 20 + [4] * 5 + [8] * 40, 2, seen, options) == [(56, 4)]


def test_the_factor_makes_up_for_a_part_of_the_difference(ticked, seen):
    assert ticked([20] * 45, 2, seen, {"upscaling_factor": 0.5}) == [(41, 6)]


def test_one_replica_stays(ticked, seen):
    assert ticked([0] * 1300, 3, seen)[-1][1] == 1
