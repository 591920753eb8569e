"""The cheapest configuration that meets the SLO in enough worlds: the published search, and what lies around it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from inferline.domain import Configuration, StageConfiguration
from planner.actions import next_batch
from planner.greedy import greedy, minimise_cost
from planner.outcome import Observe, Step
from planner.problem import Option, Problem, replicas_that_fit
from planner.uncertainty.confident import ConfidentEstimator, OutOfTime

__all__ = ["cheapest_confident"]

_PAIR_REPLICAS = 2


def cheapest_confident(
    estimator: ConfidentEstimator, start: Configuration, observe: Observe | None = None
) -> Configuration | None:
    """Return the cheapest feasible configuration that is found before the estimator's time is over.

    From ``start``, replicas and larger batches are added where they help most for their price until it is feasible,
    and the published search goes downhill from there; the published search from its own beginning is tried too. Then
    single and pair moves around the cheapest are tried in the order of cost, from the cheapest on, until none is
    feasible. The first way to a feasible configuration does not watch the time.

    Parameters
    ----------
    estimator
        Over the planning worlds.
    start
        A good plan for the sampled trace.
    observe
        Told of every step.
    """
    until, estimator.out_of_time = estimator.out_of_time, lambda: False
    repaired = _repair(estimator, start, observe)
    estimator.out_of_time = until
    try:
        if repaired is not None:
            minimise_cost(estimator, repaired, observe)
        greedy(estimator, observe)
        _improve(estimator, observe)
    except OutOfTime:
        pass
    return estimator.best


def _repair(
    estimator: ConfidentEstimator, configuration: Configuration, observe: Observe | None
) -> Configuration | None:
    """Strengthen a configuration until it is feasible, or return None when there is nothing left to add."""
    pipeline = estimator.problem.pipeline
    while not estimator.feasible(configuration):
        before = estimator.excess(configuration)
        cost = configuration.cost_nano_usd_per_hour(pipeline)
        ranked = []
        for place, stronger in enumerate(_stronger(estimator.problem, configuration)):
            gained = before - estimator.excess(stronger)
            price = max(stronger.cost_nano_usd_per_hour(pipeline) - cost, 1)
            # What gains nothing anywhere is still tried in the end, the cheapest first: several replicas may be
            # needed before any query is on time.
            ranked.append((gained <= 0, -gained / price if gained > 0 else price, place, stronger))
        if not ranked:
            return None
        configuration = min(ranked, key=lambda entry: entry[:3])[3]
        if observe is not None:
            observe(Step(action="strengthen", configuration=configuration))
    return configuration


def _stronger(problem: Problem, configuration: Configuration) -> Iterator[Configuration]:
    """Yield the configurations with one replica more, or the next larger batch, at one stage."""
    for name, chosen in configuration.items():
        if chosen.replicas < replicas_that_fit(problem, configuration, name, chosen.hardware):
            yield configuration.with_stage(name, _changed(chosen, replicas=chosen.replicas + 1))
        larger = next_batch(problem.option(name, chosen), chosen.max_batch)
        if larger is not None:
            yield configuration.with_stage(name, _changed(chosen, max_batch=larger))


def _improve(estimator: ConfidentEstimator, observe: Observe | None) -> None:
    """Go to the cheapest feasible neighbour, again and again, until no cheaper one is feasible."""
    best = None
    while estimator.best is not None and estimator.best != best:
        best = estimator.best
        for _, _, candidate in _cheaper(estimator, best):
            if estimator.feasible(candidate):
                if observe is not None:
                    observe(Step(action="improve", configuration=candidate))
                break
        estimator.trim()


def _cheaper(estimator: ConfidentEstimator, best: Configuration) -> list[tuple[int, int, Configuration]]:
    """Return the neighbours that cost less, by cost; one stage changed in any way, or two a little."""
    problem = estimator.problem
    pipeline = problem.pipeline
    cost = best.cost_nano_usd_per_hour(pipeline)
    found: dict[Configuration, int] = {}
    for name in best:
        for changed in _anything(estimator, name, most_nano_usd=_price(problem, name, best[name]) - 1):
            found.setdefault(best.with_stage(name, changed), len(found))
    nearby = {name: list(_nearby(estimator, name, best[name])) for name in best}
    for one, other in combinations(best, 2):
        for first in nearby[one]:
            for second in nearby[other]:
                found.setdefault(best.with_stage(one, first).with_stage(other, second), len(found))
    ranked = [(each.cost_nano_usd_per_hour(pipeline), place, each) for each, place in found.items()]
    return sorted(entry for entry in ranked if entry[0] < cost and not entry[2].exceeded_limits(pipeline))


def _anything(estimator: ConfidentEstimator, name: str, most_nano_usd: int) -> Iterator[StageConfiguration]:
    """Yield all that a stage may run for at most so much."""
    stage = estimator.problem.pipeline.stage(name)
    for option in estimator.problem.options[name].values():
        price = option.price_nano_usd_per_hour
        most = stage.max_replicas if price == 0 else min(stage.max_replicas, most_nano_usd // price)
        for max_batch in option.batch_sizes:
            least = max(stage.min_replicas, estimator.least_replicas(name, option.hardware, max_batch))
            for replicas in range(least, most + 1):
                yield StageConfiguration(hardware=option.hardware, max_batch=max_batch, replicas=replicas)


def _nearby(estimator: ConfidentEstimator, name: str, chosen: StageConfiguration) -> Iterator[StageConfiguration]:
    """Yield a few replicas more or fewer, at the same and the neighbouring batch sizes."""
    stage = estimator.problem.pipeline.stage(name)
    for max_batch in _neighbouring(estimator.problem.option(name, chosen), chosen.max_batch):
        least = max(stage.min_replicas, estimator.least_replicas(name, chosen.hardware, max_batch))
        for replicas in range(chosen.replicas - _PAIR_REPLICAS, chosen.replicas + _PAIR_REPLICAS + 1):
            changed = _changed(chosen, max_batch=max_batch, replicas=max(1, replicas))
            if least <= replicas <= stage.max_replicas and changed != chosen:
                yield changed


def _neighbouring(option: Option, max_batch: int) -> list[int]:
    place = option.batch_sizes.index(max_batch)
    return list(option.batch_sizes[max(0, place - 1) : place + 2])


def _changed(
    chosen: StageConfiguration, *, max_batch: int | None = None, replicas: int | None = None
) -> StageConfiguration:
    return StageConfiguration(
        hardware=chosen.hardware,
        max_batch=chosen.max_batch if max_batch is None else max_batch,
        replicas=chosen.replicas if replicas is None else replicas,
    )


def _price(problem: Problem, name: str, chosen: StageConfiguration) -> int:
    return problem.option(name, chosen).price_nano_usd_per_hour * chosen.replicas
