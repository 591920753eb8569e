"""Percentiles, intervals and the end of the warm-up, against synthetic samples whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from profiler.statistics import mean_interval, percentile, quantile_interval, warm_up

SEEDS = range(80)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 100))
def test_a_percentile_is_the_least_sample_that_so_many_do_not_exceed(values, p):
    samples = np.array(values, dtype=np.float64)
    found = percentile(samples, p)
    assert found in values
    assert 100 * np.sum(samples <= found) >= p * len(values)
    assert 100 * np.sum(samples < found) < p * len(values)


def test_equal_blocks_give_the_textbook_interval():
    blocks = np.random.default_rng(0).normal(size=(8, 5))
    mean, half_width = mean_interval(list(blocks))
    low, high = stats.t.interval(0.95, 7, loc=blocks.mean(), scale=stats.sem(blocks.mean(axis=1)))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high))


def test_a_single_block_has_no_interval():
    assert mean_interval([np.array([1.0, 2.0])])[0] == 1.5
    assert math.isnan(mean_interval([np.array([1.0, 2.0])]).half_width)


def test_the_interval_of_the_mean_covers_it_although_batches_of_a_block_are_alike():
    covered = naive = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        blocks = [10 + rng.normal() + 0.1 * rng.normal(size=rng.integers(20, 40)) for _ in range(8)]
        mean, half_width = mean_interval(blocks)
        covered += abs(mean - 10) <= half_width
        together = np.concatenate(blocks)
        naive += abs(together.mean() - 10) <= 1.96 * together.std(ddof=1) / math.sqrt(together.size)
    assert covered >= 0.9 * len(SEEDS)
    assert naive < 0.6 * len(SEEDS)


@pytest.mark.parametrize(("n", "quantile"), [(299, 0.99), (400, 0.99), (5000, 0.99), (40, 0.5), (59, 0.95)])
def test_the_interval_of_a_quantile_covers_it_whatever_the_distribution(n, quantile):
    truth = -math.log(1 - quantile)
    ends = np.array([quantile_interval(np.random.default_rng(i).exponential(size=n), quantile) for i in range(300)])
    assert np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) >= 0.91


def test_the_ends_are_the_order_statistics_of_the_binomial_table():
    samples = np.arange(1.0, 101.0)
    # B ~ Binomial(100, 1/2): P(B > 60) = 0.0176 and P(B > 59) = 0.0284; P(B < 41) = 0.0284 and P(B < 42) = 0.0443.
    assert quantile_interval(samples, 0.5) == (41.0, 61.0)


@given(st.integers(0, 298))
def test_too_few_samples_have_no_p99(n):
    assert all(map(math.isnan, quantile_interval(np.arange(float(n)))))


def transient(shape, n, rng):
    at = np.arange(n)
    if shape == "decay":
        return np.exp(-at / (n / 20)) * 2, int(0.1 * n)
    if shape == "step up":
        return np.where(at < 0.2 * n, 0.5, 0.0), int(0.2 * n)
    if shape == "step down":
        return np.where(at < 0.2 * n, -0.5, 0.0), int(0.2 * n)
    return np.where(at < 3, 4.0, 0.0), 3  # the first batches only


@pytest.mark.parametrize("shape", ["decay", "step up", "step down", "first three"])
@pytest.mark.parametrize("n", [20, 100, 1000])
def test_a_transient_is_cut_and_little_more(shape, n):
    cuts, ends = [], 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        slow, ends = transient(shape, n, rng)
        cuts.append(warm_up(1 + slow + rng.normal(scale=0.1, size=n)))
    assert np.quantile(cuts, 0.1) >= 0.8 * ends
    assert np.quantile(cuts, 0.9) <= ends + max(5, 0.35 * n)


def steady(shape, n, rng):
    if shape == "normal":
        return 10 + rng.normal(size=n)
    if shape == "heavy":
        return 1 + rng.pareto(1.5, size=n)
    return 1 + 0.01 * rng.normal(size=n) + 5 * (rng.random(n) < 0.02)  # rare interruptions


@pytest.mark.parametrize("shape", ["normal", "heavy", "interrupted"])
@pytest.mark.parametrize("n", [10, 40, 100, 1000])
def test_steady_noise_is_hardly_cut(shape, n):
    cuts = [warm_up(steady(shape, n, np.random.default_rng(seed))) for seed in SEEDS]
    assert np.mean(cuts) <= 0.05 * n
    assert np.mean(np.array(cuts) > 0) <= 0.2


def test_an_outlier_late_in_a_steady_series_does_not_take_the_rest_along():
    samples = 1 + 0.01 * np.random.default_rng(0).normal(size=200)
    samples[80] = 50.0
    assert warm_up(samples) == 0


@pytest.mark.parametrize("samples", [[], [1.0], [5.0, 1.0], [3.0] * 7, [3.0] * 100])
def test_what_is_short_or_constant_is_not_cut(samples):
    assert warm_up(np.array(samples)) == 0


@given(st.lists(st.floats(1e-7, 1e3), max_size=200))
def test_at_most_half_is_cut(samples):
    assert 0 <= warm_up(np.array(samples)) <= len(samples) / 2
