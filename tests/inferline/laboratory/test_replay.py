"""Policies on a trace: what they see, what they are granted, what it costs."""

from __future__ import annotations

import numpy as np
import pytest

from inferline.laboratory import replay
from inferline.units import NANO
from simulator import Network, Station, simulate
from tests.inferline.laboratory.stepping import steps
from tuner.situation import Decision


def requested(replayed, stage):
    each = replayed.result.replicas[stage]
    return list(zip((each.start_ns // NANO).tolist(), each.requested.tolist(), each.ready.tolist(), strict=True))


def test_a_policy_that_does_nothing_is_the_plan(experiment):
    rng = np.random.default_rng(1)
    here = experiment(np.sort(rng.uniform(0, 30, 250)), 30)
    still = replay(here, "still", steps({}))
    network = Network(
        (Station("detect", (100_000_000,)), Station("read", (50_000_000, 60_000_000), parents=("detect",)))
    )
    plain = simulate(network, here.trace.arrival_ns, here.routes)
    assert still.result.latency_ns.tolist() == plain.latency_ns.tolist()
    assert (still.policy, still.changes) == ("still", ())
    assert still.cost_nano_usd == round((1 + 2) * NANO * 30 / 3600)
    assert still.late.tolist() == (plain.latency_ns > 500_000_000).tolist()


def test_replicas_come_go_and_are_paid_for(experiment):
    here = experiment([0.0], 10)
    moving = replay(here, "moving", steps({1: {"detect": 3}, 5: {"detect": 2, "read": 2}, 6: {"detect": 1}}))
    assert requested(moving, "detect") == [(0, 1, 1), (1, 3, 1), (3, 3, 3), (5, 2, 2), (6, 1, 1)]
    assert requested(moving, "read") == [(0, 1, 1), (5, 2, 1), (7, 2, 2)]
    paid_s = (1 + 3 * 4 + 2 + 4) + 2 * (5 + 2 * 5)
    assert moving.cost_nano_usd == round(paid_s * NANO / 3600)
    assert [(change.at_ns // NANO, change.stage, change.before, change.after) for change in moving.changes] == [
        (1, "detect", 1, 3),
        (5, "detect", 3, 2),
        (5, "read", 1, 2),
        (6, "detect", 2, 1),
    ]


def test_reasons_and_notes_go_from_tick_to_tick(experiment):
    moving = replay(experiment([0.0], 10), "moving", steps({1: {"detect": 2}, 4: {"read": 2}}))
    assert [change.reason.rule for change in moving.changes] == ["tick None", "tick 3"]


def test_a_policy_has_its_own_period_and_constants(experiment):
    seen = []

    def policy(situation, observation, note):
        seen.append((observation.now_ns // NANO, dict(situation.options)))
        return Decision(replicas={"detect": 1, "read": 1}), None

    replay(experiment([0.0], 10), "slow", policy, 3 * NANO, {"target": 0.5})
    assert seen == [(3, {"target": 0.5}), (6, {"target": 0.5}), (9, {"target": 0.5})]


def test_a_policy_sees_queues_replicas_and_utilisation(experiment):
    seen = []

    def policy(situation, observation, note):
        detect = observation.stages["detect"]
        seen.append((detect.queued, detect.in_service, detect.requested, detect.ready, detect.utilisation))
        return Decision(replicas={"detect": 2, "read": 1}), None

    # Twelve queries at once take 100 ms each; a second replica is there from 3 s on.
    replay(experiment([0.95] * 12, 5), "watching", policy)
    assert seen[0] == (11, 1, 1, 1, pytest.approx(0.05))
    assert seen[1] == (1, 1, 2, 1, 1.0)
    assert seen[2] == (0, 0, 2, 1, pytest.approx(0.15))
    assert seen[3] == (0, 0, 2, 2, 0.0)


def test_a_limit_of_the_hardware_is_all_there_is(experiment):
    asked = {1: {"read": 9}, 2: {"read": 7}, 3: {"read": 4}}
    limited = replay(experiment([0.0], 10), "greedy", steps(asked))
    assert requested(limited, "read") == [(0, 1, 1), (1, 5, 1), (3, 4, 4)]


def test_a_policy_that_leaves_the_bounds_is_wrong(experiment):
    message = "policy 'wild' asks for 7 replicas of stage 'detect'; its bounds are 1 and 6"
    with pytest.raises(ValueError, match=message):
        replay(experiment([0.0], 10), "wild", steps({1: {"detect": 7}}))


def test_more_replicas_make_up_for_a_peak(experiment):
    rng = np.random.default_rng(2)
    busy = np.sort(np.concatenate([rng.uniform(0, 40, 150), rng.uniform(10, 30, 400)]))
    here = experiment(busy, 40)
    still = replay(here, "still", steps({}))
    moving = replay(here, "moving", steps({9: {"detect": 4, "read": 2}}))
    assert moving.late.mean() < 0.1
    assert still.late.mean() > 0.8
    assert moving.cost_nano_usd > still.cost_nano_usd
