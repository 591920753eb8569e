"""``inferline plan --explain``: tables that answer why, and a plan that stays a plan."""

from __future__ import annotations

import json
import re

import pytest


@pytest.fixture
def explanation(run, folder):
    ended = run("plan", "pipeline.yaml", "--explain", "--format", "json", "--out", "plan.json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (folder / "plan.json").read_text()
    return json.loads(ended.out)["explanation"]


def test_the_explained_plan_is_the_plan_and_can_be_simulated(run, explanation):
    bare = json.loads(run("plan", "pipeline.yaml", "--format", "json").out)
    explained = json.loads(run("plan", "pipeline.yaml", "--explain", "--format", "json").out)
    assert list(explained) == [*bare, "explanation"]
    assert {**bare, "explanation": explanation} == explained
    ended = run("simulate", "pipeline.yaml", "--plan", "plan.json", "--format", "json")
    assert ended.code == 0
    assert json.loads(ended.out) == {**bare["predicted"], "slo_met": True}


def test_rejected_neighbours_are_late_in_simulate_too(run, folder, explanation):
    plan = json.loads((folder / "plan.json").read_text())
    assert explanation["rejected"]
    for rejected in explanation["rejected"]:
        assert rejected["cost_usd_per_hour"] <= plan["cost_usd_per_hour"]
        stages = {name: {**stage, **rejected["stages"].get(name, {})} for name, stage in plan["stages"].items()}
        (folder / "other.json").write_text(json.dumps({**plan, "stages": stages}))
        ended = run("simulate", "pipeline.yaml", "--plan", "other.json", "--engine", "reference", "--format", "json")
        seen = json.loads(ended.out)
        assert (seen["slo_met"], seen["at_slo_percentile_s"]) == (False, rejected["at_slo_percentile_s"])
        assert 1 - seen["slo_attainment"] == pytest.approx(rejected["miss_rate"])
        assert rejected["breaks_at"]["stage"] in stages


def test_the_budget_adds_up_to_what_the_plan_predicts(folder, explanation):
    plan = json.loads((folder / "plan.json").read_text())
    slo_s = plan["slo"]["latency_s"]
    for name, spent in explanation["slowest"]["stages"].items():
        seen = plan["predicted"]["stages"][name]
        assert spent["wait_s"] / slo_s == pytest.approx(seen["budget_wait"])
        assert (spent["service_alone_s"] + spent["batching_s"]) / slo_s == pytest.approx(seen["budget_service"])
    everything = sum(sum(spent.values()) for spent in explanation["slowest"]["stages"].values())
    assert everything == pytest.approx(explanation["slowest"]["mean_latency_s"])


def test_the_tables_say_what_the_document_says(run, explanation):
    text = run("plan", "pipeline.yaml", "--explain").out
    for title in (
        "Why $",
        "nothing cheaper in the declared space meets the SLO: that is proved",
        "The nearest that costs less",
        "The slowest queries",
        "waiting for a replica  service alone  batching",
        "What the last replica of each stage is worth",
        "Cheaper, but too late: the nearest first",
        "Other maximum batch sizes, at the same cost",
        "What binds",
    ):
        assert title in text
    for constraint in explanation["constraints"]:
        assert constraint["key"] in text
    for name, last in explanation["last_replica"].items():
        if last["without"] is not None:
            row = f"{name} +{last['replicas']} -> {last['replicas'] - 1} +.*{last['without']['miss_rate']:.2%}"
            assert re.search(row, text)
    assert {each["key"] for each in explanation["constraints"]} == {
        "slo.latency", "slo.percentile", "hardware.gpu.limit",
    }  # fmt: skip


def test_it_knows_bounds_caps_and_losses(run, folder):
    text = (folder / "pipeline.yaml").read_text()
    bounded = text.replace("detector}", "detector, max_batch: 1, replicas: {min: 4, max: 9}}")
    (folder / "pipeline.yaml").write_text(bounded)
    ended = run("plan", "pipeline.yaml", "--explain", "--survive", "1")
    assert ended.code == 0
    for words in (
        "stages.detect.max_batch", "stages.detect.replicas.min", "stages.detect.replicas.max", "--survive",
        "after the worst loss of a replica",
    ):  # fmt: skip
        assert words in ended.out


def test_a_plan_without_proof_says_so(run, folder):
    ended = run("plan", "pipeline.yaml", "--planner", "cg-peak", "--explain")
    assert ended.code == 0
    assert "cg-peak missed something" in ended.out or "the best that cg-peak found" in ended.out


def test_the_same_inputs_give_the_same_explanation(run):
    first, second = (run("plan", "pipeline.yaml", "--explain", "--format", "json").out for _ in range(2))
    assert first == second


def test_an_interrupted_explanation_leaves_the_plan(run, folder, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("inferline.cli.planning.explain", interrupted)
    ended = run("plan", "pipeline.yaml", "--explain", "--out", "plan.json")
    assert ended.code == 130
    assert "this is the plan, without its explanation" in ended.err
    assert "proved optimal" in ended.out
    assert "explanation" not in json.loads((folder / "plan.json").read_text())
