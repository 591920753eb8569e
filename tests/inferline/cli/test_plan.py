"""``inferline plan`` and ``inferline simulate``, as users run them."""

from __future__ import annotations

import csv
import json

import pytest


def test_plan_prints_a_table_and_writes_the_plan(run, folder):
    ended = run("plan", "pipeline.yaml", "--out", "plan.json")
    assert ended.code == 0
    assert ended.err == ""
    for word in ("detect", "read", "$/h", "P50", "P95", "P99", "SLO", "met", "cg-mean", "cg-peak", "proved optimal"):
        assert word in ended.out
    plan = json.loads((folder / "plan.json").read_text())
    assert (plan["status"], plan["planner"], plan["gap"]) == ("optimal", "exact", 0.0)
    assert plan["slo"] == {"latency_s": 0.1, "percentile": 99}
    assert plan["predicted"]["at_slo_percentile_s"] <= 0.1
    assert set(plan["inputs"]) == {"pipeline_sha256", "profiles_sha256", "trace_sha256"}


def test_json_is_one_document_and_nothing_else(run, folder):
    ended = run("plan", "pipeline.yaml", "--format", "json", "--out", "plan.json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (folder / "plan.json").read_text()
    document = json.loads(ended.out)
    assert list(document)[:5] == ["version", "pipeline", "status", "cost_usd_per_hour", "lower_bound_usd_per_hour"]


def test_the_same_inputs_give_the_same_bytes(run):
    first, second = (run("plan", "pipeline.yaml", "--format", "json").out for _ in range(2))
    assert first == second


def test_simulate_predicts_what_the_plan_says_in_both_engines(run, folder):
    plan = json.loads(run("plan", "pipeline.yaml", "--format", "json", "--out", "plan.json").out)
    for engine in ("kernel", "reference"):
        ended = run("simulate", "pipeline.yaml", "--plan", "plan.json", "--engine", engine, "--format", "json")
        assert ended.code == 0
        assert json.loads(ended.out) == {**plan["predicted"], "slo_met": True}
    assert "met" in run("simulate", "pipeline.yaml", "--plan", "plan.json").out


def test_simulate_on_another_trace_writes_every_latency(run, folder):
    run("plan", "pipeline.yaml", "--out", "plan.json")
    (folder / "burst.csv").write_text("arrival_s\n" + "0.5\n" * 200)
    ended = run(
        "simulate", "pipeline.yaml", "--plan", "plan.json", "--trace", "burst.csv", "--latencies", "out.csv",
        "--format", "json",
    )  # fmt: skip
    predicted = json.loads(ended.out)
    assert (ended.code, predicted["slo_met"], predicted["queries"]) == (0, False, 200)
    with (folder / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    assert rows[0]["arrival_s"] == "0.500000000"
    assert max(float(row["latency_s"]) for row in rows) >= predicted["p99_s"]


def test_an_infeasible_slo_ends_in_3_and_names_the_stage_and_the_best_latency(run, folder):
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("100ms", "22ms"))
    ended = run("plan", "pipeline.yaml", "--out", "plan.json")
    assert ended.code == 3
    assert "stage 'detect' binds" in ended.err
    assert "best reachable P99 is 25 ms" in ended.err
    assert not (folder / "plan.json").exists()
    refused = json.loads(run("plan", "pipeline.yaml", "--format", "json").out)
    assert (refused["status"], refused["stage"], refused["best_latency_s"]) == ("infeasible", "detect", 0.025)


def test_too_little_hardware_ends_in_3(run, folder):
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("detector}", "detector, replicas: {max: 1}}"))
    ended = run("plan", "pipeline.yaml")
    assert ended.code == 3
    assert "'detect' binds" in ended.err


@pytest.mark.parametrize("planner", ["cg-mean", "cg-peak"])
def test_baselines_are_planners(run, planner):
    ended = run("plan", "pipeline.yaml", "--planner", planner)
    assert ended.code in (0, 3)
    assert planner in ended.out + ended.err


def test_survive_is_priced_beside_the_plan_without_it(run, folder):
    bare = json.loads(run("plan", "pipeline.yaml", "--format", "json").out)
    assert "survive" not in bare
    ended = run("plan", "pipeline.yaml", "--survive", "1", "--out", "plan.json")
    assert ended.code == 0
    assert "without --survive 1" in ended.out
    plan = json.loads((folder / "plan.json").read_text())
    assert (plan["survive"], plan["status"]) == (1, "optimal")
    assert plan["cost_usd_per_hour"] > bare["cost_usd_per_hour"]
    for stage in plan["stages"].values():
        stage["replicas"] -= 1
        (folder / "weak.json").write_text(json.dumps(plan))
        weak = json.loads(run("simulate", "pipeline.yaml", "--plan", "weak.json", "--format", "json").out)
        assert weak["slo_met"]
        stage["replicas"] += 1


def test_help_carries_an_example(run):
    for verb in ("plan", "simulate", "schema"):
        ended = run(verb, "--help")
        assert ended.code == 0
        assert f"inferline {verb}" in ended.out
        assert "Example" in ended.out
    assert all(verb in run("--help").out for verb in ("plan", "simulate", "schema"))


def test_schema_prints_json(run):
    ended = run("schema")
    assert (ended.code, json.loads(ended.out)["type"]) == (0, "object")


def test_wrong_options_end_in_2(run):
    for arguments in (
        ["plan"],
        ["plan", "pipeline.yaml", "--planner", "best"],
        ["fly"],
        ["simulate", "pipeline.yaml"],
    ):
        ended = run(*arguments)
        assert ended.code == 2
        assert "Traceback" not in ended.err


def test_a_plan_that_cannot_be_written_ends_in_2(run):
    ended = run("plan", "pipeline.yaml", "--out", "no/such/folder/plan.json")
    assert ended.code == 2
    assert "no/such/folder/plan.json: cannot be written" in ended.err


def test_an_interrupt_ends_in_130(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("inferline.cli.planning.load", interrupted)
    ended = run("plan", "pipeline.yaml")
    assert (ended.code, ended.out) == (130, "")
