"""The question: how often is the optimum proved, in what time, and how far from it does the greedy search end.

Random pipelines of 2 to 6 stages with branches and joins, 4 hardware types whose order differs from stage to stage,
7 batch sizes, up to 50 replicas per stage, 10,000 queries with a squared coefficient of variation of 1 and 4.
Instances whose best plan has more than 15 replicas, and infeasible ones, are drawn again; how many, and how many of
those were not proved (their optimum may be smaller), is printed. Every instance is a row with ``--every``.

    python -m benchmarks.exact                       # 10 instances a cell, 60 s each
    python -m benchmarks.exact --brute-force 200     # small instances against brute force instead
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from decimal import Decimal

import numpy as np

from inferline.domain import Configuration, Edge, Hardware, Pipeline, Profile, Slo, Stage, StageConfiguration, Trace
from inferline.domain.renewal import gamma_trace
from planner import Estimator, Infeasible, Problem, exact, greedy, pose

SIZES = (1, 2, 4, 8, 16, 32, 64)
MOST_REPLICAS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One instance."""

    stages: int
    cv2: float
    seed: int
    seconds: float
    gap: float
    greedy_over_best: float
    replicas: int


def instance(seed: int, stages: int, cv2: float, *, queries: int = 10_000, sizes: tuple[int, ...] = SIZES) -> Problem:
    """Draw a pipeline whose stages need about 0.3 to 3 replicas of middling hardware at batch 1.

    They need less when they are more than 3, so that most optima have at most 15 replicas.
    """
    rng = np.random.default_rng((seed, stages, int(cv2 * 10)))
    speed = (1.0, 3.0, 7.0, 18.0)
    prices = np.array([0.05, 0.3, 0.8, 2.5]) * rng.uniform(0.7, 1.4, 4)
    units = tuple(
        Hardware(name=f"h{k}", price_nano_usd_per_hour=round(float(price) * 1e4) * 100_000)
        for k, price in enumerate(prices)
    )
    rate_qps = float(rng.uniform(50, 400))
    made, profiles, fastest_s = [], {}, 0.0
    for s in range(stages):
        batch_1_s = float(rng.uniform(0.3, 3.0)) * min(1.0, 3 / stages) / rate_qps
        for k, unit in enumerate(units):
            each_s = batch_1_s * 7 / (speed[k] * rng.uniform(0.6, 1.6))
            repeated = min(1.0, (0.9, 0.75, 0.4, 0.25)[k] * rng.uniform(0.7, 1.2))
            profiles[f"m{s}", unit.name] = Profile(
                model=f"m{s}",
                hardware=unit.name,
                batch_size=np.array(sizes),
                latency_mean_s=np.array([each_s * (1 - repeated + repeated * size) for size in sizes]),
            )
        fastest_s += min(float(profiles[f"m{s}", unit.name].latency_mean_s[0]) for unit in units)
        made.append(
            Stage(
                name=f"s{s}",
                model=f"m{s}",
                parents=_parents(rng, s),
                hardware=tuple(unit.name for unit in units),
                max_replicas=50,
            )
        )
    pipeline = Pipeline(
        name=f"random-{seed}",
        slo=Slo(latency_ns=int(fastest_s * rng.uniform(3, 15) * 1e9), percentile=Decimal(99)),
        stages=tuple(made),
        hardware=units,
        seed=seed,
    )
    return pose(pipeline, profiles, gamma_trace(rate=rate_qps, cv2=cv2, queries=queries, seed=seed))


def _parents(rng: np.random.Generator, stage: int) -> tuple[Edge, ...]:
    if stage == 0:
        return ()
    first = int(rng.integers(0, stage))
    edges = [Edge(parent=f"s{first}", probability=float(rng.choice([1.0, 1.0, 0.5, 0.2])))]
    second = int(rng.integers(0, stage))
    if rng.random() < 0.3 and second != first:
        edges.append(Edge(parent=f"s{second}"))
    return tuple(edges)


def measured(seed: int, stages: int, cv2: float, time_limit_s: float) -> Row | None:
    """Plan one instance with both planners; None when the greedy search finds no plan."""
    problem = instance(seed, stages, cv2)
    first = greedy(Estimator(problem))
    if isinstance(first, Infeasible):
        return None
    start = time.perf_counter()
    answer = exact(Estimator(problem), time_limit_s=time_limit_s)
    seconds = time.perf_counter() - start
    if isinstance(answer, Infeasible):
        raise SystemExit(f"instance {seed}: greedy found a plan, exact none")
    cost = answer.configuration.cost_nano_usd_per_hour(problem.pipeline)
    greedy_cost = first.cost_nano_usd_per_hour(problem.pipeline)
    if cost > greedy_cost:
        raise SystemExit(f"instance {seed}: exact is dearer than greedy")
    replicas = sum(stage.replicas for stage in answer.configuration.values())
    return Row(
        stages=stages,
        cv2=cv2,
        seed=seed,
        seconds=seconds,
        gap=1 - answer.lower_bound_nano_usd_per_hour / cost,
        greedy_over_best=greedy_cost / cost,
        replicas=replicas,
    )


def brute_force(problem: Problem) -> int | None:
    """Return the least cost over the whole declared space, or None when nothing meets the SLO."""
    estimator = Estimator(problem)
    spaces = [
        [
            StageConfiguration(hardware=option.hardware, max_batch=batch, replicas=replicas)
            for option in problem.options[stage.name].values()
            for batch in option.batch_sizes
            for replicas in range(1, 4)
        ]
        for stage in problem.pipeline.stages
    ]
    names = [stage.name for stage in problem.pipeline.stages]
    everything = [Configuration(dict(zip(names, chosen, strict=True))) for chosen in itertools.product(*spaces)]
    everything.sort(key=lambda each: each.cost_nano_usd_per_hour(problem.pipeline))
    cheapest = next((each for each in everything if estimator.feasible(each)), None)
    return None if cheapest is None else cheapest.cost_nano_usd_per_hour(problem.pipeline)


def against_brute_force(count: int) -> None:
    """Compare cost, bound and infeasibility on small instances: 2 stages, 4 hardware types, 3 sizes, 3 replicas."""
    equal = infeasible = 0
    for seed in range(count):
        problem = _narrowed(instance(seed, 2, 4.0, queries=1_000, sizes=(1, 4, 16)))
        answer, cheapest = exact(Estimator(problem)), brute_force(problem)
        if isinstance(answer, Infeasible):
            infeasible += 1
            found = None
        else:
            found = answer.configuration.cost_nano_usd_per_hour(problem.pipeline)
            if answer.lower_bound_nano_usd_per_hour > (cheapest or 0):
                raise SystemExit(f"instance {seed}: the bound is above brute force")
        if found != cheapest:
            raise SystemExit(f"instance {seed}: exact {found}, brute force {cheapest}")
        equal += 1
    print(f"{equal} of {count} instances equal to brute force, {infeasible} of them infeasible")


def _narrowed(problem: Problem) -> Problem:
    """Return the problem with at most 3 replicas per stage."""
    pipeline = problem.pipeline
    stages = tuple(
        Stage(name=s.name, model=s.model, parents=s.parents, hardware=s.hardware, max_replicas=3)
        for s in pipeline.stages
    )
    profiles = {
        (stage.model, option.hardware): Profile(
            model=stage.model,
            hardware=option.hardware,
            batch_size=np.array(option.batch_sizes),
            latency_mean_s=option.latency_ns[np.array(option.batch_sizes) - 1] / 1e9,
        )
        for stage in pipeline.stages
        for option in problem.options[stage.name].values()
    }
    smaller = Pipeline(
        name=pipeline.name, slo=pipeline.slo, stages=stages, hardware=pipeline.hardware, seed=pipeline.seed
    )
    return pose(smaller, profiles, Trace(problem.trace.arrival_ns, problem.trace.duration_ns))


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--instances", type=int, default=10, help="per cell")
    options.add_argument("--time-limit", type=float, default=60.0, metavar="S")
    options.add_argument("--brute-force", type=int, metavar="N", help="compare N small instances with brute force")
    options.add_argument("--every", action="store_true", help="print every instance")
    options.add_argument("--format", choices=["table", "json"], default="table")
    chosen = options.parse_args()
    if chosen.brute_force is not None:
        against_brute_force(chosen.brute_force)
        return
    rows: list[Row] = []
    for stages, cv2 in itertools.product((2, 3, 4, 5, 6), (1.0, 4.0)):
        cell: list[Row] = []
        redrawn: list[Row] = []
        for seed in itertools.count():
            row = measured(seed, stages, cv2, chosen.time_limit)
            if row is not None:
                (cell if row.replicas <= MOST_REPLICAS else redrawn).append(row)
                if chosen.every:
                    print(row, file=sys.stderr, flush=True)
            if len(cell) == chosen.instances:
                break
        rows += cell
        if chosen.format == "table":
            print(_cell_line(stages, cv2, cell, redrawn), flush=True)
    if chosen.format == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))


def _cell_line(stages: int, cv2: float, cell: list[Row], redrawn: list[Row]) -> str:
    proved = [row for row in cell if row.gap == 0]
    gaps = [row.gap for row in cell if row.gap > 0]
    ratios = [row.greedy_over_best for row in cell]
    seconds = [row.seconds for row in cell]
    median_gap = f"{statistics.median(gaps):.1%}" if gaps else "-"
    return (
        f"stages {stages}  cv2 {cv2:g}  proved {len(proved)}/{len(cell)}  median gap of the rest {median_gap}  "
        f"seconds median {statistics.median(seconds):.2f} max {max(seconds):.2f}  "
        f"greedy / best mean {statistics.mean(ratios):.2f} max {max(ratios):.2f}  "
        f"replicas {min(row.replicas for row in cell)}-{max(row.replicas for row in cell)}  "
        f"drawn again {len(redrawn)}, not proved {sum(row.gap > 0 for row in redrawn)}"
    )


if __name__ == "__main__":
    main()
