"""What holds for every policy: bounds, limits, determinism, and calm under constant traffic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferline.domain import even_trace
from inferline.laboratory import Experiment, judge, replay
from tuner.policies import POLICIES

S = 1_000_000_000

each = pytest.mark.parametrize("name", POLICIES)

stages = st.fixed_dictionaries(
    {
        "arrivals": st.integers(0, 400),
        "queued": st.integers(0, 300),
        "in_service": st.integers(0, 10),
        "requested": st.integers(1, 12),
        "starting": st.integers(0, 12),
        "utilisation": st.floats(0, 1),
    }
)
ticks = st.lists(
    st.fixed_dictionaries({"gap_s": st.integers(1, 40), "detect": stages, "read": stages}), min_size=1, max_size=5
)


def played(name, situation, at, seen, steps):
    """Call a policy with whatever is seen; return its decisions."""
    spec = POLICIES[name]
    rng, now_s, note, decisions = np.random.default_rng(1), 0, None, []
    for step in steps:
        now_s += step["gap_s"]
        observed = {}
        for stage in ("detect", "read"):
            drawn = step[stage]
            observed[stage] = seen(
                arrival_ns=np.sort(rng.integers(max(0, now_s - 120) * S, now_s * S, drawn["arrivals"])),
                queued=drawn["queued"],
                in_service=drawn["in_service"],
                requested=drawn["requested"],
                ready=max(0, drawn["requested"] - drawn["starting"]),
                utilisation=drawn["utilisation"],
            )
        decision, note = spec.policy(situation, at(now_s, **observed), note)
        decisions.append(decision)
    return decisions


@each
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=ticks)
def test_counts_lie_within_bounds_and_limits_and_are_the_same_again(name, situation, at, seen, steps):
    given_situation = situation(least=2, most=9, limit=14, ahead=True)
    decisions = played(name, given_situation, at, seen, steps)
    for decision, step in zip(decisions, steps, strict=True):
        assert set(decision.replicas) == {"detect", "read"}
        assert all(2 <= count <= 9 for count in decision.replicas.values())
        assert sum(decision.replicas.values()) <= 14
        assert all(decision.replicas[stage] != step[stage]["requested"] for stage in decision.reasons)
    assert played(name, given_situation, at, seen, steps) == decisions


@each
def test_under_constant_traffic_it_settles(name, situation):
    trace = even_trace(rate=20, duration_ns=1500 * S)
    taken = np.arange(len(trace)) % 2 == 0
    experiment = Experiment(situation=situation(), trace=trace, routes={("detect", "read"): taken})
    spec = POLICIES[name]
    done = replay(experiment, name, spec.policy, spec.period_ns)
    if name not in ("keda", "ray"):  # a queue length of several is reached only with too few replicas
        # At first the twin has seen little that it could simulate.
        assert judge(done).oscillations <= (name == "twin")
        assert not [change for change in done.changes if change.at_ns > 1300 * S]
    if name in ("static", "inferline", "cg-autoscale"):
        assert not done.changes  # planned for this very traffic
    if name in ("static", "inferline", "cg-autoscale", "certified", "twin"):
        assert not done.late.any()


@each
def test_options_are_the_defaults_of_what_it_takes(name, situation, at, seen):
    spec = POLICIES[name]
    stages_seen = {stage: seen(replicas=3, queued=5, utilisation=0.5) for stage in ("detect", "read")}
    by_default = spec.policy(situation(ahead=True), at(9, **stages_seen), None)[0]
    assert spec.policy(situation(options=spec.options, ahead=True), at(9, **stages_seen), None)[0] == by_default


def test_every_policy_says_when_and_what():
    assert list(POLICIES) == ["certified", "twin", "inferline", "hpa", "keda", "kpa", "ray", "cg-autoscale", "static"]
    assert {name: spec.period_ns // S for name, spec in POLICIES.items()} == {
        "certified": 1, "twin": 1, "inferline": 1, "hpa": 15, "keda": 15, "kpa": 1, "ray": 1, "cg-autoscale": 1,
        "static": 60,
    }  # fmt: skip
    assert [name for name, spec in POLICIES.items() if spec.looks_ahead] == ["twin"]
    assert all(spec.description for spec in POLICIES.values())
