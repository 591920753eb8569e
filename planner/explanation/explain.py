"""Why a plan is what it is: where the time goes, what each replica is worth, what was rejected, what binds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from inferline.domain import Configuration, Plan
from planner.budget import Budget, budgets, slowest_queries
from planner.explanation.constraints import constraints
from planner.explanation.neighbours import Neighbour, neighbours, other_batch_sizes, without_replica
from planner.explanation.relaxing import Relaxed, relax
from planner.explanation.trials import Trial, Trials
from planner.problem import Problem
from planner.relaxation import Relaxation
from planner.variations import Profiles
from simulator import simulate

__all__ = ["EXPLAIN_LIMIT_S", "MOST_VISITS", "Explanation", "LastReplica", "explain"]

EXPLAIN_LIMIT_S = 6.0
"""How long constraints are relaxed, all together."""

MOST_VISITS = 100_000_000
"""Visits to stages that are simulated for neighbours: some 3 seconds."""

ROWS = 10
"""Rejected neighbours that are told of: the nearest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReplica:
    """What the last replica of a stage is worth.

    Parameters
    ----------
    replicas
        How many the plan has.
    saving_nano_usd_per_hour
        What one less would save.
    removable
        Whether one can be taken away at all: not from the only one, nor from those that losses would leave none of.
    without
        The plan with one less; None when that cannot be, or when the allowance left it out.
    within_bounds
        Whether the stage's minimum allows one less.
    indispensable
        Whether it is proved that no configuration with one less on this hardware meets the SLO, whatever the batch
        sizes and whatever the other stages run.
    """

    replicas: int
    saving_nano_usd_per_hour: int
    removable: bool
    without: Trial | None
    within_bounds: bool
    indispensable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a plan is what it is.

    Parameters
    ----------
    queries, mean_latency_ns, stages
        The slowest queries - at and beyond the SLO's percentile -: how many, how long they take on average, and what
        they spend at each stage; over the stages it adds up to that latency.
    worst, late_allowed
        The plan after the worst loss that it must survive (with none to survive, the plan as it is), and how many
        queries the percentile allows to be late.
    last_replica
        Per stage, what its last replica is worth.
    batch_sizes
        Per stage, the plan with every profiled batch size of that stage, ascending; the cost stays the same. Without
        those that the allowance left out.
    rejected
        The neighbours that cost less than the plan (or the same, on other hardware) and miss the SLO, nearest first:
        fewest late queries, then least latency. At most `ROWS`, each with the stage that breaks it.
    also_good
        Neighbours that meet the SLO and cost the same.
    better
        Neighbours that meet the SLO and cost less: none when the plan is optimal.
    tried, left_out
        Configurations around the plan that were simulated, and that the allowance left out.
    constraints
        What binds, and what the least step back would save.
    """

    queries: int
    mean_latency_ns: float
    stages: Mapping[str, Budget]
    worst: Trial
    late_allowed: int
    last_replica: Mapping[str, LastReplica]
    batch_sizes: Mapping[str, tuple[Trial, ...]]
    rejected: tuple[Neighbour, ...]
    also_good: tuple[Neighbour, ...]
    better: tuple[Neighbour, ...]
    tried: int
    left_out: int
    constraints: tuple[Relaxed, ...]


def explain(
    problem: Problem,
    profiles: Profiles,
    plan: Plan,
    *,
    time_limit_s: float = EXPLAIN_LIMIT_S,
    most_visits: int = MOST_VISITS,
    tell: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Explanation:
    """Explain a plan.

    Parameters
    ----------
    problem, profiles, plan
        What was planned, from which profiles, and the result.
    time_limit_s
        How long constraints are relaxed; what is not finished then says so.
    most_visits
        Visits to stages that are simulated for neighbours.
    tell
        Told what is being done.
    clock
        Monotonic seconds.

    Raises
    ------
    KeyboardInterrupt
        When somebody ended it.
    """
    tell("explaining: simulating its neighbours")
    configuration = plan.configuration
    result = simulate(problem.network(configuration), problem.trace.arrival_ns, problem.routes)
    slowest = slowest_queries(problem, result)
    spent = budgets(problem, configuration, result)
    trials = Trials(problem, most_visits, plan.survive)
    worst = trials.one(configuration)
    last = _last_replicas(trials, configuration, spent)
    sizes = {name: trials.run(other_batch_sizes(problem, configuration, name)) for name in configuration}
    around = neighbours(trials, configuration, {name: each.indispensable for name, each in last.items()})
    rejected = [each for each in around if not each.trial.slo_met]
    met = [each for each in around if each.trial.slo_met]
    cost = plan.cost_nano_usd_per_hour
    return Explanation(
        queries=slowest.size,
        mean_latency_ns=float(result.latency_ns[slowest].mean()),
        stages=MappingProxyType(dict(spent)),
        worst=worst,
        late_allowed=problem.late_allowed,
        last_replica=MappingProxyType(last),
        batch_sizes=MappingProxyType({name: tuple(each.values()) for name, each in sizes.items()}),
        rejected=_broken(trials, rejected[:ROWS], spent),
        also_good=tuple(each for each in met if each.trial.cost_nano_usd_per_hour == cost),
        better=tuple(each for each in met if each.trial.cost_nano_usd_per_hour < cost),
        tried=trials.tried,
        left_out=trials.left_out,
        constraints=relax(
            problem,
            profiles,
            plan,
            constraints(problem, profiles, plan, late=worst.late, latency_ns=worst.latency_ns),
            time_limit_s=time_limit_s,
            tell=lambda text: tell(f"explaining: {text}"),
            clock=clock,
        ),
    )


def _last_replicas(trials: Trials, plan: Configuration, spent: Mapping[str, Budget]) -> dict[str, LastReplica]:
    problem = trials.problem
    without = {name: without_replica(trials, plan, name) for name in plan}
    seen = trials.run(each for each in without.values() if each is not None)
    broken = {each.configuration: each for each in trials.broken(list(seen.values()), spent)}
    relaxation = Relaxation(problem, trials.survive)
    anything = (None,) * len(problem.options)
    last = {}
    for place, stage in enumerate(problem.pipeline.stages):
        chosen, less = plan[stage.name], without[stage.name]
        fewest = relaxation.fewest(place, chosen.hardware, anything)
        last[stage.name] = LastReplica(
            replicas=chosen.replicas,
            saving_nano_usd_per_hour=problem.option(stage.name, chosen).price_nano_usd_per_hour,
            removable=less is not None,
            without=None if less is None else broken.get(less),
            within_bounds=chosen.replicas > stage.min_replicas,
            indispensable=chosen.replicas > stage.min_replicas and (fewest is None or fewest >= chosen.replicas),
        )
    return last


def _broken(trials: Trials, found: Sequence[Neighbour], spent: Mapping[str, Budget]) -> tuple[Neighbour, ...]:
    broken = trials.broken([each.trial for each in found], spent)
    return tuple(replace(each, trial=trial) for each, trial in zip(found, broken, strict=True))
