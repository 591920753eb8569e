"""Knative's autoscaler, second by second."""

from __future__ import annotations

import pytest

from tuner.policies.knative import kpa


@pytest.fixture
def ticked(situation, at):
    """Return a function that calls the policy every second and acts at once; it collects (second, replicas)."""

    def of(concurrency, replicas, seen, options=None):
        log, note = [], None
        for second, here in enumerate(concurrency):
            stage = seen(replicas=replicas, in_service=here)
            decision, note = kpa(situation(options=options), at(second, detect=stage), note)
            if decision.replicas["detect"] != replicas:
                replicas = decision.replicas["detect"]
                log.append((second, replicas, decision.reasons["detect"].rule))
        return log

    return of


def test_replicas_follow_the_mean_over_the_target(ticked, seen):
    # One query at a time may be served: 0.7 in service is the target, and 2 replicas are twice those that there are.
    assert ticked([1] * 10, 1, seen) == [(2, 2, "panic")]
    assert ticked([0] * 70 + [3] * 70, 8, seen)[-1][1] == 5


def test_twice_the_target_is_a_panic_and_nothing_is_taken_away_for_a_minute(ticked, seen):
    log = ticked([0] * 4 + [8] * 4 + [0] * 130, 1, seen)
    # After second 4: 8 in one of five samples are 3 replicas, more than twice the one that is ready.
    assert log[0] == (4, 3, "panic")
    risen = [each for each in log if each[2] == "panic"]
    assert risen[-1][1] == max(count for _, count, _ in log)
    assert next(second for second, _, rule in log if rule == "stable") > 67
    assert log[-1][1:] == (1, "stable")


def test_it_starts_in_a_panic_so_that_a_restart_takes_nothing_away(ticked, seen):
    log = ticked([0] * 100, 8, seen)
    assert log[0][0] > 60
    assert [count for _, count, _ in log] == [4, 2, 1]  # at most halved each time


def test_it_decides_every_two_seconds(ticked, seen):
    assert {second % 2 for second, _, _ in ticked(range(30), 1, seen)} == {0}
