"""The replay of the past at another rate."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.policies.replayed import replay_ns

S = 1_000_000_000


def even(rate, start, end):
    return np.rint((start + np.arange(round((end - start) * rate)) / rate) * S).astype(np.int64)


def test_the_replay_has_the_rate_that_is_asked_for_and_keeps_the_order():
    rng = np.random.default_rng(1)
    arrivals = np.sort(rng.integers(0, 60 * S, 3000))
    replayed = replay_ns(arrivals, 60 * S, 60 * S, 8192, 100.0)
    assert replayed.size == 3000
    assert (np.diff(replayed) >= 0).all()
    assert replayed[0] >= 0
    assert replayed[-1] == pytest.approx(30 * S, rel=0.01)


def test_stretches_of_other_rates_are_levelled_but_bursts_within_them_stay():
    spacing = np.sort(np.concatenate([even(4, 0, 20), even(4, 0, 20)]))  # two at once, eight times in a stretch ...
    arrivals = np.concatenate([spacing, even(50, 20, 40) + 1])
    replayed = replay_ns(arrivals, 40 * S, 40 * S, 8192, 50.0)
    seconds = np.arange(0, 23) * S
    assert np.diff(np.searchsorted(replayed, seconds)).tolist() == pytest.approx([50] * 22, abs=2)
    assert (np.diff(replayed[:150]) == 0).sum() > 60  # ... are so still


def test_a_stretch_in_which_the_rate_jumps_is_left_out():
    arrivals = np.concatenate([even(20, 0, 23), even(200, 23, 40)])
    assert replay_ns(arrivals, 40 * S, 40 * S, 8192, 200.0).size == pytest.approx(400 + 15 * 200, abs=2)


def test_a_replay_takes_the_latest_arrivals_only():
    assert replay_ns(even(10, 0, 60), 60 * S, 20 * S, 8192, 10.0).size == 199
    assert replay_ns(even(10, 0, 60), 60 * S, 60 * S, 50, 10.0).size == 49  # those of the last 5 s
    assert replay_ns(np.empty(0, dtype=np.int64), 60 * S, 60 * S, 50, 10.0).size == 0


def test_what_is_left_of_a_stretch_that_was_cut_off_is_no_burst():
    for seconds in (7, 13.5, 61):
        replayed = replay_ns(even(20, 0, seconds), round(seconds * S), 120 * S, 8192, 20.0)
        assert replayed.size == pytest.approx(seconds // 5 * 100, abs=1)
        assert np.diff(np.append(0, replayed)).min() >= 0.04 * S
    # At one instant, a whole stretch ago.
    assert replay_ns(np.full(30, 55 * S), 60 * S, 120 * S, 8192, 20.0).size == 30
