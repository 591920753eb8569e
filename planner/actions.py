"""The actions of the published greedy planner: IncreaseBatch, RemoveReplica and DowngradeHardware."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from inferline.domain import Configuration, StageConfiguration
from planner.oracle import Oracle
from planner.problem import Option, replicas_that_fit

__all__ = ["Action", "actions", "first_latency_ns", "next_batch"]


@dataclass(frozen=True, slots=True)
class Action:
    """One step that Algorithm 2 may take at one stage.

    Parameters
    ----------
    name
        ``IncreaseBatch``, ``RemoveReplica`` or ``DowngradeHardware``.
    stage
        The stage that it changes.
    least_cost_nano_usd
        The configuration that it leads to costs at least this much.
    search
        Simulates, and returns that configuration, or None when the action leads to no feasible one.
    """

    name: str
    stage: str
    least_cost_nano_usd: int
    search: Callable[[], Configuration | None]


def actions(estimator: Oracle, configuration: Configuration, stage: str) -> Iterator[Action]:
    """Yield every action that one stage of a configuration has."""
    problem = estimator.problem
    cost = configuration.cost_nano_usd_per_hour(problem.pipeline)
    chosen = configuration[stage]
    price = problem.option(stage, chosen).price_nano_usd_per_hour
    if (larger := _larger_batch(estimator, configuration, stage)) is not None:
        yield Action("IncreaseBatch", stage, cost, partial(_if_feasible, estimator, larger))
    if (fewer := _fewer_replicas(estimator, configuration, stage)) is not None:
        yield Action("RemoveReplica", stage, cost - price, partial(_if_feasible, estimator, fewer))
    cheaper = [option for option in problem.options[stage].values() if option.price_nano_usd_per_hour < price]
    if cheaper:
        option = max(cheaper, key=lambda each: (each.price_nano_usd_per_hour, -first_latency_ns(each)))
        least = estimator.least_replicas(stage, option.hardware, option.batch_sizes[-1])
        least = max(least, problem.pipeline.stage(stage).min_replicas)
        floor = cost + least * option.price_nano_usd_per_hour - chosen.replicas * price
        yield Action("DowngradeHardware", stage, floor, partial(_downgrade, estimator, configuration, stage, option))


def first_latency_ns(option: Option) -> int:
    """Return the latency of a full batch of the smallest profiled size."""
    return int(option.latency_ns[option.batch_sizes[0] - 1])


def next_batch(option: Option, batch: int) -> int | None:
    """Return the largest profiled size up to twice the batch, or the next one when there is none."""
    larger = [size for size in option.batch_sizes if size > batch]
    return max([size for size in larger if size <= 2 * batch], default=min(larger, default=None))


def _larger_batch(estimator: Oracle, configuration: Configuration, stage: str) -> Configuration | None:
    chosen = configuration[stage]
    larger = next_batch(estimator.problem.option(stage, chosen), chosen.max_batch)
    if larger is None:
        return None
    changed = StageConfiguration(hardware=chosen.hardware, max_batch=larger, replicas=chosen.replicas)
    return configuration.with_stage(stage, changed)


def _fewer_replicas(estimator: Oracle, configuration: Configuration, stage: str) -> Configuration | None:
    chosen = configuration[stage]
    if chosen.replicas <= estimator.problem.pipeline.stage(stage).min_replicas:
        return None
    changed = StageConfiguration(hardware=chosen.hardware, max_batch=chosen.max_batch, replicas=chosen.replicas - 1)
    return configuration.with_stage(stage, changed)


def _if_feasible(estimator: Oracle, configuration: Configuration) -> Configuration | None:
    return configuration if estimator.feasible(configuration) else None


def _downgrade(estimator: Oracle, configuration: Configuration, stage: str, option: Option) -> Configuration | None:
    """Initialise one stage on another hardware and minimise it there, the other stages frozen.

    The published search adds replicas at batch 1; where the replicas that fit are too few at one batch size, this one
    goes on with the next.
    """
    most = replicas_that_fit(estimator.problem, configuration, stage, option.hardware)
    fewest = estimator.problem.pipeline.stage(stage).min_replicas
    batch: int | None = option.batch_sizes[0]
    while batch is not None:
        for replicas in range(max(fewest, estimator.least_replicas(stage, option.hardware, batch)), most + 1):
            changed = StageConfiguration(hardware=option.hardware, max_batch=batch, replicas=replicas)
            candidate = configuration.with_stage(stage, changed)
            if estimator.feasible(candidate):
                return _minimise_stage(estimator, candidate, stage)
        batch = next_batch(option, batch)
    return None


def _minimise_stage(estimator: Oracle, configuration: Configuration, stage: str) -> Configuration:
    """Minimise one stage by RemoveReplica and IncreaseBatch, the others frozen."""
    while True:
        for change in (_fewer_replicas, _larger_batch):
            candidate = change(estimator, configuration, stage)
            if candidate is not None and estimator.feasible(candidate):
                configuration = candidate
                break
        else:
            return configuration
