"""Resampled traces, sampled service times, and what becomes of a configuration in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inferline.domain import Configuration, Profile, StageConfiguration, Trace, even_trace
from inferline.domain.randomness import keyed_generator
from planner.uncertainty.spread import ROWS, inverse_cdf, quantile_rows, spread_sources
from planner.uncertainty.world_estimator import WorldEstimator
from planner.uncertainty.worlds import Worlds, block_length_ns, resampled
from simulator import simulate
from tests.planner.test_estimator import draw
from tests.planner.uncertainty.uncertain_problems import bursty, random_uncertain

SECOND = 10**9


def test_a_resampled_trace_is_as_long_and_made_of_pieces_of_the_trace():
    # One query per second, 7 ms after it: pieces cut anywhere keep gaps of one second, but for the seams.
    trace = Trace(np.arange(200) * SECOND + 7_000_000, 200 * SECOND)
    for number in range(20):
        again = resampled(trace, keyed_generator(0, str(number)))
        gaps = np.diff(again.arrival_ns)
        assert again.duration_ns == trace.duration_ns
        assert gaps.min() >= 0
        seams = 200 * SECOND // block_length_ns(200 * SECOND)
        assert np.count_nonzero(gaps != SECOND) <= seams
        assert abs(len(again) - 200) <= seams


def test_every_part_of_the_trace_is_as_likely_as_any_other():
    # Twice as many queries in the second half: as many come back on average, whatever the place in the world.
    trace = Trace(
        np.concatenate((np.arange(0, 50, 0.5), np.arange(50, 100, 0.25))).astype(np.float64) * SECOND, 100 * SECOND
    )
    worlds = [resampled(trace, keyed_generator(1, str(number))) for number in range(400)]
    assert np.mean([len(world) for world in worlds]) == pytest.approx(300, rel=0.02)
    first_half = np.mean([np.count_nonzero(world.arrival_ns < 50 * SECOND) for world in worlds])
    assert first_half == pytest.approx(150, rel=0.05)


def test_short_and_empty_stretches_do_no_harm():
    lone = Trace(np.array([5]), 1_000)
    assert all(len(resampled(lone, keyed_generator(0, str(number)))) >= 1 for number in range(50))
    at_once = Trace(np.array([0, 0]), 0)
    assert resampled(at_once, keyed_generator(0)) is at_once


def test_a_world_depends_on_seed_and_number_only():
    problem, profiles = bursty(seconds=30)
    first, second = Worlds(problem, profiles), Worlds(problem, profiles)
    first.world(3)
    same, again = first.world(7), second.world(7)
    assert same.problem.trace.arrival_ns.tolist() == again.problem.trace.arrival_ns.tolist()
    assert all((same.row[name] == again.row[name]).all() for name in same.row)
    assert all((same.problem.routes[edge] == mask).all() for edge, mask in again.problem.routes.items())
    for other in (first.world(8), Worlds(problem, profiles, seed=1).world(7)):
        assert other.problem.trace.arrival_ns.tolist() != same.problem.trace.arrival_ns.tolist()


def profile(**known: list[float]) -> Profile:
    return Profile(
        model="m", hardware="h", batch_size=np.array([2, 4]), latency_mean_s=np.array([0.010, 0.018]),
        **{f"latency_{name}_s": np.array(values) for name, values in known.items()},
    )  # fmt: skip


@pytest.mark.parametrize(
    "known",
    [
        {"p50": [0.0095, 0.017], "p95": [0.013, 0.022], "p99": [0.015, 0.030]},
        {"p95": [0.011, 0.019], "p99": [0.012, 0.025]},
        {"p99": [0.030, 0.040]},
        {"p50": [0.0095, 0.017]},
        {"std": [0.003, 0.001]},
    ],
)
def test_rows_ascend_and_keep_the_mean(known):
    rows = quantile_rows(profile(**known), 4)
    assert rows.shape == (ROWS, 4)
    assert (np.diff(rows, axis=0) >= 0).all()
    assert rows.min() > 0
    assert rows.mean(axis=0) == pytest.approx([10e6, 10e6, 14e6, 18e6], rel=1e-6)
    assert rows[-1, 3] > rows[0, 3]


def test_known_percentiles_are_hit():
    level, value_s = inverse_cdf(0.010, {0.5: 0.0095, 0.95: 0.013, 0.99: 0.015})
    assert dict(zip(level, value_s, strict=True))[0.5] == 0.0095
    assert np.interp([0.95, 0.99], level, value_s) == pytest.approx([0.013, 0.015])
    assert level[0] == 0 < value_s[0] < 0.0095
    # The tail beyond P99 has the mean excess of the exponential one through P95 and P99.
    assert value_s[-1] == pytest.approx(0.015 + 2 * 0.002 / np.log(5))


def test_a_mean_out_of_reach_is_never_taken_too_low():
    above, below = inverse_cdf(0.020, {0.5: 0.010, 0.99: 0.015}), inverse_cdf(0.0005, {0.5: 0.010, 0.99: 0.015})
    mean = [float(np.sum(np.diff(level) * (value[1:] + value[:-1])) / 2) for level, value in (above, below)]
    assert mean[0] == pytest.approx(0.020)  # all times scaled up
    assert mean[1] > 0.0005  # the percentiles stay
    assert (below[1][0], below[1][1]) == (0.0, 0.010)


def test_without_percentiles_or_deviation_service_times_stay_constant():
    constant = profile()
    assert spread_sources(constant) == ("none", "none")
    assert quantile_rows(constant, 4).tolist() == [constant.batch_latency_ns(4).tolist()]
    partly = profile(p99=[float("nan"), 0.030])
    assert spread_sources(partly) == ("none", "percentiles")
    rows = quantile_rows(partly, 4)
    assert len(set(rows[:, 0].tolist())) == len(set(rows[:, 1].tolist())) == 1
    assert len(set(rows[:, 2].tolist())) > 1
    assert spread_sources(profile(std=[0.001, 0.002])) == ("std", "std")


@pytest.mark.parametrize("known", [{}, {"std": [0.003, 0.001]}, {"p95": [0.011, 0.019], "p99": [0.012, 0.025]}])
def test_a_measured_slowdown_multiplies_every_row(known):
    slow = replace(profile(**known), colocated_slowdown=np.array([1.5, 2.0]))
    rows, alone = quantile_rows(slow, 4), quantile_rows(profile(**known), 4)
    assert rows[:, 1] == pytest.approx(alone[:, 1] * 1.5, abs=1)
    assert rows[:, 3] == pytest.approx(alone[:, 3] * 2.0, abs=1)
    assert rows.mean(axis=0) == pytest.approx(slow.batch_latency_ns(4).tolist(), rel=1e-6)


def test_batches_that_no_measurement_spreads_are_named():
    problem, profiles = random_uncertain(4)
    constant = Worlds(problem, profiles).times.constant
    for stage in problem.pipeline.stages:
        for hardware, sizes in constant[stage.name].items():
            known = bool(np.isfinite(profiles[stage.model, hardware].latency_p99_s).all())
            assert sizes == (() if known else problem.options[stage.name][hardware].batch_sizes)


@pytest.mark.parametrize("seed", range(12))
def test_the_estimator_of_a_world_says_what_both_engines_say(seed):
    problem, profiles = random_uncertain(seed, stages=2 + seed % 3, queries=150)
    worlds = Worlds(problem, profiles)
    rng = np.random.default_rng(seed)
    for number in range(3):
        world = worlds.world(number)
        estimator = WorldEstimator(world, kept=3)
        for _ in range(6):
            configuration = draw(problem, rng)
            latency_ns = world.latency_ns(configuration)
            network = world.network(configuration)
            reference = simulate(network, world.problem.trace.arrival_ns, world.problem.routes, "reference")
            assert latency_ns.tolist() == reference.latency_ns.tolist()
            late = np.count_nonzero(latency_ns > problem.pipeline.slo.latency_ns)
            assert estimator.meets(configuration) == (late <= world.problem.late_allowed)


def test_the_rows_of_a_world_are_those_of_its_batches():
    problem, profiles = bursty(seconds=20)
    world = Worlds(problem, profiles).world(0)
    chosen = Configuration(
        {
            "detect": StageConfiguration(hardware="cpu", max_batch=2, replicas=3),
            "read": StageConfiguration(hardware="gpu", max_batch=1, replicas=2),
        }
    )
    result = simulate(world.network(chosen), world.problem.trace.arrival_ns, world.problem.routes)
    rows_ns, row = world.rows("read", chosen["read"])
    # With B = 1, batches are queries in the order in which they are served.
    visits = result.stations["read"].each
    order = np.lexsort((visits.query_id, visits.arrival_ns))
    assert visits.service_ns[order].tolist() == rows_ns[row[: order.size], 0].tolist()


def test_even_arrivals_stay_even_inside_blocks():
    trace = even_trace(rate=100.0, duration_ns=60 * SECOND)
    again = resampled(trace, keyed_generator(5))
    gaps = np.diff(again.arrival_ns)
    assert np.count_nonzero(gaps == 10_000_000) >= gaps.size - 12
