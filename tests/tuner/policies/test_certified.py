"""The certified tuner, tick by tick."""

from __future__ import annotations

import numpy as np
import pytest

from inferline.domain import Trace
from inferline.laboratory import Experiment, replay
from tuner.policies import POLICIES
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


def test_planned_traffic_costs_no_more_than_the_plan(ticked):
    log = ticked(even(20, 0, 200), even(10, 0, 200), 200)
    assert log[13] == (4, 2)  # nothing is taken away before the hold time is over
    assert set(log[60:]) == {(6, 1)}  # one costs 1, the other 3: what `read` has too much is worth more at `detect`


def test_half_of_the_planned_traffic_needs_less_of_the_plan(ticked):
    log = ticked(even(10, 0, 200), even(5, 0, 200), 200)
    assert log[13] == (4, 2)
    assert len(set(log[100:])) == 1
    assert log[-1] == (3, 1)  # 10/s, insured for 2.7 times as many


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
    sooner = [detect for detect, _ in ticked(arrivals, arrivals[::2], 260, options={"hold_s": 10})]
    assert sum(sooner) < sum(log)


def test_a_backlog_is_drained_from_what_has_been_saved_and_no_further(ticked):
    queued = {(second, "detect"): 300 for second in (190, 191)}
    log = ticked(even(20, 0, 250), even(10, 0, 250), 250, planned=(40, 2), queued=queued)
    assert log[188] == log[230]
    assert log[188][0] < 8
    assert log[189][0] >= 20
    # Within the planned traffic little has been saved.
    log = ticked(even(20, 0, 250), even(10, 0, 250), 250, queued=queued)
    assert log[188] == log[189] == (6, 1)


def test_it_is_never_dearer_than_the_published_tuner(situation):
    rng = np.random.default_rng(7)
    rates = np.repeat(rng.choice([5, 20, 60, 150], 12), 20)
    arrivals = np.sort(np.arange(rates.size).repeat(rates) + rng.random(rates.sum()))
    trace = Trace(np.rint(arrivals * S).astype(np.int64), rates.size * S)
    experiment = Experiment(
        situation=situation(), trace=trace, routes={("detect", "read"): rng.random(len(trace)) < 0.5}
    )
    ours, theirs = (replay(experiment, name, POLICIES[name].policy, PERIOD_NS) for name in ("certified", "inferline"))
    assert ours.cost_nano_usd <= theirs.cost_nano_usd
    # One that insures more saves less, and is not the dearer one either.
    dear = replay(experiment, "certified", certified, PERIOD_NS, {"growth_per_s": 2.0})
    assert ours.cost_nano_usd <= dear.cost_nano_usd <= theirs.cost_nano_usd


def test_with_a_quantile_of_1_nobody_is_late_as_long_as_the_traffic_is_what_it_was(situation):
    rng = np.random.default_rng(3)
    arrivals = np.sort(rng.random(6000) * 300)
    trace = Trace(np.rint(arrivals * S).astype(np.int64), 300 * S)
    experiment = Experiment(
        situation=situation(planned=(12, 3)), trace=trace, routes={("detect", "read"): rng.random(6000) < 0.5}
    )
    strict, usual = (
        replay(experiment, "certified", certified, PERIOD_NS, {"quantile": quantile, "growth_per_s": 0.05})
        for quantile in (1.0, 0.9)
    )
    assert not strict.late.any()
    assert usual.cost_nano_usd < strict.cost_nano_usd


def test_without_traffic_one_replica_of_each_stays(ticked):
    assert ticked([], [], 90)[-1] == (1, 1)


def test_why_says_rule_and_rate(situation, at, seen):
    arrivals = np.rint(even(200, 0, 20) * S).astype(np.int64)
    decision, _ = certified(situation(planned=(40, 2)), at(20, detect=seen(arrival_ns=arrivals, replicas=4)), None)
    assert decision.reasons["detect"].rule == "certified"
    assert decision.reasons["detect"].threshold == pytest.approx(200 * 2.7, rel=0.01)


def test_why_says_so_when_the_budget_grants_less(situation, at, seen):
    arrivals = np.rint(even(200, 0, 20) * S).astype(np.int64)
    decision, _ = certified(situation(), at(20, detect=seen(arrival_ns=arrivals, replicas=1)), None)
    why = decision.reasons["detect"]
    assert why.rule == "budget"
    assert why.threshold == decision.replicas["detect"] < why.measured
