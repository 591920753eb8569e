"""The rate to be ready for, and the replay of the past at that rate."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.policies.load import expected_qps, first_load_note, replay_ns, surge_qps, window_qps

S = 1_000_000_000


def even(rate, start, end):
    return np.rint((start + np.arange(round((end - start) * rate)) / rate) * S).astype(np.int64)


def expect(arrival_ns, seconds, **differs):
    """Return (second, rate) of every second in which the expected rate is asked for, a delay of 5 s ahead."""
    given = {"quantile": 0.99, "memory_ns": 600 * S, "least_headroom": 1.0, "most_headroom": 3.0, **differs}
    note, log = first_load_note(), []
    for second in range(1, seconds + 1):
        here = arrival_ns[: arrival_ns.searchsorted(second * S)]
        rate, note = expected_qps(here, second * S, window_qps(here, second * S), note, delay_ns=5 * S, **given)
        log.append(rate)
    return log


def test_a_rise_counts_within_five_seconds_and_a_fall_after_a_minute():
    arrivals = np.concatenate([even(10, 0, 60), even(50, 60, 120), even(10, 120, 200)])
    rates = {t: window_qps(arrivals[: arrivals.searchsorted(t * S)], t * S) for t in (60, 62, 65, 120, 130, 150, 180)}
    assert rates == {
        60: pytest.approx(10, rel=0.02),
        62: pytest.approx(26, rel=0.02),
        65: pytest.approx(50, rel=0.02),
        120: pytest.approx(50, rel=0.02),
        130: pytest.approx(43.3, abs=0.1),
        150: pytest.approx(30, rel=0.02),
        180: pytest.approx(10, rel=0.02),
    }


def test_steady_traffic_gets_the_least_headroom():
    rates = expect(even(20, 0, 120), 120, least_headroom=1.1)
    assert rates[-1] == pytest.approx(22, rel=0.01)


def test_a_stage_that_jumps_regularly_is_kept_ready_for_the_jump():
    high = [even(40, start, start + 20) for start in range(40, 400, 60)]
    low = [even(20, start, start + 40) for start in range(0, 400, 60)]
    rates = expect(np.sort(np.concatenate([*high, *low])), 335)
    assert rates[334] > 39  # just before the jump at 340


def test_what_is_longer_ago_than_the_memory_is_forgotten():
    arrivals = np.concatenate([even(10, 0, 50), even(40, 50, 60), even(10, 60, 300)])
    assert expect(arrivals, 300)[-1] > 20
    assert expect(arrivals, 300, memory_ns=120 * S)[-1] == pytest.approx(10, rel=0.01)


def test_headroom_is_bounded():
    arrivals = np.concatenate([even(1, 0, 50), even(100, 50, 60), even(1, 60, 200)])
    assert expect(arrivals, 200, most_headroom=2.0)[-1] == pytest.approx(2.0, abs=0.1)


def test_a_surge_counts_before_five_seconds_are_over():
    arrivals = np.concatenate([even(20, 0, 60), even(400, 60, 61)])
    assert surge_qps(arrivals, 60 * S) < 20
    assert 300 < surge_qps(arrivals, 61 * S) < 360  # 400 in the last second, less three deviations
    assert surge_qps(even(20, 0, 60)[:0], 61 * S) == 0


def test_what_bursts_all_the_time_is_no_surge():
    bursts = np.repeat(np.arange(0, 60 * S, S // 2), 30) + np.tile(np.arange(30), 120)
    uneven = bursts[
        np.random.default_rng(1).random(120).repeat(30) < 0.3
    ]  # 30 queries in about one half second of three
    assert surge_qps(uneven, int(uneven[-1])) < 3 * uneven.size / 60


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
    assert replay_ns(even(10, 0, 60), 60 * S, 60 * S, 50, 10.0).size == 50
    assert replay_ns(np.empty(0, dtype=np.int64), 60 * S, 60 * S, 50, 10.0).size == 0
