"""The greedy planner: its steps, its local optimum, and its refusals."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from inferline.domain import Configuration, Edge, Hardware, Pipeline, Slo, Stage, StageConfiguration, Trace
from planner import Estimator, Infeasible, Problem, greedy, pose
from planner.actions import actions
from planner.greedy import initialise, minimise_cost
from tests.random_problems import profile, random_problem


def one_stage(
    *,
    slo_ms: int,
    arrivals_ms: list[int],
    rows: dict[str, dict[int, float]],
    prices: dict[str, int],
    limit: int | None = None,
    max_replicas: int = 10,
) -> Problem:
    hardware = tuple(
        Hardware(name=name, price_nano_usd_per_hour=price * 10**9, limit=limit) for name, price in prices.items()
    )
    pipeline = Pipeline(
        name="one",
        slo=Slo(latency_ns=slo_ms * 10**6, percentile=Decimal(100)),
        stages=(Stage(name="s", model="m", hardware=tuple(prices), max_replicas=max_replicas),),
        hardware=hardware,
    )
    profiles = {("m", name): profile("m", name, by_batch) for name, by_batch in rows.items()}
    arrivals = np.array(arrivals_ms, dtype=np.int64) * 10**6
    return pose(pipeline, profiles, Trace(arrivals, int(arrivals[-1])))


def walk(problem: Problem) -> tuple[list[tuple[str, tuple[str, int, int]]], Configuration | Infeasible]:
    steps = []

    def observe(step):
        chosen = step.configuration["s"]
        steps.append((step.action, (chosen.hardware, chosen.max_batch, chosen.replicas)))

    return steps, greedy(Estimator(problem), observe)


def test_steps_on_one_stage_are_those_of_the_paper():
    # Four queries at once, 10 ms each, within 20 ms: two replicas at batch 1, or one with batches of 4.
    problem = one_stage(
        slo_ms=20, arrivals_ms=[0, 0, 0, 0], rows={"gpu": {1: 0.010, 2: 0.012, 4: 0.018}}, prices={"gpu": 2}
    )
    steps, answer = walk(problem)
    assert steps == [
        ("initialise", ("gpu", 1, 2)),
        ("IncreaseBatch", ("gpu", 2, 2)),
        ("IncreaseBatch", ("gpu", 4, 2)),
        ("RemoveReplica", ("gpu", 4, 1)),
    ]
    assert answer == Configuration({"s": StageConfiguration(hardware="gpu", max_batch=4, replicas=1)})


def test_hardware_is_downgraded_when_that_is_cheaper():
    problem = one_stage(
        slo_ms=100,
        arrivals_ms=[0, 1000, 2000],
        rows={"gpu": {1: 0.010}, "cpu": {1: 0.090}},
        prices={"gpu": 5, "cpu": 1},
    )
    steps, answer = walk(problem)
    assert steps == [("DowngradeHardware", ("cpu", 1, 1))]
    assert not isinstance(answer, Infeasible)


def test_hardware_stays_when_many_cheap_units_cost_more():
    problem = one_stage(
        slo_ms=100,
        arrivals_ms=[0, 0, 0, 0, 0, 0],
        rows={"gpu": {1: 0.010}, "cpu": {1: 0.090}},
        prices={"gpu": 5, "cpu": 1},
    )
    assert walk(problem) == ([], Configuration({"s": StageConfiguration(hardware="gpu", max_batch=1, replicas=1)}))


def test_a_stage_at_its_bound_grows_its_batch_and_then_changes_its_hardware():
    problem = one_stage(
        slo_ms=30,
        arrivals_ms=[0] * 6,
        rows={"fast": {1: 0.010, 2: 0.020}, "slow": {1: 0.012, 8: 0.028}},
        prices={"fast": 1, "slow": 1},
        max_replicas=1,
    )
    steps, answer = walk(problem)
    assert steps[-1] == ("initialise", ("slow", 8, 1))
    assert ("initialise", ("fast", 2, 1)) in steps
    assert not isinstance(answer, Infeasible)


def test_an_slo_below_the_service_time_is_refused_with_a_proof():
    problem = one_stage(slo_ms=5, arrivals_ms=[0, 10], rows={"gpu": {1: 0.010}}, prices={"gpu": 1})
    _, answer = walk(problem)
    assert isinstance(answer, Infeasible)
    assert (answer.stage, answer.best_latency_ns, answer.proved) == ("s", 10_000_000, True)
    assert "stage 's' binds" in answer.sentence(problem)
    assert "best reachable P100 is 10 ms" in answer.sentence(problem)


def test_too_few_replicas_are_refused_with_the_latency_that_they_reach():
    problem = one_stage(
        slo_ms=15, arrivals_ms=[0, 0, 0, 0], rows={"gpu": {1: 0.010}}, prices={"gpu": 1}, max_replicas=2
    )
    _, answer = walk(problem)
    assert isinstance(answer, Infeasible)
    assert (answer.stage, answer.best_latency_ns, answer.proved) == ("s", 20_000_000, False)


def test_hardware_limits_are_kept():
    problem = one_stage(slo_ms=15, arrivals_ms=[0, 0, 0, 0], rows={"gpu": {1: 0.010}}, prices={"gpu": 1}, limit=3)
    assert isinstance(walk(problem)[1], Infeasible)


@pytest.mark.parametrize("block", range(6))
def test_it_ends_feasible_within_bounds_where_no_single_action_helps(block):
    planned = 0
    for seed in range(block * 25, block * 25 + 25):
        problem = random_problem(seed, stages=2 + seed % 4)
        estimator = Estimator(problem)
        answer = greedy(estimator)
        if isinstance(answer, Infeasible):
            continue
        planned += 1
        assert estimator.feasible(answer)
        assert not answer.exceeded_limits(problem.pipeline)
        cost = answer.cost_nano_usd_per_hour(problem.pipeline)
        for stage in problem.pipeline.stages:
            assert stage.min_replicas <= answer[stage.name].replicas <= stage.max_replicas
            for action in actions(estimator, answer, stage.name):
                reached = action.search()
                if reached is not None:
                    assert reached.cost_nano_usd_per_hour(problem.pipeline) >= action.least_cost_nano_usd
                    assert reached.cost_nano_usd_per_hour(problem.pipeline) >= cost
                    assert action.name != "IncreaseBatch"
    assert planned >= 10


def test_threads_change_nothing():
    for seed in range(40):
        problem = random_problem(seed, stages=4)
        assert greedy(Estimator(problem, threads=1)) == greedy(Estimator(problem, threads=3))


def test_trying_actions_in_order_of_cost_equals_trying_all():
    for seed in range(60):
        problem = random_problem(seed, stages=3)
        estimator = Estimator(problem)
        start = initialise(estimator)
        if isinstance(start, Infeasible):
            continue
        path: list[Configuration] = []
        minimise_cost(estimator, start, lambda step, path=path: path.append(step.configuration))
        current = start
        for step in path:
            assert step == exhaustive_step(estimator, current)
            current = step
        assert exhaustive_step(estimator, current) is None


def exhaustive_step(estimator: Estimator, current: Configuration) -> Configuration | None:
    """Return the best of all actions, every one of them searched."""
    pipeline = estimator.problem.pipeline
    cost = current.cost_nano_usd_per_hour(pipeline)
    ranked = []
    place = 0
    for stage in pipeline.stages:
        price = pipeline.unit(current[stage.name].hardware).price_nano_usd_per_hour
        for action in actions(estimator, current, stage.name):
            reached = action.search()
            if reached is not None:
                reached_cost = reached.cost_nano_usd_per_hour(pipeline)
                if reached_cost < cost or (reached_cost == cost and action.name == "IncreaseBatch"):
                    ranked.append(((reached_cost, -price * current[stage.name].replicas, place), reached))
            place += 1
    return min(ranked, key=lambda each: each[0])[1] if ranked else None


def test_a_branch_that_is_never_taken_needs_the_least_of_everything():
    pipeline = Pipeline(
        name="branch",
        slo=Slo(latency_ns=50 * 10**6, percentile=Decimal(99)),
        stages=(
            Stage(name="a", model="m", hardware=("gpu",)),
            Stage(name="b", model="m", hardware=("gpu",), parents=(Edge(parent="a", probability=0.0),)),
        ),
        hardware=(Hardware(name="gpu", price_nano_usd_per_hour=10**9),),
    )
    problem = pose(pipeline, {("m", "gpu"): profile("m", "gpu", {1: 0.01})}, Trace(np.zeros(4, dtype=np.int64), 0))
    answer = greedy(Estimator(problem))
    assert not isinstance(answer, Infeasible)
    assert answer["b"] == StageConfiguration(hardware="gpu", max_batch=1, replicas=1)
