"""CG-Mean and CG-Peak, on numbers small enough to check by hand."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from inferline.domain import Configuration, Edge, Hardware, Pipeline, Slo, Stage, StageConfiguration, Trace
from planner import Problem, baselines, coarse, pose
from planner.coarse import provisioned_qps
from tests.random_problems import profile


def two_stages(slo_ms: int, probability: float = 1.0) -> Problem:
    """Return a fast and a slow stage: 100 queries/s at batch 1, 400 and 200 at batch 4; 10 queries/s on average."""
    pipeline = Pipeline(
        name="two",
        slo=Slo(latency_ns=slo_ms * 10**6, percentile=Decimal(99)),
        stages=(
            Stage(name="a", model="fast", hardware=("gpu", "cpu")),
            Stage(name="b", model="slow", hardware=("gpu",), parents=(Edge(parent="a", probability=probability),)),
        ),
        hardware=(
            Hardware(name="cpu", price_nano_usd_per_hour=1 * 10**9),
            Hardware(name="gpu", price_nano_usd_per_hour=3 * 10**9),
        ),
    )
    profiles = {
        ("fast", "cpu"): profile("fast", "cpu", {1: 0.1}),
        ("fast", "gpu"): profile("fast", "gpu", {1: 0.010, 4: 0.010}),
        ("slow", "gpu"): profile("slow", "gpu", {1: 0.010, 4: 0.020}),
    }
    # 100 queries in 10 s; 40 of them within 100 ms.
    arrivals = np.concatenate([np.linspace(0, 5e9, 30), np.linspace(6e9, 6.09e9, 40), np.linspace(7e9, 10e9, 30)])
    return pose(pipeline, profiles, Trace(arrivals.astype(np.int64), 10 * 10**9))


def test_rates_are_the_mean_and_the_peak_in_windows_of_the_slo():
    problem = two_stages(100)
    assert provisioned_qps(problem, "mean") == 10.0
    assert provisioned_qps(problem, "peak") == 400.0


def test_the_box_is_on_the_fastest_hardware_at_the_batch_that_costs_least():
    problem = two_stages(100)
    for rate, replicas in (("mean", 1), ("peak", 2)):  # one box serves 200 queries/s at batch 4
        box = StageConfiguration(hardware="gpu", max_batch=4, replicas=replicas)
        assert coarse(problem, rate) == Configuration({"a": box, "b": box})


def test_batches_whose_unloaded_latency_misses_the_slo_are_not_used():
    configuration = coarse(two_stages(25), "mean")
    assert {stage.max_batch for stage in configuration.values()} == {1}


def test_when_no_batch_fits_the_slo_the_smallest_is_used():
    assert {stage.max_batch for stage in coarse(two_stages(15), "mean").values()} == {1}


def test_a_stage_counts_with_its_share_of_the_visits():
    problem = two_stages(100, probability=0.3)
    share = problem.visits["b"] / 100
    assert 0.1 < share < 0.5
    # Stage a alone limits the box then: 400 queries/s.
    assert coarse(problem, "peak")["b"].replicas == 1


def test_baselines_come_with_their_own_miss_rate():
    mean, peak = baselines(two_stages(60))
    assert (mean.name, peak.name) == ("cg-mean", "cg-peak")
    assert mean.cost_nano_usd_per_hour < peak.cost_nano_usd_per_hour
    assert mean.predicted.miss_rate > peak.predicted.miss_rate
