"""The picture of replays."""

from __future__ import annotations

import numpy as np
import pytest

from inferline.laboratory import draw_replays, replay
from tests.inferline.laboratory.stepping import steps


def drawn(experiment, seconds):
    rng = np.random.default_rng(3)
    here = experiment(np.sort(rng.uniform(0, seconds, 8 * seconds)), seconds)
    still, moving = replay(here, "still", steps({})), replay(here, "moving", steps({2: {"detect": 3}}))
    return draw_replays([still, moving])


def test_every_policy_has_its_lines_in_both_panels(experiment):
    picture = drawn(experiment, 30)
    traffic, replicas, late = picture.figure.axes
    assert len(traffic.patches) == 1
    for axes in (replicas, late):
        assert [patch.get_label() for patch in axes.patches] == ["still", "moving"]
    still, moving = (patch.get_data() for patch in replicas.patches)
    assert (still.values.tolist(), still.edges.tolist()) == ([2], [0, 30])
    assert (moving.values.tolist(), moving.edges.tolist()) == ([2, 4, 4], [0, 2, 4, 30])


def test_a_long_trace_is_drawn_in_steps(experiment):
    traffic, _, late = drawn(experiment, 500).figure.axes
    assert "steps of 3 s" in traffic.get_title(loc="left")
    assert late.patches[0].get_data().edges[-1] * 60 == pytest.approx(500)  # shown in minutes
    assert len(late.patches[0].get_data().values) <= 240


def test_the_same_replays_give_the_same_bytes(experiment):
    first, second = drawn(experiment, 20), drawn(experiment, 20)
    assert first.svg() == second.svg()
