"""What policies look ahead with, against what then comes."""

from __future__ import annotations

import numpy as np

from inferline.laboratory import look_ahead, network_of, replay
from inferline.units import NANO
from tests.inferline.laboratory.stepping import steps
from tuner.situation import Decision, Future


def test_the_future_of_an_empty_pipeline_is_its_replay(experiment):
    rng = np.random.default_rng(7)
    here = experiment(np.sort(rng.uniform(0, 20, 250)), 20)
    everyone = np.ones(250, dtype=np.bool_)
    future = Future(
        arrival_ns=here.trace.arrival_ns,
        begins={"detect": everyone, "read": ~everyone},
        taken=here.routes,
        replicas={"detect": ((0, 1), (6 * NANO, 3)), "read": ((0, 1),)},
    )
    happened = replay(here, "moving", steps({4: {"detect": 3}}))  # there after the activation delay of 2 s
    assert (
        look_ahead(network_of(here.situation))(here.situation, future).tolist() == happened.result.latency_ns.tolist()
    )


def test_a_policy_can_look_ahead_while_it_is_replayed(experiment):
    here = experiment([0.5], 3)
    looked = []

    def policy(situation, observation, note):
        future = Future(
            arrival_ns=np.array([0, 0]),
            begins={"detect": np.array([True, False]), "read": np.array([False, True])},
            taken={("detect", "read"): np.array([False, False])},
            replicas={"detect": ((0, 1),), "read": ((0, 1),)},
        )
        looked.append(situation.simulate(situation, future).tolist())
        return Decision(replicas={"detect": 1, "read": 1}), None

    replay(here, "looking", policy)
    assert looked == [[100_000_000, 50_000_000]] * 2
