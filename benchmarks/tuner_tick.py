"""The question: how long does a tick of each policy take, and is it short beside the second until the next one.

The work: ten stages in a row (10 ms for one query, 24 ms for a batch of eight), Poisson arrivals at 1,000 queries/s
at every one of them for the last two minutes, as far back as a policy is shown. The policies are called as the daemon
calls them, one tick after the other, with what they noted; two minutes of ticks for their notes to fill, then
as many to be timed. Target: a median below 10 ms for `certified` and `inferline`.

    python -m benchmarks.tuner_tick                     # some five seconds
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from decimal import Decimal

import numpy as np
from rich.console import Console
from rich.table import Table

from inferline.domain import (
    Configuration,
    Edge,
    Hardware,
    Pipeline,
    Profile,
    Slo,
    Stage,
    StageConfiguration,
    Trace,
    poisson_trace,
)
from inferline.laboratory import experiment_of, look_ahead, network_of
from inferline.units import NANO
from planner import Found, plan_of, pose
from tuner.policies import POLICIES
from tuner.situation import Observation, Situation, StageObservation

STAGES = 10
RATE = 1000
REPLICAS = 5
TICKS = 120


def situation(trace: Trace) -> Situation:
    """Return ten stages in a row with a plan for a trace that keeps a P99 of 600 ms."""
    names = [f"s{k}" for k in range(STAGES)]
    pipeline = Pipeline(
        name="row",
        slo=Slo(latency_ns=600_000_000, percentile=Decimal(99)),
        stages=tuple(
            Stage(name=name, model="m", hardware=("cpu",), parents=(Edge(parent=names[k - 1]),) if k else ())
            for k, name in enumerate(names)
        ),
        hardware=(Hardware(name="cpu", price_nano_usd_per_hour=100_000_000),),
    )
    size = np.arange(1, 9)
    profiles = {
        ("m", "cpu"): Profile(model="m", hardware="cpu", batch_size=size, latency_mean_s=0.008 + 0.002 * size)
    }
    problem = pose(pipeline, profiles, trace)
    each = StageConfiguration(hardware="cpu", max_batch=8, replicas=REPLICAS)
    found = Found(configuration=Configuration(dict.fromkeys(names, each)), lower_bound_nano_usd_per_hour=0)
    plan = plan_of(problem, found, "greedy", {})
    given = experiment_of(pipeline, profiles, plan, trace, problem.routes, dict.fromkeys(names, 5 * NANO)).situation
    return replace(given, simulate=look_ahead(network_of(given)))


def tick_ms(name: str, trace: Trace, given: Situation) -> list[float]:
    """Return how long each timed tick of a policy takes."""
    requested = {stage.name: REPLICAS for stage in given.pipeline.stages}
    note, took_ms = None, []
    for second in range(121, 121 + 2 * TICKS):
        first, end = np.searchsorted(trace.arrival_ns, [(second - 120) * NANO, second * NANO])
        arrival_ns = trace.arrival_ns[first:end]
        stages = {
            stage: StageObservation(
                arrival_ns=arrival_ns, queued=3, in_service=18, requested=count, ready=count, utilisation=0.7
            )
            for stage, count in requested.items()
        }
        observation = Observation(now_ns=second * NANO, stages=stages)
        begun = time.perf_counter()
        decision, note = POLICIES[name].policy(given, observation, note)
        took_ms.append((time.perf_counter() - begun) * 1e3)
        requested = dict(decision.replicas)
    return took_ms[TICKS:]


def main() -> None:
    """Time every policy and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--format", choices=["table", "json"], default="table")
    chosen = options.parse_args()
    trace = poisson_trace(rate=RATE, duration_ns=(121 + 2 * TICKS) * NANO, seed=1)
    given = situation(trace.first(1 / 6))
    rows = []
    for name in POLICIES:
        took_ms = tick_ms(name, trace, given)
        rows.append({"policy": name, "median ms": statistics.median(took_ms), "longest ms": max(took_ms)})
    if chosen.format == "json":
        print(json.dumps(rows, indent=2))
        return
    table = Table(title=f"One tick, {STAGES} stages at {RATE:,} queries/s")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "policy" else "right")
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
