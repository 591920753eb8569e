"""The certified tuner, tick by tick."""

from __future__ import annotations

import numpy as np
import pytest

from inferline.domain import Trace
from inferline.laboratory import Experiment, replay
from tuner.policies.certified import PERIOD_NS, certified

S = 1_000_000_000


def even(rate, start, end):
    return start + np.arange((end - start) * rate) / rate


@pytest.fixture
def ticked(situation, at, seen):
    """Return a function that calls the policy every second and acts at once.

    It takes the arrivals at `detect` and `read`, and returns the replicas of both at every second.
    """

    def of(detect_s, read_s, seconds, planned=(4, 2), options=None, queued=None):
        arrival_ns = {
            name: np.rint(np.sort(np.asarray(each)) * S).astype(np.int64)
            for name, each in (("detect", detect_s), ("read", read_s))
        }
        here, log, note = situation(planned=planned, options=options), [], None
        before = {"detect": planned[0], "read": planned[1]}
        for second in range(1, seconds + 1):
            stages = {
                name: seen(
                    arrival_ns=each[each.searchsorted((second - 120) * S) : each.searchsorted(second * S)],
                    replicas=before[name],
                    queued=(queued or {}).get((second, name), 0),
                )
                for name, each in arrival_ns.items()
            }
            decision, note = certified(here, at(second, **stages), note)
            before = dict(decision.replicas)
            log.append((before["detect"], before["read"]))
        return log

    return of


def test_planned_traffic_keeps_the_plan(ticked):
    log = ticked(even(20, 0, 200), even(10, 0, 200), 200)
    assert set(log) == {(4, 2)}  # what was planned for this very traffic


def test_half_of_the_planned_traffic_needs_half_of_the_plan_or_more(ticked):
    log = ticked(even(10, 0, 200), even(5, 0, 200), 200)
    assert log[13] == (4, 2)  # nothing is taken away before the hold time is over
    assert len(set(log[30:])) == 1
    assert log[-1] == (3, 2)  # a little more than half, because the plan was made for bursts, too


def test_a_rise_is_answered_in_the_second_in_which_it_is_seen(ticked):
    log = ticked(np.concatenate([even(20, 0, 60), even(200, 60, 65)]), even(10, 0, 65), 65)
    assert log[60][0] >= 10  # at 61: 200 + 20 in 2 s, less three deviations, at 10/s a replica
    assert log[64][0] >= 20


def test_a_branch_that_turns_hot_is_seen_at_its_own_queue(ticked):
    log = ticked(even(20, 0, 130), np.concatenate([even(1, 0, 60), even(20, 60, 130) + 0.01]), 130, planned=(4, 1))
    before, after = log[58], log[-1]
    assert before[0] == after[0]
    assert before[1] == 1
    assert after[1] >= 1
    hot = ticked(even(60, 0, 130), np.concatenate([even(3, 0, 60), even(60, 60, 130) + 0.01]), 130, planned=(9, 1))
    assert hot[58][1] == 1
    assert hot[-1][1] >= 2  # 60/s need two replicas, at 33.3/s each


def test_it_comes_down_when_less_has_been_needed_for_the_hold_time(ticked):
    arrivals = np.concatenate([even(100, 0, 60), even(10, 60, 260)])
    log = [detect for detect, _ in ticked(arrivals, arrivals[::2], 260)]
    assert min(log[10:60]) >= 11
    assert log[75] >= 8  # the mean of the last minute still counts
    assert log[-1] <= 4
    slower = [detect for detect, _ in ticked(arrivals, arrivals[::2], 260, options={"hold_s": 60})]
    assert sum(slower) > sum(log)


def test_a_backlog_asks_for_more_and_gives_it_back(ticked):
    queued = {(second, "detect"): 300 for second in (100, 101)}
    log = ticked(even(20, 0, 160), even(10, 0, 160), 160, queued=queued)
    assert log[98][0] < log[99][0]
    assert log[99][0] >= 10
    assert log[130] == log[98]


def test_without_traffic_one_replica_of_each_stays(ticked):
    assert ticked([], [], 90)[-1] == (1, 1)


def test_why_says_rule_and_rate(situation, at, seen):
    arrivals = np.rint(even(200, 0, 20) * S).astype(np.int64)
    decision, _ = certified(situation(), at(20, detect=seen(arrival_ns=arrivals, replicas=4)), None)
    assert decision.reasons["detect"].rule == "certified"
    assert decision.reasons["detect"].threshold > 200


def test_a_jump_is_over_soon_after_the_first_replicas_that_it_asked_for_serve(situation):
    arrivals = np.concatenate([even(20, 0, 60), even(120, 60, 120)])
    trace = Trace(np.rint(arrivals * S).astype(np.int64), 120 * S)
    taken = np.arange(len(trace)) % 2 == 0
    experiment = Experiment(situation=situation(), trace=trace, routes={("detect", "read"): taken})
    done = replay(experiment, "certified", certified, PERIOD_NS)
    late_s = trace.arrival_ns[done.late] / S
    assert late_s.min() >= 60
    assert late_s.max() < 60 + 1 + 5 + 3  # a tick to see it, replicas that start, and the backlog
