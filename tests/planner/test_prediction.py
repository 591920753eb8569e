"""What a prediction says, on timelines short enough to follow by hand."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from inferline.domain import Configuration, Edge, Hardware, Pipeline, Slo, Stage, StageConfiguration, Trace
from planner import Problem, latency_ns, measure, pose
from tests.random_problems import profile, random_problem

MS = 10**6


def chain(arrivals_ms: list[int], slo_ms: int, percentile: int = 100) -> tuple[Problem, Configuration]:
    """Return two stages in a row, 10 ms and 20 ms a query, one replica each, batches up to 2."""
    pipeline = Pipeline(
        name="chain",
        slo=Slo(latency_ns=slo_ms * MS, percentile=Decimal(percentile)),
        stages=(
            Stage(name="a", model="a", hardware=("cpu",)),
            Stage(name="b", model="b", hardware=("cpu",), parents=(Edge(parent="a"),)),
        ),
        hardware=(Hardware(name="cpu", price_nano_usd_per_hour=1),),
    )
    profiles = {
        ("a", "cpu"): profile("a", "cpu", {1: 0.010}),
        ("b", "cpu"): profile("b", "cpu", {1: 0.020, 2: 0.030}),
    }
    arrivals = np.array(arrivals_ms, dtype=np.int64) * MS
    problem = pose(pipeline, profiles, Trace(arrivals, int(arrivals[-1])))
    one = StageConfiguration(hardware="cpu", max_batch=1, replicas=1)
    two = StageConfiguration(hardware="cpu", max_batch=2, replicas=1)
    return problem, Configuration({"a": one, "b": two})


def test_figures_follow_the_timeline():
    # a: 0-10, 10-20, 20-30; b: the first alone 10-30, then the other two together 30-60.
    problem, configuration = chain([0, 0, 0], slo_ms=50)
    predicted = measure(problem, configuration)
    assert latency_ns(problem, configuration).tolist() == [30 * MS, 60 * MS, 60 * MS]
    assert (predicted.p50_s, predicted.p99_s, predicted.at_slo_percentile_s) == (0.06, 0.06, 0.06)
    assert (predicted.slo_met, predicted.slo_attainment, predicted.queries) == (False, pytest.approx(1 / 3), 3)
    a, b = predicted.stages["a"], predicted.stages["b"]
    assert (a.utilisation, b.utilisation) == (0.5, pytest.approx(50 / 60))
    assert (a.mean_batch, b.mean_batch) == (1.0, 1.5)
    assert (a.wait_p99_s, a.wait_mean_s) == (0.02, pytest.approx(0.01))
    assert (b.wait_p99_s, b.service_p99_s) == (0.01, 0.03)


def test_the_budget_is_that_of_the_slowest_queries():
    # The two slowest take 60 ms each: waits of 10 + 20 at a, 10 + 0 at b; services of 10 and 30.
    problem, configuration = chain([0, 0, 0], slo_ms=100)
    predicted = measure(problem, configuration)
    a, b = predicted.stages["a"], predicted.stages["b"]
    assert (a.budget_wait, a.budget_service) == (pytest.approx(0.15), pytest.approx(0.10))
    assert (b.budget_wait, b.budget_service) == (pytest.approx(0.05), pytest.approx(0.30))


@pytest.mark.parametrize("block", range(4))
def test_budgets_add_up_to_the_latency_of_the_slowest(block):
    for seed in range(block * 25, block * 25 + 25):
        problem = random_problem(seed, stages=2 + seed % 4)
        configuration = Configuration(
            {
                name: StageConfiguration(hardware=option.hardware, max_batch=option.batch_sizes[-1], replicas=2)
                for name, options in problem.options.items()
                for option in [next(iter(options.values()))]
            }
        )
        predicted = measure(problem, configuration)
        latency = latency_ns(problem, configuration)
        slowest = latency[latency >= round(predicted.at_slo_percentile_s * 1e9)]
        spent = sum(stage.budget_wait + stage.budget_service for stage in predicted.stages.values())
        assert spent == pytest.approx(slowest.mean() / problem.pipeline.slo.latency_ns)


def test_both_engines_predict_the_same():
    problem, configuration = chain([0, 3, 3, 8, 20, 21, 22], slo_ms=80, percentile=50)
    assert measure(problem, configuration, "kernel") == measure(problem, configuration, "reference")


def test_a_stage_without_visits_has_zeros():
    pipeline = Pipeline(
        name="branch",
        slo=Slo(latency_ns=50 * MS, percentile=Decimal(99)),
        stages=(
            Stage(name="a", model="m", hardware=("cpu",)),
            Stage(name="b", model="m", hardware=("cpu",), parents=(Edge(parent="a", probability=0.0),)),
        ),
        hardware=(Hardware(name="cpu", price_nano_usd_per_hour=1),),
    )
    problem = pose(pipeline, {("m", "cpu"): profile("m", "cpu", {1: 0.01})}, Trace(np.zeros(4, dtype=np.int64), 0))
    one = StageConfiguration(hardware="cpu", max_batch=1, replicas=4)
    stage = measure(problem, Configuration({"a": one, "b": one})).stages["b"]
    assert (stage.visits, stage.utilisation, stage.mean_batch, stage.wait_p99_s, stage.budget_service) == (
        0,
        0,
        0,
        0,
        0,
    )
