"""Transitions: in which order what changes, and what it costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import Configuration, Pipeline, StageConfiguration
from planner import Problem
from planner.transitions.transition import Transition, plan_transition
from tests.planner.transitions.chains import SPEED, S, posed, running


def told(transition: Transition) -> list[str]:
    """Return the steps as sentences."""
    lines = []
    for step in transition.steps:
        idle = "" if step.serving else " idle"
        forced = " FORCED" if step.forced else ""
        if step.kind == "switch":
            lines.append(
                f"switch {step.stage} {step.from_hardware} {step.from_replicas} -> {step.hardware} {step.replicas}"
                f" batch {step.from_batch} -> {step.max_batch}"
            )
        elif step.kind == "batch":
            lines.append(f"batch {step.stage} {step.from_batch} -> {step.max_batch} with {step.replicas}")
        else:
            lines.append(
                f"{step.kind} {step.stage} {step.hardware} {step.from_replicas} -> {step.replicas}{idle}{forced}"
            )
    return lines


def test_what_adds_comes_first_one_hardware_at_a_time_and_last_stage_first():
    problem = posed(("a", "b", "c", "d"))
    old = running(a=("slow", 2), b=("mid", 1), c=("slow", 1), d=("mid", 5))
    new = running(a=("slow", 4), b=("mid", 2), c=("slow", 3), d=("mid", 2))
    transition = plan_transition(problem, old, new)
    assert told(transition) == [
        "add c slow 1 -> 3",
        "add a slow 2 -> 4",
        "add b mid 1 -> 2",
        "remove d mid 5 -> 2",
    ]
    assert transition.limited == ()
    other = plan_transition(problem, old, new, hardware_order=("mid",))
    assert told(other)[0] == "add b mid 1 -> 2"
    assert other.hardware_order == ("mid", "slow", "fast")


def test_new_hardware_stands_by_until_all_of_it_is_there_then_takes_over_then_the_old_goes():
    transition = plan_transition(posed(), running(a=("slow", 3, 4)), running(a=("fast", 2, 2)))
    assert told(transition) == [
        "add a fast 0 -> 2 idle",
        "switch a slow 3 -> fast 2 batch 4 -> 2",
        "remove a slow 3 -> 0 idle",
    ]
    both, alone = 3 * 2_500_000_000 + 2 * 10 * S, 2 * 10 * S
    assert [step.cost_nano_usd_per_hour for step in transition.steps] == [both, both, alone]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("first", ["batch b 1 -> 4 with 3", "add a slow 1 -> 2", "remove b mid 3 -> 1"]),
        ("between", ["add a slow 1 -> 2", "batch b 1 -> 4 with 3", "remove b mid 3 -> 1"]),
        ("last", ["add a slow 1 -> 2", "remove b mid 3 -> 1", "batch b 1 -> 4 with 1"]),
    ],
)
def test_a_change_of_batch_size_is_a_step_of_its_own(place, expected):
    old, new = running(a=("slow", 1), b=("mid", 3, 1)), running(a=("slow", 2), b=("mid", 1, 4))
    assert told(plan_transition(posed(("a", "b")), old, new, batch_places={"b": place})) == expected


def test_nothing_to_change_is_no_step():
    assert plan_transition(posed(), running(a=("mid", 2)), running(a=("mid", 2))).steps == ()


def test_a_limit_lets_a_stage_leave_before_the_next_one_comes():
    problem = posed(("a", "b"), limits={"fast": 3})
    old, new = running(a=("fast", 3), b=("slow", 2)), running(a=("slow", 1), b=("fast", 3))
    transition = plan_transition(problem, old, new)
    assert told(transition) == [
        "add a slow 0 -> 1 idle",
        "switch a fast 3 -> slow 1 batch 1 -> 1",
        "remove a fast 3 -> 0 idle",
        "add b fast 0 -> 3 idle",
        "switch b slow 2 -> fast 3 batch 1 -> 1",
        "remove b slow 2 -> 0 idle",
    ]
    assert transition.limited == ("fast",)


def test_a_limit_adds_what_fits_and_forces_the_rest():
    problem = posed(("a", "b"), limits={"mid": 6})
    transition = plan_transition(problem, running(a=("mid", 4), b=("mid", 1)), running(a=("mid", 2), b=("mid", 4)))
    assert told(transition) == [
        "add b mid 1 -> 2",
        "remove a mid 4 -> 2 FORCED",
        "add b mid 2 -> 4",
    ]


def test_stages_that_swap_full_hardware_stand_still_as_short_as_can_be():
    problem = posed(("a", "b"), limits={"mid": 1, "fast": 1})
    transition = plan_transition(problem, running(a=("mid", 1), b=("fast", 1)), running(a=("fast", 1), b=("mid", 1)))
    assert told(transition) == [
        "remove a mid 1 -> 0 FORCED",
        "add b mid 0 -> 1 idle",
        "switch b fast 1 -> mid 1 batch 1 -> 1",
        "remove b fast 1 -> 0 idle",
        "add a fast 0 -> 1 idle",
        "switch a mid 0 -> fast 1 batch 1 -> 1",
    ]


def test_one_replica_stays_where_one_can():
    problem = posed(("a", "b"), limits={"mid": 4, "fast": 4})
    transition = plan_transition(problem, running(a=("mid", 4), b=("fast", 4)), running(a=("fast", 3), b=("mid", 3)))
    steps = told(transition)
    assert steps[0] == "remove a mid 4 -> 1 FORCED"
    assert not any("-> 0 FORCED" in step for step in steps)


NAMES = ("a", "b", "c", "d")
STAGE = st.builds(
    StageConfiguration,
    hardware=st.sampled_from(tuple(SPEED)),
    replicas=st.integers(1, 5),
    max_batch=st.sampled_from((1, 2, 4)),
)
CONFIGURATIONS = st.builds(Configuration, st.fixed_dictionaries(dict.fromkeys(NAMES, STAGE)))
PLACES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("first", "between", "last")))
BASE = posed(NAMES)


def limited_to(problem: Problem, limits: dict[str, int | None]) -> Problem:
    units = tuple(replace(unit, limit=limits[unit.name]) for unit in problem.pipeline.hardware)
    pipeline = problem.pipeline
    return replace(
        problem,
        pipeline=Pipeline(name="chain", slo=pipeline.slo, stages=pipeline.stages, hardware=units),
    )


def replay(problem: Problem, transition: Transition):
    """Yield every step with the units in use and what serves each stage after it, checked."""
    units = Counter({(name, stage.hardware): stage.replicas for name, stage in transition.old.items()})
    serving = {name: stage.hardware for name, stage in transition.old.items()}
    batch = {name: stage.max_batch for name, stage in transition.old.items()}
    for step in transition.steps:
        assert units[step.stage, step.from_hardware] == step.from_replicas
        assert (step.kind == "switch") == (step.from_hardware != step.hardware)
        if step.kind in ("add", "remove"):
            assert (step.kind == "add") == (step.from_replicas < step.replicas)
            units[step.stage, step.hardware] = step.replicas
        elif step.kind == "switch":
            assert serving[step.stage] == step.from_hardware
            serving[step.stage] = step.hardware
        assert units[step.stage, step.hardware] == step.replicas
        assert step.serving == (serving[step.stage] == step.hardware)
        if step.serving:
            assert step.kind in ("batch", "switch") or step.from_batch == step.max_batch
            batch[step.stage] = step.max_batch
        price = {unit.name: unit.price_nano_usd_per_hour for unit in problem.pipeline.hardware}
        assert step.cost_nano_usd_per_hour == sum(price[on] * count for (_, on), count in units.items())
        yield step, units, serving, batch
    assert +units == Counter({(name, stage.hardware): stage.replicas for name, stage in transition.new.items()})
    assert serving == {name: stage.hardware for name, stage in transition.new.items()}
    assert batch == {name: stage.max_batch for name, stage in transition.new.items()}


@settings(max_examples=200, deadline=None)
@given(CONFIGURATIONS, CONFIGURATIONS, PLACES)
def test_without_limits_no_stage_ever_has_less_than_the_smaller_of_its_two_configurations(old, new, places):
    transition = plan_transition(BASE, old, new, batch_places=places)
    kinds = [step.kind for step in transition.steps if step.kind != "batch"]
    assert kinds == sorted(kinds, key=("add", "switch", "remove").index)
    assert not any(step.forced for step in transition.steps)
    assert transition.limited == ()
    for step, units, serving, _ in replay(BASE, transition):
        ready = units[step.stage, serving[step.stage]]
        if serving[step.stage] == new[step.stage].hardware != old[step.stage].hardware:
            assert ready == new[step.stage].replicas
        elif new[step.stage].hardware != old[step.stage].hardware:
            assert ready == old[step.stage].replicas
        else:
            assert ready >= min(old[step.stage].replicas, new[step.stage].replicas)


@settings(max_examples=400, deadline=None)
@given(CONFIGURATIONS, CONFIGURATIONS, PLACES, st.fixed_dictionaries(dict.fromkeys(SPEED, st.integers(0, 3))))
def test_limits_are_never_passed_and_the_transition_always_arrives(old, new, places, slack):
    limits = {name: new.units()[name] + slack[name] for name in SPEED}
    problem = limited_to(BASE, limits)
    transition = plan_transition(problem, old, new, batch_places=places)
    used = Counter(old.units())
    least = {name: min(old[name].replicas, new[name].replicas) for name in NAMES}
    for step, units, serving, _ in replay(problem, transition):
        before, used = used, Counter()
        for (_, on), count in units.items():
            used[on] += count
        assert all(used[name] <= max(limits[name], before[name]) for name in SPEED)
        if step.kind == "add":
            assert used[step.hardware] <= limits[step.hardware]
        if step.forced:
            least[step.stage] = 0
            assert step.hardware in transition.limited
        if new[step.stage].hardware == old[step.stage].hardware:
            assert units[step.stage, serving[step.stage]] >= least[step.stage]
    assert len(transition.steps) <= 40
