"""Small problems whose service times vary."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from inferline.domain import Edge, Hardware, Pipeline, Profile, Slo, Stage, gamma_trace
from planner import Problem, pose
from planner.uncertainty.worlds import Profiles
from tests.random_problems import random_problem


def varying(problem: Problem, seed: int) -> Profiles:
    """Return profiles with the means of a problem's options, and percentiles for most of them."""
    rng = np.random.default_rng(seed)
    profiles = {}
    for stage in problem.pipeline.stages:
        for hardware, option in problem.options[stage.name].items():
            sizes = np.array(option.batch_sizes)
            mean_s = option.latency_ns[sizes - 1] / 1e9
            known = {}
            if rng.random() < 0.8:
                known["latency_p95_s"] = mean_s * rng.uniform(1.05, 1.5)
                known["latency_p99_s"] = known["latency_p95_s"] * rng.uniform(1.0, 1.5)
            profiles[stage.model, hardware] = Profile(
                model=stage.model, hardware=hardware, batch_size=sizes, latency_mean_s=mean_s, **known
            )
    return profiles


def random_uncertain(seed: int, **options: int) -> tuple[Problem, Profiles]:
    """Return a random problem and profiles that vary about its means."""
    problem = random_problem(seed, **options)
    return problem, varying(problem, seed)


def bursty(seconds: int = 120, seed: int = 3) -> tuple[Problem, Profiles]:
    """Return two stages in a row, the second one for half of the queries, under clustered arrivals."""
    units = (
        Hardware(name="cpu", price_nano_usd_per_hour=50_000_000),
        Hardware(name="gpu", price_nano_usd_per_hour=500_000_000),
    )
    rows = {
        ("detector", "cpu"): ([1, 2, 4], [0.020, 0.034, 0.060]),
        ("reader", "cpu"): ([1, 2], [0.045, 0.080]),
        ("reader", "gpu"): ([1, 4, 8], [0.006, 0.012, 0.020]),
    }
    profiles = {
        key: Profile(
            model=key[0],
            hardware=key[1],
            batch_size=np.array(sizes),
            latency_mean_s=np.array(mean_s),
            latency_p95_s=np.array(mean_s) * 1.2,
            latency_p99_s=np.array(mean_s) * 1.5,
        )
        for key, (sizes, mean_s) in rows.items()
    }
    pipeline = Pipeline(
        name="bursty",
        slo=Slo(latency_ns=180_000_000, percentile=Decimal(95)),
        stages=(
            Stage(name="detect", model="detector", hardware=("cpu",), max_replicas=12),
            Stage(
                name="read",
                model="reader",
                hardware=("cpu", "gpu"),
                parents=(Edge(parent="detect", probability=0.5),),
                max_replicas=12,
            ),
        ),
        hardware=units,
    )
    trace = gamma_trace(rate=40.0, cv2=4.0, duration_ns=seconds * 10**9, seed=seed)
    return pose(pipeline, profiles, trace), profiles
