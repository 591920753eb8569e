"""Small random planning problems: DAGs with branches, joins, choices and limits, on short traces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal

import numpy as np

from inferline.domain import Configuration, Edge, Hardware, Pipeline, Profile, Slo, Stage, StageConfiguration, Trace
from planner import Problem, pose


def profile(model: str, hardware: str, rows: dict[int, float]) -> Profile:
    """Return a profile from seconds by batch size."""
    return Profile(
        model=model,
        hardware=hardware,
        batch_size=np.array(list(rows)),
        latency_mean_s=np.array(list(rows.values())),
    )


def random_problem(
    seed: int, *, stages: int = 3, hardware: int = 2, queries: int = 200, max_replicas: int = 4
) -> Problem:
    """Return a problem that is neither trivially feasible nor trivially infeasible."""
    rng = np.random.default_rng(seed)
    units = tuple(
        Hardware(
            name=f"h{k}",
            price_nano_usd_per_hour=int(rng.integers(1, 20)) * 100_000_000,
            limit=int(rng.integers(stages, 4 * stages)) if rng.random() < 0.3 else None,
        )
        for k in range(hardware)
    )
    made = []
    profiles = {}
    for s in range(stages):
        name = f"s{s}"
        parents = tuple(
            Edge(
                parent=f"s{p}",
                probability=1.0 if rng.random() < 0.5 else float(rng.uniform(0.1, 0.9)),
                choice="kind" if rng.random() < 0.2 else None,
            )
            for p in range(s)
            if rng.random() < 0.6
        )
        made.append(
            Stage(
                name=name,
                model=f"m{s}",
                parents=_affordable(parents, made, name),
                hardware=tuple(unit.name for unit in units),
                max_replicas=max_replicas,
            )
        )
        for unit in units:
            base, per_query = rng.uniform(0.001, 0.01), rng.uniform(0.0005, 0.005)
            sizes = (1, 2, 4)[: int(rng.integers(1, 4))]
            # A bigger batch is not always slower in total: profiles are data, not a formula.
            profiles[f"m{s}", unit.name] = profile(
                f"m{s}", unit.name, {b: base + per_query * b * rng.uniform(0.8, 1.2) for b in sizes}
            )
    gaps = rng.gamma(0.5, 0.006 / 0.5, queries)
    arrivals = np.cumsum(gaps * 1e9).astype(np.int64)
    pipeline = Pipeline(
        name=f"random-{seed}",
        slo=Slo(latency_ns=int(rng.uniform(0.01, 0.12) * 1e9), percentile=Decimal(int(rng.choice([90, 95, 99])))),
        stages=tuple(made),
        hardware=units,
        seed=seed,
    )
    return pose(pipeline, profiles, Trace(arrivals, int(arrivals[-1])))


def whole_space(problem: Problem) -> Iterator[Configuration]:
    """Yield every configuration of the declared space, hardware limits aside."""
    spaces = [
        [
            StageConfiguration(hardware=option.hardware, max_batch=batch, replicas=replicas)
            for option in problem.options[stage.name].values()
            for batch in option.batch_sizes
            for replicas in range(stage.min_replicas, stage.max_replicas + 1)
        ]
        for stage in problem.pipeline.stages
    ]
    names = [stage.name for stage in problem.pipeline.stages]
    return (Configuration(dict(zip(names, chosen, strict=True))) for chosen in itertools.product(*spaces))


def _affordable(parents: tuple[Edge, ...], made: list[Stage], child: str) -> tuple[Edge, ...]:
    """Drop the choice of edges that would make the probabilities of one choice exceed 1."""
    kept = []
    for edge in parents:
        spent = sum(
            other.probability
            for stage in made
            for other in stage.parents
            if other.parent == edge.parent and other.choice == edge.choice and stage.name != child
        )
        fits = edge.choice is None or spent + edge.probability <= 1.0
        kept.append(edge if fits else Edge(parent=edge.parent, probability=edge.probability))
    return tuple(kept)
