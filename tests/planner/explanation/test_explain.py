"""Explanations: every figure is what an independent simulation says, and every claim holds by brute force."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from inferline.domain import Configuration, Edge, Hardware, Pipeline, Slo, Stage, StageConfiguration, Trace
from inferline.domain.slo import nearest_rank
from planner import Estimator, Infeasible, Problem, exact, make_plan, pose
from planner.budget import budgets
from planner.explanation.explain import ROWS, Explanation, explain
from planner.explanation.trials import Trial
from planner.variations import varied
from simulator import simulate
from tests.random_problems import profile, random_problem, whole_space

MS = 10**6
SEEDS = [1, 4, 7, 11, 18, 20]


def profiles_of(problem: Problem):
    """Return profiles of just what the problem offers, so that it can be posed again."""
    return {
        (stage.model, name): profile(
            stage.model, name, {size: int(option.latency_ns[size - 1]) / 1e9 for size in option.batch_sizes}
        )
        for stage in problem.pipeline.stages
        for name, option in problem.options[stage.name].items()
    }


def explained(problem: Problem, planner: str = "exact", survive: int = 0, **given):
    plan = make_plan(problem, planner, {}, survive=survive)
    assert not isinstance(plan, Infeasible)
    return plan, explain(problem, profiles_of(problem), plan, **given)


def reference(problem: Problem, configuration: Configuration) -> tuple[int, int]:
    """Return late queries and latency at the SLO's percentile, from the SimPy model and a plain sort."""
    latency = simulate(
        problem.network(configuration), problem.trace.arrival_ns, problem.routes, "reference"
    ).latency_ns
    rank = nearest_rank(problem.pipeline.slo.percentile, latency.size)
    return int((latency > problem.pipeline.slo.latency_ns).sum()), sorted(latency.tolist())[rank - 1]


def assert_true(problem: Problem, trial: Trial) -> None:
    assert (trial.late, trial.latency_ns) == reference(problem, trial.configuration)
    assert trial.cost_nano_usd_per_hour == trial.configuration.cost_nano_usd_per_hour(problem.pipeline)
    assert trial.slo_met == (trial.late <= problem.late_allowed)


def every_trial(found: Explanation) -> Iterator[Trial]:
    yield found.worst
    yield from (last.without for last in found.last_replica.values() if last.without is not None)
    yield from (trial for trials in found.batch_sizes.values() for trial in trials)
    yield from (each.trial for each in (*found.rejected, *found.also_good, *found.better))


def test_the_budget_follows_the_timeline():
    # a: 10 ms each, one at a time: 0-10, 10-20, 20-30. b: the first alone 10-30, the other two together 30-60.
    pipeline = Pipeline(
        name="chain",
        slo=Slo(latency_ns=100 * MS, percentile=Decimal(50)),
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
    problem = pose(pipeline, profiles, Trace(np.zeros(3, dtype=np.int64), 0))
    one = StageConfiguration(hardware="cpu", max_batch=1, replicas=1)
    configuration = Configuration({"a": one, "b": replace(one, max_batch=2)})
    result = simulate(problem.network(configuration), problem.trace.arrival_ns)
    spent = budgets(problem, configuration, result)
    # The slowest are the second and the third query, 60 ms each: waits of 10 and 20 at a, of 10 and 0 at b.
    a, b = spent["a"], spent["b"]
    assert (a.wait_ns, a.alone_ns, a.batching_ns, a.total_ns) == (15 * MS, 10 * MS, 0, 25 * MS)
    assert (b.wait_ns, b.alone_ns, b.batching_ns, b.total_ns) == (5 * MS, 20 * MS, 10 * MS, 35 * MS)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_figure_is_what_the_reference_simulation_says(seed):
    problem = random_problem(seed)
    plan, found = explained(problem)
    for trial in every_trial(found):
        assert_true(problem, trial)
    assert found.worst.configuration == plan.configuration
    assert sum(spent.total_ns for spent in found.stages.values()) == pytest.approx(found.mean_latency_ns)
    assert found.late_allowed == problem.late_allowed
    assert (found.left_out, found.tried >= len({each.configuration for each in every_trial(found)})) == (0, True)


@pytest.mark.parametrize("seed", SEEDS)
def test_rejected_neighbours_cost_no_more_and_are_late_the_nearest_first(seed):
    problem = random_problem(seed)
    plan, found = explained(problem)
    assert found.better == ()  # the plan is optimal
    assert found.rejected
    order = [(each.trial.late, each.trial.latency_ns) for each in found.rejected]
    assert order == sorted(order)
    assert len(order) <= ROWS
    paid = {tuple((c.hardware, c.replicas) for c in each.trial.configuration.values()) for each in found.rejected}
    assert len(paid) == len(order)
    for each in found.rejected:
        assert each.trial.late > problem.late_allowed
        assert each.trial.cost_nano_usd_per_hour <= plan.cost_nano_usd_per_hour
        assert not each.trial.configuration.exceeded_limits(problem.pipeline)
        assert 1 <= len(each.changed) <= 2
        assert each.trial.breaks is not None
        assert each.trial.breaks.wait_ns + each.trial.breaks.service_ns > 0
        for stage in problem.pipeline.stages:
            chosen = each.trial.configuration[stage.name]
            assert stage.min_replicas <= chosen.replicas <= stage.max_replicas
            assert (stage.name in each.changed) == (
                (chosen.hardware, chosen.replicas)
                != (plan.configuration[stage.name].hardware, plan.configuration[stage.name].replicas)
            )


def test_a_replica_less_is_tried_at_every_batch_size():
    problem = random_problem(4)
    plan, found = explained(problem)
    for name, last in found.last_replica.items():
        less = [each for each in found.rejected if each.changed == (name,) and _one_less(plan, each.trial, name)]
        if last.without is None or not less:
            continue
        sizes = problem.option(name, plan.configuration[name]).batch_sizes
        chosen = plan.configuration[name]
        late = [
            reference(
                problem,
                plan.configuration.with_stage(name, replace(chosen, max_batch=size, replicas=chosen.replicas - 1)),
            )
            for size in sizes
        ]
        assert less[0].trial.late <= min(late)[0]


def _one_less(plan, trial, name):
    return (
        trial.configuration[name].hardware == plan.configuration[name].hardware
        and trial.configuration[name].replicas == plan.configuration[name].replicas - 1
    )


def test_greedy_plans_are_told_what_they_missed():
    told = 0
    for seed in range(25):
        problem = random_problem(seed)
        plan = make_plan(problem, "greedy", {})
        if isinstance(plan, Infeasible):
            continue
        found = explain(problem, profiles_of(problem), plan, time_limit_s=0.0)
        for each in found.better:
            assert each.trial.cost_nano_usd_per_hour < plan.cost_nano_usd_per_hour
            assert Estimator(problem).feasible(each.trial.configuration)
            assert not each.trial.configuration.exceeded_limits(problem.pipeline)
            told += 1
    assert told > 0


def test_indispensable_replicas_are_so_by_brute_force():
    claimed = 0
    for seed in range(40):
        problem = random_problem(seed, stages=2, max_replicas=4, queries=120)
        plan = make_plan(problem, "exact", {})
        if isinstance(plan, Infeasible):
            continue
        found = explain(problem, profiles_of(problem), plan, time_limit_s=0.0)
        estimator = Estimator(problem)
        for name, last in found.last_replica.items():
            if not last.indispensable:
                continue
            claimed += 1
            hardware = plan.configuration[name].hardware
            assert not any(
                estimator.feasible(each)
                for each in whole_space(problem)
                if (each[name].hardware, each[name].replicas) == (hardware, last.replicas - 1)
            )
    assert claimed >= 5


def test_an_only_replica_cannot_be_taken_away_and_a_minimum_is_named():
    pipeline, profiles, trace = _steady()
    plan, found = _explained_pipeline(pipeline, profiles, trace)
    assert plan.configuration["a"].replicas == 1
    assert (found.last_replica["a"].removable, found.last_replica["a"].without) == (False, None)
    two = replace(pipeline, stages=(replace(pipeline.stages[0], min_replicas=2),))
    _, found = _explained_pipeline(two, profiles, trace)
    last = found.last_replica["a"]
    assert (last.replicas, last.removable, last.within_bounds, last.indispensable) == (2, True, False, False)
    assert last.without is not None
    assert last.without.slo_met


def _steady(gap_ms: int = 20):
    """Return one stage, 10 ms a query, and a query every 20 ms: one cpu is enough."""
    pipeline = Pipeline(
        name="steady",
        slo=Slo(latency_ns=15 * MS, percentile=Decimal(100)),
        stages=(Stage(name="a", model="a", hardware=("cpu",)),),
        hardware=(
            Hardware(name="cpu", price_nano_usd_per_hour=10),
            Hardware(name="old", price_nano_usd_per_hour=4),
        ),
    )
    profiles = {
        ("a", "cpu"): profile("a", "cpu", {1: 0.010, 4: 0.013}),
        ("a", "old"): profile("a", "old", {1: 0.014}),
    }
    return pipeline, profiles, Trace(np.arange(40) * gap_ms * MS, 40 * gap_ms * MS)


def _explained_pipeline(pipeline, profiles, trace, **given):
    problem = pose(pipeline, profiles, trace)
    plan = make_plan(problem, "exact", {})
    assert not isinstance(plan, Infeasible)
    return plan, explain(problem, profiles, plan, **given)


def _changed(pipeline, **stage):
    return replace(pipeline, stages=(replace(pipeline.stages[0], **stage),))


def test_each_constraint_says_what_its_least_step_back_would_save():
    pipeline, profiles, trace = _steady(gap_ms=2)
    seen = {}
    variants = {
        "as it is": pipeline,
        "kept to its minimum": _changed(pipeline, min_replicas=7),
        "capped": _changed(pipeline, max_batch=1),
        "limited": replace(
            _changed(pipeline, hardware=("cpu", "old")),
            hardware=(pipeline.hardware[0], replace(pipeline.hardware[1], limit=6)),
        ),
        "bounded": _changed(pipeline, hardware=("cpu", "old"), max_replicas=6),
    }
    for name, each in variants.items():
        plan, found = _explained_pipeline(each, profiles, trace)
        seen[name] = {relaxed.constraint.key: relaxed.verdict for relaxed in found.constraints}
        for relaxed in found.constraints:
            _check_relaxed(pose(each, profiles, trace), profiles, plan, relaxed)
    assert list(seen["as it is"]) == ["slo.latency", "slo.percentile", "stages.a.hardware"]
    assert seen["as it is"]["stages.a.hardware"] == "cheaper"
    assert seen["kept to its minimum"]["stages.a.replicas.min"] == "cheaper"
    assert "stages.a.max_batch" in seen["capped"]
    assert seen["limited"]["hardware.old.limit"] == "cheaper"
    assert seen["bounded"]["stages.a.replicas.max"] == "cheaper"


def _check_relaxed(problem, profiles, plan, relaxed):
    wider = varied(problem, profiles, pipeline=relaxed.constraint.pipeline)
    best = exact(Estimator(wider))
    assert not isinstance(best, Infeasible)
    cost = best.configuration.cost_nano_usd_per_hour(wider.pipeline)
    if relaxed.verdict == "cheaper":
        assert (relaxed.configuration, relaxed.cost_nano_usd_per_hour) == (best.configuration, cost)
        assert cost < plan.cost_nano_usd_per_hour
        assert reference(wider, best.configuration)[0] <= wider.late_allowed
    else:
        assert (relaxed.verdict, relaxed.configuration, cost) == ("nothing", None, plan.cost_nano_usd_per_hour)


@pytest.mark.parametrize("seed", SEEDS)
def test_verdicts_on_the_slo_are_those_of_the_exact_planner(seed):
    problem = random_problem(seed)
    plan, found = explained(problem)
    assert [each.constraint.key for each in found.constraints][:2] == ["slo.latency", "slo.percentile"]
    for relaxed in found.constraints:
        _check_relaxed(problem, profiles_of(problem), plan, relaxed)
    latency, percentile = (each.constraint for each in found.constraints[:2])
    assert (latency.used, latency.allowed) == (found.worst.latency_ns, problem.pipeline.slo.latency_ns)
    assert (percentile.used, percentile.allowed) == (found.worst.late, problem.late_allowed)
    assert percentile.pipeline.slo.allowance(len(problem.trace)) > problem.late_allowed


def test_a_cheaper_plan_that_needs_no_relaxing_is_not_blamed_on_the_constraint():
    verdicts = []
    for seed in range(30):
        problem = random_problem(seed)
        plan = make_plan(problem, "cg-peak", {})
        if not isinstance(plan, Infeasible):
            found = explain(problem, profiles_of(problem), replace(plan, planner="exact"))
            verdicts += [each.verdict for each in found.constraints]
    assert "unrelated" in verdicts


def test_without_time_or_allowance_it_says_what_was_left_out():
    problem = random_problem(7)
    plan, found = explained(problem, time_limit_s=0.0, most_visits=0)
    assert {each.verdict for each in found.constraints} == {"skipped"}
    assert found.rejected == ()
    assert found.tried == 1
    assert found.left_out > 0
    assert found.worst.configuration == plan.configuration
    removable = [last for last in found.last_replica.values() if last.removable]
    assert all(last.without is None for last in removable)


def test_time_is_shared_and_what_does_not_fit_is_said():
    problem = random_problem(7)
    instants = itertools.chain([0.0, 0.0, 0.0], itertools.repeat(100.0))
    _, found = explained(problem, time_limit_s=10.0, clock=lambda: next(instants))
    assert found.constraints[0].verdict in ("undecided", "cheaper", "nothing")
    assert {each.verdict for each in found.constraints[1:]} == {"skipped"}


def test_after_losses_the_worst_one_counts():
    checked = 0
    for seed in range(40):
        problem = random_problem(seed, max_replicas=6)
        plan = make_plan(problem, "exact", {}, survive=1)
        if isinstance(plan, Infeasible):
            continue
        found = explain(problem, profiles_of(problem), plan, time_limit_s=1.0)
        assert found.better == ()
        assert found.worst.slo_met
        assert found.constraints[2].constraint.key == "--survive"
        for trial in every_trial(found):
            left = [trial.configuration]
            for name, chosen in trial.configuration.items():
                assert chosen.replicas >= 2
                left.append(trial.configuration.with_stage(name, replace(chosen, replicas=chosen.replicas - 1)))
            late, at_ns = max(reference(problem, each) for each in left)
            assert (trial.late, trial.latency_ns) == (late, at_ns)
        for name, last in found.last_replica.items():
            assert last.removable == (plan.configuration[name].replicas > 2)
        checked += 1
        if checked == 3:
            return
    raise AssertionError("too few problems")
