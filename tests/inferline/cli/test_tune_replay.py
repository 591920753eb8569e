"""``inferline tune replay``, as users run it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

import inferline.cli.tune_replay
from tuner.policies import POLICIES


@pytest.fixture
def plan(run, folder) -> str:
    assert run("plan", "pipeline.yaml", "--planner", "greedy", "--out", "plan.json").code == 0
    return "plan.json"


def replayed(run, *arguments: str):
    return run("tune", "replay", *arguments, "--pipeline", "pipeline.yaml", "--trace", "trace.csv")


def document(run, *arguments: str):
    ended = replayed(run, *arguments, "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def test_the_table_has_a_row_for_every_policy_and_says_what_it_rests_on(run, plan):
    ended = replayed(run, plan, "--activation", "2s")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].split()[:2] == ["policy", "cost"]
    assert [line.split()[0] for line in lines[1 : 1 + len(POLICIES)]] == list(POLICIES)
    for words in (
        "trace    1,200 queries in 20 s, 60/s on average, 80 at most",
        "SLO      100 ms at P99",
        "active   detect, read after 2 s\n         as --activation says",
    ):
        assert words in ended.out, words


def test_json_is_one_document_whose_figures_fit_together(run, plan):
    told = document(run, plan, "--activation", "2s")
    assert (told["version"], told["pipeline"], told["slo"]) == (1, "small", {"latency_s": 0.1, "percentile": 99})
    assert told["trace"] == {"queries": 1200, "duration_s": 20.0, "mean_qps": 60.0, "peak_qps": 80}
    assert [each["policy"] for each in told["policies"]] == list(POLICIES)
    prices = {"cpu": 0.05, "gpu": 0.5}
    runs = json.loads(Path(plan).read_text())["stages"]
    for each in told["policies"]:
        assert each["queries"] == 1200
        assert each["miss_rate"] == each["late"] / 1200
        assert each["slo_met"] == (each["at_slo_percentile_s"] <= 0.1) == (each["late"] <= 12)
        assert (each["worst_second"] is None) == (each["late"] == 0)
        changes, paid = 0, 0.0
        for stage, rows in each["replicas"].items():
            assert (rows[0]["from_s"], rows[0]["requested"]) == (0.0, runs[stage]["replicas"])
            ends = [*(row["from_s"] for row in rows[1:]), 20.0]
            paid += prices[runs[stage]["hardware"]] * sum(
                row["requested"] * (end - row["from_s"]) for row, end in zip(rows, ends, strict=True)
            )
            counts = [row["requested"] for row in rows]
            changes += sum(a != b for a, b in pairwise(counts))
        assert changes == len(each["changes"])
        # A replica that drains is paid until it has finished its batch, 60 ms at most.
        assert paid / 3600 - 1e-9 <= each["cost_usd"] <= paid / 3600 * 1.05


def test_the_plans_own_counts_are_what_simulate_says(run, plan):
    [still] = document(run, plan, "--policy", "static")["policies"]
    alone = json.loads(run("simulate", "pipeline.yaml", "--plan", plan, "--format", "json").out)
    assert still["at_slo_percentile_s"] == alone["at_slo_percentile_s"]
    assert still["miss_rate"] == pytest.approx(1 - alone["slo_attainment"])
    assert (still["changes"], still["oscillations"]) == ([], 0)
    assert still["mean_usd_per_hour"] == pytest.approx(json.loads(Path(plan).read_text())["cost_usd_per_hour"])


def test_only_the_policies_asked_for_are_replayed(run, plan):
    told = document(run, plan, "--policy", "hpa", "--policy", "inferline")
    assert [each["policy"] for each in told["policies"]] == ["inferline", "hpa"]


def test_a_change_says_why(run, folder, plan):
    (folder / "trace.csv").write_text("second,requests\n" + "".join(f"{s},{10 + 90 * (s > 9)}\n" for s in range(40)))
    [ours] = document(run, plan, "--policy", "certified", "--activation", "1s")["policies"]
    grown = next(change for change in ours["changes"] if change["to"] > change["from"])
    assert set(grown) == {"at_s", "stage", "from", "to", "rule", "window_s", "measured", "threshold"}


def test_activation_delays_say_where_they_come_from(run, folder, plan):
    said = [(each["stage"], each["delay_s"], each["source"]) for each in document(run, plan)["activation"]]
    assert said == [("detect", 5.0, "assumed"), ("read", 5.0, "assumed")]
    rows = (folder / "profiles.csv").read_text().splitlines()
    (folder / "profiles.csv").write_text("\n".join([rows[0] + ",load_s", *(f"{row},30" for row in rows[1:])]) + "\n")
    said = [(each["delay_s"], each["source"]) for each in document(run, plan)["activation"]]
    assert said == [(30.0, "profile")] * 2
    assert "after 30 s\n         from the profiles" in replayed(run, plan).out


@pytest.mark.parametrize("name", ["replay.svg", "replay.png"])
def test_the_picture_is_written(run, folder, plan, name):
    assert replayed(run, plan, "--policy", "hpa", "--policy", "static", "--picture", name).code == 0
    assert (folder / name).stat().st_size > 5_000


def test_every_fault_is_named_and_nothing_is_simulated(run, folder, plan):
    told = json.loads(Path(plan).read_text())
    told["stages"]["read"]["max_batch"] = 9
    del told["envelope"]
    (folder / "wrong.json").write_text(json.dumps(told))
    ended = replayed(run, "wrong.json")
    assert (ended.code, ended.out) == (2, "")
    assert "wrong.json: stages.read.max_batch: 9 is above" in ended.err
    assert "wrong.json: envelope" in ended.err
    assert "2 faults; nothing was done" in ended.err


def test_wrong_options_end_in_2(run, plan):
    for arguments in (
        ["tune", "replay", plan, "--pipeline", "pipeline.yaml"],
        ["tune", "replay", plan, "--trace", "trace.csv"],
        ["tune", "replay", "nowhere.json", "--pipeline", "pipeline.yaml", "--trace", "trace.csv"],
        ["tune", "replay", plan, "--pipeline", "pipeline.yaml", "--trace", "nowhere.csv"],
        ["tune", "replay", plan, "--pipeline", "pipeline.yaml", "--trace", "trace.csv", "--policy", "best"],
        ["tune", "replay", plan, "--pipeline", "pipeline.yaml", "--trace", "trace.csv", "--activation", "soon"],
        ["tune", "replay", plan, "--pipeline", "pipeline.yaml", "--trace", "trace.csv", "--activation", "1200000h"],
        ["tune", "replay", plan, "--pipeline", "pipeline.yaml", "--trace", "trace.csv", "--picture", "replay.gif"],
    ):
        ended = run(*arguments)
        assert (ended.code, ended.out) == (2, ""), arguments
        assert "Traceback" not in ended.err


def test_an_interrupt_prints_what_is_done(run, plan, monkeypatch):
    real = inferline.cli.tune_replay.replay_known

    def until_the_third(experiment, name):
        if name == list(POLICIES)[2]:
            raise KeyboardInterrupt
        return real(experiment, name)

    monkeypatch.setattr(inferline.cli.tune_replay, "replay_known", until_the_third)
    ended = replayed(run, plan, "--format", "json")
    assert ended.code == 130
    assert [each["policy"] for each in json.loads(ended.out)["policies"]] == list(POLICIES)[:2]
    assert f"interrupted: 2 of {len(POLICIES)} policies were replayed" in ended.err


def test_help_carries_an_example(run):
    ended = run("tune", "replay", "--help")
    assert ended.code == 0
    assert "inferline tune replay plan.json --pipeline pipeline.yaml --trace tomorrow.csv.gz" in ended.out
    assert "replay" in run("tune", "--help").out
    assert "tune" in run("--help").out
