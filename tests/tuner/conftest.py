"""A pipeline of two stages with a plan for 20 queries/s, and a controller that is played tick by tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
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
from tuner.control import Change, Rules, Seen
from tuner.controller import first_state, tick
from tuner.protocols import ArrivalsSeen, StageArrivals
from tuner.situation import Decision, Reason, Situation

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
def two_stages(situation) -> Callable[..., Situation]:
    """Return a function from a hardware's limit and bounds to the situation with 2 replicas of either stage."""
    return partial(situation, planned=(2, 2), most=9)


class Scripted:
    """A policy that wants what it is told, and counts how often it was asked since its note was forgotten."""

    def __init__(self) -> None:
        self.wants: dict[str, int] = {}
        self.notes: list[int] = []

    def __call__(self, _: Situation, observation: Any, note: int | None) -> tuple[Decision, int]:
        asked = 1 if note is None else note + 1
        self.notes.append(asked)
        wanted = {name: self.wants.get(name, seen.requested) for name, seen in observation.stages.items()}
        changed = [name for name, count in wanted.items() if count != observation.stages[name].requested]
        return Decision(replicas=wanted, reasons={name: Reason(rule="script") for name in changed}), asked


class Played:
    """A controller with its world: counts at the target and replicas that serve, changed by hand.

    What is asked for reaches the target at once unless `refuse` says why not; replicas serve when the test says so.
    """

    def __init__(self, situation: Situation, **rules: Any) -> None:
        names = [stage.name for stage in situation.pipeline.stages]
        given: dict[str, Any] = {"settle_ns": 0, "calm_ns": dict.fromkeys(names, 0), **rules}
        floor = {stage.name: stage.min_replicas for stage in situation.pipeline.stages}
        self.situation = situation
        self.rules = Rules(floor=floor, time_out_ns=dict.fromkeys(names, 30 * S), **given)
        self.policy = Scripted()
        self.state = first_state(situation)
        self.requested = dict.fromkeys(names, 2)
        self.ready = dict.fromkeys(names, 2)
        self.now_s = 100.0
        self.source, self.source_s = "one", 0.0
        self.seen_s: float | None = None
        self.arrivals: ArrivalsSeen | None = None
        self.metrics = self.target = True
        self.leading = True
        self.refuse = ""
        self.refused: dict[str, str] = {}
        self.log: list[tuple[float, str]] = []
        self.asked: list[tuple[float, Change]] = []

    def seen(self) -> Seen:
        now_ns = round(self.now_s * S)
        if self.metrics:
            stages = {
                name: StageArrivals(arrival_ns=NOTHING, queued=0, in_service=0, ready=count, utilisation=0.0)
                for name, count in self.ready.items()
            }
            at_ns = round((self.now_s - self.source_s) * S)
            self.arrivals = ArrivalsSeen(source=self.source, now_ns=at_ns, age_ns=0, stages=stages)
            self.seen_s = self.now_s
        return Seen(
            now_ns=now_ns,
            arrivals=self.arrivals,
            arrivals_ns=round((self.seen_s or 0) * S),
            lost="" if self.metrics else "no answer",
            requested=dict(self.requested) if self.target else None,
            unreachable="" if self.target else "no answer",
            refused=self.refused,
            leading=self.leading,
        )

    def tick(self, wants: Mapping[str, int] | None = None, *, after_s: float = 1.0) -> None:
        """Tick once, some time after the tick before."""
        self.now_s += after_s
        if wants is not None:
            self.policy.wants = dict(wants)
        outcome = tick(self.situation, self.policy, self.rules, self.seen(), self.state)
        self.state, self.refused = outcome.state, {}
        for change in outcome.changes:
            self.asked.append((self.now_s - 100, change))
            if self.refuse:
                self.refused[change.stage] = self.refuse
            else:
                self.requested[change.stage] = change.after
        for record in outcome.records:
            count = "" if record.after is None else f" {record.before}->{record.after}"
            self.log.append((self.now_s - 100, f"{record.event} {record.stage}".strip() + count))

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.tick()

    def serve(self) -> None:
        """Have as many replicas serve as are asked for."""
        self.ready = dict(self.requested)


@pytest.fixture
def play() -> type[Played]:
    return Played
