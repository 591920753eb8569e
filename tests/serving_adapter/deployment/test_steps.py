"""The order of steps: capacity comes before it goes, within hardware limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_adapter.deployment.standing import Standing, digest_of
from serving_adapter.deployment.steps import DELETE, DRAIN, REGISTER, START, STOP, SWITCH, plan_steps
from serving_adapter.replicas import SetKey

STAGES = ("detect", "orient", "read")
HARDWARE = ("cpu", "gpu")


def standing(*sets, digest="plan", **versions):
    """Return a standing from (stage, version, hardware, replicas); a stage is served by the version named first."""
    replicas = {SetKey(*each[:3]): each[3] for each in sets}
    served = {}
    for stage, version, *_ in sets:
        served.setdefault(stage, version)
    served |= versions
    return Standing(replicas=replicas, versions=served, models=frozenset(served.items()), digest=digest)


def in_words(steps):
    """Return steps as short lines: the timeline of a deployment."""
    lines = []
    for step in steps:
        named = " ".join(f"{stage}:{version}" for stage, version in step.versions)
        if step.key is not None:
            named = f"{step.key.stage}:{step.key.version} {step.key.hardware} {step.before}->{step.after}"
        lines.append(f"{step.kind} {named}".strip() + (" forced" if step.forced else ""))
    return lines


def steps_of(now, wanted, **limits):
    stages = [stage for stage in STAGES if stage in wanted.versions]
    return in_words(plan_steps(now, wanted, stages, limits))


TWO = standing(("detect", "1", "cpu", 2), ("read", "1", "cpu", 1))

CASES = {
    "from nothing": (
        Standing(),
        TWO,
        {},
        ["register detect:1 read:1", "start read:1 cpu 0->1", "start detect:1 cpu 0->2"],
    ),
    "the same again": (TWO, TWO, {}, []),
    "an attempt that has ended in the middle": (
        standing(("detect", "1", "cpu", 1), ("read", "1", "cpu", 1)),
        TWO,
        {},
        ["start detect:1 cpu 1->2"],
    ),
    "another maximum batch size": (replace(TWO, digest="other"), TWO, {}, ["switch"]),
    "more of one stage and fewer of another": (
        TWO,
        standing(("detect", "1", "cpu", 1), ("read", "1", "cpu", 3), digest="new"),
        {},
        ["start read:1 cpu 1->3", "switch", "stop detect:1 cpu 2->1"],
    ),
    "other hardware": (
        TWO,
        standing(("detect", "1", "gpu", 1), ("read", "1", "cpu", 1), digest="new"),
        {},
        ["start detect:1 gpu 0->1", "switch", "stop detect:1 cpu 2->0"],
    ),
    "another version": (
        TWO,
        standing(("detect", "2", "cpu", 2), ("read", "1", "cpu", 1), digest="new"),
        {},
        ["start detect:2 cpu 0->2", "switch detect:2", "drain", "stop detect:1 cpu 2->0", "delete detect:1"],
    ),
    "left over from an attempt that was given up": (
        replace(TWO, replicas={**TWO.replicas, SetKey("detect", "2", "gpu"): 1, SetKey("read", "1", "gpu"): 0}),
        TWO,
        {},
        ["stop detect:2 gpu 1->0", "stop read:1 gpu 0->0"],
    ),
    "a core that has forgotten everything": (
        Standing(replicas=TWO.replicas),
        TWO,
        {},
        ["register detect:1 read:1"],
    ),
    "a stage more and a stage fewer": (
        TWO,
        standing(("detect", "1", "cpu", 2), ("orient", "1", "cpu", 1), digest="new"),
        {},
        ["start orient:1 cpu 0->1", "switch orient:1", "drain", "stop read:1 cpu 1->0", "delete read:1"],
    ),
    "a limit that one stage makes room in for another": (
        standing(("detect", "1", "gpu", 2), ("read", "1", "gpu", 1)),
        standing(("detect", "1", "gpu", 1), ("read", "1", "gpu", 2), digest="new"),
        {"gpu": 3},
        ["stop detect:1 gpu 2->1", "start read:1 gpu 1->2", "switch"],
    ),
    "two stages that change places": (
        standing(("detect", "1", "cpu", 1), ("read", "1", "gpu", 1)),
        standing(("detect", "1", "gpu", 1), ("read", "1", "cpu", 1), digest="new"),
        {"gpu": 1},
        [
            "start read:1 cpu 0->1",
            "stop read:1 gpu 1->0",
            "start detect:1 gpu 0->1",
            "switch",
            "stop detect:1 cpu 1->0",
        ],
    ),
    "another version within a limit that leaves room for one more": (
        standing(("detect", "1", "gpu", 2)),
        standing(("detect", "2", "gpu", 2), digest="new"),
        {"gpu": 3},
        [
            "start detect:2 gpu 0->1",
            "stop detect:1 gpu 2->1 forced",
            "start detect:2 gpu 1->2",
            "switch detect:2",
            "drain",
            "stop detect:1 gpu 1->0",
            "delete detect:1",
        ],
    ),
    "another version within a limit that leaves no room": (
        standing(("detect", "1", "gpu", 1)),
        standing(("detect", "2", "gpu", 1), digest="new"),
        {"gpu": 1},
        [
            "switch detect:2 forced",
            "drain",
            "stop detect:1 gpu 1->0",
            "start detect:2 gpu 0->1",
            "delete detect:1",
        ],
    ),
    "a limit that was lowered since": (
        standing(("detect", "1", "gpu", 4)),
        standing(("detect", "1", "gpu", 2), digest="new"),
        {"gpu": 2},
        ["switch", "stop detect:1 gpu 4->2"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_steps(name):
    now, wanted, limits, lines = CASES[name]
    assert steps_of(now, wanted, **limits) == lines


def test_a_gap_is_a_stage_that_served_and_has_no_replica_left():
    now, wanted, limits, _ = CASES["another version within a limit that leaves no room"]
    assert [step.is_gap for step in plan_steps(now, wanted, ["detect"], limits)] == [True, *[False] * 4]
    now, wanted, limits, _ = CASES["another version within a limit that leaves room for one more"]
    assert not any(step.is_gap for step in plan_steps(now, wanted, ["detect"], limits))


def test_a_plan_is_told_from_another_and_a_file_too():
    assert len({digest_of({"a": 1}, {}), digest_of({}, {"a": 1}), digest_of({"a": 2}, {})}) == 3
    assert digest_of({"a": 1, "b": 2}, {}) == digest_of({"b": 2, "a": 1}, {})


@st.composite
def transitions(draw):
    """Draw how a deployment stands, how it is to stand, and limits that this is within."""
    stages = draw(st.permutations(STAGES).map(lambda order: order[: draw(st.integers(1, 3))]))
    chosen = {}
    for stage in stages:
        key = SetKey(stage, draw(st.sampled_from("12")), draw(st.sampled_from(HARDWARE)))
        chosen[key] = draw(st.integers(1, 4))
    wanted = Standing(
        replicas=chosen,
        versions={key.stage: key.version for key in chosen},
        models=frozenset(key[:2] for key in chosen),
        digest="wanted",
    )
    keys = st.builds(SetKey, st.sampled_from(STAGES), st.sampled_from("12"), st.sampled_from(HARDWARE))
    registered = draw(st.dictionaries(st.sampled_from(STAGES), st.sampled_from("12")))
    now = Standing(
        replicas=draw(st.dictionaries(keys, st.integers(0, 4), max_size=6)),
        versions=registered,
        models=frozenset(registered.items()),
        digest=draw(st.sampled_from(["", "other", "wanted"])) if registered else "",
    )
    limits = {}
    for hardware in HARDWARE:
        if draw(st.booleans()):
            used = sum(count for key, count in chosen.items() if key.hardware == hardware)
            limits[hardware] = used + draw(st.integers(0, 3))
    return now, wanted, stages, limits


def played(now, wanted, steps):
    """Yield how the deployment stands after each step; those that are being started serve from its end on."""
    for step in steps:
        replicas, versions, models, digest = dict(now.replicas), dict(now.versions), set(now.models), now.digest
        if step.kind in {START, STOP}:
            assert replicas.get(step.key, 0) == step.before
            assert (step.after > step.before) == (step.kind == START)
            replicas[step.key] = step.after
            if step.key not in wanted.replicas and not step.after:
                del replicas[step.key]
        elif step.kind in {REGISTER, SWITCH}:
            assert (step.kind == REGISTER) == (not versions)
            versions = {stage: version for stage, version in versions.items() if stage in wanted.versions}
            versions |= dict(step.versions)
            models |= set(versions.items())
            digest = wanted.digest
        elif step.kind == DELETE:
            assert models >= set(step.versions)
            models -= set(step.versions)
        now = Standing(replicas=replicas, versions=versions, models=frozenset(models), digest=digest)
        yield step, now


def used(standing, hardware):
    return sum(count for key, count in standing.replicas.items() if key.hardware == hardware)


@given(transitions())
def test_it_ends_as_wanted_and_then_nothing_is_left_to_do(transition):
    now, wanted, stages, limits = transition
    *_, (_, end) = [(None, now), *played(now, wanted, plan_steps(now, wanted, stages, limits))]
    assert (dict(end.replicas), dict(end.versions), end.digest) == (
        dict(wanted.replicas),
        dict(wanted.versions),
        wanted.digest,
    )
    assert end.models == wanted.models
    assert plan_steps(end, wanted, stages, limits) == ()


@given(transitions())
def test_capacity_never_falls_below_both_ends_unless_a_limit_forces_it(transition):
    now, wanted, stages, limits = transition
    for unlimited in (True, False):
        steps = plan_steps(now, wanted, stages, {} if unlimited else limits)
        assert not (unlimited and any(step.forced for step in steps))
        forced = gap = False
        for step, between in played(now, wanted, steps):
            forced |= step.forced
            gap |= step.is_gap
            for stage in now.versions.keys() & wanted.versions.keys():
                floor = min(now.capacity(stage), wanted.capacity(stage))
                assert forced or between.capacity(stage) >= floor
                assert gap or between.capacity(stage) >= min(floor, 1)
            if step.forced and step.kind == STOP:
                assert step.left == between.capacity(step.key.stage)


@given(transitions())
def test_no_limit_is_passed(transition):
    now, wanted, stages, limits = transition
    for step, between in played(now, wanted, plan_steps(now, wanted, stages, limits)):
        if step.kind == START:
            assert used(between, step.key.hardware) <= limits.get(step.key.hardware, 10**9)


@given(transitions())
def test_what_served_is_stopped_only_after_its_queries_are_through(transition):
    now, wanted, stages, limits = transition
    undrained = set()
    served = dict(now.versions)
    for step, between in played(now, wanted, plan_steps(now, wanted, stages, limits)):
        if step.kind == SWITCH:
            undrained |= {item for item in served.items() if between.versions.get(item[0]) != item[1]}
            served = dict(between.versions)
        elif step.kind == DRAIN:
            undrained.clear()
        elif step.kind == STOP:
            assert step.key[:2] not in undrained
        elif step.kind == DELETE:
            assert not undrained & set(step.versions)
