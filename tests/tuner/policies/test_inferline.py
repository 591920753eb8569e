"""The tuner of the paper, tick by tick: envelope exceeded, calm, scaled down, grown again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tuner.policies.inferline import inferline

S = 1_000_000_000


@pytest.fixture
def ticked(situation, at, seen):
    """Return a function that calls the policy every second; it collects (second, replicas of both, rule)."""

    def of(arrival_s, seconds, planned=(4, 2), **bounds):
        arrival_ns = np.rint(np.sort(np.asarray(arrival_s)) * S).astype(np.int64)
        log, note, before = [], None, planned
        for second in range(1, seconds + 1):
            here = arrival_ns[: arrival_ns.searchsorted(second * S)]
            observation = at(second, detect=seen(arrival_ns=here, replicas=before[0]), read=seen(replicas=before[1]))
            decision, note = inferline(situation(planned=planned, **bounds), observation, note)
            now = (decision.replicas["detect"], decision.replicas["read"])
            if now != before:
                log.append((second, now, next(iter(decision.reasons.values())).rule))
            before = now
        return log

    return of


def even(rate, start, end):
    return start + np.arange((end - start) * rate) / rate


def test_planned_traffic_changes_nothing(ticked):
    assert ticked(even(20, 0, 100), 100) == []


def test_one_window_above_the_envelope_scales_every_stage_up(ticked):
    # From 10 on twice the rate: 7 arrivals in a window of 160 ms, 4 planned. 7 / 0.16 s = 43.75/s;
    # detect: 43.75 / (10 * 0.5) = 8.75; read: 43.75 * 0.5 / (33.3 * 0.15) = 4.4.
    log = ticked(np.concatenate([even(20, 0, 10), even(40, 10, 12)]), 12)
    assert log == [(11, (9, 5), "envelope exceeded")]


def test_the_largest_exceeding_rate_counts(ticked):
    # 20 at once are 125/s in 160 ms, and above the plan in 2.56 s, too.
    log = ticked(np.concatenate([even(20, 0, 10), np.full(20, 10.5)]), 11)
    assert log == [(11, (25, 13), "envelope exceeded")]


def test_it_scales_down_fifteen_seconds_after_a_change(ticked):
    quiet = np.concatenate([even(20, 0, 10), np.full(20, 10.5), even(4, 11, 80)])
    log = ticked(quiet, 80)
    up, *down = log
    assert up[0] == 11
    assert down[0][0] == 26
    assert all(after[0] - before[0] >= 15 for before, after in pairwise(log))
    # 4/s at the least planned load of 0.15: 4 / (10 * 0.15) = 2.7 and 4 * 0.5 / (33.3 * 0.15) = 0.4.
    assert down[-1][1] == (3, 1)


def test_below_the_plan_it_grows_again_at_once_up_to_the_plan(ticked):
    again = np.concatenate([even(2, 0, 60), even(20, 60, 90)])
    log = ticked(again, 90)
    falling = [each for each in log if each[0] <= 60]
    rising = [each for each in log if each[0] > 60]
    assert falling[-1][1] == (2, 1)
    assert rising[0][0] == 61
    assert rising[-1][1] == (4, 2)


def test_without_traffic_one_replica_of_each_stays(ticked):
    assert ticked([], 40)[-1][1] == (1, 1)


def test_counts_stay_within_bounds(ticked):
    log = ticked(np.full(500, 5.5), 30, most=6)
    assert log[0][:2] == (6, (6, 6))


def test_a_plan_that_says_nothing_of_its_load_is_taken_to_be_of_one_minute(situation, at, seen):
    here = situation()
    stages = {name: replace(stage, utilisation=0.0) for name, stage in here.plan.predicted.stages.items()}
    silent = replace(here, plan=replace(here.plan, predicted=replace(here.plan.predicted, stages=stages)))
    arrivals = np.full(20, 10 * S)
    observation = at(11, detect=seen(arrival_ns=arrivals, replicas=4), read=seen(replicas=2))
    decisions = []
    for each in (here, silent):
        _, note = inferline(each, at(9), None)
        decisions.append(inferline(each, observation, note)[0])
    assert decisions[0] == decisions[1]  # the fixture's sample lasts for 60 s
