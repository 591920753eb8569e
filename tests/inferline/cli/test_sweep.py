"""``inferline plan --sweep``: one row, one point of the document, one mark in the picture for each value."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET

import pytest

from planner import plan as planning


def test_the_document_has_a_point_for_every_value(run):
    ended = run("plan", "pipeline.yaml", "--sweep", "slo=20ms..500ms:5", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    document = json.loads(ended.out)
    assert (document["version"], document["pipeline"], document["sweep"]) == (1, "small", "slo")
    points = document["points"]
    assert [point["value"] for point in points] == [0.02, 0.0447, 0.1, 0.224, 0.5]
    assert points[0]["status"] == "infeasible"
    assert (points[0]["stage"], points[0]["best_latency_s"], points[0]["proved"]) == ("detect", 0.025, True)
    found = [point for point in points if point["status"] == "optimal"]
    costs = [point["cost_usd_per_hour"] for point in found]
    assert len(found) >= 3
    assert costs == sorted(costs, reverse=True)
    for point in found:
        assert point["lower_bound_usd_per_hour"] == point["cost_usd_per_hour"]
        assert point["slo"] == {"latency_s": point["value"], "percentile": 99}
        assert point["predicted"]["at_slo_percentile_s"] <= point["value"]
        assert set(point["stages"]) == {"detect", "read"}


def test_a_point_is_the_plan_of_its_own_file(run, folder):
    ended = run("plan", "pipeline.yaml", "--sweep", "percentile=90..99.9:3", "--format", "json")
    points = json.loads(ended.out)["points"]
    assert [point["value"] for point in points] == [90, 99, 99.9]
    plan = json.loads(run("plan", "pipeline.yaml", "--format", "json").out)
    assert {key: plan[key] for key in points[1] if key != "value"} == {
        key: value for key, value in points[1].items() if key != "value"
    }


def test_the_table_has_a_row_for_every_value_and_says_why_there_is_none(run):
    ended = run("plan", "pipeline.yaml", "--sweep", "slo=20ms..500ms:5", "--planner", "greedy")
    assert ended.code == 0
    rows = ended.out.splitlines()
    assert [row.split()[:2] for row in rows[1:6]] == [
        ["20", "ms"], ["44.7", "ms"], ["100", "ms"], ["224", "ms"], ["500", "ms"],
    ]  # fmt: skip
    assert "infeasible: detect binds" in rows[1]
    assert "20 ms: no configuration meets the SLO; detect: its fastest allowed option alone takes 20 ms" in ended.out
    assert "cpu, batch" in rows[3]
    assert "gap" in ended.out or "optimal" in ended.out


def test_a_sweep_of_the_rate_buys_more_for_more(run):
    points = json.loads(run("plan", "pipeline.yaml", "--sweep", "rate=0.25..4:3", "--format", "json").out)["points"]
    assert [point["value"] for point in points] == [0.25, 1.0, 4.0]
    assert points[0]["cost_usd_per_hour"] < points[2]["cost_usd_per_hour"]


def test_it_is_drawn_with_the_same_bytes(run, folder):
    for name in ("one.svg", "two.svg"):
        ended = run("plan", "pipeline.yaml", "--sweep", "slo=20ms..500ms:4", "--planner", "greedy", "--picture", name)
        assert (ended.code, ended.err) == (0, "")
    text = (folder / "one.svg").read_text()
    assert text == (folder / "two.svg").read_text()
    assert ET.fromstring(text).tag.endswith("svg")
    for words in ("small: cost against the SLO", "20 ms", "500 ms", "no plan", "$ per hour"):
        assert words in text
    run("plan", "pipeline.yaml", "--sweep", "percentile=90..99:2", "--planner", "greedy", "--picture", "p.png")
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


def test_when_no_point_has_a_plan_it_ends_in_3(run):
    ended = run("plan", "pipeline.yaml", "--sweep", "slo=1ms..2ms:2", "--format", "json")
    assert ended.code == 3
    assert [point["status"] for point in json.loads(ended.out)["points"]] == ["infeasible", "infeasible"]
    assert "no point of the sweep has a plan" in ended.err


def test_an_interrupt_prints_the_points_so_far_and_ends_in_130(run, monkeypatch):
    search, calls = planning.search, []

    def ctrl_c(*given, **named):
        calls.append(named)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return search(*given, **named)

    monkeypatch.setattr("planner.sweep.search", ctrl_c)
    options = ("--sweep", "slo=100ms..500ms:5", "--time-limit", "7s", "--survive", "1", "--format", "json")
    ended = run("plan", "pipeline.yaml", *options)
    assert ended.code == 130
    assert len(json.loads(ended.out)["points"]) == 2
    assert "interrupted: 2 of 5 points were planned" in ended.err
    assert [(call["time_limit_s"], call["survive"]) for call in calls] == [(7.0, 1)] * 3


@pytest.mark.parametrize(
    ("swept", "wanted"),
    [
        ("slo", "write slo=100ms..1s"),
        ("cost=1..2", "write slo=100ms..1s"),
        ("slo=1s", "write slo=100ms..1s"),
        ("slo=fast..1s", "'fast' is not a duration"),
        ("slo=0s..1s", "'0s' is no SLO"),
        ("slo=1s..1s", "two different ones"),
        ("slo=1000ms..1s", "two different ones"),
        ("slo=100ms..1s:1", "2 to 200 are accepted"),
        ("slo=100ms..1s:999", "2 to 200 are accepted"),
        ("rate=0..2", "'0' is no factor on the rate"),
        ("rate=-1..2", "'-1' is no factor on the rate"),
        ("percentile=90..100", "'100' is no percentile; write a number above 0 and below 100"),
        ("percentile=P90..P99", "'P90' is no percentile"),
    ],
)
def test_a_wrong_range_ends_in_2_and_says_what_is_accepted(run, swept, wanted):
    ended = run("plan", "pipeline.yaml", "--sweep", swept)
    assert (ended.code, ended.out) == (2, "")
    assert wanted in ended.err


def test_options_for_one_plan_are_refused_all_at_once(run, folder):
    ended = run(
        "plan", "pipeline.yaml", "--sweep", "slo=1s..2s", "--out", "p.json", "--report", "r.html", "--explain",
        "--picture", "p.gif",
    )  # fmt: skip
    assert ended.code == 2
    for words in ("--out", "--report", "--explain", "'p.gif' ends in none of .svg, .png, .pdf", "4 faults"):
        assert words in ended.err
    assert not (folder / "p.json").exists()
    alone = run("plan", "pipeline.yaml", "--picture", "p.svg")
    assert (alone.code, alone.out) == (2, "")
    assert "--picture: draws a sweep" in alone.err


def test_without_matplotlib_it_names_the_extra_before_planning(run, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = run("plan", "pipeline.yaml", "--sweep", "slo=1s..2s", "--picture", "p.svg")
    assert (ended.code, ended.out) == (2, "")
    assert "--picture needs matplotlib: pip install 'inferline[report]'" in ended.err
    assert not (folder / "p.svg").exists()


def test_a_picture_that_cannot_be_written_ends_in_2(run):
    for name in ("no/such/p.svg", "no/such/p.png"):
        ended = run("plan", "pipeline.yaml", "--sweep", "slo=1s..2s:2", "--planner", "greedy", "--picture", name)
        assert ended.code == 2
        assert f"{name}: cannot be written" in ended.err


def test_a_rate_that_stretches_the_trace_too_far_ends_in_2(run):
    ended = run("plan", "pipeline.yaml", "--sweep", "rate=0.000000001..1:2")
    assert ended.code == 2
    assert "--sweep: rate: scaled by 1e-09, the trace is longer" in ended.err
