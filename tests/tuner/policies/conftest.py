"""A pipeline of two stages with a plan for 20 queries/s, and what is seen of it, small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from inferline.calculus import traffic_envelope
from inferline.domain import (
    Configuration,
    Edge,
    Hardware,
    Pipeline,
    Plan,
    Prediction,
    Slo,
    Stage,
    StageConfiguration,
    StagePrediction,
    even_trace,
)
from inferline.laboratory import look_ahead, network_of
from tuner.situation import Observation, Situation, StageObservation

MS = 1_000_000
S = 1_000_000_000

NOTHING = np.empty(0, dtype=np.int64)


@pytest.fixture
def situation() -> Callable[..., Situation]:
    """Return a function from options and bounds to the situation.

    Every query goes to `detect` (100 ms, one at a time, 4 replicas planned), half of them to `read` (50 ms for one,
    60 for two, 2 replicas planned). Replicas start in 5 s. The planned traffic is 20 queries/s, evenly spaced.
    """

    def of(
        *,
        options: Mapping[str, Any] | None = None,
        limit: int | None = None,
        least: int = 1,
        most: int = 30,
        planned: tuple[int, int] = (4, 2),
        ahead: bool = False,
    ) -> Situation:
        hardware = (
            Hardware(name="cpu", price_nano_usd_per_hour=S, limit=limit),
            Hardware(name="gpu", price_nano_usd_per_hour=3 * S),
        )
        read = "cpu" if limit is not None else "gpu"
        pipeline = Pipeline(
            name="small",
            slo=Slo(latency_ns=500 * MS, percentile=Decimal(99)),
            stages=(
                Stage(name="detect", model="d", hardware=("cpu",), min_replicas=least, max_replicas=most),
                Stage(
                    name="read",
                    model="r",
                    hardware=(read,),
                    parents=(Edge(parent="detect", probability=0.5),),
                    min_replicas=least,
                    max_replicas=most,
                ),
            ),
            hardware=hardware,
        )
        detect, reading = planned
        configuration = Configuration(
            {
                "detect": StageConfiguration(hardware="cpu", max_batch=1, replicas=detect),
                "read": StageConfiguration(hardware=read, max_batch=2, replicas=reading),
            }
        )
        made = Situation(
            pipeline=pipeline,
            plan=_plan(pipeline, configuration, detect, reading),
            batch_latency_ns={"detect": (100 * MS,), "read": (50 * MS, 60 * MS)},
            activation_ns={"detect": 5 * S, "read": 5 * S},
            options=options or {},
        )
        return replace(made, simulate=look_ahead(network_of(made))) if ahead else made

    return of


def _plan(pipeline: Pipeline, configuration: Configuration, detect: int, read: int) -> Plan:
    return Plan(
        pipeline="small",
        status="feasible",
        planner="greedy",
        slo=pipeline.slo,
        models={"detect": "d", "read": "r"},
        configuration=configuration,
        cost_nano_usd_per_hour=configuration.cost_nano_usd_per_hour(pipeline),
        lower_bound_nano_usd_per_hour=0,
        predicted=Prediction(
            p50_s=0.15,
            p95_s=0.2,
            p99_s=0.25,
            at_slo_percentile_s=0.25,
            slo_attainment=1.0,
            queries=1200,
            slo_met=True,
            stages={
                "detect": _stage(visits=1200, utilisation=120 / (60 * detect), mean_batch=1.0, service_s=0.1),
                "read": _stage(visits=600, utilisation=30 / (60 * read), mean_batch=1.0, service_s=0.05),
            },
        ),
        envelope=traffic_envelope(even_trace(rate=20, duration_ns=60 * S), 160 * MS),
        inputs={},
    )


def _stage(*, visits: int, utilisation: float, mean_batch: float, service_s: float) -> StagePrediction:
    return StagePrediction(
        utilisation=utilisation,
        mean_batch=mean_batch,
        wait_p99_s=0.05,
        service_p99_s=service_s,
        wait_mean_s=0.01,
        service_mean_s=service_s,
        budget_wait=0.1,
        budget_service=0.2,
        visits=visits,
    )


@pytest.fixture
def seen() -> Callable[..., StageObservation]:
    """Return a function from what differs to what is seen of a stage: nothing arrives, one replica idles."""

    def of(**differs: Any) -> StageObservation:
        if "replicas" in differs:
            differs["requested"] = differs["ready"] = differs.pop("replicas")
        nothing = StageObservation(arrival_ns=NOTHING, queued=0, in_service=0, requested=1, ready=1, utilisation=0.0)
        return replace(nothing, **differs)

    return of


@pytest.fixture
def at(seen) -> Callable[..., Observation]:
    """Return a function from the time in seconds and what is seen of the stages to an observation."""

    def of(now_s: float, **stages: StageObservation) -> Observation:
        both = {"detect": seen(), "read": seen(), **stages}
        return Observation(now_ns=round(now_s * S), stages=both)

    return of


@pytest.fixture
def steady() -> Callable[..., np.ndarray]:
    """Return a function to evenly spaced arrivals of the last 120 s, or since 0."""

    def of(now_s: float, rate: float) -> np.ndarray:
        first = max(0.0, now_s - 120)
        return np.rint((first + np.arange(round((now_s - first) * rate)) / rate) * S).astype(np.int64)

    return of
