"""The exact planner equals brute force, whatever the pipeline looks like."""

from __future__ import annotations

import pytest

from planner import Estimator, Found, Infeasible, Problem, exact, greedy
from planner.relaxation import Relaxation
from tests.random_problems import random_problem, whole_space


def brute_force(problem: Problem) -> int | None:
    """Return the least cost over the whole declared space, by trying it in order of cost; None if none will do."""
    estimator = Estimator(problem)
    costed = sorted(
        (
            (each.cost_nano_usd_per_hour(problem.pipeline), place, each)
            for place, each in enumerate(whole_space(problem))
        ),
        key=lambda entry: entry[:2],
    )
    for cost, _, configuration in costed:
        if not configuration.exceeded_limits(problem.pipeline) and estimator.feasible(configuration):
            return cost
    return None


def small(seed: int) -> Problem:
    """Return a problem whose whole space can be searched: 2 stages wide open, or 3 narrower ones."""
    if seed % 2:
        return random_problem(seed, stages=2, hardware=3, max_replicas=4, queries=120)
    return random_problem(seed, stages=3, hardware=2, max_replicas=2, queries=120)


@pytest.mark.parametrize("block", range(20))
def test_cost_equals_brute_force(block):
    proved = refuted = 0
    for seed in range(block * 30, block * 30 + 30):
        problem = small(seed)
        answer, cheapest = exact(Estimator(problem)), brute_force(problem)
        if cheapest is None:
            assert isinstance(answer, Infeasible), seed
            assert answer.proved
            refuted += 1
        else:
            assert isinstance(answer, Found), seed
            cost = answer.configuration.cost_nano_usd_per_hour(problem.pipeline)
            assert (cost, answer.lower_bound_nano_usd_per_hour) == (cheapest, cheapest), seed
            assert Estimator(problem).feasible(answer.configuration)
            assert not answer.configuration.exceeded_limits(problem.pipeline)
            proved += 1
    assert proved >= 10


def test_the_root_bound_is_below_brute_force_and_sometimes_equal():
    equal = 0
    for seed in range(200, 260):
        problem = small(seed)
        cheapest = brute_force(problem)
        bound = Relaxation(problem).bound_nano_usd_per_hour((None,) * len(problem.options))
        if cheapest is not None:
            assert bound is not None
            assert bound <= cheapest
            equal += bound == cheapest
    assert equal > 0


@pytest.mark.parametrize("seed", range(30))
def test_it_is_never_dearer_than_greedy_and_the_same_on_any_number_of_threads(seed):
    problem = random_problem(seed, stages=4, hardware=3, max_replicas=5)
    answers = [exact(Estimator(problem, threads=threads)) for threads in (1, 2, 3)]
    assert answers[0] == answers[1] == answers[2]
    start = greedy(Estimator(problem))
    if not isinstance(start, Infeasible):
        assert isinstance(answers[0], Found)
        cost = answers[0].configuration.cost_nano_usd_per_hour(problem.pipeline)
        assert cost <= start.cost_nano_usd_per_hour(problem.pipeline)


def test_out_of_time_it_returns_the_greedy_plan_with_a_true_bound():
    compared = 0
    for seed in range(40):
        problem = random_problem(seed, stages=3, hardware=3)
        whole = exact(Estimator(problem))
        cut = exact(Estimator(problem), time_limit_s=0.0)
        if isinstance(whole, Found) and isinstance(cut, Found):
            cost = whole.configuration.cost_nano_usd_per_hour(problem.pipeline)
            assert cut.lower_bound_nano_usd_per_hour <= cost
            assert cut.configuration.cost_nano_usd_per_hour(problem.pipeline) >= cost
            compared += 1
    assert compared > 10


def test_an_interrupt_gives_the_best_so_far():
    problem = random_problem(29, stages=6, hardware=3, max_replicas=30, queries=5000)
    calls = []

    def interrupt(step):
        calls.append(step)
        if step.action == "prove":
            raise KeyboardInterrupt

    answer = exact(Estimator(problem), observe=interrupt)
    assert isinstance(answer, Found)
    assert answer.interrupted
    assert Estimator(problem).feasible(answer.configuration)
    assert calls[-1].action == "prove"
