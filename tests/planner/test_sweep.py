"""Sweeps: each point is the plan of its own problem, and cost falls as the SLO is loosened."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import Plan
from planner import Infeasible, Step, latency_ns, make_plan
from planner.sweep import SWEEPS, geometric, sweep
from planner.variations import with_latency, with_percentile, with_rate
from tests.planner.explanation.test_explain import profiles_of
from tests.random_problems import random_problem


def decimals(*texts: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(text) for text in texts)


def test_values_are_spread_evenly_for_what_they_are():
    slo, rate, percentile = (SWEEPS[name].spread for name in ("slo", "rate", "percentile"))
    assert slo(*decimals("0.1", "1"), 4) == decimals("0.1", "0.215", "0.464", "1")
    assert slo(*decimals("1", "0.1"), 4) == decimals("1", "0.464", "0.215", "0.1")
    assert rate(*decimals("0.5", "2"), 5) == decimals("0.5", "0.707", "1", "1.41", "2")
    assert percentile(*decimals("90", "99.99"), 4) == decimals("90", "99", "99.9", "99.99")
    assert percentile(*decimals("50", "99"), 2) == decimals("50", "99")


def test_values_of_a_narrow_range_stay_apart_and_whole():
    values = SWEEPS["slo"].spread(*decimals("0.1", "0.1001"), 8)
    assert len(values) == 8
    assert list(values) == sorted(values)
    assert SWEEPS["slo"].spread(*decimals("1e-9", "3e-9"), 8) == decimals("1e-9", "2e-9", "3e-9")


@given(
    first=st.decimals("0.001", "1000", places=4),
    last=st.decimals("0.001", "1000", places=4),
    points=st.integers(2, 40),
)
def test_geometric_values_run_from_end_to_end(first, last, points):
    values = geometric(first, last, points)
    assert (values[0], values[-1]) == (first, last)
    assert len(values) <= points
    assert list(values) == sorted(values, reverse=first > last)
    assert len(set(values)) == len(values)


def points_of(problem, name, values, planner="exact", **given_):
    return list(sweep(problem, profiles_of(problem), SWEEPS[name], values, planner, **given_))


@pytest.mark.parametrize("seed", [3, 5, 8])
@pytest.mark.parametrize(
    ("name", "values", "vary"),
    [
        ("slo", decimals("0.02", "0.05", "0.2"), lambda p, profiles, v: with_latency(p, profiles, int(v * 10**9))),
        ("rate", decimals("0.5", "2"), lambda p, profiles, v: with_rate(p, profiles, float(v))),
        ("percentile", decimals("80", "99.5"), with_percentile),
    ],
)
def test_each_point_is_the_plan_of_its_own_problem(seed, name, values, vary):
    problem = random_problem(seed)
    points = points_of(problem, name, values)
    assert tuple(point.value for point in points) == values
    for point in points:
        varied = vary(problem, profiles_of(problem), point.value)
        assert point.answer == make_plan(varied, "exact", {})
        if isinstance(point.answer, Plan):
            late = int((latency_ns(varied, point.answer.configuration) > varied.pipeline.slo.latency_ns).sum())
            assert late <= varied.late_allowed
            assert point.answer.predicted.slo_met
    assert {edge: mask.tolist() for edge, mask in varied.routes.items()} == {
        edge: mask.tolist() for edge, mask in problem.routes.items()
    }


@given(seed=st.integers(0, 10_000), shape=st.sampled_from([(2, 3), (3, 2), (4, 2)]))
@settings(max_examples=40, deadline=None)
def test_proved_costs_never_rise_as_the_slo_gets_looser(seed, shape):
    problem = random_problem(seed, stages=shape[0], hardware=shape[1], queries=120)
    cheapest = None
    for point in points_of(problem, "slo", geometric(*decimals("0.005", "0.3"), 5)):
        if isinstance(point.answer, Infeasible):
            # Once a plan is possible, a looser SLO has one, too.
            assert cheapest is None
        elif point.answer.status == "optimal":
            cost = point.answer.cost_nano_usd_per_hour
            assert cheapest is None or cost <= cheapest
            cheapest = cost


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_proved_costs_never_fall_as_the_percentile_rises(seed):
    problem = random_problem(seed, queries=120)
    dearest, possible = 0, True
    for point in points_of(problem, "percentile", decimals("50", "80", "95", "99.9")):
        if isinstance(point.answer, Infeasible):
            possible = False
            continue
        assert possible
        assert point.answer.status == "optimal"
        assert point.answer.cost_nano_usd_per_hour >= dearest
        dearest = point.answer.cost_nano_usd_per_hour


def test_an_infeasible_point_is_a_point_with_its_reason():
    problem = random_problem(3)
    first, *_, last = points_of(problem, "slo", geometric(*decimals("0.0001", "0.5"), 3))
    assert isinstance(first.answer, Infeasible)
    assert first.answer.proved
    assert first.answer.stage in problem.options
    assert isinstance(last.answer, Plan)


def test_progress_tells_the_point_and_every_step():
    told: list[tuple[int, Step | None]] = []
    problem = random_problem(3)
    points_of(problem, "rate", decimals("0.5", "1"), "greedy", observe=lambda place, step: told.append((place, step)))
    assert [place for place, step in told if step is None] == [0, 1]
    assert [place for place, _ in told] == sorted(place for place, _ in told)
    assert any(step is not None and step.action == "initialise" for _, step in told)


def test_after_an_interrupt_nothing_follows():
    problem = random_problem(29, stages=6, hardware=3, max_replicas=30, queries=5000)

    def interrupt(place, step):
        if step is not None and step.action == "prove" and place == 1:
            raise KeyboardInterrupt

    points = points_of(problem, "rate", decimals("0.2", "1", "2"), time_limit_s=0.3, observe=interrupt)
    assert [point.interrupted for point in points] == [False, True]
    assert isinstance(points[1].answer, Plan)
    assert points[1].answer.status == "feasible"
