"""Plans that survive: the SLO holds with any replica of any stage gone, and nothing cheaper does that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inferline.domain import Configuration, StageConfiguration
from inferline.files import load
from planner import Estimator, Found, Infeasible, Problem, exact, greedy, latency_ns, pose
from tests.random_problems import random_problem, whole_space

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/pipeline.yaml"))


def meets_slo(problem: Problem, configuration: Configuration) -> bool:
    late = np.count_nonzero(latency_ns(problem, configuration) > problem.pipeline.slo.latency_ns)
    return late <= problem.late_allowed


def without(configuration: Configuration, stage: str, lost: int) -> Configuration:
    chosen = configuration[stage]
    left = StageConfiguration(hardware=chosen.hardware, max_batch=chosen.max_batch, replicas=chosen.replicas - lost)
    return configuration.with_stage(stage, left)


def survives(problem: Problem, configuration: Configuration, lost: int) -> bool:
    return all(
        configuration[stage].replicas > fewer and meets_slo(problem, without(configuration, stage, fewer))
        for stage in configuration
        for fewer in range(1, lost + 1)
    )


def brute_force(problem: Problem, lost: int) -> int | None:
    for each in sorted(whole_space(problem), key=lambda each: each.cost_nano_usd_per_hour(problem.pipeline)):
        allowed = not each.exceeded_limits(problem.pipeline)
        if allowed and meets_slo(problem, each) and survives(problem, each, lost):
            return each.cost_nano_usd_per_hour(problem.pipeline)
    return None


@pytest.mark.parametrize("block", range(5))
def test_cost_equals_brute_force(block):
    found = 0
    for seed in range(block * 10, block * 10 + 10):
        problem = random_problem(seed, stages=2, hardware=2, max_replicas=4, queries=120)
        lost = 1 + seed % 2
        answer, cheapest = exact(Estimator(problem, survive=lost)), brute_force(problem, lost)
        if cheapest is None:
            assert isinstance(answer, Infeasible), seed
            continue
        assert isinstance(answer, Found), seed
        cost = answer.configuration.cost_nano_usd_per_hour(problem.pipeline)
        assert (cost, answer.lower_bound_nano_usd_per_hour) == (cheapest, cheapest), seed
        found += 1
    assert found >= 2


@pytest.mark.parametrize("seed", range(20))
def test_both_planners_survive_on_longer_pipelines(seed):
    problem = random_problem(seed, stages=4, hardware=3, max_replicas=6)
    for search in (greedy, exact):
        answer = search(Estimator(problem, survive=1))
        if isinstance(answer, Infeasible):
            continue
        configuration = answer.configuration if isinstance(answer, Found) else answer
        assert meets_slo(problem, configuration)
        assert survives(problem, configuration, 1)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_survives_any_one_replica(example):
    inputs = load(example)
    problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)
    answer = exact(Estimator(problem, survive=1), time_limit_s=20)
    assert isinstance(answer, Found)
    assert meets_slo(problem, answer.configuration)
    for stage in answer.configuration:
        assert meets_slo(problem, without(answer.configuration, stage, 1)), stage
