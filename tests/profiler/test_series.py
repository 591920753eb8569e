"""Rows from samples that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from profiler.series import Series


@pytest.fixture
def series():
    return Series(size=4)


def take(series, latencies, rounds):
    series.rounds, series.spent_s = series.rounds + rounds, series.spent_s + sum(latencies)
    for latency_s in latencies:
        series.add(len(series.at_s), latency_s, latency_s + 0.001)


def estimate(series, target_of):
    found = series.estimate(target_of("echo"), load_s=1.5, source="env-1")
    assert found is not None
    return found


def test_the_first_sample_never_counts(series, target_of):
    take(series, [0.2], 0)
    assert series.estimate(target_of("echo"), 1.5, "env-1") is None
    take(series, [0.1], 0)
    row, evidence = estimate(series, target_of)
    assert (row.samples, row.latency_mean_s, row.stopped) == (1, 0.1, "unfinished")
    assert math.isnan(row.latency_mean_ci_s)
    assert math.isnan(row.latency_std_s)
    assert math.isnan(evidence.mean_share)
    assert series.samples().counted.tolist() == [False, True]


def test_a_row_says_what_its_counted_samples_say(series, target_of):
    take(series, [9.0, 0.1, 0.1], 0)  # the ramp: one warm-up
    take(series, [0.1, 0.2], 1)
    take(series, [0.1, 0.3], 1)
    row, evidence = estimate(series, target_of)
    assert (row.model, row.hardware, row.batch_size, row.source) == ("echo", "cpu-1", 4, "env-1")
    assert row.latency_mean_s == pytest.approx(0.15)
    assert row.throughput_qps == pytest.approx(4 / 0.15)
    assert (row.latency_p50_s, row.latency_p95_s, row.latency_p99_s) == (0.1, 0.3, 0.3)
    assert row.hop_mean_s == pytest.approx(0.151)
    assert row.latency_std_s == pytest.approx(np.std([0.1, 0.1, 0.1, 0.2, 0.1, 0.3], ddof=1))
    assert row.load_s == 1.5
    # Three blocks with means 0.1, 0.15 and 0.2: t(2) = 4.303 times 0.05 over the root of 3.
    assert row.latency_mean_ci_s == pytest.approx(4.303 * 0.05 / 3**0.5, rel=1e-3)
    assert (evidence.samples, evidence.rounds) == (6, 2)
    assert evidence.spent_s == pytest.approx(9.9)


def test_a_new_replica_warms_up_anew(series, target_of):
    take(series, [0.5] * 20, 3)
    estimate(series, target_of)
    series.begin_again()
    assert series.estimate(target_of("echo"), 1.5, "env-1") is None
    assert not series.samples().counted.any()
    assert series.typical_s()[0] == 0.5
    take(series, [7.0, 0.1, 0.1], 1)
    row, evidence = estimate(series, target_of)
    assert (row.samples, row.latency_mean_s) == (2, 0.1)
    assert evidence.rounds == 1
    assert series.samples().counted.tolist() == [False] * 21 + [True] * 2
