"""Planning anew from what was observed: the real planner in a process of its own, and what is made of its answer."""

from __future__ import annotations

import json
import os
import subprocess
from decimal import Decimal
from threading import Event, Thread
from time import monotonic, sleep

import numpy as np
import pytest

from inferline.domain import Edge, Hardware, Pipeline, Slo, Stage
from inferline.errors import InputError, OutsideError
from inferline.files import load, write_plan
from inferline.laboratory import experiment_of
from inferline.tuning import BackgroundReplanner, FilePlans
from inferline.tuning.moving import kept_counts
from inferline.tuning.planning import answer_of
from inferline.tuning.replanner import PROGRAM
from inferline.tuning.shares import observed_shares, with_shares
from planner import make_plan, pose
from serving_adapter.deployment import Running, Standing, read_files, wanted_of
from serving_adapter.replicas import SetKey
from tuner.observed import Sample
from tuner.plans import InForce

S = 1_000_000_000

PIPELINE = """\
version: 1
name: small
slo: {latency: 500ms, percentile: 95}
profiles: profiles.csv
hardware:
  slow: {price: $1/h, limit: 6}
  fast: {price: $2/h}
stages:
  look: {model: looker, hardware: [slow]}
  read: {model: reader, after: [{stage: look, probability: 0.05}]}
workload:
  generate: {arrivals: poisson, rate: 40, duration: 60s, seed: 1}
"""

PROFILES = """\
model,hardware,batch_size,latency_mean_s,load_s
looker,slow,1,0.008,1.0
reader,slow,1,0.12,1.0
reader,fast,1,0.12,1.0
reader,fast,8,0.13,1.0
"""


@pytest.fixture
def situation(tmp_path):
    """Return the situation of a plan for one query in twenty to go on to the second stage."""
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "profiles.csv").write_text(PROFILES)
    inputs = load(tmp_path / "pipeline.yaml")
    problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)
    plan = make_plan(problem, "exact", inputs.digests)
    assert plan.configuration["read"].hardware == "slow"
    (tmp_path / "plan.json").write_text(write_plan(plan))
    delays = dict.fromkeys(("look", "read"), S)
    return experiment_of(inputs.pipeline, inputs.profiles, plan, inputs.trace, problem.routes, delays).situation


def sample(rate=40, seconds=60, share=0.05):
    """Return evenly spaced queries of which a share goes on."""
    arrival_ns = np.arange(1, rate * seconds + 1, dtype=np.int64) * S // rate
    visits = {"look": arrival_ns.size, "read": round(arrival_ns.size * share)}
    return Sample(arrival_ns=arrival_ns, duration_ns=seconds * S, visits=visits)


@pytest.fixture
def replanner(tmp_path):
    return BackgroundReplanner(tmp_path / "pipeline.yaml", tmp_path / "new.json", "inferline deploy new.json")


def test_other_branches_get_other_hardware_and_the_way_there_is_said(situation, replanner, tmp_path):
    found = replanner.plan(situation, sample(share=0.5))
    assert found.changes == {"read": "1 on slow with batches of 1 -> 1 on fast with batches of 8"}
    assert found.worth
    assert found.figures["present_usd_per_hour"] == 2.0
    assert found.figures["new_usd_per_hour"] == 3.0
    assert found.figures["saving_usd_per_hour"] == -1.0
    assert found.figures["present_slo_attainment"] < 0.9
    assert found.figures["new_slo_attainment"] >= 0.95
    said = found.message
    assert "the plan in force misses the SLO for this traffic, the new one meets it and costs $1/h more" in said
    assert "add read on fast (0 to 1), then switch read from slow to fast, then remove read on slow (1 to 0)" in said
    assert found.message.endswith("next: inferline deploy new.json")
    # Both stages use a hardware that is limited: nobody else is to take its units meanwhile.
    assert found.stages == {"look", "read"}
    written = json.loads((tmp_path / "new.json").read_text())
    assert written["stages"]["read"] == {"model": "reader", "hardware": "fast", "max_batch": 8, "replicas": 1}
    assert 0.48 < written["predicted"]["stages"]["read"]["visits"] / written["predicted"]["queries"] < 0.52


def test_the_same_plan_for_less_traffic_is_said_to_be_the_same(situation, replanner):
    found = replanner.plan(situation, sample(rate=10, share=0.05))
    assert (found.changes, found.figures["saving_usd_per_hour"], found.worth) == ({}, 0.0, True)
    assert "what runs is what the new plan has" in found.message


def test_traffic_that_nothing_can_serve_is_an_answer(situation, replanner, tmp_path):
    found = replanner.plan(situation, sample(rate=2000, seconds=5, share=0.05))
    assert (found.worth, found.changes) == (False, {})
    assert "no configuration" in found.message
    assert "the plan in force misses it" in found.message
    assert not (tmp_path / "new.json").exists()


def test_faults_of_the_files_are_said(situation, replanner, tmp_path):
    (tmp_path / "profiles.csv").write_text("model,hardware\n")
    with pytest.raises(OutsideError, match=r"planning anew has failed: .*profiles\.csv"):
        replanner.plan(situation, sample())


def test_a_plan_that_cannot_be_written_is_said(situation, tmp_path):
    replanner = BackgroundReplanner(tmp_path / "pipeline.yaml", tmp_path / "none" / "new.json", "")
    with pytest.raises(OutsideError, match=r"new\.json: the new plan cannot be written"):
        replanner.plan(situation, sample(share=0.5))


def test_its_time_is_limited_and_nothing_of_it_stays(situation, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    replanner = BackgroundReplanner(tmp_path / "pipeline.yaml", tmp_path / "new.json", "", limit_s=0.05)
    with pytest.raises(OutsideError, match="planning anew has not ended after 50 ms; it was ended"):
        replanner.plan(situation, sample())
    assert not list(tmp_path.glob("inferline-replan-*"))


def test_it_can_be_ended_and_asked_again(situation, replanner):
    failures = []

    def plan():
        try:
            replanner.plan(situation, sample(rate=400, seconds=300))
        except OutsideError as error:
            failures.append(str(error))

    thread = Thread(target=plan)
    thread.start()
    end = monotonic() + 20
    while thread.is_alive():
        replanner.cancel()
        assert monotonic() < end
        sleep(0.01)
    assert failures == ["planning anew was ended"]
    assert replanner.plan(situation, sample()).changes == {}


def test_the_process_ends_with_whoever_has_started_it(tmp_path):
    os.mkfifo(tmp_path / "request.json")  # so that it waits for ever
    process = subprocess.Popen([*PROGRAM, str(tmp_path)], stdin=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(20) == 1


def test_a_plan_that_does_not_fit_its_pipeline_any_more_is_refused(situation, tmp_path):
    np.save(tmp_path / "arrivals.npy", sample().arrival_ns)
    document = json.loads(write_plan(situation.plan))
    document["stages"]["read"]["max_batch"] = 9
    request = {
        "pipeline": str(tmp_path / "pipeline.yaml"),
        "present": document,
        "shares": [],
        "time_limit_s": 5.0,
        "activation_s": None,
    }
    with pytest.raises(InputError, match=r"the plan in force: stages\.read\.max_batch"):
        answer_of(request, tmp_path)


def branching(*stages):
    return Pipeline(
        name="branching",
        slo=Slo(latency_ns=S, percentile=Decimal(99)),
        stages=stages,
        hardware=(Hardware(name="cpu", price_nano_usd_per_hour=S),),
    )


def stage(name, *parents):
    return Stage(name=name, model=name, hardware=("cpu",), parents=parents)


def test_shares_are_those_of_edges_that_visits_tell_of():
    pipeline = branching(
        stage("a"),
        stage("b", Edge(parent="a", probability=0.5)),
        stage("c", Edge(parent="a")),
        stage("d", Edge(parent="a", when="output > 0")),
        stage("e", Edge(parent="b", probability=0.5), Edge(parent="c", probability=0.5)),
        stage("f", Edge(parent="e", probability=0.1)),
    )
    visits = {"a": 100, "b": 20, "c": 99, "d": 101, "e": 0, "f": 0}
    shares = observed_shares(pipeline, visits)
    assert shares == {("a", "b"): 0.2, ("a", "d"): 1.0}
    changed = with_shares(pipeline, shares)
    assert [edge.probability for each in changed.stages for edge in each.parents] == [0.2, 1.0, 1.0, 0.5, 0.5, 0.1]


def test_shares_that_exclude_each_other_leave_room_for_what_nobody_can_tell():
    pipeline = branching(
        stage("a"),
        stage("b", Edge(parent="a", probability=0.4, choice="one")),
        stage("c", Edge(parent="a", probability=0.3, choice="one")),
        stage("d", Edge(parent="a", probability=0.2, choice="one"), Edge(parent="b", probability=0.5)),
    )
    shares = observed_shares(pipeline, {"a": 100, "b": 60, "c": 40, "d": 30})
    assert shares[("a", "b")] == pytest.approx(0.48)
    assert shares[("a", "c")] == pytest.approx(0.32)
    assert with_shares(pipeline, shares).stage("d").parents[0].probability == 0.2


def test_the_file_of_a_plan_counts_when_it_has_changed_and_is_deployed(situation, tmp_path, caplog):
    path, answers = tmp_path / "plan.json", []
    force = InForce(situation=situation, rules=None, replicas=None)

    def make():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    plans = FilePlans(path, make)
    assert plans.look() is None
    path.write_text("{}")
    answers += [OutsideError("not deployed"), force]
    with pytest.raises(OutsideError, match="not deployed"):
        plans.look()
    assert plans.look() is force
    assert plans.look() is None
    path.write_text("{")
    answers += [InputError("no plan")]
    assert (plans.look(), plans.look()) == (None, None)
    assert caplog.text.count("event=plan_faulty") == 1


def test_one_that_only_plans_moves_nothing(replanner):
    assert replanner.move(None, print, Event()).failure == "this daemon moves nothing"


MODELS = """\
models:
  looker: {callable: "served:look"}
  reader: {callable: "served:read"}
"""


@pytest.fixture
def moved(tmp_path, situation):
    """Return a function: what is asked for, and what the new plan has of `read`, to the counts after a move."""
    (tmp_path / "pipeline.yaml").write_text(PIPELINE + MODELS)
    old = json.loads(write_plan(situation.plan))
    keys = {name: SetKey(name, "1", "slow") for name in ("look", "read")}

    def counts(asked, **read):
        new = json.loads(json.dumps(old))
        new["stages"]["read"] |= read
        (tmp_path / "new.json").write_text(json.dumps(new))
        files = read_files(tmp_path / "pipeline.yaml", tmp_path / "new.json")
        standing = Standing(replicas={keys[name]: count for name, count in asked.items()})
        before = Running(standing=standing, record={"plan": old})
        wanted = wanted_of(files, {"look": "1", "read": "1"})
        found = kept_counts(files, before, wanted)
        return {(key.stage, key.hardware): count for key, count in found.items()}

    return counts


def test_a_move_leaves_counts_to_the_policy_but_where_hardware_or_batches_change(moved):
    assert moved({"look": 3, "read": 1}, replicas=2) == {("look", "slow"): 3, ("read", "slow"): 1}
    other = {"hardware": "fast", "max_batch": 8, "replicas": 2}
    assert moved({"look": 3, "read": 3}, **other) == {("look", "slow"): 3, ("read", "fast"): 2}


def test_a_stage_with_other_batches_has_no_fewer_than_before_and_than_planned(moved):
    assert moved({"look": 1, "read": 3}, max_batch=2, replicas=2)["read", "slow"] == 3
    assert moved({"look": 1, "read": 1}, max_batch=2, replicas=2)["read", "slow"] == 2


def test_a_limit_leaves_what_was_planned(moved):
    assert moved({"look": 4, "read": 3}, replicas=2) == {("look", "slow"): 1, ("read", "slow"): 2}
