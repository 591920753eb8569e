"""The figures of a replay."""

from __future__ import annotations

import numpy as np

from inferline.laboratory import Change, Second, judge, replay
from inferline.laboratory.verdict import oscillations
from inferline.units import NANO
from tests.inferline.laboratory.stepping import steps


def changed(*rows):
    return [
        Change(at_ns=at_s * NANO, stage=stage, before=before, after=after, reason=None)
        for at_s, stage, before, after in rows
    ]


def test_going_back_within_a_minute_is_an_oscillation():
    up_down_up = changed((0, "a", 1, 3), (60, "a", 3, 2), (121, "a", 2, 3), (130, "a", 3, 4), (140, "a", 4, 1))
    assert oscillations(up_down_up) == 2  # at 60 and at 140; what comes back after 61 s is a change of its own
    assert oscillations(changed((0, "a", 1, 3), (5, "b", 3, 2), (9, "a", 3, 4))) == 0


def test_the_figures_of_a_replay(experiment):
    # Twelve queries at once at 1 s: the k-th leaves detect after k x 100 ms, so that 5 are in time if read is not.
    here = experiment([0.2, *[1.0] * 12, 3.5], 4)
    verdict = judge(replay(here, "moving", steps({2: {"detect": 2, "read": 3}, 3: {"detect": 1}})))
    late = (here.routes["detect", "read"][1:13] & (np.arange(1, 13) >= 5)) | (np.arange(1, 13) > 5)
    assert (verdict.queries, verdict.late) == (14, late.sum())
    assert verdict.miss_rate == late.sum() / 14
    assert verdict.worst_second == Second(second=1, queries=12, late=int(late.sum()))
    assert not verdict.slo_met
    assert 1_200_000_000 <= verdict.longest_ns <= 1_260_000_000
    assert (verdict.changes, verdict.oscillations, verdict.most_replicas) == (3, 1, 5)
    assert verdict.mean_nano_usd_per_hour == round(verdict.cost_nano_usd * 3600 / 4)
    # The 13th of 14 latencies, by the nearest rank: ceil(0.9 x 14).
    assert verdict.at_slo_percentile_ns >= 1_100_000_000


def test_nothing_late_has_no_worst_second(experiment):
    verdict = judge(replay(experiment([0.2, 1.0], 4), "still", steps({})))
    assert (verdict.late, verdict.miss_rate, verdict.worst_second, verdict.slo_met) == (0, 0.0, None, True)
