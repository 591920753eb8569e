"""``inferline diff``, as users run it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def write(folder, name: str, detect: tuple[str, int, int], read: tuple[str, int, int]) -> str:
    """Write a plan by hand from (hardware, replicas, maximum batch size) of both stages."""
    models = {"detect": "detector", "read": "reader"}
    stages = {
        stage: {"model": models[stage], "hardware": of[0], "replicas": of[1], "max_batch": of[2]}
        for stage, of in (("detect", detect), ("read", read))
    }
    (folder / name).write_text(json.dumps({"version": 1, "stages": stages}))
    return name


@pytest.fixture
def plans(folder) -> tuple[str, str]:
    old = write(folder, "old.json", ("cpu", 2, 4), ("cpu", 3, 1))
    new = write(folder, "new.json", ("cpu", 4, 1), ("gpu", 1, 8))
    return old, new


def document(run, *arguments: str):
    ended = run("diff", *arguments, "--pipeline", "pipeline.yaml", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def test_the_table_says_what_changes_in_which_steps_and_what_queries_see(run, plans):
    ended = run("diff", *plans, "--pipeline", "pipeline.yaml", "--activation", "2s", "--settle", "1s")
    assert (ended.code, ended.err) == (0, "")
    for words in (
        "cpu -> gpu",
        "$0.1500 -> $0.5000",
        "2 -> 4",
        "add read on gpu (standby)",
        "add detect on cpu",
        "batch size of detect",
        "switch read from cpu to gpu",
        "remove read on cpu (idle)",
        "old only",
        "100 ms at P99:",
        "detect on cpu, read on gpu after 2 s\n         as --activation says",
        "$0.2500/h before, at most $0.8500/h on the way, $0.7000/h after",
    ):
        assert words in ended.out, words


def test_json_is_one_document_whose_figures_fit_together(run, plans):
    told = document(run, *plans, "--activation", "2s", "--settle", "1s", "--at", "4s")
    assert (told["version"], told["pipeline"], told["slo"]) == (1, "small", {"latency_s": 0.1, "percentile": 99})
    assert [step["step"] for step in told["steps"]] == [1, 2, 3, 4, 5]
    assert sorted(step["kind"] for step in told["steps"]) == ["add", "add", "batch", "remove", "switch"]
    begins = [step["begin_s"] for step in told["steps"]]
    ends = [step["end_s"] for step in told["steps"]]
    assert (begins[0], begins[1:]) == (4.0, ends[:-1])
    for step in told["steps"]:
        assert step["begin_s"] <= step["ready_s"] == pytest.approx(step["end_s"] - 1)
        if step["kind"] == "add":
            assert step["ready_s"] == pytest.approx(step["begin_s"] + 2)
        assert step["slo_met"] == (step["late"] <= step["queries"] // 100)
        assert step["with_old"]["queries"] == step["with_new"]["queries"] == step["queries"]
    periods = [told["before"], *told["steps"], told["after"]]
    assert sum(period["queries"] for period in periods) == told["old"]["queries"] == told["new"]["queries"] == 1200
    assert told["whole"]["queries"] == sum(step["queries"] for step in told["steps"])
    assert told["slo_met"] == all(step["slo_met"] for step in told["steps"])
    worst = told["steps"][told["worst_step"] - 1]["at_slo_percentile_s"]
    assert worst == max(step["at_slo_percentile_s"] for step in told["steps"])
    hours = [(step["end_s"] - step["begin_s"]) / 3600 for step in told["steps"]]
    costs = [step["cost_usd_per_hour"] for step in told["steps"]]
    assert told["cost_usd"] == pytest.approx(sum(a * b for a, b in zip(hours, costs, strict=True)), abs=1e-9)
    assert told["peak_cost_usd_per_hour"] == max(costs)
    assert costs[-1] == told["new"]["cost_usd_per_hour"] == pytest.approx(0.7)
    assert told["new"]["stages"]["read"] == {"hardware": "gpu", "max_batch": 8, "replicas": 1}


def test_the_table_and_the_document_say_the_same(run, plans):
    pace = ("--activation", "2s", "--settle", "500ms", "--at", "5s")
    told = document(run, *plans, *pace)
    lines = run("diff", *plans, "--pipeline", "pipeline.yaml", *pace).out.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.split()[:3] == ["queries", "P99", "late"])
    for line, period in zip(lines[begin + 1 :], [told["before"], *told["steps"], told["after"]], strict=False):
        _, queries, latency, unit, late, old, _, new, *_ = line.split()
        assert int(queries) == period["queries"]
        seconds = float(latency) * {"s": 1, "ms": 1e-3}[unit]
        assert seconds == pytest.approx(period["at_slo_percentile_s"], rel=0.01)
        assert float(late.strip("<%")) / 100 == pytest.approx(period["miss_rate"], abs=1e-4)
        assert float(old) == pytest.approx(period["with_old"]["at_slo_percentile_s"] * 1000, rel=0.01)
        assert float(new) == pytest.approx(period["with_new"]["at_slo_percentile_s"] * 1000, rel=0.01)


def test_the_steady_states_are_those_of_simulate(run, plans):
    told = document(run, *plans)
    for name in ("old", "new"):
        steady = json.loads(run("simulate", "pipeline.yaml", "--plan", f"{name}.json", "--format", "json").out)
        assert told[name]["at_slo_percentile_s"] == steady["at_slo_percentile_s"]
        assert told[name]["slo_met"] == steady["slo_met"]
        assert told[name]["miss_rate"] == pytest.approx(1 - steady["slo_attainment"])


def test_an_slo_that_is_missed_on_the_way_is_an_answer(run, folder):
    old = write(folder, "old.json", ("cpu", 1, 1), ("cpu", 3, 1))
    new = write(folder, "new.json", ("cpu", 6, 1), ("cpu", 5, 1))
    ended = run("diff", old, new, "--pipeline", "pipeline.yaml", "--activation", "5s", "--settle", "1s")
    assert ended.code == 0
    assert "MISSED in step 1" in ended.out
    assert "the same queries miss it with the old plan alone too, not with the new one" in ended.out


def test_activation_delays_say_where_they_come_from(run, folder, plans):
    sources = {(each["hardware"], each["delay_s"], each["source"]) for each in document(run, *plans)["activation"]}
    assert sources == {("cpu", 5.0, "assumed"), ("gpu", 5.0, "assumed")}
    assert (
        "after 5 s\n         ASSUMED: the profiles have no load_s"
        in run("diff", *plans, "--pipeline", "pipeline.yaml").out
    )
    rows = (folder / "profiles.csv").read_text().splitlines()
    known = [rows[0] + ",load_s", *(f"{row},{30 if ',gpu,' in row else ''}" for row in rows[1:])]
    (folder / "profiles.csv").write_text("\n".join(known) + "\n")
    told = document(run, *plans)
    assert {(each["hardware"], each["delay_s"], each["source"]) for each in told["activation"]} == {
        ("cpu", 5.0, "assumed"),
        ("gpu", 30.0, "profile"),
    }
    assert "after 30 s\n         from the profiles" in run("diff", *plans, "--pipeline", "pipeline.yaml").out
    told = document(run, *plans, "--activation", "7s")
    assert {(each["delay_s"], each["source"]) for each in told["activation"]} == {(7.0, "given")}


def test_equal_plans_need_no_transition(run, plans):
    ended = run("diff", "old.json", "old.json", "--pipeline", "pipeline.yaml")
    assert ended.code == 0
    assert "nothing changes" in ended.out
    told = document(run, "old.json", "old.json")
    assert (told["steps"], told["slo_met"], told["worst_step"]) == ([], True, None)
    assert told["old"] == told["new"]


def test_a_limit_that_forces_capacity_away_is_said(run, folder):
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("$0.05/h}", "$0.05/h, limit: 6}"))
    old = write(folder, "old.json", ("cpu", 4, 1), ("cpu", 2, 1))
    new = write(folder, "new.json", ("cpu", 2, 1), ("cpu", 4, 1))
    ended = run("diff", old, new, "--pipeline", "pipeline.yaml")
    assert ended.code == 0
    assert "limit    6 units of cpu are too few to add everything first" in ended.out
    assert "so step 1 takes serving replicas of detect away before others are there" in ended.out
    told = document(run, old, new)
    assert (told["limited_by"], [step["forced"] for step in told["steps"]]) == (["cpu"], [True, False])


def test_a_transition_that_outlasts_the_trace_is_said(run, plans):
    ended = run("diff", *plans, "--pipeline", "pipeline.yaml", "--at", "19s", "--settle", "10min")
    assert ended.code == 0
    assert "the trace ends at 20 s, before the transition does" in ended.out
    last = document(run, *plans, "--at", "19s", "--settle", "10min")["steps"][-1]
    assert (last["queries"], last["at_slo_percentile_s"], last["miss_rate"], last["slo_met"]) == (0, None, None, True)


def test_another_trace_counts_instead_of_the_pipelines(run, folder, plans):
    (folder / "burst.csv").write_text("arrival_s\n" + "0.5\n" * 300 + "60\n")
    told = document(run, *plans, "--trace", "burst.csv", "--settle", "1s")
    assert told["old"]["queries"] == 301
    assert told["steps"][0]["begin_s"] == 0.5


def test_every_fault_of_both_plans_is_named(run, folder):
    old = write(folder, "old.json", ("gpu", 2, 4), ("cpu", 3, 2))
    new = write(folder, "new.json", ("cpu", 2, 4), ("gpu", 21, 8))
    ended = run("diff", old, new, "--pipeline", "pipeline.yaml", "--at", "1h")
    assert ended.code == 2
    assert ended.out == ""
    for words in (
        "old.json: stages.detect.hardware: ",
        "old.json: stages.read.max_batch: 2 is above 1",
        "new.json: stages: use 21 units of 'gpu'; its limit is 20",
        "--at: 3600 s is after the end of the trace, at 20 s",
        "4 faults",
    ):
        assert words in ended.err, words


def test_a_batch_above_the_cap_of_the_pipeline_file_is_a_fault(run, folder, plans):
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("{model: detector}", "{model: detector, max_batch: 1}"))
    ended = run("diff", *plans, "--pipeline", "pipeline.yaml")
    assert ended.code == 2
    assert "old.json: stages.detect.max_batch: 4 is above 1" in ended.err


def test_wrong_options_end_in_2(run, plans):
    for arguments in (
        ["diff", *plans],
        ["diff", "old.json", "--pipeline", "pipeline.yaml"],
        ["diff", *plans, "--pipeline", "nowhere.yaml"],
        ["diff", "nowhere.json", "new.json", "--pipeline", "pipeline.yaml"],
        ["diff", *plans, "--pipeline", "pipeline.yaml", "--activation", "soon"],
        ["diff", *plans, "--pipeline", "pipeline.yaml", "--settle", "140y"],
        ["diff", *plans, "--pipeline", "pipeline.yaml", "--settle", "1200000h"],
    ):
        ended = run(*arguments)
        assert ended.code == 2, arguments
        assert "Traceback" not in ended.err


def test_the_guide_shows_what_is_printed(run, folder):
    runs = {
        "detect-language": ("tf-lang-detect", "k80-2cpu", 12, (1, 1)),
        "translate": ("tf-nmt", "k80", 12, (7, 14)),
        "categorise": ("kernel-svm", "cpu-1", 64, (1, 1)),
        "classify-image": ("alexnet", "cpu-1", 10, (15, 29)),
    }
    for place, name in enumerate(("today.json", "twice.json")):
        stages = {
            stage: {"model": model, "hardware": hardware, "max_batch": max_batch, "replicas": replicas[place]}
            for stage, (model, hardware, max_batch, replicas) in runs.items()
        }
        (folder / name).write_text(json.dumps({"version": 1, "stages": stages}))
    guide = (ROOT / "docs" / "guides" / "diff.md").read_text(encoding="utf-8")
    shown = re.search(r"```\n\$ inferline diff today\.json [^\n]*\n(.*?)```", guide, re.DOTALL)
    assert shown is not None
    pipeline = str(ROOT / "examples" / "social-media" / "pipeline.yaml")
    printed = run("diff", "today.json", "twice.json", "--pipeline", pipeline).out
    assert [line.rstrip() for line in printed.splitlines()] == shown[1].splitlines()


def test_help_carries_an_example(run):
    ended = run("diff", "--help")
    assert ended.code == 0
    assert "inferline diff today.json tomorrow.json --pipeline pipeline.yaml" in ended.out
    assert "diff" in run("--help").out
