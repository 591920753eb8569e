"""The configurations around a plan: those that pay for less, or for something else.

What is paid for is the hardware and the replicas of every stage; batch sizes are free. So neighbours are grouped by
what they pay for, and each group is represented by the batch sizes with which it comes nearest to the SLO: "six
replicas are too few" then means at every batch size that was tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from inferline.domain import Configuration, StageConfiguration
from planner.explanation.trials import Trial, Trials
from planner.problem import Option, Problem, replicas_that_fit

__all__ = ["Neighbour", "neighbours", "other_batch_sizes", "without_replica"]

Paid = tuple[tuple[str, int], ...]
"""Hardware and replicas of every stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A choice of hardware and replicas near the plan, with the batch sizes that suit it best.

    Parameters
    ----------
    trial
        The one with the fewest late queries; among equals the one that is faster at the SLO's percentile.
    changed
        The stages that differ from the plan in hardware or replicas.
    tried
        How many combinations of batch sizes were simulated.
    """

    trial: Trial
    changed: tuple[str, ...]
    tried: int


def without_replica(trials: Trials, configuration: Configuration, stage: str) -> Configuration | None:
    """Return the configuration with one replica less of a stage, or None when there would be none to survive on."""
    chosen = configuration[stage]
    if chosen.replicas <= trials.survive + 1:
        return None
    return configuration.with_stage(stage, replace(chosen, replicas=chosen.replicas - 1))


def other_batch_sizes(problem: Problem, configuration: Configuration, stage: str) -> list[Configuration]:
    """Return the configuration with every profiled batch size of one stage, its own included, ascending."""
    chosen = configuration[stage]
    sizes = problem.option(stage, chosen).batch_sizes
    return [configuration.with_stage(stage, replace(chosen, max_batch=size)) for size in sizes]


def neighbours(trials: Trials, plan: Configuration, indispensable: Mapping[str, bool]) -> tuple[Neighbour, ...]:
    """Return the neighbours of a plan that cost no more, those that come nearest to the SLO first.

    There are two kinds. *One stage changed*: for every hardware that the stage may use, the most replicas that still
    cost less (on another hardware: no more) than the plan's. *A replica less here, help there*: one replica less of
    one stage, and at another stage other batch sizes, or as many more replicas, or as much other hardware, as the
    saving pays for. A pair that comes no nearer to the SLO than one of its changes alone is left out: it pays for
    nothing. Replica bounds and hardware limits hold.

    Parameters
    ----------
    trials
        Of the problem that was planned.
    plan
        The configuration around which to look.
    indispensable
        Per stage, whether it is proved that nothing makes up for one replica less: such pairs are not tried.
    """
    problem = trials.problem
    names = [stage.name for stage in problem.pipeline.stages]
    singles = {name: list(_singles(trials, plan, name)) for name in names}
    seen = dict(trials.run(each for name in names for each in singles[name]))
    pairs: list[Configuration] = []
    for name in names:
        less = without_replica(trials, plan, name)
        if less is None or indispensable[name] or less[name].replicas < trials.fewest(name):
            continue
        reached = [seen[each] for each in singles[name] if each in seen and _paid(each) == _paid(less)]
        start = min(reached, key=_distance).configuration if reached else less
        pairs += [each for other in names if other != name for each in _helped(trials, plan, start, name, other)]
    seen |= trials.run(pairs)
    return _grouped(plan, list(seen.values()))


def _grouped(plan: Configuration, trials: Sequence[Trial]) -> tuple[Neighbour, ...]:
    groups: dict[Paid, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(_paid(trial.configuration), []).append(trial)
    found = [
        Neighbour(trial=min(group, key=_distance), changed=_changed(plan, group[0].configuration), tried=len(group))
        for group in groups.values()
    ]
    told = [each for each in found if not any(_does_as_well(other, each) for other in found)]
    return tuple(sorted(told, key=lambda each: (*_distance(each.trial), -each.trial.cost_nano_usd_per_hour)))


def _does_as_well(part: Neighbour, whole: Neighbour) -> bool:
    """Whether a neighbour changes only some of what another one changes, and comes as near to the SLO."""
    if len(part.changed) >= len(whole.changed) or not set(part.changed) <= set(whole.changed):
        return False
    one, other = part.trial.configuration, whole.trial.configuration
    same = all(
        (one[name].hardware, one[name].replicas) == (other[name].hardware, other[name].replicas)
        for name in part.changed
    )
    return same and _distance(part.trial) <= _distance(whole.trial)


def _distance(trial: Trial) -> tuple[int, int]:
    """Return how far a configuration is from the SLO: late queries first, then the latency at the percentile."""
    return trial.late, trial.latency_ns


def _singles(trials: Trials, plan: Configuration, stage: str) -> Iterator[Configuration]:
    """Yield what one stage could run with instead, at no more cost."""
    problem, chosen = trials.problem, plan[stage]
    own_price = problem.option(stage, chosen).price_nano_usd_per_hour
    for option in problem.options[stage].values():
        same = option.hardware == chosen.hardware
        most = own_price * chosen.replicas - (1 if same else 0)
        yield from _at_every_batch_size(trials, plan, stage, option, _affordable(trials, plan, stage, option, most))


def _helped(
    trials: Trials, plan: Configuration, less: Configuration, gave: str, stage: str
) -> Iterator[Configuration]:
    """Yield what another stage could run with, paid from the replica that one stage gave away."""
    problem, chosen = trials.problem, plan[stage]
    saved = problem.option(gave, plan[gave]).price_nano_usd_per_hour
    cost = problem.option(stage, chosen).price_nano_usd_per_hour * chosen.replicas
    for option in problem.options[stage].values():
        most = _affordable(trials, less, stage, option, cost + saved - 1)
        if option.hardware == chosen.hardware:
            yield from _at_every_batch_size(trials, less, stage, option, chosen.replicas)
            if most is not None and most > chosen.replicas:
                yield from _at_every_batch_size(trials, less, stage, option, most)
        elif most is not None and most * option.price_nano_usd_per_hour > cost:
            # What costs less than the stage does now is a change of that stage alone, tried already.
            yield from _at_every_batch_size(trials, less, stage, option, most)


def _affordable(
    trials: Trials, configuration: Configuration, stage: str, option: Option, most_nano_usd: int
) -> int | None:
    """Return the most replicas that the money, the bounds and the hardware's limit leave; None for none."""
    fit = replicas_that_fit(trials.problem, configuration, stage, option.hardware)
    price = option.price_nano_usd_per_hour
    replicas = min(fit, most_nano_usd // price) if price else (fit if most_nano_usd >= 0 else 0)
    return replicas if replicas >= trials.fewest(stage) else None


def _at_every_batch_size(
    trials: Trials, configuration: Configuration, stage: str, option: Option, replicas: int | None
) -> Iterator[Configuration]:
    """Yield one configuration per batch size that can carry the stage's work; the largest when none can."""
    if replicas is None:
        return
    able = [size for size in option.batch_sizes if trials.least_replicas(stage, option.hardware, size) <= replicas]
    for size in able or option.batch_sizes[-1:]:
        chosen = StageConfiguration(hardware=option.hardware, max_batch=size, replicas=replicas)
        yield configuration.with_stage(stage, chosen)


def _paid(configuration: Configuration) -> Paid:
    return tuple((configuration[name].hardware, configuration[name].replicas) for name in sorted(configuration))


def _changed(plan: Configuration, other: Configuration) -> tuple[str, ...]:
    return tuple(
        name
        for name, chosen in plan.items()
        if (chosen.hardware, chosen.replicas) != (other[name].hardware, other[name].replicas)
    )
