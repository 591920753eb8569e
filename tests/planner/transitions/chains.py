"""Chains of stages with three kinds of hardware, and configurations of them, for tests of transitions."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import numpy as np

from inferline.domain import Configuration, Edge, Hardware, Pipeline, Profile, Slo, Stage, StageConfiguration, Trace
from planner import Problem, pose

S = 1_000_000_000
SPEED = {"slow": 0.4, "mid": 0.2, "fast": 0.1}


def posed(stages=("a",), limits=None, arrivals_s=(0.0,), slo_s=1.0, batches=(1, 2, 4)) -> Problem:
    """Return a chain of stages, each of which may use every hardware; a batch takes 0.4, 0.2 or 0.1 s and more."""
    hardware = tuple(
        Hardware(name=name, price_nano_usd_per_hour=int(S / seconds), limit=(limits or {}).get(name))
        for name, seconds in SPEED.items()
    )
    chain = tuple(
        Stage(
            name=name,
            model=name,
            hardware=tuple(SPEED),
            parents=(Edge(parent=stages[place - 1]),) if place else (),
        )
        for place, name in enumerate(stages)
    )
    profiles = {
        (name, unit): Profile(
            model=name,
            hardware=unit,
            batch_size=np.array(batches),
            latency_mean_s=np.array([round(seconds * (0.75 + size / 4), 9) for size in batches]),
        )
        for name, (unit, seconds) in product(stages, SPEED.items())
    }
    slo = Slo(latency_ns=int(slo_s * S), percentile=Decimal(99))
    arrival_ns = np.array([round(instant * S) for instant in arrivals_s], dtype=np.int64)
    pipeline = Pipeline(name="chain", slo=slo, stages=chain, hardware=hardware)
    return pose(pipeline, profiles, Trace(arrival_ns, int(arrival_ns[-1])))


def running(**stages: tuple[str, int] | tuple[str, int, int]) -> Configuration:
    """Return a configuration from (hardware, replicas) or (hardware, replicas, maximum batch size)."""
    return Configuration(
        {
            name: StageConfiguration(hardware=of[0], replicas=of[1], max_batch=of[2] if len(of) == 3 else 1)
            for name, of in stages.items()
        }
    )
