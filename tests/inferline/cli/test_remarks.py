"""Planning with measured profiles: what is planned with, and what is said about it on standard error."""

from __future__ import annotations

import json

import pytest

EXTRA = ",hop_mean_s,hop_p99_s,stopped,measured_at,colocated,colocated_slowdown,source"
CELLS = {
    "detector,cpu": ",0.021,0.030,precise,2020-01-01T00:00:00Z,4,1.25,env-0123456789",
    "reader,cpu": ",0.046,0.055,precise,2020-01-02T00:00:00Z,,,env-abcdef0123",
    "reader,gpu": ",0.006,0.009,unfinished,,,,env-9999999999",
}
COLOCATED = "planned with profiles measured while 4 replicas shared the machine (cpu: slowdown 1.25)\n"
ENVIRONMENTS = (
    "warning: profiles on cpu were measured in 2 environments (env-0123456789: 2 rows and env-abcdef0123: 1 row); "
    "measure all in one: inferline profile ... --hardware cpu --resume\n"
)
OLD = (
    "warning: 3 rows were measured more than 90 days ago, the oldest (detector on cpu, batch size 1) on 2020-01-01; "
    "measure again: inferline profile ..., without --resume\n"
)
CUT = (
    "warning: 2 rows were not measured to the end, the first reader on gpu, batch size 1; "
    "measure the rest: inferline profile ... --resume\n"
)


@pytest.fixture
def measured(folder):
    """Put what `inferline profile` writes beside the latencies of the small pipeline."""
    header, *rows = (folder / "profiles.csv").read_text().splitlines()
    rows = [row + CELLS[row.rsplit(",", 2)[0]] for row in rows]
    (folder / "profiles.csv").write_text("\n".join([header + EXTRA, *rows, ""]))


def edit(path, *edits):
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def without_inputs(document: str) -> dict[str, object]:
    return {key: value for key, value in json.loads(document).items() if key != "inputs"}


def test_plan_says_once_what_it_rests_on_and_plans_all_the_same(run, measured, folder):
    for form in ("table", "json"):
        ended = run("plan", "pipeline.yaml", "--format", form, "--out", f"{form}.json")
        assert (ended.code, ended.err) == (0, COLOCATED + ENVIRONMENTS + OLD + CUT)
        assert "warning" not in ended.out
    assert (folder / "table.json").read_bytes() == (folder / "json.json").read_bytes()
    assert ended.out == (folder / "json.json").read_text()


def test_an_infeasible_plan_is_warned_of_too(run, measured, folder):
    edit(folder / "pipeline.yaml", ("100ms", "22ms"))
    ended = run("plan", "pipeline.yaml")
    assert ended.code == 3
    assert ended.err.startswith(COLOCATED + ENVIRONMENTS + OLD + CUT + "infeasible:")


def test_simulate_speaks_of_the_rows_that_the_plan_uses(run, measured):
    plan = json.loads(run("plan", "pipeline.yaml", "--format", "json", "--out", "plan.json").out)
    assert {name: stage["hardware"] for name, stage in plan["stages"].items()} == {"detect": "cpu", "read": "cpu"}
    ended = run("simulate", "pipeline.yaml", "--plan", "plan.json", "--format", "json")
    assert (ended.code, ended.err) == (0, COLOCATED + ENVIRONMENTS + OLD)
    assert json.loads(ended.out)["slo_met"]


def test_a_sweep_says_it_once(run, measured):
    ended = run("plan", "pipeline.yaml", "--sweep", "slo=100ms..200ms:2")
    assert (ended.code, ended.err) == (0, COLOCATED + ENVIRONMENTS + OLD + CUT)


ROWS = ("detector,cpu,1", "detector,cpu,4", "reader,cpu,1", "reader,gpu,1", "reader,gpu,8")


def write_profiles(folder, **columns):
    """Write the small pipeline's profiles with a column for each argument, one cell a row."""
    cells = [",".join(row) for row in zip(*(of.split() for of in columns.values()), strict=True)]
    lines = [f"{row},{of.replace('-', '')}" for row, of in zip(ROWS, cells, strict=True)]
    (folder / "profiles.csv").write_text("\n".join([",".join(["model,hardware,batch_size", *columns]), *lines, ""]))


def test_a_slowdown_is_planned_with_as_if_every_latency_had_been_that_much_longer(run, folder):
    write_profiles(
        folder, latency_mean_s="0.020 0.060 0.045 0.005 0.020", colocated_slowdown="1.25 1.5 - - 2"
    )  # fmt: skip
    ended = run("plan", "pipeline.yaml", "--format", "json")
    assert ended.err == (
        "planned with profiles measured while several replicas shared the machine "
        "(cpu: slowdown 1.25 to 1.50, gpu: slowdown 2.00)\n"
    )
    write_profiles(folder, latency_mean_s="0.025 0.09 0.045 0.005 0.04")
    assert without_inputs(ended.out) == without_inputs(run("plan", "pipeline.yaml", "--format", "json").out)


def test_hops_are_planned_with_when_they_are_asked_for(run, folder):
    alone, hop = "0.020 0.060 0.045 0.005 0.020", "0.030 0.070 0.060 0.015 0.035"
    write_profiles(folder, latency_mean_s=alone, hop_mean_s=hop)
    cheap = run("plan", "pipeline.yaml", "--format", "json").out
    edit(folder / "pipeline.yaml", ("workload:", "planner: {service_time: hop_mean}\nworkload:"))
    with_hops = run("plan", "pipeline.yaml", "--format", "json").out
    confident = run("plan", "pipeline.yaml", "--format", "json", "--confidence", "0.5").out
    edit(folder / "pipeline.yaml", ("hop_mean", "mean"))
    write_profiles(folder, latency_mean_s=hop)
    assert without_inputs(with_hops) == without_inputs(run("plan", "pipeline.yaml", "--format", "json").out)
    costs = [json.loads(document)["cost_usd_per_hour"] for document in (cheap, with_hops, confident)]
    # Worlds are those of the model alone, but the trace itself is still met with hops.
    assert costs == sorted(costs)
    assert costs[0] < costs[1]


def test_a_condition_is_planned_with_its_probability(run, folder):
    coin = run("plan", "pipeline.yaml", "--format", "json").out
    edit(folder / "pipeline.yaml", ("probability: 0.5", 'probability: 0.5, when: "output.confidence < 0.6"'))
    ended = run("plan", "pipeline.yaml", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    assert without_inputs(ended.out) == without_inputs(coin)


def test_a_faulty_condition_ends_in_2_with_its_key_path(run, folder):
    edit(folder / "pipeline.yaml", ("probability: 0.5", 'probability: 0.5, when: "output.confidence <"'))
    ended = run("plan", "pipeline.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "error: pipeline.yaml: stages.read.after[0].when: 'output.confidence <' is not a condition: character 20: "
        "invalid syntax; write a condition like output.confidence < 0.6\n"
    )
