"""Plans: their evidence, their bound, and the baselines as planners."""

from __future__ import annotations

import itertools

import pytest

from inferline.domain import Configuration, StageConfiguration
from planner import PLANNERS, Estimator, Infeasible, make_plan
from planner.bounds import lower_bound_nano_usd_per_hour
from tests.random_problems import random_problem


def test_a_plan_is_complete_and_the_same_every_time():
    problem = random_problem(1)
    plan, again = (make_plan(problem, "greedy", {"trace_sha256": "0"}) for _ in range(2))
    assert not isinstance(plan, Infeasible)
    assert plan == again
    assert plan.status == "feasible"
    assert plan.predicted.slo_met
    assert plan.models == {stage.name: stage.model for stage in problem.pipeline.stages}
    assert plan.lower_bound_nano_usd_per_hour <= plan.cost_nano_usd_per_hour
    assert 0 <= plan.gap < 1
    assert plan.envelope.max_queries[-1] <= len(problem.trace)
    assert list(plan.envelope.window_s) == sorted(plan.envelope.window_s)


def test_no_feasible_configuration_is_below_the_bound():
    tight = 0
    for seed in range(30):
        problem = random_problem(seed, stages=2, max_replicas=3)
        estimator = Estimator(problem)
        cheapest = cheapest_by_brute_force(estimator)
        if cheapest is not None:
            bound = lower_bound_nano_usd_per_hour(estimator)
            assert bound <= cheapest
            tight += bound == cheapest
    assert tight > 0


def cheapest_by_brute_force(estimator: Estimator) -> int | None:
    problem = estimator.problem
    spaces = [
        [
            StageConfiguration(hardware=option.hardware, max_batch=batch, replicas=replicas)
            for option in problem.options[stage.name].values()
            for batch in option.batch_sizes
            for replicas in range(stage.min_replicas, stage.max_replicas + 1)
        ]
        for stage in problem.pipeline.stages
    ]
    names = [stage.name for stage in problem.pipeline.stages]
    costs = []
    for chosen in itertools.product(*spaces):
        configuration = Configuration(dict(zip(names, chosen, strict=True)))
        if not configuration.exceeded_limits(problem.pipeline) and estimator.feasible(configuration):
            costs.append(configuration.cost_nano_usd_per_hour(problem.pipeline))
    return min(costs, default=None)


@pytest.mark.parametrize("planner", ["cg-mean", "cg-peak"])
def test_a_baseline_is_a_plan_only_when_it_meets_the_slo(planner):
    answers = set()
    for seed in range(40):
        problem = random_problem(seed)
        answer = make_plan(problem, planner, {})
        answers.add(type(answer))
        if isinstance(answer, Infeasible):
            assert not answer.proved or answer.best_latency_ns > problem.pipeline.slo.latency_ns
        else:
            assert answer.predicted.slo_met
            assert not answer.configuration.exceeded_limits(problem.pipeline)
    assert len(answers) == 2


def test_planners_have_the_names_of_the_command_line():
    assert set(PLANNERS) >= {"greedy", "cg-mean", "cg-peak"}
