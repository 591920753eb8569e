"""Plans: their evidence, their bound, and the baselines as planners."""

from __future__ import annotations

import pytest

from planner import PLANNERS, Infeasible, make_plan
from tests.random_problems import random_problem


@pytest.mark.parametrize("planner", ["exact", "greedy"])
def test_a_plan_is_complete_and_the_same_every_time(planner):
    problem = random_problem(1)
    plan, again = (make_plan(problem, planner, {"trace_sha256": "0"}) for _ in range(2))
    assert not isinstance(plan, Infeasible)
    assert plan == again
    assert plan.status == ("optimal" if planner == "exact" else "feasible")
    assert plan.predicted.slo_met
    assert plan.models == {stage.name: stage.model for stage in problem.pipeline.stages}
    assert plan.lower_bound_nano_usd_per_hour <= plan.cost_nano_usd_per_hour
    assert 0 <= plan.gap < 1
    assert plan.envelope.max_queries[-1] <= len(problem.trace)
    assert list(plan.envelope.window_s) == sorted(plan.envelope.window_s)


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
    assert set(PLANNERS) == {"exact", "greedy", "cg-mean", "cg-peak"}
