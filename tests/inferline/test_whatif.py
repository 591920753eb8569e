"""The notebook face: every question gives a new study, and its answers are the planner's and the simulator's."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import inferline
from inferline.domain import Configuration, StageConfiguration
from inferline.errors import InfeasibleError, InputError, UnitError
from inferline.whatif import Study, plot_compare

PIPELINE = """\
version: 1
name: small
slo: {latency: 100ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu: {price: $0.05/h}
  gpu-1: {price: $0.50/h, accelerator: t4, accelerators: 1}
stages:
  detect: {model: detector}
  read:
    model: reader
    after: [{stage: detect, probability: 0.5, choice: kind}]
  skip:
    model: detector
    after: [{stage: detect, probability: 0.2, choice: kind}]
workload:
  trace: trace.csv
"""
PROFILES = """\
model,hardware,batch_size,latency_mean_s
detector,cpu,1,0.020
detector,cpu,4,0.060
reader,cpu,1,0.045
reader,gpu-1,1,0.005
reader,gpu-1,8,0.020
"""
ARRIVALS_S = np.cumsum(np.random.default_rng(1).exponential(0.01, 1200))


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("small")
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "profiles.csv").write_text(PROFILES)
    (folder / "trace.csv").write_text("arrival_s\n" + "".join(f"{at:.6f}\n" for at in ARRIVALS_S))
    return inferline.load(folder / "pipeline.yaml")


@pytest.fixture(scope="module")
def plan(study):
    return study.plan()


def test_the_public_names_are_those_of_whatif():
    assert inferline.Study is Study
    assert {"Study", "load", "plot_compare"} <= set(dir(inferline))


def test_a_study_says_what_it_is(study):
    assert repr(study).startswith("Study(small: 3 stages, 100 ms at P99, 1,200 queries in ")


def test_a_plan_meets_the_slo_and_costs_what_its_stages_cost(plan):
    assert plan.predicted.slo_met
    assert plan.stages["cost_usd_per_hour"].sum() == pytest.approx(plan.cost_usd_per_hour)
    assert list(plan.stages.index) == ["detect", "read", "skip"]
    assert plan.stages.loc["detect", "replicas"] == plan.configuration["detect"].replicas
    assert (plan.status, plan.gap) == (plan.plan.status, plan.plan.gap)
    assert repr(plan).startswith("StudyPlan(small: $")
    assert "<table" in plan._repr_html_()


def test_a_plan_is_saved_as_plan_json_and_read_again(study, plan, tmp_path):
    plan.save(tmp_path / "plan.json")
    document = json.loads((tmp_path / "plan.json").read_text())
    assert document["cost_usd_per_hour"] == plan.cost_usd_per_hour
    assert set(document["inputs"]) == {"pipeline_sha256", "profiles_sha256", "trace_sha256"}
    assert study.read_configuration(tmp_path / "plan.json") == plan.configuration


def test_a_simulation_has_every_latency_and_nearest_rank_percentiles(study, plan):
    simulation = study.simulate(plan)
    ordered = np.sort(simulation.latency_s)
    assert ordered.shape == (1200,)
    assert simulation.percentile(99) == ordered[1187] == plan.predicted.p99_s
    assert simulation.percentile(100) == ordered[-1]
    assert simulation.attainment == np.mean(simulation.latency_s <= 0.1)
    assert simulation.miss_rate == pytest.approx(1 - simulation.attainment)
    assert (simulation.slo_met, simulation.cost_usd_per_hour) == (True, plan.cost_usd_per_hour)
    assert simulation.stages.equals(plan.stages)
    with pytest.raises(ValueError, match="read-only"):
        simulation.latency_s[0] = 0.0
    for wrong in (0, 100.1, math.nan, "x"):
        with pytest.raises(InputError, match="is not above 0"):
            simulation.percentile(wrong)


def test_plan_and_configuration_and_domain_plan_can_all_be_simulated(study, plan):
    first, *others = (study.simulate(each) for each in (plan, plan.plan, plan.configuration))
    assert all(np.array_equal(first.latency_s, other.latency_s) for other in others)
    assert repr(first) == repr(plan.simulate())


def test_what_does_not_fit_is_named_all_of_it(study):
    wrong = Configuration(
        {
            "detect": StageConfiguration(hardware="gpu-1", max_batch=1, replicas=1),
            "read": StageConfiguration(hardware="cpu", max_batch=2, replicas=1),
            "sing": StageConfiguration(hardware="cpu", max_batch=1, replicas=1),
        }
    )
    with pytest.raises(InputError) as raised:
        study.simulate(wrong)
    assert str(raised.value).splitlines() == [
        "no stage 'sing' in the pipeline",
        "stage 'detect': no hardware 'gpu-1'; it may use cpu",
        "stage 'read': maximum batch size 2; at most 1 is profiled",
        "stage 'skip' has no configuration",
    ]


def test_twice_the_traffic_is_the_same_queries_twice_as_fast(study, plan):
    busy = study.with_traffic(2)
    assert len(busy.trace) == len(study.trace)
    assert busy.trace.mean_qps == pytest.approx(2 * study.trace.mean_qps)
    assert busy.plan().cost_usd_per_hour > plan.cost_usd_per_hour
    assert busy.simulate(plan).percentile(99) > plan.predicted.p99_s
    assert set(busy.digests) == {"pipeline_sha256", "profiles_sha256"}
    for wrong in (0, -1, math.inf, math.nan, 1e-12, "2"):
        with pytest.raises(InputError, match="with_traffic"):
            study.with_traffic(wrong)


def test_the_slo_changes_by_latency_by_factor_and_by_percentile(study):
    assert study.with_slo("200ms").pipeline.slo.latency_ns == 200_000_000
    assert study.with_slo(factor=0.5).pipeline.slo.latency_ns == 50_000_000
    changed = study.with_slo(latency=0.25, percentile=99.9)
    assert (changed.pipeline.slo.latency_ns, str(changed.pipeline.slo.percentile)) == (250_000_000, "99.9")
    assert str(study.with_slo(percentile=95.0).pipeline.slo.percentile) == "95"
    assert study.pipeline.slo.latency_ns == 100_000_000
    assert set(changed.digests) == {"profiles_sha256", "trace_sha256"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency": "soon"},
        {"latency": 0},
        {"latency": "1s", "factor": 2},
        {"factor": 0},
        {"factor": 1e-9},
        {"percentile": 0},
        {"percentile": "many"},
    ],
)
def test_a_wrong_slo_is_refused(study, wrong):
    with pytest.raises(InputError):
        study.with_slo(**wrong)


def test_prices_are_texts_numbers_or_factors(study):
    def prices(changed):
        return [unit.price_nano_usd_per_hour for unit in changed.pipeline.hardware]

    assert prices(study) == [50_000_000, 500_000_000]
    assert prices(study.with_prices(cpu="$0.07/h")) == [70_000_000, 500_000_000]
    assert prices(study.with_prices({"gpu-1": "1.5x"}, cpu=0.06)) == [60_000_000, 750_000_000]
    assert prices(study.with_price_factor(accelerated=2)) == [50_000_000, 1_000_000_000]
    assert prices(study.with_price_factor(other=0.1)) == [5_000_000, 500_000_000]
    for wrong in ({"tpu": 1}, {"cpu": "x"}, {"cpu": "-1x"}, {"cpu": -1}, {"cpu": "1e9x"}):
        with pytest.raises(InputError):
            study.with_prices(wrong)
    with pytest.raises(UnitError):
        study.with_prices(cpu="cheap")


def test_dearer_accelerators_change_what_is_chosen_but_not_what_a_plan_does(study, plan):
    dear = study.with_price_factor(accelerated=100)
    assert set(dear.plan().stages["hardware"]) == {"cpu"}
    assert np.array_equal(dear.simulate(plan).latency_s, study.simulate(plan).latency_s)


def test_a_probability_changes_the_visits_and_keeps_the_routes_that_it_can(study, plan):
    fewer = study.with_probability("detect", "read", 0.1)
    assert fewer.simulate(plan).predicted.stages["read"].visits < plan.predicted.stages["read"].visits
    assert fewer.simulate(plan).predicted.stages["detect"].visits == 1200
    never = study.with_probability("detect", "read", 0)
    assert math.isnan(never.simulate(plan).stages.loc["read", "mean_batch"])
    with pytest.raises(InputError, match="no edge 'read' -> 'detect'; the edges are: 'detect' -> 'read'"):
        study.with_probability("read", "detect", 0.5)
    with pytest.raises(InputError, match=r"choice 'kind' sum to 1\.1; at most 1"):
        study.with_probability("detect", "read", 0.9)
    assert study.with_probability("detect", "read", 0.8).plan().predicted.slo_met
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="probability"):
            study.with_probability("detect", "read", wrong)


def test_what_cannot_be_met_is_raised_with_its_reason(study):
    with pytest.raises(InfeasibleError, match=r"stage 'detect' binds.*best reachable P99 is 40 ms"):
        study.with_slo("22ms").plan()
    with pytest.raises(InputError, match="planner 'best' is unknown; use "):
        study.plan("best")


def test_comparing_keeps_a_row_for_what_is_infeasible(study, plan):
    table = study.compare({"twice": study.with_traffic(2), "as planned": plan, "at once": study.with_slo("22ms")})
    assert list(table.index) == ["as it is", "twice", "as planned", "at once"]
    assert list(table["status"])[-1] == "infeasible"
    assert table.loc["as it is", "cost_usd_per_hour"] == table.loc["as planned", "cost_usd_per_hour"]
    assert table.loc["twice", "replicas detect"] > table.loc["as it is", "replicas detect"]
    assert str(table["replicas read"].dtype) == "Int64"
    assert table.loc["at once"].isna().sum() == len(table.columns) - 1
    assert plot_compare(table).svg().count("infeasible") == 1
    with pytest.raises(InputError, match="as it is"):
        study.compare({"as it is": study})
    alone = study.with_slo("22ms").compare({})
    assert "infeasible" in plot_compare(alone).svg()


def test_baselines_are_put_beside_each_other(study):
    table = study.baselines()
    assert list(table.index) == ["cg-mean", "cg-peak"]
    assert table.loc["cg-peak", "cost_usd_per_hour"] >= table.loc["cg-mean", "cost_usd_per_hour"]
    assert table.loc["cg-peak", "miss_rate"] <= table.loc["cg-mean", "miss_rate"]
    assert plot_compare(table).svg().startswith("<svg")


def test_pictures_show_themselves_and_are_the_same_every_time(study, plan, tmp_path):
    simulation = plan.simulate()
    for draw in (simulation.plot_latency, simulation.plot_budget, plan.plot_budget, study.plot_traffic):
        picture = draw()
        assert picture.svg() == draw().svg()
        assert "<metadata" not in picture.svg()
        assert picture._repr_png_() == draw()._repr_png_()
        picture.save(tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert "SLO 100 ms" in plan.plot_latency().svg()


def test_a_picture_of_latencies_that_are_all_late_still_shows_them(study, plan):
    assert "queries lie further right" in study.with_traffic(50).simulate(plan).plot_latency().svg()


def test_without_matplotlib_the_error_names_the_extra(plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'inferline\[notebook\]'"):
        plan.plot_budget()


def test_matplotlib_is_imported_with_the_first_picture_only():
    code = "import sys, inferline; inferline.load; print('matplotlib' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"
