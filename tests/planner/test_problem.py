"""The declared space, deadlines and unloaded latencies."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from inferline.domain import Configuration, Edge, Hardware, Pipeline, Slo, Stage, StageConfiguration, Trace
from planner import latency_ns, pose
from planner.problem import replicas_that_fit
from tests.random_problems import profile, random_problem

MS = 10**6


def diamond(max_batch: int | None = None, limit: int | None = None) -> Pipeline:
    return Pipeline(
        name="diamond",
        slo=Slo(latency_ns=100 * MS, percentile=Decimal(99)),
        stages=(
            Stage(name="join", model="m", hardware=("x", "y"), parents=(Edge(parent="left"), Edge(parent="right"))),
            Stage(name="left", model="m", hardware=("x",), parents=(Edge(parent="in", probability=0.5),)),
            Stage(name="right", model="slow", hardware=("x",), parents=(Edge(parent="in"),), max_batch=max_batch),
            Stage(name="in", model="m", hardware=("x", "y")),
        ),
        hardware=(
            Hardware(name="x", price_nano_usd_per_hour=1, limit=limit),
            Hardware(name="y", price_nano_usd_per_hour=2),
        ),
    )


PROFILES = {
    ("m", "x"): profile("m", "x", {1: 0.010, 2: 0.015}),
    ("m", "y"): profile("m", "y", {1: 0.004}),
    ("slow", "x"): profile("slow", "x", {2: 0.030, 4: 0.025, 8: 0.050}),
}
TRACE = Trace(np.arange(10, dtype=np.int64) * MS, 10 * MS)


def test_options_are_the_profiled_sizes_up_to_the_cap():
    problem = pose(diamond(max_batch=5), PROFILES, TRACE)
    assert problem.options["right"]["x"].batch_sizes == (2, 4)
    assert problem.options["right"]["x"].latency_ns.tolist() == [30 * MS, 30 * MS, 27_500_000, 25 * MS]
    assert problem.options["right"]["x"].least_latency_ns == 25 * MS
    assert problem.options["right"]["x"].replica_time_ns(4) == 25 * MS / 4
    assert set(problem.options["in"]) == {"x", "y"}


def test_a_cap_below_the_smallest_profiled_size_leaves_no_option():
    with pytest.raises(ValueError, match="stage 'right'"):
        pose(diamond(max_batch=1), PROFILES, TRACE)


def test_deadlines_leave_the_least_time_still_needed_on_the_route():
    problem = pose(diamond(), PROFILES, TRACE)
    taken = problem.routes["in", "left"]
    assert 0 < taken.sum() < 10
    in_time = TRACE.arrival_ns + 100 * MS
    assert np.array_equal(problem.deadline_ns["join"], in_time)
    assert np.array_equal(problem.deadline_ns["right"], in_time - 4 * MS)
    assert np.array_equal(problem.deadline_ns["left"], in_time - 4 * MS)
    # After `in` the slow branch (25 ms at best) and the join (4 ms) remain for everyone.
    assert np.array_equal(problem.deadline_ns["in"], in_time - 29 * MS)
    assert problem.unloaded_ns.tolist() == [33 * MS] * 10
    assert problem.visits == {"in": 10, "left": int(taken.sum()), "right": 10, "join": 10}


@pytest.mark.parametrize("block", range(4))
def test_no_configuration_beats_the_unloaded_latency(block):
    for seed in range(block * 25, block * 25 + 25):
        problem = random_problem(seed, stages=4)
        rng = np.random.default_rng(seed)
        configuration = Configuration(
            {
                name: StageConfiguration(
                    hardware=option.hardware, max_batch=int(rng.choice(option.batch_sizes)), replicas=50
                )
                for name, options in problem.options.items()
                for option in [options[str(rng.choice(list(options)))]]
            }
        )
        assert np.all(latency_ns(problem, configuration) >= problem.unloaded_ns)


def test_replicas_that_fit_count_the_other_stages():
    problem = pose(diamond(limit=6), PROFILES, TRACE)
    one = StageConfiguration(hardware="x", max_batch=2, replicas=1)
    configuration = Configuration(dict.fromkeys(("in", "left", "right", "join"), one))
    assert replicas_that_fit(problem, configuration, "in", "x") == 3
    assert replicas_that_fit(problem, configuration, "in", "y") == 100
    moved = configuration.with_stage("in", StageConfiguration(hardware="y", max_batch=1, replicas=9))
    assert replicas_that_fit(problem, moved, "in", "x") == 3
