"""``inferline plan --report``: what it says is what the plan says, and it stands alone."""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from html.parser import HTMLParser

import numpy as np
import pytest

from inferline.cli.pipeline_drawing import BOX_HEIGHT, BOX_WIDTH, lay_out
from inferline.cli.report import write_report
from inferline.domain import Edge, Hardware, Pipeline, Profile, Slo, Stage, Trace
from inferline.errors import InputError
from planner import Infeasible, baselines, make_plan, pose

VOID = {"meta", "br", "link", "img", "hr", "input"}
HOSTILE = '<script>alert("1")</script>&amp;$x$'


class Page(HTMLParser):
    """The visible text, the ids and the attributes of a page in which every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def hostile_problem():
    stages = (
        Stage(name=HOSTILE, model=f"model {HOSTILE}", hardware=("a&b",)),
        Stage(
            name="second",
            model=f"model {HOSTILE}",
            hardware=("a&b",),
            parents=(Edge(parent=HOSTILE, probability=0.25, choice="<b>"),),
        ),
    )
    pipeline = Pipeline(
        name=f"pipeline {HOSTILE}",
        slo=Slo(latency_ns=50_000_000, percentile=Decimal("99.9")),
        stages=stages,
        hardware=(Hardware(name="a&b", price_nano_usd_per_hour=0),),
    )
    profile = Profile(
        model=f"model {HOSTILE}",
        hardware="a&b",
        batch_size=np.array([1, 4]),
        latency_mean_s=np.array([0.01, 0.02]),
    )
    trace = Trace(np.arange(1000) * 20_000_000, 20_000_000_000)
    return pose(pipeline, {(f"model {HOSTILE}", "a&b"): profile}, trace)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> tuple[str, str]:
    problem = hostile_problem()
    plan = make_plan(problem, "greedy", {"trace_sha256": "00ff"})
    assert not isinstance(plan, Infeasible)
    written = []
    for name in ("first.html", "second.html"):
        path = tmp_path_factory.mktemp("report") / name
        write_report(path, problem, plan, baselines(problem))
        written.append(path.read_text(encoding="utf-8"))
    return written[0], written[1]


def test_the_report_says_what_the_plan_says(run, folder):
    ended = run("plan", "pipeline.yaml", "--planner", "greedy", "--format", "json", "--report", "report.html")
    assert (ended.code, ended.err) == (0, "")
    plan = json.loads(ended.out)
    html = (folder / "report.html").read_text(encoding="utf-8")
    text = Page(html).text
    assert f"Cost ${plan['cost_usd_per_hour']:.4f}/h" in text
    assert f"no plan can cost less than ${plan['lower_bound_usd_per_hour']:.4f}/h (gap {plan['gap']:.1%})" in text
    predicted = plan["predicted"]
    assert f"Latency at P99 {predicted['at_slo_percentile_s'] * 1000:.3g} ms SLO of 100 ms met" in text
    assert f"Late queries {1 - predicted['slo_attainment']:.2%} 1% may be late" in text
    assert f"P50 {predicted['p50_s'] * 1000:.3g} ms, P95" in text
    assert f"on {predicted['queries']:,} queries in 20 s: 60/s on average, 80 in the busiest second" in text
    for name, stage in plan["stages"].items():
        assert f"{name} {stage['replicas']} \u00d7 {stage['hardware']} batch up to {stage['max_batch']}" in text
        assert f"{name} {stage['model']} {stage['hardware']} {stage['replicas']} $" in text
        assert f" {predicted['stages'][name]['utilisation']:.0%} " in text
    for word in ("CG-Mean", "CG-Peak", "for the mean rate", *plan["inputs"].values()):
        assert word in text
    assert "50%" in text


def test_the_baselines_are_those_of_the_table(run, folder):
    table = run("plan", "pipeline.yaml", "--planner", "greedy", "--report", "report.html").out
    text = Page((folder / "report.html").read_text(encoding="utf-8")).text
    for baseline, name in (("cg-mean", "CG-Mean"), ("cg-peak", "CG-Peak")):
        line = next(line for line in table.splitlines() if line.startswith(baseline))
        _, cost, ratio, late, *at = line.split()
        assert re.search(rf"{name} for the [a-zA-Z ]+ {re.escape(cost)} {ratio} {late} {' '.join(at)} ", text)


def test_a_report_stands_alone_and_is_well_formed(hostile):
    page = Page(hostile[0])
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    for name, value in page.attributes:
        assert name not in {"src", "onload", "onclick"}
        if name in {"href", "xlink:href"}:
            assert value.startswith("#")
            assert value[1:] in page.ids
    for used in re.findall(r"url\(([^)]*)\)", hostile[0]):
        assert used.removeprefix("#") in page.ids


def test_names_are_shown_as_they_are_and_never_obeyed(hostile):
    text = Page(hostile[0]).text
    assert f"pipeline {HOSTILE}" in text
    assert f"{HOSTILE} model {HOSTILE} a&b" in text
    assert "<script" not in hostile[0]
    assert "<b>$0" in hostile[0]  # the page's own
    assert "one of the choice <b>" in text
    # In the pictures too, and not as mathematics; long names are cut.
    assert HOSTILE[:27] + "\u2026" in text


def test_what_is_free_and_exact_is_said_as_it_is(hostile):
    text = Page(hostile[0]).text
    assert "Cost $0.00/h proved optimal" in text
    assert "0.1% may be late" in text
    assert "Latency at P99.9" in text
    assert "25%" in text
    assert "CG-Peak costs" not in text  # nothing is no multiple of nothing


def test_the_same_plan_gives_the_same_bytes(hostile):
    assert hostile[0] == hostile[1]


@pytest.mark.parametrize("client", ["jinja2", "matplotlib"])
def test_a_missing_client_ends_in_2_before_anything_is_planned(run, folder, monkeypatch, client):
    monkeypatch.setitem(sys.modules, client, None)
    ended = run("plan", "pipeline.yaml", "--out", "plan.json", "--report", "report.html")
    assert ended.code == 2
    assert f"--report needs {client}: pip install 'inferline[report]'" in ended.err
    assert not (folder / "plan.json").exists()


def test_a_report_that_cannot_be_written_is_bad_input(tmp_path):
    problem = hostile_problem()
    plan = make_plan(problem, "greedy", {})
    assert not isinstance(plan, Infeasible)
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "nowhere" / "report.html", problem, plan, ())


def test_an_edge_over_several_columns_passes_no_box():
    def stage(name: str, *parents: str) -> Stage:
        return Stage(name=name, model="m", hardware=("h",), parents=tuple(Edge(parent=p) for p in parents))

    stages = (
        stage("a"),
        stage("b", "a"),
        stage("c", "b"),
        stage("d", "a", "c"),
        stage("e", "a"),
        stage("f", "e", "d"),
    )
    drawing = lay_out(
        Pipeline(
            name="p",
            slo=Slo(latency_ns=1, percentile=Decimal(99)),
            stages=stages,
            hardware=(Hardware(name="h", price_nano_usd_per_hour=1),),
        )
    )
    corner = {box.stage: (box.x, box.y) for box in drawing.boxes}
    columns = sorted({x for x, _ in corner.values()})
    assert [columns.index(corner[name][0]) for name in "abcdef"] == [0, 1, 2, 3, 1, 4]
    assert len(set(corner.values())) == len(stages)
    for x, y in corner.values():
        assert 0 <= x <= drawing.width - BOX_WIDTH
        assert 0 <= y <= drawing.height - BOX_HEIGHT
    for link in drawing.links:
        for start, level, end in re.findall(r"([\d.]+) ([\d.]+) L([\d.]+)", link.path):
            inside = [
                name
                for name, (x, y) in corner.items()
                if x < float(end) and float(start) < x + BOX_WIDTH and y <= float(level) <= y + BOX_HEIGHT
            ]
            assert inside == []
    assert drawing.entries == ((corner["a"][0], corner["a"][1] + BOX_HEIGHT / 2),)
