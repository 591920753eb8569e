"""The coarse-grained baseline: the pipeline grows and shrinks as a unit."""

from __future__ import annotations

import pytest

from tuner.policies.coarse import cg_autoscale


@pytest.fixture
def ticked(situation, at, steady, seen):
    """Return a function that calls the policy every second of some rates; it collects (second, replicas of both)."""

    def of(rates, planned=(4, 4), queued=0):
        log, note, before = [], None, planned
        for second, rate in enumerate(rates, start=10):
            stage = seen(arrival_ns=steady(second, rate), queued=queued, replicas=before[0])
            observation = at(second, detect=stage, read=seen(replicas=before[1]))
            decision, note = cg_autoscale(situation(planned=planned), observation, note)
            now = (decision.replicas["detect"], decision.replicas["read"])
            if now != before:
                log.append((second, now))
            before = now
        return log

    return of


def test_the_planned_rate_needs_the_planned_units(ticked):
    assert ticked([20] * 200) == []


def test_more_load_adds_units_at_once(ticked):
    assert ticked([20, 20, 41, 41]) == [(12, (9, 9))]


def test_a_unit_goes_when_it_has_not_been_needed_for_two_minutes(ticked):
    assert ticked([20] + [9] * 130) == [(130, (2, 2))]


def test_stages_keep_the_proportions_of_the_plan(ticked):
    assert ticked([20, 30], planned=(4, 2)) == [(11, (6, 3))]


def test_jobs_that_pile_up_add_units_whatever_the_rate(ticked):
    # A unit carries 5 queries/s, and so 2.5 queries within the SLO of 0.5 s.
    assert ticked([20], queued=20) == [(10, (8, 8))]
