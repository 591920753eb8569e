"""When traffic has left the plan for good, and when it has not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from inferline.domain import (
    Configuration,
    Edge,
    Envelope,
    Hardware,
    Pipeline,
    Plan,
    Prediction,
    Slo,
    Stage,
    StageConfiguration,
    StagePrediction,
)
from tuner.drift import DriftRules, DriftState, judge, outside_chance, tried
from tuner.protocols import ArrivalsSeen, StageArrivals

S = 1_000_000_000

RULES = DriftRules(sustained_ns=20 * S, below_ns=120 * S, cool_down_ns=100 * S)


def made(*edges, joined=()):
    """Return a pipeline of look, and read behind it, and a plan for 10 queries/s of which 40 % go on."""
    stages = (
        Stage(name="look", model="l", hardware=("cpu",)),
        Stage(name="read", model="r", hardware=("cpu",), parents=edges or (Edge(parent="look", probability=0.4),)),
        *joined,
    )
    pipeline = Pipeline(
        name="small",
        slo=Slo(latency_ns=S, percentile=Decimal(99)),
        stages=stages,
        hardware=(Hardware(name="cpu", price_nano_usd_per_hour=S),),
    )
    share = {"look": 1.0, "read": 0.4, "join": 0.7}
    predicted = {
        each.name: StagePrediction(
            utilisation=0.5,
            mean_batch=1.0,
            wait_p99_s=0.0,
            service_p99_s=0.1,
            wait_mean_s=0.0,
            service_mean_s=0.1,
            budget_wait=0.0,
            budget_service=0.5,
            visits=round(6000 * share[each.name]),
        )
        for each in stages
    }
    plan = Plan(
        pipeline="small",
        status="feasible",
        planner="exact",
        slo=pipeline.slo,
        models={each.name: each.model for each in stages},
        configuration=Configuration(
            {each.name: StageConfiguration(hardware="cpu", max_batch=1, replicas=2) for each in stages}
        ),
        cost_nano_usd_per_hour=4 * S,
        lower_bound_nano_usd_per_hour=0,
        predicted=Prediction(
            p50_s=0.1,
            p95_s=0.1,
            p99_s=0.1,
            at_slo_percentile_s=0.1,
            slo_attainment=1.0,
            queries=6000,
            slo_met=True,
            stages=predicted,
        ),
        envelope=Envelope(window_s=(0.5, 5.0, 10.0, 60.0), max_queries=(10, 60, 110, 600)),
        inputs={},
    )
    return pipeline, plan


class Watched:
    """Looks once a second at traffic that is changed by hand: queries/s at look, and their share at the others."""

    def __init__(self, *made_of, rules=RULES):
        self.pipeline, self.plan = made_of or made()
        self.rules = rules
        self.now_s, self.begun_s = 1000, 1000
        self.rate, self.share = 10, {"read": 0.4, "join": 0.7}
        self.queued = 0
        self.source = "one"
        self.times = {stage.name: [] for stage in self.pipeline.stages}
        self.state = DriftState()
        self.log = []

    def look(self, seconds=1):
        for _ in range(seconds):
            self.now_s += 1
            for name, at in self.times.items():
                count = round(self.rate * self.share.get(name, 1.0))
                at += [self.now_s * S - S + (number + 1) * S // count for number in range(count)]
            self.judge()
        return self

    def judge(self):
        stages = {
            name: StageArrivals(
                arrival_ns=np.array([each for each in at if each > (self.now_s - 120) * S], dtype=np.int64),
                queued=self.queued,
                in_service=0,
                ready=2,
                utilisation=0.5,
            )
            for name, at in self.times.items()
        }
        seen = ArrivalsSeen(source=self.source, now_ns=self.now_s * S, age_ns=0, stages=stages)
        drift, self.state = judge(self.pipeline, self.plan, self.rules, seen, self.state)
        if drift is not None:
            self.log.append((self.now_s - self.begun_s, drift.reason.rule, drift.stage))
            self.state = tried(self.state, seen.now_ns)
            self.drift = drift


def test_traffic_as_planned_is_no_drift():
    assert Watched().look(300).log == []


def test_more_traffic_is_drift_when_it_has_lasted():
    watched = Watched().look(100)
    watched.rate = 20
    assert watched.look(60).log == [(134, "traffic above the plan", "")]
    # 11 queries/s in 10 s were planned; the window held more than 1.2 times that from the fourth second on.
    reason = watched.drift.reason
    assert (reason.window_ns, reason.threshold) == (10 * S, pytest.approx(13.2))
    assert (watched.drift.since_ns, reason.measured) == (1104 * S, pytest.approx(20))


@pytest.mark.parametrize(("rate", "seconds"), [(40, 5), (100, 15)])
def test_a_spike_is_none(rate, seconds):
    """It is seen in the window of 60 s for longer than 20 s."""
    watched = Watched().look(60)
    watched.rate = rate
    watched.look(seconds)
    watched.rate = 10
    assert watched.look(120).log == []


def test_less_traffic_must_last_longer():
    watched = Watched().look(70)
    watched.rate = 3
    assert watched.look(300).log == [(285, "traffic below the plan", "")]
    assert watched.drift.reason.window_ns == 60 * S


def test_a_window_that_is_not_full_is_not_little_traffic():
    watched = Watched(rules=replace(RULES, below_ns=S))
    watched.rate = 10
    assert watched.look(70).log == []


def test_a_branch_that_has_shifted():
    watched = Watched().look(100)
    watched.share = {"read": 0.8}
    watched.look(60)
    assert [(rule, stage) for _, rule, stage in watched.log] == [("branches shifted", "read")]
    assert watched.drift.reason.threshold == pytest.approx(0.4)
    assert 0.5 < watched.drift.reason.measured <= 0.8
    assert watched.log[0][0] >= 120


@pytest.mark.parametrize("share", [0.35, 0.45])
def test_a_little_of_a_shift_is_none(share):
    watched = Watched()
    watched.share = {"read": share}
    assert watched.look(300).log == []


def test_branches_are_not_judged_while_queries_pile_up_before_them():
    watched = Watched().look(60)
    watched.share, watched.queued = {"read": 0.1}, 100
    assert watched.look(100).log == []
    watched.queued = 0
    assert [rule for _, rule, _ in watched.look(45).log] == ["branches shifted"]


def test_an_edge_that_is_always_taken_does_not_shift():
    watched = Watched(*made(Edge(parent="look")))
    watched.share = {"read": 0.1}
    assert watched.look(100).log == []


def test_a_join_is_compared_with_all_queries():
    join = Stage(
        name="join",
        model="j",
        hardware=("cpu",),
        parents=(Edge(parent="look", probability=0.5), Edge(parent="read", probability=0.5)),
    )
    watched = Watched(*made(joined=(join,)))
    watched.share = {"read": 0.4, "join": 0.2}
    assert [(rule, stage) for _, rule, stage in watched.look(60).log] == [("branches shifted", "join")]


def test_an_attempt_is_not_repeated_before_its_time():
    watched = Watched()
    watched.rate = 30
    first, second, third = (at for at, *_ in watched.look(240).log)
    assert (second - first, third - second) == (100, 100)


def test_after_a_gap_everything_begins_anew():
    watched = Watched()
    watched.rate = 20
    watched.look(32)
    watched.now_s += 40
    assert watched.log == []
    watched.look(32)
    assert watched.log == []
    assert len(watched.look(20).log) == 1


def test_another_clock_does_not_forget_that_there_was_an_attempt():
    watched = Watched()
    watched.rate = 30
    assert len(watched.look(50).log) == 1
    watched.source, watched.now_s, watched.begun_s = "two", 5, 5
    watched.times = {name: [] for name in watched.times}
    watched.look(90)
    assert len(watched.log) == 1
    assert len(watched.look(40).log) == 2


@given(st.integers(1, 400), st.data(), st.floats(0, 1), st.sampled_from([1e-2, 1e-4, 1e-6]))
def test_what_is_outside_of_chance_is_so_by_the_binomial_distribution_itself(of, data, share, doubt):
    count = data.draw(st.integers(0, of))
    if outside_chance(count, of, share, doubt):
        tail = binom.cdf(count, of, share) if count < of * share else binom.sf(count - 1, of, share)
        assert tail <= doubt * (1 + 1e-6)


@given(st.integers(1, 400), st.floats(0, 1))
def test_what_is_as_planned_is_never_outside(of, share):
    near = min(of, max(0, round(of * share)))
    if 0 < near < of:
        assert not outside_chance(near, of, near / of, 1e-3)


@pytest.mark.parametrize(("below", "above"), [(0.0, 1.2), (1.0, 1.2), (0.6, 1.0)])
def test_constants_that_make_everything_drift_are_refused(below, above):
    with pytest.raises(ValueError, match="expected 0 < below < 1 < above"):
        DriftRules(below=below, above=above)
