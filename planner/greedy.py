"""The published planner: InferLine's Algorithms 1 and 2 (Crankshaw et al., SoCC 2020, section 4.3).

Algorithm 1 finds a first configuration that meets the SLO, Algorithm 2 walks downhill in cost by single actions. It
ends where no single action lowers the cost, which need not be the cheapest configuration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from inferline.domain import Configuration, StageConfiguration
from planner.actions import Action, actions, first_latency_ns, next_batch
from planner.oracle import Oracle
from planner.outcome import Infeasible, Observe, Step, unloaded_verdict
from planner.prediction import measure
from planner.problem import Option, Problem, replicas_that_fit

__all__ = ["greedy", "initialise", "minimise_cost"]


def greedy(estimator: Oracle, observe: Observe | None = None) -> Configuration | Infeasible:
    """Plan with the published greedy search.

    Parameters
    ----------
    estimator
        Of the problem to plan.
    observe
        Told of every step.
    """
    start = initialise(estimator, observe)
    return start if isinstance(start, Infeasible) else minimise_cost(estimator, start, observe)


def initialise(estimator: Oracle, observe: Observe | None = None) -> Configuration | Infeasible:
    """Find a first configuration that meets the SLO (Algorithm 1).

    Every stage starts with its smallest batch, one replica and its lowest-latency hardware; while the SLO is missed,
    the stage with the lowest throughput relative to its load gets a replica. Where the published algorithm would add
    replicas for ever, a stage at its bound or at its hardware's limit grows its batch, and when that ends too, moves
    to its next slower hardware.
    """
    problem = estimator.problem
    verdict = unloaded_verdict(problem)
    if verdict is not None:
        return verdict
    configuration = Configuration(
        {
            name: _smallest(problem, name, min(options.values(), key=first_latency_ns))
            for name, options in problem.options.items()
        }
    )
    while not (_allowed(problem, configuration) and estimator.feasible(configuration)):
        for name in sorted(configuration, key=lambda name: _relative_throughput(problem, name, configuration[name])):
            stronger = _strengthen(estimator, configuration, name)
            if stronger is not None:
                configuration = stronger
                break
        else:
            return _exhausted(problem, configuration)
        if observe is not None:
            observe(Step(action="initialise", configuration=configuration))
    return configuration


def minimise_cost(estimator: Oracle, configuration: Configuration, observe: Observe | None = None) -> Configuration:
    """Walk downhill in cost until no single action helps (Algorithm 2).

    Of the feasible actions the cheapest is taken; among those that do not change the cost only IncreaseBatch counts,
    since it pays through a later RemoveReplica, and the stage that costs most goes first.
    """
    while True:
        best = _best_action(estimator, configuration)
        if best is None:
            return configuration
        action, configuration = best
        if observe is not None:
            observe(Step(action=action.name, configuration=configuration))


def _best_action(estimator: Oracle, configuration: Configuration) -> tuple[Action, Configuration] | None:
    """Return the cheapest feasible action and where it leads, or None when none improves.

    Actions are tried in the order of the least that they can cost, so most of them need no simulation once one of
    the cheap ones has turned out to be feasible; the answer is the same as if all had been tried.
    """
    pipeline = estimator.problem.pipeline
    cost = configuration.cost_nano_usd_per_hour(pipeline)
    everything = [action for stage in pipeline.stages for action in actions(estimator, configuration, stage.name)]

    def rank(place: int, cost_nano_usd: int) -> tuple[int, int, int]:
        chosen = configuration[everything[place].stage]
        price = pipeline.unit(chosen.hardware).price_nano_usd_per_hour
        return cost_nano_usd, -price * chosen.replicas, place

    waiting = sorted(rank(place, action.least_cost_nano_usd) for place, action in enumerate(everything))
    best: tuple[tuple[int, int, int], Configuration] | None = None
    while waiting and (best is None or waiting[0] < best[0]):
        tried = [place for _, _, place in waiting[: estimator.threads]]
        del waiting[: estimator.threads]
        found = estimator.evaluate([everything[place].search for place in tried])
        for place, candidate in zip(tried, found, strict=True):
            if candidate is None:
                continue
            reached = rank(place, candidate.cost_nano_usd_per_hour(pipeline))
            free = reached[0] == cost and everything[place].name == "IncreaseBatch"
            if (reached[0] < cost or free) and (best is None or reached < best[0]):
                best = reached, candidate
    estimator.trim()
    return None if best is None else (everything[best[0][2]], best[1])


def _smallest(problem: Problem, stage: str, option: Option) -> StageConfiguration:
    return StageConfiguration(
        hardware=option.hardware,
        max_batch=option.batch_sizes[0],
        replicas=problem.pipeline.stage(stage).min_replicas,
    )


def _relative_throughput(problem: Problem, stage: str, chosen: StageConfiguration) -> float:
    """Return the throughput of a stage over the share of queries that visit it (its scale factor)."""
    throughput = chosen.replicas * problem.option(stage, chosen).throughput_qps(chosen.max_batch)
    return throughput / problem.visits[stage] if problem.visits[stage] else math.inf


def _allowed(problem: Problem, configuration: Configuration) -> bool:
    return not configuration.exceeded_limits(problem.pipeline)


def _strengthen(estimator: Oracle, configuration: Configuration, stage: str) -> Configuration | None:
    """Return the configuration with more throughput at one stage, or None when the stage has no more to give."""
    return next(_stronger(estimator.problem, configuration, stage), None)


def _stronger(problem: Problem, configuration: Configuration, stage: str) -> Iterator[Configuration]:
    chosen = configuration[stage]
    option = problem.option(stage, chosen)
    fit = replicas_that_fit(problem, configuration, stage, chosen.hardware)
    if chosen.replicas < fit:
        more = StageConfiguration(hardware=chosen.hardware, max_batch=chosen.max_batch, replicas=chosen.replicas + 1)
        yield configuration.with_stage(stage, more)
    larger = next_batch(option, chosen.max_batch)
    if larger is not None and chosen.replicas <= fit:
        bigger = StageConfiguration(hardware=chosen.hardware, max_batch=larger, replicas=chosen.replicas)
        yield configuration.with_stage(stage, bigger)
    slower = [each for each in problem.options[stage].values() if _order(each) > _order(option)]
    for each in sorted(slower, key=_order):
        moved = _smallest(problem, stage, each)
        if moved.replicas <= replicas_that_fit(problem, configuration, stage, each.hardware):
            yield configuration.with_stage(stage, moved)


def _order(option: Option) -> tuple[int, str]:
    return first_latency_ns(option), option.hardware


def _exhausted(problem: Problem, configuration: Configuration) -> Infeasible:
    """Say what the search reached when every stage had given all it has."""
    prediction = measure(problem, configuration)
    binding = max(
        prediction.stages,
        key=lambda name: prediction.stages[name].budget_wait + prediction.stages[name].budget_service,
    )
    chosen = configuration[binding]
    return Infeasible(
        stage=binding,
        best_latency_ns=round(prediction.at_slo_percentile_s * 1e9),
        proved=False,
        reason=(
            f"{chosen.replicas} replicas on {chosen.hardware} with batches up to {chosen.max_batch} are the most "
            f"that its bounds and the hardware limits leave, and are too few"
        ),
    )
