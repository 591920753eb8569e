"""A pipeline of two stages, a plan for it, and traffic, all small enough to be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from inferline.domain import (
    Configuration,
    Edge,
    Envelope,
    Hardware,
    Pipeline,
    Plan,
    Prediction,
    Profile,
    Slo,
    Stage,
    StageConfiguration,
    Trace,
    draw_routes,
)
from inferline.laboratory import Experiment, experiment_of

MS = 1_000_000
S = 1_000_000_000
DOLLAR = 1_000_000_000


@pytest.fixture
def pipeline() -> Pipeline:
    """Return detect (100 ms, $1/h) and, for half of the queries, read (50 ms, at most 60 ms for two; $2/h)."""
    return Pipeline(
        name="small",
        slo=Slo(latency_ns=500 * MS, percentile=Decimal(90)),
        stages=(
            Stage(name="detect", model="d", hardware=("cpu",), max_replicas=6),
            Stage(name="read", model="r", hardware=("gpu",), parents=(Edge(parent="detect", probability=0.5),)),
        ),
        hardware=(
            Hardware(name="cpu", price_nano_usd_per_hour=DOLLAR),
            Hardware(name="gpu", price_nano_usd_per_hour=2 * DOLLAR, limit=5),
        ),
    )


@pytest.fixture
def plan(pipeline) -> Plan:
    return Plan(
        pipeline="small",
        status="feasible",
        planner="greedy",
        slo=pipeline.slo,
        models={"detect": "d", "read": "r"},
        configuration=Configuration(
            {
                "detect": StageConfiguration(hardware="cpu", max_batch=1, replicas=1),
                "read": StageConfiguration(hardware="gpu", max_batch=2, replicas=1),
            }
        ),
        cost_nano_usd_per_hour=3 * DOLLAR,
        lower_bound_nano_usd_per_hour=0,
        predicted=Prediction(
            p50_s=0.1,
            p95_s=0.1,
            p99_s=0.1,
            at_slo_percentile_s=0.1,
            slo_attainment=1.0,
            queries=1,
            slo_met=True,
            stages={},
        ),
        envelope=Envelope(window_s=(0.15, 60.0), max_queries=(3, 500)),
        inputs={},
    )


@pytest.fixture
def experiment(pipeline, plan) -> Callable[..., Experiment]:
    """Return a function from arrivals in seconds to an experiment that lasts for so many seconds."""
    profiles = {
        ("d", "cpu"): Profile(model="d", hardware="cpu", batch_size=np.array([1]), latency_mean_s=np.array([0.1])),
        ("r", "gpu"): Profile(
            model="r", hardware="gpu", batch_size=np.array([1, 2]), latency_mean_s=np.array([0.05, 0.06])
        ),
    }

    def of(arrival_s: Sequence[float], duration_s: int, *, activation_s: float = 2, **bounds: int) -> Experiment:
        arrival_ns = np.rint(np.array(arrival_s) * S).astype(np.int64)
        stages = tuple(replace(stage, **bounds) for stage in pipeline.stages)
        changed = replace(pipeline, stages=stages)
        return experiment_of(
            changed,
            profiles,
            plan,
            Trace(arrival_ns, duration_s * S),
            draw_routes(changed, arrival_ns.size),
            {"detect": round(activation_s * S), "read": round(activation_s * S)},
        )

    return of
