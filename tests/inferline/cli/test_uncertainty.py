"""``inferline plan --confidence`` and ``--sensitivity``, as users run them."""

from __future__ import annotations

import json

import pytest

SPREAD = """\
model,hardware,batch_size,latency_mean_s,latency_p95_s,latency_p99_s
detector,cpu,1,0.020,0.024,0.030
detector,cpu,4,0.060,0.070,0.080
reader,cpu,1,0.045,,
reader,gpu,1,0.005,,
reader,gpu,8,0.020,,
"""

CHOICE = """\
  read:
    model: reader
    after: [{stage: detect, probability: 0.5, choice: kind}]
  keep:
    model: reader
    after: [{stage: detect, probability: 0.4, choice: kind}]
"""


@pytest.fixture
def varying(folder):
    """Give the pipeline's first stage service times that vary."""
    (folder / "profiles.csv").write_text(SPREAD)
    return folder


def test_confidence_prints_shares_cost_and_what_breaks_first(run, varying):
    ended = run("plan", "pipeline.yaml", "--confidence", "0.9", "--out", "plan.json")
    assert (ended.code, ended.err) == (0, "")
    for words in (
        "this plan (confident)",
        "worlds that meet the SLO",
        "without --confidence",
        "90.0% asked for",
        "95% interval",
        "blocks of 2 s",
        "can cost less than",
        "constant service times",
        "read (batch 1",
        "first to break the SLO",
        "probability detect -> read",
        "service times",
        "+50%",
    ):
        assert words in ended.out, words
    assert "proved optimal" not in ended.out
    plan = json.loads((varying / "plan.json").read_text())
    assert (plan["status"], plan["planner"]) == ("feasible", "confident")
    assert plan["lower_bound_usd_per_hour"] <= plan["cost_usd_per_hour"]


def test_json_gains_two_keys_and_stays_a_plan(run, varying):
    first, second = (run("plan", "pipeline.yaml", "--confidence", "0.9", "--format", "json") for _ in range(2))
    assert first.out == second.out
    plan = json.loads(first.out)
    found = plan["confidence"]
    assert found["asked"] == 0.9
    assert found["planned"]["met"] >= found["planned"]["required"] > 0.9 * found["planned"]["of"]
    assert found["fresh"]["share"] == found["fresh"]["met"] / found["fresh"]["of"] >= 0.88
    assert found["fresh"]["interval"][0] <= found["fresh"]["share"] <= found["fresh"]["interval"][1]
    assert found["without"]["cost_usd_per_hour"] <= plan["cost_usd_per_hour"]
    assert list(found["constant_service_times"]) == ["read"]
    assert set(plan["sensitivity"]["changes"]) == {"rate", "service times", "probability detect -> read"}
    (varying / "plan.json").write_text(first.out)
    ended = run("simulate", "pipeline.yaml", "--plan", "plan.json", "--format", "json")
    assert json.loads(ended.out) == {**plan["predicted"], "slo_met": True}


def test_sensitivity_goes_without_confidence(run, folder):
    text = (folder / "pipeline.yaml").read_text()
    start, end = text.index("  read:"), text.index("workload:")
    (folder / "pipeline.yaml").write_text(text[:start] + CHOICE + text[end:])
    ended = run("plan", "pipeline.yaml", "--sensitivity")
    assert (ended.code, ended.err) == (0, "")
    assert "proved optimal" in ended.out
    assert "worlds that meet" not in ended.out
    assert "all probabilities" in ended.out
    assert "choice renormalised" in ended.out
    plan = json.loads(run("plan", "pipeline.yaml", "--sensitivity", "--format", "json", "--out", "plan.json").out)
    assert "confidence" not in plan
    table = plan["sensitivity"]
    assert table["unchanged"]["change"] == 0.0
    assert [each["change"] for each in table["changes"]["rate"]] == [-0.5, -0.2, -0.1, 0.1, 0.2, 0.5]
    assert table["first_break"]["slo_met"] is False
    assert any("note" in each for each in table["changes"]["all probabilities"])
    assert run("simulate", "pipeline.yaml", "--plan", "plan.json").code == 0


def test_without_either_option_nothing_is_added(run):
    plan = json.loads(run("plan", "pipeline.yaml", "--format", "json").out)
    assert not {"confidence", "sensitivity"} & set(plan)


def test_too_little_hardware_for_the_worlds_ends_in_3(run, varying):
    # Two detectors on average: the plan for the trace needs three replicas, and bursts of the worlds more.
    text = (varying / "pipeline.yaml").read_text()
    replicas = json.loads(run("plan", "pipeline.yaml", "--format", "json").out)["stages"]["detect"]["replicas"]
    (varying / "pipeline.yaml").write_text(text.replace("detector}", f"detector, replicas: {{max: {replicas}}}}}"))
    (varying / "trace.csv").write_text("second,requests\n" + "".join(f"{s},{20 + 9 * (s % 5)}\n" for s in range(20)))
    (varying / "profiles.csv").write_text(
        SPREAD.replace("0.024,0.030", "0.024,0.3").replace("0.070,0.080", "0.07,0.4")
    )
    ended = run("plan", "pipeline.yaml", "--confidence", "0.9")
    assert ended.code == 3
    assert "worlds" in ended.err
    refused = json.loads(run("plan", "pipeline.yaml", "--confidence", "0.9", "--format", "json").out)
    assert refused["status"] == "infeasible"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--confidence", "1"], "confidence"),
        (["--confidence", "0.2"], "confidence"),
        (["--confidence", "0.9", "--survive", "1"], "--survive: cannot be combined with --confidence"),
        (["--confidence", "0.9", "--explain"], "--explain: cannot be combined with --confidence"),
        (["--sensitivity", "--sweep", "rate=0.5..2"], "--sensitivity"),
    ],
)
def test_wrong_options_end_in_2(run, options, words):
    ended = run("plan", "pipeline.yaml", *options)
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err
